"""Drag between two bodies: a force against their relative velocity (a damper, or a shared medium)."""

from __future__ import annotations

import math
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from worldsim.contracts import EdgePrior
from worldsim.interactions.force import ForceKind


class Drag(ForceKind):
    """Force on the source = ``damping_n_s_m`` times the velocity of the target as seen from the source."""

    kind: ClassVar[str] = "drag"
    reach_m: ClassVar[float] = 3.0
    prior: ClassVar[EdgePrior] = EdgePrior(log_odds=math.log(0.1), appear_per_s=0.05, vanish_per_s=0.05)
    strength_scale: ClassVar[float] = 1.0

    def force_columns(
        self, displacement_m: Float[Tensor, "E D"], relative_velocity_m_s: Float[Tensor, "E D"]
    ) -> Float[Tensor, "E D 1"]:
        """Return the relative velocity: newtons per N s/m."""
        del displacement_m
        return relative_velocity_m_s[..., None]
