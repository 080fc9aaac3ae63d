"""The contract of a scenario: what is in the world, what is wanted in it, and when it is over."""

from __future__ import annotations

import abc
from typing import TYPE_CHECKING

import numpy as np

from worldsim.types.planning import Preferences

if TYPE_CHECKING:
    from worldsim.contracts.physics import Physics
    from worldsim.types.record import StepRecord


class Scenario(abc.ABC):
    """One situation. Frozen and hashable; its `repr` is printed in every run's record."""

    @abc.abstractmethod
    def build(self, physics: Physics, rng: np.random.Generator) -> None:
        """Put everything into `physics`, drawing what varies from `rng`."""

    @abc.abstractmethod
    def preferences(self) -> Preferences:
        """Return what the scenario's agent is asked to want."""

    @abc.abstractmethod
    def is_over(self, record: StepRecord) -> bool:
        """Return whether the episode ends here."""
