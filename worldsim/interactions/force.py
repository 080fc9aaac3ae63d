"""What the kinds of smooth pair force share: a wrench on the source, linear in a few unknown coefficients."""

from __future__ import annotations

import abc
import math
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from worldsim.contracts import Interaction, PairFrame
from worldsim.types import ObjectStates

EVIDENCE_LIMIT_NATS = 6.0
"""What one frame may tell of one pair on its own: neighbours that are left out make more of it untrustworthy."""


class ForceKind(Interaction):
    """A smooth pair force: the acceleration of the source is ``features @ coefficients / mass``.

    The posterior that is joint over all neighbours of a body (`worldsim.graph.joint`) reads `features` alone.
    `log_evidence` is the pair-by-pair fall-back of the live loop: cheap, and blind to the other neighbours.

    Class attributes:
        strength_scale: standard deviation of a coefficient before anything is known, SI units of the kind.
        signed: the coefficient may be negative (attraction and repulsion are one kind).
        factored: the coefficient is a product of two attributes of the bodies (charges).
        acceleration_noise_m_s2: what the other forces on a body may add, for the fall-back.
    """

    strength_scale: ClassVar[float]
    signed: ClassVar[bool] = False
    factored: ClassVar[bool] = False
    directed: ClassVar[bool] = False
    acceleration_noise_m_s2: ClassVar[float] = 1.0

    @abc.abstractmethod
    def force_columns(
        self, displacement_m: Float[Tensor, "E D"], relative_velocity_m_s: Float[Tensor, "E D"]
    ) -> Float[Tensor, "E D Q"]:
        """Return the force on the source per unit of each coefficient.

        Args:
            displacement_m: [E, D] from the source to the target.
            relative_velocity_m_s: [E, D] of the target as seen from the source.
        """

    def features(self, source: ObjectStates, target: ObjectStates) -> Float[Tensor, "E 6 Q"]:
        """Return the regressors of the wrench on the source (no torque: the force acts at the centres)."""
        force = self.force_columns(target.position - source.position, target.linear_velocity - source.linear_velocity)
        return torch.cat([force, torch.zeros_like(force)], dim=-2)

    def log_evidence(self, frame: PairFrame) -> Float[Tensor, " E"]:
        """Return the Bayes factor of the relative acceleration over the frame, with the coefficients integrated out.

        Relative acceleration of two unit masses under equal and opposite forces is ``-2 Phi w``; with
        w ~ N(0, strength_scale^2) both hypotheses are Gaussian (Bishop 2006, eq. 2.115).
        """
        change = (frame.target.linear_velocity - frame.source.linear_velocity) - (
            frame.target_before.linear_velocity - frame.source_before.linear_velocity
        )
        acceleration = (change / frame.dt_s).double()
        columns = 0.5 * (
            self.features(frame.source, frame.target) + self.features(frame.source_before, frame.target_before)
        )
        columns = -2.0 * columns[:, :3].double()
        noise = torch.eye(3, dtype=torch.float64, device=columns.device) * self.acceleration_noise_m_s2**2
        present = noise + self.strength_scale**2 * columns @ columns.mT
        gain = _log_normal(acceleration, present) - _log_normal(acceleration, noise.expand_as(present))
        return gain.clamp(-EVIDENCE_LIMIT_NATS, EVIDENCE_LIMIT_NATS).to(frame.source.position.dtype)


def direction_and_distance(
    displacement_m: Float[Tensor, "E D"], core_m: float
) -> tuple[Float[Tensor, "E D"], Float[Tensor, "E 1"]]:
    """Return unit vectors (zero where the bodies coincide) and distances, at least `core_m`."""
    distance = displacement_m.norm(dim=-1, keepdim=True)
    return displacement_m / distance.clamp_min(1e-12), distance.clamp_min(core_m)


def _log_normal(value: Float[Tensor, "E 3"], covariance: Float[Tensor, "E 3 3"]) -> Float[Tensor, " E"]:
    factor = torch.linalg.cholesky(covariance)
    white = torch.linalg.solve_triangular(factor, value[..., None], upper=False)[..., 0]
    log_determinant = 2.0 * factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)
    return -0.5 * (white.square().sum(-1) + log_determinant + value.shape[-1] * math.log(2.0 * math.pi))
