"""Packages that worldsim runs without, and the extras that bring them."""

from __future__ import annotations

import importlib.util

from worldsim.errors import ConfigurationError

__all__ = ["EXTRAS", "advice", "need"]

EXTRAS = {
    "stable_baselines3": "train",
    "tensorboard": "train",
    "minari": "train",
    "mujoco": "mujoco",
    "ray": "ray",
    "fastapi": "server",
    "uvicorn": "server",
    "prometheus_client": "server",
    "huggingface_hub": "server",
    "faiss": "server",
    "psycopg": "server",
}
"""Package -> the extra of worldsim-lab that installs it."""


def need(package: str, what: str) -> None:
    """Look whether `package` is installed, before hours are spent on what comes before its first use.

    Args:
        package: a key of `EXTRAS`.
        what: needs it, for the message.

    Raises:
        ConfigurationError: it is not.
    """
    if importlib.util.find_spec(package) is None:
        raise ConfigurationError(f"{what} needs {package}: {advice(package)}.")


def advice(package: str | None) -> str | None:
    """Return how `package` (or the package that the module of this name is in) is installed, None for any other.

    >>> advice("stable_baselines3.ppo")
    "pip install 'worldsim-lab[train]'"
    """
    extra = EXTRAS.get((package or "").partition(".")[0])
    return None if extra is None else f"pip install 'worldsim-lab[{extra}]'"
