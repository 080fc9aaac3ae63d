"""Follow: the source, an agent, makes for the target."""

from __future__ import annotations

import math
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from worldsim.contracts import EdgePrior
from worldsim.interactions.force import direction_and_distance
from worldsim.interactions.steering import SteeringKind

NEAR_M = 0.5
"""Nearer than this a follower no longer hurries: the pull falls off in proportion."""


class Follow(SteeringKind):
    """Acceleration of the source = ``pull_m_s2`` towards the target, the same from near and far."""

    kind: ClassVar[str] = "follow"
    reach_m: ClassVar[float] = 8.0
    prior: ClassVar[EdgePrior] = EdgePrior(log_odds=math.log(0.05), appear_per_s=0.02, vanish_per_s=0.05)
    strength_scale: ClassVar[float] = 1.0

    def force_columns(
        self, displacement_m: Float[Tensor, "E D"], relative_velocity_m_s: Float[Tensor, "E D"]
    ) -> Float[Tensor, "E D 1"]:
        """Return the direction to the target, shorter where it is near."""
        del relative_velocity_m_s
        direction, distance = direction_and_distance(displacement_m, 0.0)
        return (direction * (distance / NEAR_M).clamp_max(1.0))[..., None]
