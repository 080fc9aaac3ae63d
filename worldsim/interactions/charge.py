"""Charge (or a magnet seen from afar): a force along the line that falls with the square of the distance."""

from __future__ import annotations

import math
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from worldsim.contracts import EdgePrior
from worldsim.interactions.force import ForceKind, direction_and_distance

CORE_M = 1e-2
"""Below this distance the force grows no more, so that coinciding points give a finite feature."""


class Charge(ForceKind):
    """Force on the source = ``product_n_m2`` / distance^2, away from the target; negative attracts."""

    kind: ClassVar[str] = "charge"
    reach_m: ClassVar[float] = 20.0
    prior: ClassVar[EdgePrior] = EdgePrior(log_odds=math.log(0.25), appear_per_s=0.05, vanish_per_s=0.05)
    strength_scale: ClassVar[float] = 1.0
    signed: ClassVar[bool] = True
    factored: ClassVar[bool] = True

    def force_columns(
        self, displacement_m: Float[Tensor, "E D"], relative_velocity_m_s: Float[Tensor, "E D"]
    ) -> Float[Tensor, "E D 1"]:
        """Return the push away from the target: newtons per N m^2."""
        del relative_velocity_m_s
        direction, distance = direction_and_distance(displacement_m, CORE_M)
        return (-direction / distance.square())[..., None]
