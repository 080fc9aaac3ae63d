"""Medium: the source is inside a body of fluid (water in a basin, a gust), which slows it down or takes it along."""

from __future__ import annotations

import math
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from worldsim.contracts import EdgePrior
from worldsim.errors import ConfigurationError
from worldsim.interactions.steering import SteeringKind


class Medium(SteeringKind):
    """Force on the source = ``damping_n_s_m`` times the target's velocity as seen from it, while it is inside.

    The target stands for the whole of the fluid, which feels nothing of one body in it: the same one-sided law as that
    of steering. Inside is what is nearer to the target's centre than the region's radius. Of an unknown radius, several
    media are compared, each a kind of its own name. What was never inside tells nothing, and stays at its prior.

    Source: Stokes's law of drag at low speeds (Batchelor 1967, "An Introduction to Fluid Dynamics", section 4.9). Ours
    ends at the region's edge at once, and takes the coefficient as unknown.

    Attributes:
        radius_m: of the region.
    """

    kind: ClassVar[str] = "medium"
    reach_m: ClassVar[float] = 3.0
    prior: ClassVar[EdgePrior] = EdgePrior(log_odds=math.log(0.1), appear_per_s=0.02, vanish_per_s=0.02)
    strength_scale: ClassVar[float] = 2.0

    def __init__(self, radius_m: float = 1.0, name: str = "medium") -> None:
        """Fix the radius and the name.

        Raises:
            ConfigurationError: the radius is no positive number.
        """
        if not (math.isfinite(radius_m) and radius_m > 0.0):
            raise ConfigurationError(f"Medium: radius_m is {radius_m}, expected a positive radius in m.")
        self.kind = name  # type: ignore[misc]  # instances of one class stand for different kinds
        self.radius_m = radius_m
        self.reach_m = max(self.reach_m, radius_m)  # type: ignore[misc]  # who is out of reach has no edge

    def __repr__(self) -> str:
        """Return radius and name."""
        return f"Medium({self.radius_m}, name={self.kind!r})"

    def force_columns(
        self, displacement_m: Float[Tensor, "E D"], relative_velocity_m_s: Float[Tensor, "E D"]
    ) -> Float[Tensor, "E D 1"]:
        """Return the relative velocity where the source is inside: newtons per N s/m."""
        inside = displacement_m.norm(dim=-1, keepdim=True) < self.radius_m
        return (relative_velocity_m_s * inside)[..., None]
