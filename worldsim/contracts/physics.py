"""The contract of a true world: PyBullet, another engine, or a recording."""

from __future__ import annotations

import abc
from typing import Any

import numpy as np
from jaxtyping import Float

from worldsim.contracts.scenario import Scenario
from worldsim.types.observation import Observation
from worldsim.types.truth import WorldTruth


class Physics(abc.ABC):
    """The true world. Only `observe` may reach an agent or a world model; `truth` is for scoring."""

    @abc.abstractmethod
    def reset(self, scenario: Scenario, seed: int) -> None:
        """Build `scenario` and draw everything random in it from `seed`."""

    @abc.abstractmethod
    def step(self, action: Float[np.ndarray, " U"] | None) -> None:
        """Advance one frame under `action` (each in [-1, 1]; None where nothing can be commanded)."""

    @abc.abstractmethod
    def observe(self) -> Observation:
        """Return what the sensors give now."""

    @abc.abstractmethod
    def truth(self) -> WorldTruth:
        """Return what is so now. Scoring only."""

    @abc.abstractmethod
    def snapshot(self) -> Any:
        """Return a token of the present state for `restore`."""

    @abc.abstractmethod
    def restore(self, snapshot: Any) -> None:
        """Go back to the state of `snapshot`, bit for bit."""

    def close(self) -> None:  # noqa: B027 - a world without resources has nothing to do
        """Free what the world holds."""
