"""What configures the joint graph filter, and what it asks of a kind of force."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from worldsim.errors import ConfigurationError

NOISE_BANK_M = (0.0, 1e-6, 4e-6, 1.6e-5, 6.4e-5, 2.5e-4, 1e-3, 4e-3, 1.6e-2)
"""Standard deviations of the position noise that are tried, m; in between, the scale is learned by the residuals."""


ROUNDING_SHARE = 0.43
"""Standard deviation of a rounding error over half a unit in the last place at the value (its mean over a binade)."""

LEAST_VARIANCE = 1e-20
"""Of an observation, m^2 or m^2/s^2: keeps the first frame of bodies at the origin and at rest solvable."""


class ForceLaw(Protocol):
    """A kind of smooth pair force with one coefficient (every `Interaction` that has these attributes)."""

    @property
    def kind(self) -> str:
        """Return the kind's name."""

    @property
    def strength_scale(self) -> float:
        """Return the standard deviation of the coefficient before anything is known."""

    @property
    def signed(self) -> bool:
        """Return whether the coefficient may be negative."""

    @property
    def factored(self) -> bool:
        """Return whether the coefficient is a product of two node attributes (charges)."""

    def force_columns(
        self, displacement_m: Float[Tensor, "E D"], relative_velocity_m_s: Float[Tensor, "E D"]
    ) -> Float[Tensor, "E D Q"]:
        """Return the force on the source per unit of the coefficient (`worldsim.interactions.force.ForceKind`)."""


@dataclass(frozen=True, slots=True)
class JointSettings:
    """Settings of a `JointGraphFilter`; the defaults are the ones that every published figure was made with.

    Attributes:
        substep_s: step of a semi-implicit engine behind the data, 0 for continuous time.
        arena_half_m: half edge of an elastic box centred on the origin, None for open space.
        noise_bank_m: standard deviations of the position noise that are tried, m.
        velocity_noise_per_s: standard deviation of the velocity noise over that of the position noise, 1/s.
        velocity_from_places: velocities are differences of two places: one that spans a blow is no velocity.
        resolution: relative rounding of the data (float32 stores to 2^-24).
        run_lengths: hypotheses of the time of the last change that are kept a node; 1 takes the graph as fixed.
        change_hazard: probability of a change at a node, a frame.
        outlier_nis: normalised innovation squared per degree of freedom beyond which a frame is taken as worse
            measured than assumed.
        outlier_share: probability that a frame is that bad (a violent encounter between two frames): what one frame
            can say against a hypothesis that held so far ends there.
        beam: combinations of edge states kept a node.
        joint_slots: scenes of up to so many coefficients are enumerated as a whole, larger ones node by node.
        rounds: of learning the classes' strengths and enumerating again.
    """

    substep_s: float = 0.0
    arena_half_m: float | None = None
    noise_bank_m: tuple[float, ...] = NOISE_BANK_M
    velocity_noise_per_s: float = 1.0
    velocity_from_places: bool = False
    resolution: float = 2.0**-24
    run_lengths: int = 3
    change_hazard: float = 1.0 / 200.0
    outlier_nis: float = 6.0
    outlier_share: float = 0.02
    beam: int = 512
    joint_slots: int = 64
    rounds: int = 4

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            ConfigurationError: a setting cannot work.
        """
        if self.run_lengths < 1 or self.rounds < 1 or self.beam < 2:
            raise ConfigurationError(
                f"JointSettings: run_lengths {self.run_lengths} and rounds {self.rounds} must be at least 1, "
                f"beam {self.beam} at least 2."
            )
        if not self.noise_bank_m or min(self.noise_bank_m) < 0.0:
            raise ConfigurationError(
                f"JointSettings: noise_bank_m is {self.noise_bank_m}, expected one or more standard deviations >= 0, m."
            )
        if not 0.0 < self.change_hazard < 1.0:
            raise ConfigurationError(f"JointSettings: change_hazard is {self.change_hazard}, expected within (0, 1).")

    @property
    def log_hazard(self) -> float:
        """Return the log of the hazard."""
        return math.log(self.change_hazard)

    def observation_noise(
        self,
        position: Float[Tensor, "N D"],
        velocity: Float[Tensor, "N D"],
        struck: Bool[Tensor, " N"] | None = None,
    ) -> Float[Tensor, "H N P P"]:
        """Return the covariance of the observed position and velocity under each noise scale.

        Rounding counts by the length of the vectors, so that turning the world changes nothing.

        Args:
            position, velocity: as observed.
            struck: bodies that may have been hit since the frame before.
        """
        dimension = position.shape[-1]
        bank = position.new_tensor(self.noise_bank_m)[:, None]
        rounding = self.resolution * ROUNDING_SHARE / math.sqrt(dimension)
        place = (bank**2 + (rounding * position.norm(dim=-1)) ** 2).clamp_min(LEAST_VARIANCE)
        speed = (bank * self.velocity_noise_per_s) ** 2 + (rounding * velocity.norm(dim=-1)) ** 2
        speed = speed.clamp_min(LEAST_VARIANCE)
        if struck is not None and self.velocity_from_places:
            speed = speed + struck * velocity.square().sum(-1)
        variances = torch.cat(
            [place[..., None].expand(-1, -1, dimension), speed[..., None].expand(-1, -1, dimension)], -1
        )
        return torch.diag_embed(variances)
