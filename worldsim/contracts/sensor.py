"""The contract of a sensor: a true world goes in, an observation comes out."""

from __future__ import annotations

import abc
from typing import ClassVar

import numpy as np

from worldsim.types.observation import Observation
from worldsim.types.truth import WorldTruth


class Sensor(abc.ABC):
    """Turns the true world into what a real detector would give: noise, misses, clutter, occlusion, no ids."""

    needs_whole_truth: ClassVar[bool] = True
    """Whether `observe` needs lines of sight and the velocities of other bodies than the commanded one. Where it does
    not, it is given ``visible`` all False and those velocities as NaN, and what nobody asks for is not computed: nor is
    `observe` called in every frame, so it must draw nothing from `rng`."""

    needs_velocities: ClassVar[bool] = True
    """Whether a sensor that needs the whole truth needs those velocities too; where not, they are NaN."""

    @abc.abstractmethod
    def observe(self, truth: WorldTruth, rng: np.random.Generator) -> Observation:
        """Return one frame of observation of `truth`."""
