"""Ball joint: a point of the target stays at a point of the source; all turning is left free (a spherical joint)."""

from __future__ import annotations

from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from worldsim.contracts import PairFrame
from worldsim.interactions.kinematic import (
    RATE_NOISE_RAD_S,
    SPEED_STD_M_S,
    KinematicKind,
    held,
    relative_velocity,
    speed_noise,
    told,
)


class BallJoint(KinematicKind):
    """Three angles are left free: a trailer's coupling, a lamp on its cord, a hip."""

    kind: ClassVar[str] = "ball_joint"
    turn: ClassVar[str] = "free"
    shift: ClassVar[str] = "pivot"

    def log_evidence(self, frame: PairFrame) -> Float[Tensor, " E"]:
        """Ask whether some point of the target has no velocity: none does where it slips along the axis of turning."""
        velocity, rate = relative_velocity(frame)
        turning = rate.square().sum(-1)
        slip = (velocity * rate).sum(-1).square() / turning.clamp_min(1e-12)
        return told(held(slip, speed_noise(frame), SPEED_STD_M_S, 1), turning, RATE_NOISE_RAD_S, frame.source.position)
