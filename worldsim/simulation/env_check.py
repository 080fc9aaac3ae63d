"""What is wrong with an environment, by Gymnasium's own checker and by our promise of repeatability."""

from __future__ import annotations

import warnings
from collections.abc import Mapping

import gymnasium
import numpy as np
from gymnasium.utils.env_checker import check_env

from worldsim.simulation.gym_env import WorldsimEnv

__all__ = ["complaints", "trajectory"]


def complaints(env: WorldsimEnv) -> list[str]:
    """Return what Gymnasium's checker finds wrong with `env`, warnings included; empty where it finds nothing."""
    found: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            check_env(env, skip_render_check=True)
        except (AssertionError, gymnasium.error.Error, TypeError, ValueError) as error:
            found.append(str(error))
    return found + [str(warning.message) for warning in caught]


def trajectory(env: WorldsimEnv, seed: int, actions: np.ndarray) -> list[bytes]:
    """Return the bytes of every observation and reward of an episode under the [T, 3] actions."""
    observation, _ = env.reset(seed=seed)
    frames = [_bytes(observation)]
    for action in actions:
        observation, reward, terminated, truncated, _ = env.step(action)
        frames.append(_bytes(observation) + np.float64(reward).tobytes())
        if terminated or truncated:
            break
    return frames


def _bytes(observation: Mapping[str, np.ndarray]) -> bytes:
    return b"".join(observation[name].tobytes() for name in sorted(observation))
