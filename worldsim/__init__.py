"""A world model that runs a small physics engine on beliefs.

::

    import gymnasium as gym, worldsim

    env = gym.make("worldsim/Warehouse-v0", observation="detections")
    wm = worldsim.WorldModel(registry=worldsim.open_registry("builtin"), device="cpu")
    observation, info = env.reset(seed=0)
    wm.reset(observation)
    record = wm.step(observation, env.action_space.sample())

Importing worldsim registers every installed scenario with Gymnasium as ``worldsim/<Name>-v0``, by name only: no
physics engine is imported before the first ``gym.make``. The names below are loaded when first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from worldsim import contracts, errors, types
    from worldsim.loop import WorldModel
    from worldsim.registry import open_registry

__version__ = "0.1.0"

__all__ = ["WorldModel", "__version__", "contracts", "errors", "open_registry", "types"]

_LAZY = {"WorldModel": "worldsim.loop", "open_registry": "worldsim.registry"}
_SUBPACKAGES = ("contracts", "errors", "types")


def __getattr__(name: str) -> object:
    """Load a public name when it is first used (PEP 562), so that `import worldsim` stays quick."""
    if name in _LAZY:
        found: object = getattr(importlib.import_module(_LAZY[name]), name)
    elif name in _SUBPACKAGES:
        found = importlib.import_module(f"worldsim.{name}")
    else:
        raise AttributeError(f"module 'worldsim' has no attribute {name!r}; it has {', '.join(__all__)}")
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    """List the public names, loaded or not."""
    return sorted(set(globals()) | set(__all__))


def _register_environments() -> None:
    """Register the installed scenarios with Gymnasium, where Gymnasium is installed."""
    try:
        from worldsim.simulation.registration import register_environments
    except ModuleNotFoundError as missing:
        if missing.name != "gymnasium":
            raise
        return
    register_environments()


_register_environments()
