"""Radial basis: a central force of unknown law, the kind from which new kinds are opened."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from worldsim.contracts import EdgePrior
from worldsim.contracts.radial_basis import POWERS
from worldsim.errors import ConfigurationError
from worldsim.interactions.force import ForceKind, direction_and_distance

CORE_M = 5e-2
"""Below this distance the inverse powers grow no more."""


class Radial(ForceKind):
    """Force on the source = sum of ``coefficient_q`` r^power_q, towards the target; four columns, law unknown."""

    kind: ClassVar[str] = "radial"
    reach_m: ClassVar[float] = 20.0
    prior: ClassVar[EdgePrior] = EdgePrior(log_odds=math.log(0.1), appear_per_s=0.05, vanish_per_s=0.05)
    strength_scale: ClassVar[float] = 1.0
    signed: ClassVar[bool] = True

    def force_columns(
        self, displacement_m: Float[Tensor, "E D"], relative_velocity_m_s: Float[Tensor, "E D"]
    ) -> Float[Tensor, "E D 4"]:
        """Return the basis along the line to the target."""
        del relative_velocity_m_s
        direction, distance = direction_and_distance(displacement_m, CORE_M)
        return torch.stack([direction * distance**power for power in POWERS], dim=-1)


class RadialPower(Radial):
    """One column of the basis as a kind of its own: what a scene of unknown laws is read with.

    Attributes:
        power: exponent of the distance.
    """

    def __init__(self, power: int) -> None:
        """Fix the exponent."""
        self.power = power
        self.kind = f"radial_{power}"  # type: ignore[misc]  # instances of one class stand for different kinds

    def __repr__(self) -> str:
        """Return the exponent."""
        return f"RadialPower({self.power})"

    def force_columns(
        self, displacement_m: Float[Tensor, "E D"], relative_velocity_m_s: Float[Tensor, "E D"]
    ) -> Float[Tensor, "E D 1"]:
        """Return the column along the line to the target."""
        del relative_velocity_m_s
        direction, distance = direction_and_distance(displacement_m, CORE_M)
        return (direction * distance**self.power)[..., None]


class LearnedRadial(Radial):
    """A central law that was learned: fixed coefficients of the basis, one unknown strength around 1.

    Attributes:
        coefficients: of the basis `POWERS`, SI units, towards the target.
    """

    kind: ClassVar[str] = "learned_radial"
    signed: ClassVar[bool] = False

    def __init__(self, coefficients: tuple[float, ...], name: str = "learned_radial") -> None:
        """Fix the law and its name.

        Raises:
            ConfigurationError: the number of coefficients is not the basis's.
        """
        if len(coefficients) != len(POWERS):
            raise ConfigurationError(
                f"LearnedRadial: got {len(coefficients)} coefficients, expected {len(POWERS)}, one a power of {POWERS}."
            )
        self.kind = name  # type: ignore[misc]  # instances of one class stand for different kinds
        self.coefficients = tuple(float(c) for c in coefficients)

    def __repr__(self) -> str:
        """Return the law."""
        return f"LearnedRadial({self.coefficients}, name={self.kind!r})"

    def force_columns(
        self, displacement_m: Float[Tensor, "E D"], relative_velocity_m_s: Float[Tensor, "E D"]
    ) -> Float[Tensor, "E D 1"]:
        """Return the learned force along the line to the target."""
        basis = super().force_columns(displacement_m, relative_velocity_m_s)
        return basis @ basis.new_tensor(self.coefficients)[:, None]
