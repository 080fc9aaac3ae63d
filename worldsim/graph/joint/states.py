"""Hypotheses about a node's incoming edges: a tree over slots, kept to the best branches.

A slot is one (neighbour, kind) pair with one coefficient; it is absent (a narrow Gaussian around 0, the practical
null) or present (a Gaussian around the class's strength, or around minus it). The likelihood of all coefficients
of a node is one Gaussian, so swapping the broad base prior of a slot for the prior of one of its states is a
rank-one update with a closed-form change of the log evidence (Friston, Parr & Zeidman 2018, Bayesian model
reduction). Expanding slot after slot enumerates all combinations; beyond `beam` of them the lightest are dropped,
as in a K-best sphere decoder.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from worldsim.graph.joint.alike import Branches, CommonMean, StrengthMixture, alike_strengths
from worldsim.graph.joint.evidence import stable_cholesky

UNMEASURED = 1e-7
"""A slot whose variance fell by less than this share was not measured: its states are as likely as they were."""

BLOCK = 4_000_000
"""Numbers of the branches' covariances that are held at a time; more would not stay in the cache."""

TIE_NATS = 1e-6
TIE_SHARE = 1e-12
"""Branches that differ by less than this, and this share of the largest log weight, only rounding tells apart."""


@dataclass(frozen=True, slots=True)
class Sites:
    """Priors of the states of each slot, messages of the other ends included.

    Attributes:
        log_weight: [N, d, S] unnormalised log weight; -inf forbids a state.
        mean, variance: [N, d, S] Gaussian of the coefficient in that state.
    """

    log_weight: Float[Tensor, "N d S"]
    mean: Float[Tensor, "N d S"]
    variance: Float[Tensor, "N d S"]

    @property
    def parts(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return the fields, in their order."""
        return (self.log_weight, self.mean, self.variance)


@dataclass(frozen=True, slots=True)
class SlotMarginals:
    """Posterior of each slot, marginal over the other slots of its node.

    Attributes:
        log_weight: [N, d, S] normalised log probability of each state, -inf where no kept branch holds it.
        mean, variance: [N, d, S] of the coefficient given the state.
        log_evidence: [N] log of the likelihood's mean over the prior, up to the likelihood's own constant.
        mixture: of the strengths, their common mean integrated out; None where that was not asked for.
    """

    log_weight: Float[Tensor, "N d S"]
    mean: Float[Tensor, "N d S"]
    variance: Float[Tensor, "N d S"]
    log_evidence: Float[Tensor, " N"]
    mixture: StrengthMixture | None = None

    @property
    def parts(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return the fields but the mixture, in their order."""
        return (self.log_weight, self.mean, self.variance, self.log_evidence)


def enumerate_states(
    precision: Float[Tensor, "N d d"],
    information: Float[Tensor, "N d"],
    sites: Sites,
    beam: int,
    common: CommonMean | None = None,
) -> SlotMarginals:
    """Return the posterior of every slot under the Gaussian likelihood (`precision`, `information`).

    The best-measured slots come first, and a slot that was decided leaves the Gaussian of its branch, so a branch
    costs d^3 / 3; the moments of the kept branches are worked out at the end.

    Args:
        precision, information: of the likelihood, without any prior.
        sites: prior of each state.
        beam: number of combinations kept.
        common: what is known of the mean strengths; given that, `mixture` is worked out (`alike_strengths`).
    """
    count, slots = information.shape
    block = max(BLOCK // (beam * slots * slots), 1)  # nodes are told apart by nothing but their own evidence
    parts = [
        _enumerated(
            precision[rows],
            information[rows],
            Sites(*(part[rows] for part in sites.parts)),
            beam,
            None if common is None else common.rows(rows),
        )
        for rows in (slice(start, start + block) for start in range(0, count, block))
    ]
    if len(parts) == 1:
        return parts[0]
    log_weight, mean, variance, log_evidence = (
        torch.cat(each) for each in zip(*(part.parts for part in parts), strict=True)
    )
    mixtures = [part.mixture for part in parts if part.mixture is not None]
    mixture = StrengthMixture.joined(mixtures) if mixtures else None
    return SlotMarginals(log_weight, mean, variance, log_evidence, mixture)


def _enumerated(
    precision: Float[Tensor, "N d d"],
    information: Float[Tensor, "N d"],
    sites: Sites,
    beam: int,
    common: CommonMean | None,
) -> SlotMarginals:
    slots = sites.mean.shape[1]
    base = 4.0 * (sites.variance + sites.mean.square()).amax(-1)  # wider than any state, so the swap is proper
    factor = stable_cholesky(precision + torch.diag_embed(1.0 / base))
    # of the base prior alone: without it, priors of different width could not be compared by their evidence
    whole = 0.5 * (information * torch.cholesky_solve(information[..., None], factor)[..., 0]).sum(-1)
    whole = whole - factor.diagonal(dim1=-2, dim2=-1).log().sum(-1) - 0.5 * base.log().sum(-1)
    covariance = torch.cholesky_inverse(factor)
    known = covariance.diagonal(dim1=-2, dim2=-1) / base
    order = known.argsort(-1)
    across = order[:, None].expand(-1, slots, -1)
    covariance = covariance.gather(1, across.mT).gather(2, across)
    mean = (covariance @ information.gather(1, order)[..., None])[..., 0]
    ranked = _permuted(sites, order)
    swap = _swaps(ranked, base.gather(1, order))
    measured = known < 1.0 - UNMEASURED
    log_weight, assigned = _tree(mean, covariance, swap, (ranked.log_weight, measured.gather(1, order)), beam)
    back = order.argsort(-1)
    assigned = assigned.gather(2, back[:, None].expand_as(assigned))
    branches, variance = _moments(precision, information, sites, (log_weight, assigned))
    found = _marginals(branches.mean, variance, log_weight, assigned, sites)
    prior = sites.log_weight - torch.logsumexp(sites.log_weight, -1, keepdim=True)
    seen = measured[..., None]
    return SlotMarginals(
        torch.where(seen, found.log_weight, prior),
        torch.where(seen, found.mean, sites.mean),
        torch.where(seen, found.variance, sites.variance),
        found.log_evidence + whole,
        None if common is None else alike_strengths(precision, branches, common, sites.mean.shape[-1]),
    )


def _permuted(sites: Sites, order: Tensor) -> Sites:
    place = order[..., None].expand_as(sites.mean)
    return Sites(sites.log_weight.gather(1, place), sites.mean.gather(1, place), sites.variance.gather(1, place))


def _tree(
    mean: Tensor, covariance: Tensor, swap: tuple[Tensor, ...], prior: tuple[Tensor, Tensor], beam: int
) -> tuple[Tensor, Tensor]:
    """Return log weights [N, H] and states [N, H, d] of the kept branches, slots in the order given.

    A slot that was not measured does not branch: its states would be as many copies of all branches, and would crowd
    out others. `prior` holds the log weights of the states [N, d, S] and whether a slot was measured [N, d].
    """
    count, slots = mean.shape
    mean, covariance = mean[:, None], covariance[:, None]
    log_weight = mean.new_zeros(count, 1)
    assigned = torch.zeros(count, 1, 0, dtype=torch.int8, device=mean.device)
    whole = torch.logsumexp(prior[0], -1)
    for slot in range(slots):  # depth of the tree: the slots of one node or small scene, whatever the number of these
        variance, target, constant = (part[:, None, slot] for part in swap)  # [N, 1, S]
        measured = prior[1][:, slot, None, None]
        spread = covariance[:, :, 0, 0, None] + variance
        miss = target - mean[:, :, 0, None]
        change = constant - 0.5 * (miss.square() / spread + (2.0 * math.pi * spread).log())
        alone = torch.full_like(change, -torch.inf)
        alone[..., 0] = whole[:, slot, None]
        grown = log_weight[..., None] + torch.where(measured, change, alone)
        choices = grown.shape[-1]
        log_weight, kept = _best(grown.flatten(1), beam)
        parent, state = kept // choices, kept % choices
        chosen = assigned.gather(1, parent[..., None].expand(-1, -1, slot))
        assigned = torch.cat([chosen, state.to(torch.int8)[..., None]], -1)
        column = covariance[:, :, 1:, 0]
        rest = column.shape[-1]
        column = column.gather(1, parent[..., None].expand(-1, -1, rest))
        gain = column / spread.flatten(1).gather(1, kept)[..., None]
        miss = miss.flatten(1).gather(1, kept)[..., None]
        mean = mean[..., 1:].gather(1, parent[..., None].expand(-1, -1, rest)) + gain * miss
        covariance = covariance[:, :, 1:, 1:].gather(1, parent[..., None, None].expand(-1, -1, rest, rest))
        covariance = covariance - gain[..., None] * column[..., None, :]
    return log_weight, assigned


def _best(log_weight: Float[Tensor, "N M"], beam: int) -> tuple[Tensor, Tensor]:
    """Return the `beam` largest log weights and their places; what equals the best that is dropped is dropped with it.

    Were one of several equals kept, the order of the bodies would say which.
    """
    count = log_weight.shape[1]
    if count <= beam:
        return log_weight, torch.arange(count, device=log_weight.device).expand_as(log_weight)
    best, place = log_weight.topk(beam + 1, dim=1)
    kept, first_dropped = best[:, :beam], best[:, beam:]
    tie = TIE_NATS + TIE_SHARE * best[:, :1].abs()
    equal = (kept - first_dropped <= tie) & (best[:, :1] - first_dropped > tie)
    return torch.where(equal, kept.new_tensor(-torch.inf), kept), place[:, :beam]


def _moments(
    precision: Tensor, information: Tensor, sites: Sites, kept: tuple[Tensor, Tensor]
) -> tuple[Branches, Tensor]:
    """Return the kept branches (log weights, states) with their Gaussians, and the variances [N, H, d] of these."""
    log_weight, state = kept[0], kept[1].long()
    variance = sites.variance[:, None].expand(-1, state.shape[1], -1, -1).gather(-1, state[..., None])[..., 0]
    centre = sites.mean[:, None].expand(-1, state.shape[1], -1, -1).gather(-1, state[..., None])[..., 0]
    factor = stable_cholesky(precision[:, None] + torch.diag_embed(1.0 / variance))
    told = information[:, None] + centre / variance
    mean = torch.cholesky_solve(told[..., None], factor)[..., 0]
    root = torch.linalg.solve_triangular(
        factor, torch.eye(told.shape[-1], dtype=told.dtype, device=told.device), upper=False
    )
    log_root = factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)
    return Branches(log_weight, state, mean, log_root, centre, variance), root.square().sum(-2)


def _swaps(sites: Sites, base: Float[Tensor, "N d"]) -> tuple[Tensor, Tensor, Tensor]:
    """Return variance and mean of the pseudo-observation that turns the base prior into a state's, and its constant."""
    wide = base[..., None]
    variance = 1.0 / (1.0 / sites.variance - 1.0 / wide)
    mean = variance * sites.mean / sites.variance
    constant = (
        sites.log_weight
        - 0.5 * (sites.variance / wide / variance).log()
        - 0.5 * (sites.mean.square() / sites.variance - mean.square() / variance)
        + 0.5 * math.log(2.0 * math.pi)
    )
    return variance, mean, constant


def _marginals(mean: Tensor, variance: Tensor, log_weight: Tensor, assigned: Tensor, sites: Sites) -> SlotMarginals:
    total = torch.logsumexp(log_weight, dim=1)
    relative = (log_weight - total[:, None])[..., None]
    masses, means, variances = [], [], []
    for state in range(sites.mean.shape[-1]):
        branch = torch.where(assigned == state, relative, relative.new_tensor(-torch.inf))
        mass = torch.logsumexp(branch, dim=1)
        held = mass > -torch.inf  # a state that no kept branch holds was not measured: its prior stands
        weight = (branch - torch.where(held, mass, torch.zeros_like(mass))[:, None]).exp()
        centre = (weight * mean).sum(1)
        spread = (weight * (variance + (mean - centre[:, None]).square())).sum(1)
        masses.append(mass)
        means.append(torch.where(held, centre, sites.mean[..., state]))
        variances.append(torch.where(held, spread, sites.variance[..., state]))
    return SlotMarginals(torch.stack(masses, -1), torch.stack(means, -1), torch.stack(variances, -1), total)
