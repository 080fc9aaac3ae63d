"""Several scenarios as one environment: each episode plays the next of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import gymnasium
import numpy as np
from gymnasium import spaces

from worldsim.errors import ConfigurationError
from worldsim.simulation.gym_env import WorldsimEnv

__all__ = ["AlternatingEnv"]


class AlternatingEnv(gymnasium.Env[dict[str, np.ndarray], np.ndarray]):
    """Plays an episode of one scenario, then one of the next, and the first again after the last.

    Its observations have the fields that all of them give in the same shape, so that one network can read them.
    """

    def __init__(self, envs: Sequence[WorldsimEnv]) -> None:
        """Take turns with `envs`, which are closed with this one.

        Raises:
            ConfigurationError: there is none, or their actions differ.
        """
        if not envs or any(env.action_space != envs[0].action_space for env in envs):
            raise ConfigurationError(f"AlternatingEnv: got {len(envs)} environments, expected some of equal actions.")
        self.envs, self._turn = tuple(envs), -1
        fields = [dict(cast(spaces.Dict, env.observation_space).items()) for env in envs]
        self._fields = {n: box for n, box in fields[0].items() if all(other.get(n) == box for other in fields)}
        self.observation_space = spaces.Dict(self._fields)  # type: ignore[assignment]  # as in `WorldsimEnv`
        self.action_space = envs[0].action_space
        self._seeds: dict[int, int] = {}

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Begin an episode of the next scenario; a `seed` begins with the first, and seeds all of them."""
        super().reset(seed=seed)
        if seed is not None:
            self._turn, self._seeds = -1, dict.fromkeys(range(len(self.envs)), seed)
        self._turn = (self._turn + 1) % len(self.envs)
        observation, info = self.envs[self._turn].reset(seed=self._seeds.pop(self._turn, None), options=options)
        return self._read(observation), info

    def step(self, action: np.ndarray) -> tuple[dict[str, np.ndarray], float, bool, bool, dict[str, Any]]:
        """Step the scenario whose turn it is."""
        observation, reward, terminated, truncated, info = self.envs[self._turn].step(action)
        return self._read(observation), float(reward), terminated, truncated, info

    def _read(self, observation: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {name: observation[name] for name in self._fields}

    def close(self) -> None:
        """Close all of them."""
        for env in self.envs:
            env.close()
