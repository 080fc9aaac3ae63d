"""Welds that are made and broken: a bank of hypotheses of when two bodies were last joined.

A weld holds the distance of two centres by a stiff damped bond, and damps all of their relative motion. Whether there
is one is asked of every frame anew: beside *free* each pair keeps a few hypotheses "joined since a while ago", each a
Kalman filter of the relative motion under the bond, and weighs all by how well they foretold the next place.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from worldsim.errors import ConfigurationError

LEAST_DISTANCE_M = 1e-3


@dataclass(frozen=True, slots=True)
class BondSettings:
    """Settings of a `BondFilter`.

    Attributes:
        stiffness_n_m, damping_n_s_m: of a bond of the class.
        acceleration_m_s2: standard deviation of what other forces do to the relative motion within a frame.
        made_per_s, broken_per_s: hazards.
        bonds: hypotheses of when the bond was made that are kept a pair.
        blow_m_s: by how much a blow may change the relative velocity.
    """

    stiffness_n_m: float = 300.0
    damping_n_s_m: float = 4.0
    acceleration_m_s2: float = 1.5
    made_per_s: float = 0.002
    broken_per_s: float = 0.3
    bonds: int = 5
    blow_m_s: float = 1.0

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            ConfigurationError: a setting cannot work.
        """
        numbers = (self.stiffness_n_m, self.damping_n_s_m, self.acceleration_m_s2, self.made_per_s, self.broken_per_s)
        if min(numbers) <= 0.0 or self.bonds < 1 or self.blow_m_s < 0.0:
            raise ConfigurationError(f"BondSettings: {self} has a number that cannot work; all must be positive.")


class BondFilter:
    """Follows E pairs of bodies, frame by frame; hypothesis 0 of each pair is *free*, the others are bonds.

    The state of a hypothesis is the relative place, the relative velocity and the length that the bond holds. Under a
    bond the line between the two pulls towards that length; the motion of one frame is linear about the line's present
    direction. When a bond is made, place and velocity are those of *free* and the length is the present distance; when
    it breaks, *free* takes over what the bonds believed.

    Source: Blom and Bar-Shalom (1988), "The interacting multiple model algorithm", for the transitions; ours keeps
    several bonds of different age apart, as in Bayesian online change-point detection (Adams and MacKay 2007).
    """

    def __init__(self, inverse_reduced_mass: Float[Tensor, " E"], settings: BondSettings | None = None) -> None:
        """Build a filter that has seen nothing.

        Args:
            inverse_reduced_mass: [E] 1/m_1 + 1/m_2 of each pair, 1/kg.
            settings: see `BondSettings`.
        """
        self.settings = settings or BondSettings()
        self._inverse_mass = inverse_reduced_mass.double()
        self._mean: Tensor | None = None
        self._covariance = inverse_reduced_mass.new_zeros(0)
        self._log_weight = inverse_reduced_mass.new_zeros(0)

    @property
    def probability(self) -> Float[Tensor, " E"]:
        """Return the probability that each pair is joined now."""
        return 1.0 - torch.softmax(self._log_weight, 0)[0]

    def observe(
        self, apart: Float[Tensor, "E D"], noise_std_m: float, dt_s: float, struck: Bool[Tensor, " E"]
    ) -> Float[Tensor, " E"]:
        """Take in one frame and return the probability that each pair is joined.

        Args:
            apart: [E, D] seen place of the second body less that of the first, m.
            noise_std_m: of each coordinate of `apart`.
            dt_s: time since the frame before, s (of no meaning for the first).
            struck: [E] one of the two may have been hit since the frame before.
        """
        apart = apart.double()
        if self._mean is None:
            self._start(apart, noise_std_m)
            return self.probability
        self._switch(dt_s)
        self._predict(dt_s, struck)
        self._correct(apart, noise_std_m, struck)
        return self.probability

    def _start(self, apart: Tensor, noise_std_m: float) -> None:
        count, dimension = apart.shape
        banks = 1 + self.settings.bonds
        mean = apart.new_zeros(banks, count, 2 * dimension + 1)
        mean[..., :dimension] = apart
        mean[..., -1] = apart.norm(dim=-1)
        spread = apart.new_tensor(
            [noise_std_m**2] * dimension + [self.settings.blow_m_s**2] * dimension + [noise_std_m**2]
        )
        self._mean = mean
        self._covariance = torch.diag_embed(spread).expand(banks, count, -1, -1).clone()
        log_weight = apart.new_full((banks, count), -torch.inf)
        joined = self.settings.made_per_s / (self.settings.made_per_s + self.settings.broken_per_s)
        log_weight[0], log_weight[1] = math.log1p(-joined), math.log(joined)
        self._log_weight = log_weight

    def _switch(self, dt_s: float) -> None:
        """Let bonds be made and broken: the lightest bond gives way to one that is made now."""
        assert self._mean is not None
        settings = self.settings
        made, broken = -math.expm1(-settings.made_per_s * dt_s), -math.expm1(-settings.broken_per_s * dt_s)
        weight, mean, covariance = self._log_weight, self._mean, self._covariance
        pair = torch.arange(weight.shape[1], device=weight.device)
        parts = torch.cat([weight[:1] + math.log1p(-made), weight[1:] + math.log(broken)])
        freed = torch.logsumexp(parts, 0)
        share = (parts - freed).exp()[..., None]
        free_mean = (share * mean).sum(0)
        miss = mean - free_mean
        free_covariance = (share[..., None] * (covariance + miss[..., None] * miss[..., None, :])).sum(0)
        fresh_mean, fresh_covariance = self._joined(mean[0], covariance[0])
        place = 1 + weight[1:].argmin(0)
        kept = weight + math.log1p(-broken)
        # the weight of the bond that gives way stays with the bonds: only its age is forgotten
        log_weight = kept.index_put((place, pair), torch.logaddexp(weight[0] + math.log(made), kept[place, pair]))
        log_weight[0] = freed
        mean, covariance = mean.clone(), covariance.clone()
        mean[place, pair], covariance[place, pair] = fresh_mean, fresh_covariance
        mean[0], covariance[0] = free_mean, free_covariance
        self._mean, self._covariance = mean, covariance
        self._log_weight = log_weight - torch.logsumexp(log_weight, 0)

    @staticmethod
    def _joined(mean: Tensor, covariance: Tensor) -> tuple[Tensor, Tensor]:
        """Return the state of pairs that are joined at this moment: their bond holds the present distance."""
        dimension = mean.shape[-1] // 2
        distance = mean[:, :dimension].norm(dim=-1).clamp_min(LEAST_DISTANCE_M)
        step = torch.eye(mean.shape[-1], dtype=mean.dtype, device=mean.device).expand(len(mean), -1, -1).clone()
        step[:, -1] = 0.0
        step[:, -1, :dimension] = mean[:, :dimension] / distance[:, None]
        joined = torch.cat([mean[:, :-1], distance[:, None]], -1)
        return joined, step @ covariance @ step.mT

    def _predict(self, dt_s: float, struck: Bool[Tensor, " E"]) -> None:
        assert self._mean is not None
        mean = self._mean
        dimension = mean.shape[-1] // 2
        step = self._steps(mean, dt_s)
        noise = mean.new_zeros(mean.shape[-1], mean.shape[-1])
        block = mean.new_tensor([[0.25 * dt_s**4, 0.5 * dt_s**3], [0.5 * dt_s**3, dt_s**2]])
        noise[:-1, :-1] = torch.kron(block, torch.eye(dimension, dtype=mean.dtype, device=mean.device))
        covariance = step @ self._covariance @ step.mT + self.settings.acceleration_m_s2**2 * noise
        blow = struck.to(mean.dtype) * self.settings.blow_m_s**2
        blown = torch.zeros_like(covariance)
        blown[..., :dimension, :dimension] = torch.eye(dimension, dtype=mean.dtype) * (blow * dt_s**2)[:, None, None]
        blown[..., dimension:-1, dimension:-1] = torch.eye(dimension, dtype=mean.dtype) * blow[:, None, None]
        self._mean = (step @ mean[..., None])[..., 0]
        self._covariance = 0.5 * (covariance + covariance.mT) + blown

    def _steps(self, mean: Tensor, dt_s: float) -> Float[Tensor, "B E X X"]:
        """Return the transition of every hypothesis over a frame: free flight, or the bond's damped oscillation."""
        dimension = mean.shape[-1] // 2
        eye = torch.eye(mean.shape[-1], dtype=mean.dtype, device=mean.device)
        free = eye.clone()
        free[:dimension, dimension:-1] += dt_s * eye[:dimension, :dimension]
        along = mean[1:, :, :dimension]
        along = along / along.norm(dim=-1, keepdim=True).clamp_min(LEAST_DISTANCE_M)
        radial = along[..., :, None] * along[..., None, :]
        rate = mean.new_zeros(*along.shape[:2], mean.shape[-1], mean.shape[-1])
        stiff = (self.settings.stiffness_n_m * self._inverse_mass)[:, None, None]
        rate[..., :dimension, dimension:-1] = eye[:dimension, :dimension]
        rate[..., dimension:-1, :dimension] = -stiff * radial
        rate[..., dimension:-1, -1] = stiff[..., 0] * along
        damped = (self.settings.damping_n_s_m * self._inverse_mass)[:, None, None] * eye[:dimension, :dimension]
        rate[..., dimension:-1, dimension:-1] = -damped
        bonds = torch.linalg.matrix_exp(dt_s * rate)
        return torch.cat([free.expand(1, *bonds.shape[1:]), bonds])

    def _correct(self, apart: Tensor, noise_std_m: float, struck: Bool[Tensor, " E"]) -> None:
        assert self._mean is not None
        dimension = apart.shape[-1]
        mean, covariance = self._mean, self._covariance
        spread = covariance[..., :dimension, :dimension].clone()
        spread.diagonal(dim1=-2, dim2=-1).add_(noise_std_m**2)
        factor = torch.linalg.cholesky(spread)
        miss = apart - mean[..., :dimension]
        white = torch.linalg.solve_triangular(
            factor, torch.cat([miss[..., None], covariance[..., :dimension, :]], -1), upper=False
        )
        residual, gain = white[..., 0], white[..., 1:]
        log_density = -0.5 * residual.square().sum(-1) - factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        self._mean = mean + (gain.mT @ residual[..., None])[..., 0]
        corrected = covariance - gain.mT @ gain
        self._covariance = 0.5 * (corrected + corrected.mT)
        # a blow may do anything: what follows it says nothing of a bond, only where the two are now
        log_weight = self._log_weight + torch.where(struck, torch.zeros_like(log_density), log_density)
        self._log_weight = log_weight - torch.logsumexp(log_weight, 0)
