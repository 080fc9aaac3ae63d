"""Strengths of edges of one class, their common mean integrated out, under several guesses of how far they differ.

Given which edges are there, the strengths of a kind are w_e ~ N(sign_e mu, (c m)^2) with one mu ~ N(m_0, V_0) of the
scene. What one edge tells of mu moves all others, so they are uncertain together: intervals from a prior with mu put
in once, by its estimate, are too wide where the edges are alike and count each edge's own evidence twice. How far they
differ (c) is not known from a few edges either; a bank of values is weighed by the evidence of each scene.

Source: random effects with an unknown spread, as Gelman et al. (2013), "Bayesian Data Analysis", section 5.4; ours
takes a grid for the spread and swaps the prior of each branch in closed form (Bayesian model reduction, Friston, Parr
and Zeidman 2018).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from worldsim.graph.joint.evidence import stable_cholesky

SPREADS = (0.0, 0.01, 0.05, 0.2)
"""Coefficients of variation of instances about their class that are tried; at 0 they are one and the same."""

SPREAD_PRIOR = (0.6, 0.4 / 3.0, 0.4 / 3.0, 0.4 / 3.0)
"""Their probabilities before any edge is seen: rather alike (one law, or one make) than not."""

SIGNS = (0.0, 1.0, -1.0)
"""Of the strength in each state."""


@dataclass(frozen=True, slots=True)
class CommonMean:
    """What N scenes know of the mean strength of each of Q kinds.

    Attributes:
        guess: [N, Q] where the mean is about: what coefficients of variation are of.
        prior_mean, prior_variance: [N, Q] before the scene was seen.
    """

    guess: Float[Tensor, "N Q"]
    prior_mean: Float[Tensor, "N Q"]
    prior_variance: Float[Tensor, "N Q"]

    def rows(self, which: slice) -> CommonMean:
        """Return what some of the scenes know."""
        return CommonMean(self.guess[which], self.prior_mean[which], self.prior_variance[which])


@dataclass(frozen=True, slots=True)
class Branches:
    """Combinations of states that are kept, H a scene, each with the Gaussian of its coefficients.

    Attributes:
        log_weight: [N, H] of each.
        assigned: [N, H, d] the states.
        mean: [N, H, d] of the coefficients under independent priors.
        log_root: [N, H] half the log determinant of their precision.
        prior_mean, prior_variance: [N, H, d] of those priors.
    """

    log_weight: Float[Tensor, "N H"]
    assigned: Int[Tensor, "N H d"]
    mean: Float[Tensor, "N H d"]
    log_root: Float[Tensor, "N H"]
    prior_mean: Float[Tensor, "N H d"]
    prior_variance: Float[Tensor, "N H d"]


@dataclass(frozen=True, slots=True)
class StrengthMixture:
    """What each state's strength may be: one Gaussian a spread, C of them.

    Attributes:
        share: [N, d, S, C] probability of each spread given the state.
        mean, variance: [N, d, S, C] of the strength.
    """

    share: Float[Tensor, "N d S C"]
    mean: Float[Tensor, "N d S C"]
    variance: Float[Tensor, "N d S C"]

    @classmethod
    def joined(cls, parts: Sequence[StrengthMixture]) -> StrengthMixture:
        """Return the mixtures of several sets of scenes, one after the other."""
        return cls(*(torch.cat([getattr(part, name) for part in parts]) for name in ("share", "mean", "variance")))

    def at(self, place: tuple[Tensor, Tensor]) -> StrengthMixture:
        """Return the mixtures of the slots at (scene, column)."""
        return StrengthMixture(self.share[place], self.mean[place], self.variance[place])

    def moments(self) -> tuple[Float[Tensor, "N d S"], Float[Tensor, "N d S"]]:
        """Return mean and variance of each state's strength."""
        mean = (self.share * self.mean).sum(-1)
        return mean, (self.share * (self.variance + (self.mean - mean[..., None]).square())).sum(-1)


def alike_strengths(
    precision: Float[Tensor, "N d d"], branches: Branches, common: CommonMean, states: int
) -> StrengthMixture:
    """Return what the strengths may be, the common mean integrated out.

    Args:
        precision: of the likelihood, without any prior; coefficients edge by edge, kinds within.
        branches: with independent priors, state 0 for *absent*, 1 for present, 2 for present with a negative sign.
        common: what is known of the means.
        states: S.
    """
    parts = [
        _by_state(_under(spread, precision, branches, common), branches.assigned, SIGNS[:states], math.log(prior))
        for spread, prior in zip(SPREADS, SPREAD_PRIOR, strict=True)
    ]
    weight, mean, variance = (torch.stack(each, -1) for each in zip(*parts, strict=True))
    return StrengthMixture(torch.softmax(weight, -1), mean, variance)


def _by_state(
    under: _Under, assigned: Tensor, signs: Sequence[float], log_prior: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Return log weight, mean and variance [N, d, S] of each slot in each state under one spread.

    A state that no branch holds gets the strength of an edge of which nothing is known, and the weight of the spread.
    """
    slots, kinds = assigned.shape[-1], under.next_mean.shape[-1]
    whole = torch.logsumexp(under.log_weight, 1)
    share = torch.softmax(under.log_weight, 1)[..., None]
    free_mean = (share * under.next_mean).sum(1)
    free_variance = (share * (under.next_variance + (under.next_mean - free_mean[:, None]).square())).sum(1)
    free_mean, free_variance = (part.repeat(1, slots // kinds) for part in (free_mean, free_variance))
    weights, means, variances = [], [], []
    for state, sign in enumerate(signs):
        branch = torch.where(assigned == state, under.log_weight[..., None], share.new_tensor(-torch.inf))
        mass = torch.logsumexp(branch, 1)
        held = mass > -torch.inf
        weight = (branch - torch.where(held, mass, torch.zeros_like(mass))[:, None]).exp()
        mean = (weight * under.mean).sum(1)
        variance = (weight * (under.variance + (under.mean - mean[:, None]).square())).sum(1)
        weights.append(torch.where(held, mass, whole[:, None]) + log_prior)
        means.append(torch.where(held, mean, sign * free_mean))
        variances.append(torch.where(held, variance, free_variance))
    return torch.stack(weights, -1), torch.stack(means, -1), torch.stack(variances, -1)


@dataclass(frozen=True, slots=True)
class _Under:
    """The branches under one spread.

    Attributes:
        log_weight: [N, H] of each.
        mean, variance: [N, H, d] of its coefficients.
        next_mean, next_variance: [N, H, Q] of the strength of an edge of which nothing is known.
    """

    log_weight: Float[Tensor, "N H"]
    mean: Float[Tensor, "N H d"]
    variance: Float[Tensor, "N H d"]
    next_mean: Float[Tensor, "N H Q"]
    next_variance: Float[Tensor, "N H Q"]


def _under(spread: float, precision: Tensor, branches: Branches, common: CommonMean) -> _Under:
    """Return the branches under one spread."""
    slots, kinds = branches.mean.shape[-1], common.guess.shape[-1]
    sign = precision.new_tensor(SIGNS)[branches.assigned]
    kind = torch.eye(kinds, dtype=sign.dtype, device=sign.device).repeat(slots // kinds, 1)
    loading = sign[..., None] * kind  # of each coefficient on the means
    guess = (loading * common.guess[:, None, None]).sum(-1)
    # everything as a difference from the branch's own Gaussian: clean data would drown the change in rounding
    told = _Told(
        precision,
        loading,
        guess - branches.mean,
        branches.prior_mean - branches.mean,
        branches.prior_variance,
        common.prior_mean - common.guess,
        common.prior_variance,
    )
    own = (spread * guess).square()
    form, pull, change = told.deviating(own) if spread else told.same()
    factor = stable_cholesky(form)
    moved = torch.cholesky_solve(pull[..., None], factor)[..., 0]
    identity = torch.eye(slots + kinds, dtype=sign.dtype, device=sign.device)
    variance = torch.linalg.solve_triangular(factor, identity, upper=False).square().sum(-2)
    change = change + 0.5 * (pull * moved).sum(-1) - factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)
    centre, doubt = common.guess[:, None] + moved[..., slots:], variance[..., slots:]
    mean, spread_out = branches.mean + moved[..., :slots], variance[..., :slots]
    if not spread:
        there = sign != 0.0
        mean = torch.where(there, (loading * centre[:, :, None]).sum(-1), mean)
        spread_out = torch.where(there, (loading.square() * doubt[:, :, None]).sum(-1), spread_out)
    beyond = doubt + (spread * common.guess[:, None]).square()
    return _Under(branches.log_weight + branches.log_root + change, mean, spread_out, centre, beyond)


@dataclass(frozen=True, slots=True)
class _Told:
    """What the likelihood and the priors say about coefficients and means, from where each branch has them.

    Attributes:
        precision: [N, d, d] of the likelihood.
        loading: [N, H, d, Q] sign of each coefficient at its kind, 0 where it is absent.
        gap: [N, H, d] from the branch's coefficients to the guessed means; to 0 where absent.
        gap_before: [N, H, d] to the means of the independent priors.
        before: [N, H, d] variances of these.
        prior_gap: [N, Q] from the guessed means to their prior's.
        prior_variance: [N, Q] of the means.
    """

    precision: Float[Tensor, "N d d"]
    loading: Float[Tensor, "N H d Q"]
    gap: Float[Tensor, "N H d"]
    gap_before: Float[Tensor, "N H d"]
    before: Float[Tensor, "N H d"]
    prior_gap: Float[Tensor, "N Q"]
    prior_variance: Float[Tensor, "N Q"]

    def _of_means(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return precision, information and constant of the prior of the means."""
        pull = self.prior_gap / self.prior_variance
        constant = -0.5 * (self.prior_gap * pull + self.prior_variance.log()).sum(-1)
        return torch.diag_embed(1.0 / self.prior_variance)[:, None], pull[:, None], constant[:, None]

    def deviating(self, own: Float[Tensor, "N H d"]) -> tuple[Tensor, Tensor, Tensor]:
        """Return precision, information and constant of [coefficients, means] if instances have variances `own`."""
        own = torch.where(own > 0.0, own, self.before)  # absent: as they were
        curve, lean, constant = self._of_means()
        pull = self.gap / own
        information = torch.cat(
            [pull - self.gap_before / self.before, lean - (self.loading * pull[..., None]).sum(-2)], -1
        )
        across = -self.loading / own[..., None]
        means = torch.diag_embed((self.loading.square() / own[..., None]).sum(-2)) + curve
        coefficients = self.precision[:, None] + torch.diag_embed(1.0 / own)
        change = self.gap_before.square() / self.before - self.gap * pull + (self.before / own).log()
        return _bordered(coefficients, across, means), information, constant + 0.5 * change.sum(-1)

    def same(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return the like if all instances have the strength of their class; rows of such coefficients stand idle."""
        there = (self.loading != 0.0).any(-1)
        absent = (~there).to(self.gap.dtype)
        curve, lean, constant = self._of_means()
        precision = self.precision[:, None]
        gap, pull = self.gap * there, self.gap_before / self.before * there
        force = -(precision @ gap[..., None])[..., 0] - pull
        information = torch.cat([absent * force, lean + (self.loading * force[..., None]).sum(-2)], -1)
        loaded = precision @ self.loading
        coefficients = absent[..., None] * precision * absent[..., None, :]
        coefficients = coefficients + torch.diag_embed(torch.where(there, torch.ones_like(gap), 1.0 / self.before))
        form = _bordered(coefficients, absent[..., None] * loaded, self.loading.mT @ loaded + curve)
        change = self.gap_before * pull + there * self.before.log() + gap * (force - pull)
        return form, information, constant + 0.5 * change.sum(-1)


def _bordered(corner: Tensor, across: Tensor, rest: Tensor) -> Tensor:
    """Return the symmetric matrix of these blocks."""
    return torch.cat([torch.cat([corner, across], -1), torch.cat([across.mT, rest], -1)], -2)
