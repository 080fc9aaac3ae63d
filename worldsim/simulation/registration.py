"""Registers the installed scenarios with Gymnasium, without importing a physics engine."""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import Any

import gymnasium

__all__ = ["ENVIRONMENT", "VECTOR_ENVIRONMENT", "environment_id", "make_environment", "register_environments"]

ENVIRONMENT = "worldsim.simulation.gym_env:WorldsimEnv"
"""Where `gymnasium.make` finds the environment class; a string, so that nothing is imported before it is needed."""

VECTOR_ENVIRONMENT = "worldsim.simulation.vector_env:WorldsimVectorEnv"
"""Where `gymnasium.make_vec` finds the vector environment, unless it is told to vectorise by other means."""


def environment_id(scenario: str) -> str:
    """Return the Gymnasium id of the scenario of that plug-in name.

    >>> environment_id("Warehouse")
    'worldsim/Warehouse-v0'
    """
    return f"worldsim/{scenario}-v0"


def register_environments() -> list[str]:
    """Register every plug-in of the group ``worldsim.scenarios``; return the ids, registered now or before.

    A name that two distributions claim is registered once; the clash is reported when the scenario is loaded
    (see `worldsim.plugins.load_plugin`), so that a broken plug-in never stops ``import worldsim``.
    """
    ids = []
    for name in sorted({point.name for point in entry_points(group="worldsim.scenarios")}):
        ids.append(environment_id(name))
        if ids[-1] not in gymnasium.registry:
            gymnasium.register(
                ids[-1], entry_point=ENVIRONMENT, vector_entry_point=VECTOR_ENVIRONMENT, kwargs={"scenario": name}
            )
    return ids


def make_environment(scenario: str, **arguments: Any) -> gymnasium.Env[Any, Any]:
    """Return ``gymnasium.make`` of a scenario by its plug-in name; the environment knows its own specification.

    Args:
        scenario: name in the group ``worldsim.scenarios``.
        arguments: of `worldsim.simulation.gym_env.WorldsimEnv`.
    """
    register_environments()
    return gymnasium.make(environment_id(scenario), disable_env_checker=True, **arguments)
