"""Opens kinds of force nobody wrote: pairs of unknown law are grouped by a Chinese-restaurant process.

Each pair's law is a point in the coefficients of a radial basis, known to within a Gaussian. A pair joins *none*, a
kind that is open, or opens one, by predictive density times the process's weight; kinds whose union explains as well
are merged (Bayesian model reduction). This happens once a scene, not once a frame.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from worldsim.graph.joint.evidence import stable_cholesky

CONCENTRATION = 0.5
"""Of the Chinese-restaurant process: weight of opening one more kind, in pairs."""

NULL_SHARE = 2e-3
"""Standard deviation of the coefficients of a pair without a law, over their prior scale."""

INSTANCE_DEVIATION = 0.05
"""Coefficient of variation of the strength of pairs of one kind."""

SHAPE_DEVIATION = 1e-2
"""How far the single coefficients of pairs of one kind deviate, over the size of the law."""

SWEEPS = 4
"""Passes over the pairs."""


@dataclass(frozen=True, slots=True)
class OpenedKinds:
    """What one scene taught.

    Attributes:
        assignment: [P] kind of each pair, -1 for none.
        coefficients: [Z, Q] of each kind's law, most pairs first.
        covariance: [Z, Q, Q] of them.
        pairs: [Z] how many pairs each kind has.
    """

    assignment: Int[Tensor, " P"]
    coefficients: Float[Tensor, "Z Q"]
    covariance: Float[Tensor, "Z Q Q"]
    pairs: Int[Tensor, " Z"]


def pair_laws(
    precision: Float[Tensor, "d d"], information: Float[Tensor, " d"], columns: int, scale: float = 1.0
) -> tuple[Float[Tensor, "P Q"], Float[Tensor, "P Q Q"]]:
    """Return mean and covariance of each pair's coefficients under the broad prior, the other pairs integrated out.

    Args:
        precision, information: likelihood of all coefficients of one scene, pair-major.
        columns: Q coefficients a pair.
        scale: standard deviation of a coefficient before anything is known.
    """
    identity = torch.eye(len(information), dtype=information.dtype, device=information.device)
    factor = stable_cholesky(precision + identity / scale**2)
    covariance = torch.cholesky_inverse(factor)
    mean = torch.cholesky_solve(information[:, None], factor)[:, 0].view(-1, columns)
    pairs = torch.arange(len(mean))
    return mean, covariance.view(len(mean), columns, len(mean), columns)[pairs, :, pairs]


def refitted(kinds: OpenedKinds, precision: Float[Tensor, "d d"], information: Float[Tensor, " d"]) -> OpenedKinds:
    """Return the kinds with their laws fitted to the scene as a whole: all pairs of a kind share one law.

    Pair by pair, what one pair's law gives its neighbour's takes, so that each is vague on its own; together they are
    known far better than the mean of their marginals.

    Args:
        kinds: which pair is of which kind.
        precision, information: likelihood of all coefficients of the scene, pair-major.
    """
    count, columns = kinds.coefficients.shape
    if count == 0:
        return kinds
    member = (kinds.assignment[:, None] == torch.arange(count)).to(precision.dtype)  # [P, Z]
    share = torch.kron(member, torch.eye(columns, dtype=precision.dtype))  # [P Q, Z Q]
    factor = stable_cholesky(share.T @ precision @ share)
    laws = torch.cholesky_solve((share.T @ information)[:, None], factor)[:, 0].view(count, columns)
    covariance = torch.cholesky_inverse(factor).view(count, columns, count, columns)
    own = torch.arange(count)
    return replace(kinds, coefficients=laws, covariance=covariance[own, :, own])


def open_kinds(mean: Float[Tensor, "P Q"], covariance: Float[Tensor, "P Q Q"], scale: float = 1.0) -> OpenedKinds:
    """Group the pairs of one scene into kinds.

    Args:
        mean, covariance: of each pair's coefficients, from `pair_laws`.
        scale: standard deviation of a coefficient before anything is known.
    """
    count, columns = mean.shape
    if count == 0:
        return OpenedKinds(torch.zeros(0, dtype=torch.int64), mean, covariance, torch.zeros(0, dtype=torch.int64))
    broad = scale**2 * torch.eye(columns, dtype=mean.dtype, device=mean.device)
    null = NULL_SHARE**2 * broad
    zero = torch.zeros_like(mean[0])
    none = torch.stack([_log_normal(mean[p], zero, covariance[p] + null) for p in range(count)])
    novel = torch.stack([_log_normal(mean[p], zero, covariance[p] + broad) for p in range(count)])
    order = (novel - none).argsort(descending=True).tolist()  # the clearest laws open the kinds
    assignment = torch.full((count,), -1, dtype=torch.int64)
    for _ in range(SWEEPS):
        for pair in order:
            assignment[pair] = -1
            kinds = sorted(set(assignment.tolist()) - {-1})
            absent = float((assignment < 0).sum())
            scores = [float(none[pair]) + math.log(absent), float(novel[pair]) + math.log(CONCENTRATION)]
            for kind in kinds:
                members = (assignment == kind).nonzero()[:, 0]
                law, spread = _pool(mean[members], covariance[members], broad)
                density = _log_normal(mean[pair], law, covariance[pair] + spread + _deviation(law))
                scores.append(float(density) + math.log(len(members)))
            best = max(range(len(scores)), key=scores.__getitem__)
            fresh = max(kinds, default=-1) + 1
            assignment[pair] = [-1, fresh, *kinds][best]
    return _summary(_merged(assignment, mean, covariance, broad), mean, covariance, broad)


def _merged(assignment: Tensor, mean: Tensor, covariance: Tensor, broad: Tensor) -> Tensor:
    """Return the assignment with kinds merged, the most alike first, while one law explains the pairs of two as well.

    A pair at a time cannot do it: each would have to leave its kind for one that explains it no better.
    """
    assignment = assignment.clone()
    while len(kinds := sorted(set(assignment.tolist()) - {-1})) > 1:
        members = {k: (assignment == k).nonzero()[:, 0] for k in kinds}
        laws = {k: _pool(mean[m], covariance[m], broad) for k, m in members.items()}
        gain, kept, gone = max(
            (_log_odds_of_one_law(laws[a], laws[b], broad) + _restaurant(len(members[a]), len(members[b])), a, b)
            for a, b in itertools.combinations(kinds, 2)
        )
        if gain <= 0.0:
            break
        assignment[members[gone]] = kept
    return assignment


def _log_odds_of_one_law(a: tuple[Tensor, Tensor], b: tuple[Tensor, Tensor], broad: Tensor) -> float:
    """Return ln p(pairs | one law) - ln p(pairs | a law each), from the two posteriors, whose prior is N(0, `broad`).

    Bayesian model reduction: it is the integral of the product of both posteriors over the prior (Friston, Parr and
    Zeidman 2018, arXiv 1805.07092; all three are Gaussian here). Each law is known to no better than the pairs of a
    kind deviate from it.
    """
    (law_a, spread_a), (law_b, spread_b) = a, b
    told_a = torch.cholesky_inverse(torch.linalg.cholesky(spread_a + _deviation(law_a)))
    told_b = torch.cholesky_inverse(torch.linalg.cholesky(spread_b + _deviation(law_b)))
    prior = torch.cholesky_inverse(torch.linalg.cholesky(broad))
    both, pull = told_a + told_b - prior, told_a @ law_a + told_b @ law_b
    root = stable_cholesky(both)
    volume = sum(torch.logdet(m) for m in (told_a, told_b)) - torch.logdet(prior) - 2.0 * root.diagonal().log().sum()
    apart = law_a @ told_a @ law_a + law_b @ told_b @ law_b - pull @ torch.cholesky_solve(pull[:, None], root)[:, 0]
    return float(0.5 * (volume - apart))


def _restaurant(first: int, second: int) -> float:
    """Return the log prior odds of one table over two, of so many guests each."""
    return math.lgamma(first + second) - math.lgamma(first) - math.lgamma(second) - math.log(CONCENTRATION)


def _summary(assignment: Tensor, mean: Tensor, covariance: Tensor, broad: Tensor) -> OpenedKinds:
    kinds = sorted(set(assignment.tolist()) - {-1}, key=lambda k: -int((assignment == k).sum()))
    renamed = torch.full_like(assignment, -1)
    laws, spreads, sizes = [], [], []
    for place, kind in enumerate(kinds):
        members = (assignment == kind).nonzero()[:, 0]
        law, spread = _pool(mean[members], covariance[members], broad)
        renamed[members] = place
        laws.append(law)
        spreads.append(spread)
        sizes.append(len(members))
    if not kinds:
        return OpenedKinds(renamed, mean[:0], covariance[:0], renamed[:0])
    return OpenedKinds(renamed, torch.stack(laws), torch.stack(spreads), torch.tensor(sizes))


def _pool(mean: Tensor, covariance: Tensor, broad: Tensor) -> tuple[Tensor, Tensor]:
    """Return the law of a kind from its pairs, in information form."""
    guess = mean[covariance.diagonal(dim1=-2, dim2=-1).sum(-1).argmin()]
    factor = torch.linalg.cholesky(covariance + _deviation(guess))
    told = torch.cholesky_inverse(factor)
    precision = told.sum(0) + torch.cholesky_inverse(torch.linalg.cholesky(broad))
    root = torch.linalg.cholesky(precision)
    law = torch.cholesky_solve((told @ mean[..., None]).sum(0), root)[:, 0]
    return law, torch.cholesky_inverse(root)


def _deviation(law: Tensor) -> Tensor:
    shape = (SHAPE_DEVIATION * law.norm()).square().clamp_min(1e-12)
    return INSTANCE_DEVIATION**2 * torch.outer(law, law) + shape * torch.eye(len(law), dtype=law.dtype)


def _log_normal(value: Tensor, mean: Tensor, covariance: Tensor) -> Tensor:
    factor = torch.linalg.cholesky(covariance)
    white = torch.linalg.solve_triangular(factor, (value - mean)[:, None], upper=False)[:, 0]
    return -0.5 * (white.square().sum() + 2.0 * factor.diagonal().log().sum() + len(value) * math.log(2.0 * math.pi))
