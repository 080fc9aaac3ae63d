"""Tether: a rope of known length, which pulls while it is taut and does nothing while it is slack."""

from __future__ import annotations

import math
from typing import ClassVar

from jaxtyping import Bool, Float
from torch import Tensor

from worldsim.contracts import EdgePrior
from worldsim.errors import ConfigurationError
from worldsim.interactions.force import ForceKind, direction_and_distance
from worldsim.types import ObjectStates

_BEYOND_M = 4.0
"""By how much a rope may be stretched for the pair to be looked at."""


class Tether(ForceKind):
    """Force on the source = ``stiffness_n_m`` times the distance beyond the rope's length, towards the target.

    The force is linear in the stiffness, not in the length: of an unknown length, several tethers are compared, each a
    kind of its own name. A rope that was never taut tells nothing, and stays at its prior.

    Attributes:
        length_m: of the slack rope.
    """

    kind: ClassVar[str] = "tether"
    reach_m: ClassVar[float] = 5.0
    prior: ClassVar[EdgePrior] = EdgePrior(log_odds=math.log(0.1), appear_per_s=0.02, vanish_per_s=0.02)
    strength_scale: ClassVar[float] = 40.0

    def __init__(self, length_m: float = 1.0, name: str = "tether") -> None:
        """Fix the length and the name.

        Raises:
            ConfigurationError: the length is no positive number.
        """
        if not (math.isfinite(length_m) and length_m > 0.0):
            raise ConfigurationError(f"Tether: length_m is {length_m}, expected a positive length in m.")
        self.kind = name  # type: ignore[misc]  # instances of one class stand for different kinds
        self.length_m = length_m
        self.reach_m = max(self.reach_m, length_m + _BEYOND_M)  # type: ignore[misc]  # who is out of reach has no edge

    def __repr__(self) -> str:
        """Return length and name."""
        return f"Tether({self.length_m}, name={self.kind!r})"

    def force_columns(
        self, displacement_m: Float[Tensor, "E D"], relative_velocity_m_s: Float[Tensor, "E D"]
    ) -> Float[Tensor, "E D 1"]:
        """Return the stretch along the line to the target: newtons per N/m."""
        del relative_velocity_m_s
        direction, distance = direction_and_distance(displacement_m, 0.0)
        return (direction * (distance - self.length_m).clamp_min(0.0))[..., None]

    def taut(self, source: ObjectStates, target: ObjectStates) -> Bool[Tensor, " E"]:
        """Return whether a rope between them would be stretched."""
        return (target.position - source.position).norm(dim=-1) > self.length_m
