"""Avoid: the source, an agent, keeps away from the target."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from worldsim.contracts import EdgePrior
from worldsim.interactions.force import direction_and_distance
from worldsim.interactions.steering import SteeringKind

RANGE_M = 0.6
"""Distance over which the push falls to 1/e of itself."""


class Avoid(SteeringKind):
    """Acceleration of the source = ``push_m_s2`` away from the target, falling off exponentially.

    Source: Helbing and Molnar (1995), "Social force model for pedestrian dynamics", eq. 3. Ours is round where theirs
    is an ellipse along the other's stride, and its size is inferred for each pair.
    """

    kind: ClassVar[str] = "avoid"
    reach_m: ClassVar[float] = 3.0
    prior: ClassVar[EdgePrior] = EdgePrior(log_odds=math.log(0.2), appear_per_s=0.05, vanish_per_s=0.05)
    strength_scale: ClassVar[float] = 4.0

    def force_columns(
        self, displacement_m: Float[Tensor, "E D"], relative_velocity_m_s: Float[Tensor, "E D"]
    ) -> Float[Tensor, "E D 1"]:
        """Return the direction away from the target, by how near it is."""
        del relative_velocity_m_s
        direction, distance = direction_and_distance(displacement_m, 0.0)
        return (-direction * torch.exp(-distance / RANGE_M))[..., None]
