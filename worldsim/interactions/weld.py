"""Weld: the target keeps its place and orientation in the source's frame."""

from __future__ import annotations

from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from worldsim.contracts import PairFrame
from worldsim.interactions.kinematic import (
    RATE_NOISE_RAD_S,
    RATE_STD_RAD_S,
    SPEED_STD_M_S,
    KinematicKind,
    held,
    relative_velocity,
    speed_noise,
    told,
)


class Weld(KinematicKind):
    """Nothing is left free."""

    kind: ClassVar[str] = "weld"
    turn: ClassVar[str] = "fixed"
    shift: ClassVar[str] = "fixed"

    def log_evidence(self, frame: PairFrame) -> Float[Tensor, " E"]:
        """Compare "no relative velocity" with that of free bodies, where either body moves."""
        velocity, rate = relative_velocity(frame)
        noise = speed_noise(frame)
        gain = held(velocity.square().sum(-1), noise, SPEED_STD_M_S, 3)
        gain = gain + held(rate.square().sum(-1), RATE_NOISE_RAD_S, RATE_STD_RAD_S, 3)
        bodies = (frame.source, frame.target)
        speed = sum(body.linear_velocity.double().square().sum(-1) for body in bodies) / noise.square()
        turning = sum(body.angular_velocity.double().square().sum(-1) for body in bodies) / RATE_NOISE_RAD_S**2
        return told(gain, speed + turning, 1.0, frame.source.position)
