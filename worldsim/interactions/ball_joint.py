"""Ball joint: a point of the target stays at a point of the source; all turning is left free (a spherical joint)."""

from __future__ import annotations

from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from worldsim.contracts import PairFrame
from worldsim.interactions.kinematic import KinematicKind, pivoted


class BallJoint(KinematicKind):
    """Three angles are left free: a trailer's coupling, a lamp on its cord, a hip."""

    kind: ClassVar[str] = "ball_joint"
    turn: ClassVar[str] = "free"
    shift: ClassVar[str] = "pivot"

    def log_evidence(self, frame: PairFrame) -> Float[Tensor, " E"]:
        """Ask whether some point of the target has no velocity: none does where it slips along the axis of turning."""
        return pivoted(frame)
