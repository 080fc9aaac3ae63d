"""Welds that are made and broken: a bank of hypotheses of whether two bodies are joined, and since when.

A weld holds the distance of two centres by a stiff damped bond, and damps all of their relative motion. Whether there
is one is asked of every frame anew: *free* and *joined* each keep a few hypotheses "so since k frames ago", each a
Kalman filter of the relative motion, and all are weighed by how well they foretold the next place. What else pulls at
the two (springs, a third body) lasts: it is an acceleration that wanders slowly and at times jumps, and is part of the
state. Were it noise that each frame draws anew, it could excuse for many frames what only a bond does.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from worldsim.errors import ConfigurationError

LEAST_DISTANCE_M = 1e-3
UNTOLD_M = 1.0
"""Of a place along the line of a blow: so wide that all hypotheses foretell it alike."""


@dataclass(frozen=True, slots=True)
class BondSettings:
    """Settings of a `BondFilter`.

    Attributes:
        stiffness_n_m, damping_n_s_m: of a bond of the class.
        acceleration_m_s2: standard deviation of what other forces do to the relative motion, after a jump.
        wander_m_s2: of their change within a second, jumps apart.
        rough_m_s2: of what is left over in each frame.
        made_per_s, broken_per_s: hazards of the bond.
        jumps_per_s: hazard of a jump of the other forces.
        ages: frames for which hypotheses that began in different frames are kept apart.
        blow_m_s: by how much a blow may change the relative velocity.
        graze: share of it that may fall across the line that was seen, which turns within the frame.
    """

    stiffness_n_m: float = 300.0
    damping_n_s_m: float = 4.0
    acceleration_m_s2: float = 3.0
    wander_m_s2: float = 0.4
    rough_m_s2: float = 0.1
    made_per_s: float = 0.007
    broken_per_s: float = 1.0
    jumps_per_s: float = 0.03
    ages: int = 8
    blow_m_s: float = 1.0
    graze: float = 0.05

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            ConfigurationError: a setting cannot work.
        """
        numbers = (self.stiffness_n_m, self.damping_n_s_m, self.acceleration_m_s2, self.made_per_s, self.broken_per_s)
        least = min(self.wander_m_s2, self.rough_m_s2, self.jumps_per_s, self.blow_m_s, self.graze)
        if min(numbers) <= 0.0 or least < 0.0 or self.ages < 1:
            raise ConfigurationError(f"BondSettings: {self} has a number that cannot work; all must be positive.")


class BondFilter:
    """Follows E pairs of bodies, frame by frame, each under H hypotheses: free, then joined, youngest first.

    The state of a hypothesis is the relative place, velocity and acceleration by other forces, and the length that the
    bond holds: [3 D + 1]. Under a bond the line between the two pulls towards that length; the motion of one frame is
    linear about the line's present direction. What is made anew in a frame (a bond made or broken, or a jump of the
    other forces) starts a hypothesis of its own; after `ages` frames it is merged with the older ones, which by then
    are as likely as they will ever be.

    Source: Blom and Bar-Shalom (1988), "The interacting multiple model algorithm", for the transitions; ours keeps
    hypotheses of different age apart, as in Bayesian online change-point detection (Adams and MacKay 2007).
    """

    def __init__(self, inverse_reduced_mass: Float[Tensor, " E"], settings: BondSettings | None = None) -> None:
        """Build a filter that has seen nothing.

        Args:
            inverse_reduced_mass: [E] 1/m_1 + 1/m_2 of each pair, 1/kg.
            settings: see `BondSettings`.
        """
        self.settings = settings or BondSettings()
        self._inverse_mass = inverse_reduced_mass.double()
        self._bank: _Bank | None = None

    @property
    def probability(self) -> Float[Tensor, " E"]:
        """Return the probability that each pair is joined now."""
        if self._bank is None:
            return torch.full_like(self._inverse_mass, self._at_rest())
        return torch.softmax(self._bank.log_weight.flatten(0, 1), 0).view_as(self._bank.log_weight)[1].sum(0)

    def _at_rest(self) -> float:
        """Return the share of time that a pair is joined."""
        return self.settings.made_per_s / (self.settings.made_per_s + self.settings.broken_per_s)

    def observe(
        self, apart: Float[Tensor, "E D"], noise_std_m: float, dt_s: float, blows: Float[Tensor, "E D D"]
    ) -> Float[Tensor, " E"]:
        """Take in one frame and return the probability that each pair is joined.

        Args:
            apart: [E, D] seen place of the second body less that of the first, m.
            noise_std_m: of each coordinate of `apart`.
            dt_s: time since the frame before, s (of no meaning for the first).
            blows: [E, D, D] sum of u u' over the unit vectors u along which one of the two may have been hit since the
                frame before; zero for nothing, the identity for a blow from anywhere.
        """
        apart = apart.double()
        if self._bank is None:
            self._bank = self._start(apart, noise_std_m)
            return self.probability
        bank = self._switched(self._bank, dt_s)
        bank = self._predicted(bank, dt_s, blows.double())
        self._bank = _corrected(bank, apart, noise_std_m, blows.double())
        return self.probability

    def _start(self, apart: Tensor, noise_std_m: float) -> _Bank:
        count, dimension = apart.shape
        shape = (2, 1 + self.settings.ages, count)
        mean = apart.new_zeros(*shape, 3 * dimension + 1)
        mean[..., :dimension] = apart
        mean[..., -1] = apart.norm(dim=-1)
        deviations = [noise_std_m, self.settings.blow_m_s, self.settings.acceleration_m_s2]
        spread = apart.new_tensor([each**2 for each in deviations for _ in range(dimension)] + [noise_std_m**2])
        log_weight = apart.new_full(shape, -torch.inf)
        joined = self._at_rest()
        log_weight[0, -1], log_weight[1, -1] = math.log1p(-joined), math.log(joined)
        return _Bank(mean, torch.diag_embed(spread).expand(*shape, -1, -1).clone(), log_weight)

    def _switched(self, bank: _Bank, dt_s: float) -> _Bank:
        """Let bonds be made and broken and other forces jump; all hypotheses grow older by a frame."""
        settings = self.settings
        made, broken, jump = (
            -math.expm1(-rate * dt_s) for rate in (settings.made_per_s, settings.broken_per_s, settings.jumps_per_s)
        )
        free, joined = (bank.of(mode).merged() for mode in (0, 1))
        dimension = (bank.mean.shape[-1] - 1) // 3
        fresh = [
            _Bank.stacked([joined.weighed(broken), free.weighed(jump).jumped(settings.acceleration_m_s2)]).merged(),
            _Bank.stacked(
                [free.weighed(made).bound(dimension), joined.weighed(jump).jumped(settings.acceleration_m_s2)]
            ).merged(),
        ]
        modes = []
        for mode, leaving in enumerate((made, broken)):
            kept = bank.of(mode).weighed((1.0 - leaving) * (1.0 - jump))
            oldest = kept.rows(slice(-2, None)).merged()
            modes.append(_Bank.stacked([fresh[mode], *(kept.rows(slice(0, -2)).each()), oldest]))
        return _Bank.stacked(modes)

    def _predicted(self, bank: _Bank, dt_s: float, blows: Float[Tensor, "E D D"]) -> _Bank:
        settings, mean = self.settings, bank.mean
        dimension = (mean.shape[-1] - 1) // 3
        step = self._steps(mean, dt_s)
        eye = torch.eye(dimension, dtype=mean.dtype, device=mean.device)
        noise = torch.zeros_like(bank.covariance)
        rough = mean.new_tensor([[0.25 * dt_s**4, 0.5 * dt_s**3], [0.5 * dt_s**3, dt_s**2]])
        noise[..., : 2 * dimension, : 2 * dimension] = settings.rough_m_s2**2 * torch.kron(rough, eye)
        noise[..., 2 * dimension : -1, 2 * dimension : -1] = settings.wander_m_s2**2 * dt_s * eye
        across = blows.diagonal(dim1=-2, dim2=-1).sum(-1)[:, None, None] * eye
        blow = settings.blow_m_s**2 * (blows + settings.graze**2 * across)
        noise[..., :dimension, :dimension] += blow * dt_s**2
        noise[..., dimension : 2 * dimension, dimension : 2 * dimension] += blow
        covariance = step @ bank.covariance @ step.mT + noise
        return _Bank((step @ mean[..., None])[..., 0], 0.5 * (covariance + covariance.mT), bank.log_weight)

    def _steps(self, mean: Tensor, dt_s: float) -> Float[Tensor, "two A E X X"]:
        """Return the transition of every hypothesis over a frame: free flight, or the bond's damped oscillation.

        A bond acts in one way along the line between the two and in another across it, whatever the line's direction:
        the two motions are worked out once a pair, and turned into each hypothesis's line.
        """
        dimension = (mean.shape[-1] - 1) // 3
        eye = torch.eye(dimension, dtype=mean.dtype, device=mean.device)
        line = mean[1, ..., :dimension]
        line = line / line.norm(dim=-1, keepdim=True).clamp_min(LEAST_DISTANCE_M)
        along = line[..., :, None] * line[..., None, :]
        held, damped = self._motions(dt_s)
        free = mean.new_tensor([[1.0, dt_s, 0.5 * dt_s**2], [0.0, 1.0, dt_s], [0.0, 0.0, 1.0]])
        step = torch.zeros_like(mean)[..., None].repeat_interleave(mean.shape[-1], -1)
        step[..., -1, -1] = 1.0
        step[0, ..., :-1, :-1] = torch.kron(free, eye)
        joined = torch.einsum("eij,aekl->aeikjl", held[:, :3, :3], along)
        joined = joined + torch.einsum("eij,aekl->aeikjl", damped, eye - along)
        step[1, ..., :-1, :-1] = joined.reshape(*line.shape[:-1], 3 * dimension, 3 * dimension)
        step[1, ..., :-1, -1] = (held[:, :3, 3, None] * line[..., None, :]).flatten(-2)
        return step

    def _motions(self, dt_s: float) -> tuple[Float[Tensor, "E 4 4"], Float[Tensor, "E 3 3"]]:
        """Return the transitions of (place, velocity, acceleration, length) along a bond, of the first three across."""
        inverse = self._inverse_mass
        rate = inverse.new_zeros(len(inverse), 4, 4)
        rate[:, 0, 1] = rate[:, 1, 2] = 1.0
        rate[:, 1, 1] = -self.settings.damping_n_s_m * inverse
        across = torch.linalg.matrix_exp(dt_s * rate[:, :3, :3])
        rate[:, 1, 3] = self.settings.stiffness_n_m * inverse
        rate[:, 1, 0] = -rate[:, 1, 3]
        return torch.linalg.matrix_exp(dt_s * rate), across


@dataclass(frozen=True, slots=True)
class _Bank:
    """Hypotheses of E pairs, each a weighed Gaussian; the leading axes are the mode (free, joined) and the age.

    Attributes:
        mean: [*, E, X]; covariance: [*, E, X, X]; log_weight: [*, E].
    """

    mean: Float[Tensor, "*H E X"]
    covariance: Float[Tensor, "*H E X X"]
    log_weight: Float[Tensor, "*H E"]

    @classmethod
    def stacked(cls, parts: list[_Bank]) -> _Bank:
        """Return single hypotheses side by side."""
        return cls(*(torch.stack([getattr(p, name) for p in parts]) for name in _FIELDS))

    def of(self, mode: int) -> _Bank:
        """Return the hypotheses of one mode."""
        return _Bank(self.mean[mode], self.covariance[mode], self.log_weight[mode])

    def rows(self, which: slice) -> _Bank:
        """Return some of the hypotheses of a mode."""
        return _Bank(self.mean[which], self.covariance[which], self.log_weight[which])

    def each(self) -> list[_Bank]:
        """Return the hypotheses of a mode one by one."""
        return [self.of(age) for age in range(len(self.mean))]

    def weighed(self, factor: float) -> _Bank:
        """Return the same with weights times `factor`."""
        return _Bank(self.mean, self.covariance, self.log_weight + math.log(max(factor, 1e-300)))

    def merged(self) -> _Bank:
        """Return one Gaussian with the moments of all along the first axis."""
        total = torch.logsumexp(self.log_weight, 0)
        share = torch.softmax(self.log_weight.clamp_min(-1e300), 0)[..., None]
        mean = (share * self.mean).sum(0)
        miss = self.mean - mean
        covariance = (share[..., None] * (self.covariance + miss[..., :, None] * miss[..., None, :])).sum(0)
        return _Bank(mean, covariance, total)

    def jumped(self, deviation: float) -> _Bank:
        """Return a hypothesis whose other forces have just changed by about `deviation`, m/s^2."""
        dimension = (self.mean.shape[-1] - 1) // 3
        extra = self.mean.new_zeros(self.mean.shape[-1])
        extra[2 * dimension : -1] = deviation**2
        return _Bank(self.mean, self.covariance + torch.diag(extra), self.log_weight)

    def bound(self, dimension: int) -> _Bank:
        """Return pairs that are joined at this moment: their bond holds the present distance."""
        distance = self.mean[:, :dimension].norm(dim=-1).clamp_min(LEAST_DISTANCE_M)
        step = torch.eye(self.mean.shape[-1], dtype=self.mean.dtype, device=self.mean.device)
        step = step.expand_as(self.covariance).clone()
        step[:, -1] = 0.0
        step[:, -1, :dimension] = self.mean[:, :dimension] / distance[:, None]
        mean = torch.cat([self.mean[:, :-1], distance[:, None]], -1)
        return _Bank(mean, step @ self.covariance @ step.mT, self.log_weight)


_FIELDS = ("mean", "covariance", "log_weight")


def _corrected(bank: _Bank, apart: Tensor, noise_std_m: float, blows: Float[Tensor, "E D D"]) -> _Bank:
    dimension = apart.shape[-1]
    mean, covariance = bank.mean, bank.covariance
    spread = covariance[..., :dimension, :dimension].clone()
    spread.diagonal(dim1=-2, dim2=-1).add_(noise_std_m**2)
    factor = torch.linalg.cholesky(spread)
    miss = apart - mean[..., :dimension]
    white = torch.linalg.solve_triangular(
        factor, torch.cat([miss[..., None], covariance[..., :dimension, :]], -1), upper=False
    )
    residual, gain = white[..., 0], white[..., 1:]
    # a blow may do anything along its line: what follows it there says nothing of a bond, only where the two are now
    factor = torch.linalg.cholesky(spread + UNTOLD_M**2 * blows)
    told = torch.linalg.solve_triangular(factor, miss[..., None], upper=False)[..., 0]
    log_density = -0.5 * told.square().sum(-1) - factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)
    corrected = covariance - gain.mT @ gain
    log_weight = bank.log_weight + log_density
    log_weight = log_weight - torch.logsumexp(log_weight.flatten(0, 1), 0)
    return _Bank(mean + (gain.mT @ residual[..., None])[..., 0], 0.5 * (corrected + corrected.mT), log_weight)
