"""What a kind of joint leaves free, and the settings of the filter that compares kinds."""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass
from typing import Protocol

from worldsim.contracts import EdgePrior


class Turn(enum.StrEnum):
    """How a joint lets the target turn in the source's frame."""

    FIXED = "fixed"
    AXIS = "axis"
    FREE = "free"


class Shift(enum.StrEnum):
    """How a joint lets the target's centre move in the source's frame."""

    FIXED = "fixed"
    LINE = "line"
    PIVOT = "pivot"


class JointKind(Protocol):
    """What the filter asks of a kind of joint (`worldsim.interactions.kinematic.KinematicKind`)."""

    @property
    def kind(self) -> str:
        """Its name."""

    @property
    def prior(self) -> EdgePrior:
        """Prior odds against the pair's being free."""

    @property
    def turn(self) -> str:
        """One of `Turn`."""

    @property
    def shift(self) -> str:
        """One of `Shift`."""


@dataclass(frozen=True, slots=True)
class KinematicSettings:
    """Settings of `KinematicFilter`.

    Attributes:
        turn_scales_rad_s2, shift_scales_m_s2: standard deviations of acceleration that are tried, equally likely.
        turn_rate_rad_s, shift_rate_m_s: standard deviations of rates when a pair is first seen.
        reach_m: standard deviation of a joint's distance from the target's centre, each direction.
        reference_frames: averaged into the orientation that turns are measured from, before anything counts.
        moving_nis: normalised square of a rate (chi-square of 3 at rest) from which something moves.
        free_turns: prior of a free target's turning not at all, about one axis, anyhow, in the world.
        free_shifts: the same of its place: at rest, along one line, anyhow.
        stirs_per_s: hazard that a joint at rest begins to move while its pair is carried about.
    """

    turn_scales_rad_s2: tuple[float, ...] = (0.05, 2.0, 40.0)
    shift_scales_m_s2: tuple[float, ...] = (0.02, 0.7, 15.0)
    turn_rate_rad_s: float = 2.0
    shift_rate_m_s: float = 1.0
    reach_m: float = 1.0
    reference_frames: int = 8
    moving_nis: float = 30.0
    free_turns: tuple[float, float, float] = (0.3, 0.3, 0.4)
    free_shifts: tuple[float, float, float] = (0.15, 0.01, 0.84)
    stirs_per_s: float = 1.0

    def log_free(self) -> tuple[list[float], list[float]]:
        """Return the logarithms of the free target's priors."""
        return [math.log(p) for p in self.free_turns], [math.log(p) for p in self.free_shifts]
