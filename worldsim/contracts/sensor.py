"""The contract of a sensor: a true world goes in, an observation comes out."""

from __future__ import annotations

import abc

import numpy as np

from worldsim.types.observation import Observation
from worldsim.types.truth import WorldTruth


class Sensor(abc.ABC):
    """Turns the true world into what a real detector would give: noise, misses, clutter, occlusion, no ids."""

    @abc.abstractmethod
    def observe(self, truth: WorldTruth, rng: np.random.Generator) -> Observation:
        """Return one frame of observation of `truth`."""
