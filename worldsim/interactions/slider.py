"""Slider: the target moves along one line that is fixed in the source's frame, without turning (a prismatic joint)."""

from __future__ import annotations

from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from worldsim.contracts import PairFrame
from worldsim.interactions.kinematic import (
    RATE_NOISE_RAD_S,
    RATE_STD_RAD_S,
    KinematicKind,
    held,
    relative_velocity,
    speed_noise,
    told,
)


class Slider(KinematicKind):
    """One offset is left free: drawers, sliding doors, pistons."""

    kind: ClassVar[str] = "slider"
    turn: ClassVar[str] = "fixed"
    shift: ClassVar[str] = "line"

    def log_evidence(self, frame: PairFrame) -> Float[Tensor, " E"]:
        """Ask whether the target moves without turning against the source."""
        velocity, rate = relative_velocity(frame)
        still = held(rate.square().sum(-1), RATE_NOISE_RAD_S, RATE_STD_RAD_S, 3)
        return told(still, velocity.square().sum(-1), speed_noise(frame), frame.source.position)
