"""Hinge: the target turns about one axis that is fixed in the source's frame (a revolute joint)."""

from __future__ import annotations

from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from worldsim.contracts import PairFrame
from worldsim.interactions.kinematic import KinematicKind, pivoted


class Hinge(KinematicKind):
    """One angle is left free: doors, flaps, lids, wheels."""

    kind: ClassVar[str] = "hinge"
    turn: ClassVar[str] = "axis"
    shift: ClassVar[str] = "pivot"

    def log_evidence(self, frame: PairFrame) -> Float[Tensor, " E"]:
        """Ask whether the velocity along the axis of the turning is zero, as it is of every point of a hinge.

        One frame says the same of a ball joint; only the filter over frames tells the two apart.
        """
        return pivoted(frame)
