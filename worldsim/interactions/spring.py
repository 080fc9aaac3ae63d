"""Spring: a pull along the line between two centres that grows with the distance (Hooke's law, rest length 0)."""

from __future__ import annotations

import math
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from worldsim.contracts import EdgePrior
from worldsim.interactions.force import ForceKind


class Spring(ForceKind):
    """Force on the source = ``stiffness_n_m`` times the displacement to the target; positive pulls together.

    A rest length adds a constant along the line; a spring with one is the sum of this kind and the constant
    column of `Radial`.
    """

    kind: ClassVar[str] = "spring"
    reach_m: ClassVar[float] = 10.0
    prior: ClassVar[EdgePrior] = EdgePrior(log_odds=math.log(0.25), appear_per_s=0.05, vanish_per_s=0.05)
    strength_scale: ClassVar[float] = 1.0

    def force_columns(
        self, displacement_m: Float[Tensor, "E D"], relative_velocity_m_s: Float[Tensor, "E D"]
    ) -> Float[Tensor, "E D 1"]:
        """Return the displacement: newtons per N/m."""
        del relative_velocity_m_s
        return displacement_m[..., None]
