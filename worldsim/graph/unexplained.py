"""Opens kinds of force for those pairs alone that no kind of the library explains.

Pairs are read with a radial basis, law unknown. A pair whose law is nothing, or one that the library knows at some
strength, is explained; the others go to the Chinese-restaurant process (`worldsim.graph.joint.opening`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeGuard

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from worldsim.contracts.learned_interaction import LearnedInteraction
from worldsim.contracts.radial_basis import POWERS, TERMS
from worldsim.graph.joint import ForceLaw
from worldsim.graph.joint.evidence import stable_cholesky
from worldsim.graph.joint.opening import NULL_SHARE, OpenedKinds, open_kinds

NONE, NOVEL = -1, -2
"""What explains a pair: no force at all, or nothing that the library knows."""

SHAPE_SHARE = 0.02
"""How far the law of a pair may be off that of its kind, over its size."""

NOVEL_SHARE = 0.1
"""Prior share of pairs with a law that the library does not know; as many have each law that it knows."""


@dataclass(frozen=True, slots=True)
class Explained:
    """What explains each of P pairs.

    Attributes:
        law: [P] index of the law in the library, `NONE`, or `NOVEL`.
        opened: kinds of the novel pairs, by the row of a pair among all P.
        novelty_nats: [P] log odds of a new kind over the best that the library has (or nothing).
    """

    law: Int[Tensor, " P"]
    opened: OpenedKinds
    novelty_nats: Float[Tensor, " P"]


def law_in_basis(law: ForceLaw, distance_m: Float[Tensor, " n"]) -> Float[Tensor, " Q"]:
    """Return the coefficients of the radial basis that come nearest to a law's force over distances that were seen."""
    apart = torch.stack([distance_m, torch.zeros_like(distance_m)], -1)
    force = law.force_columns(apart, torch.zeros_like(apart))[:, 0, 0]
    basis = torch.stack([distance_m**power for power in POWERS], -1)
    return torch.linalg.lstsq(basis, force[:, None]).solution[:, 0]


def explain(
    mean: Float[Tensor, "P Q"],
    covariance: Float[Tensor, "P Q Q"],
    laws: Sequence[ForceLaw],
    distance_m: Float[Tensor, " n"],
) -> Explained:
    """Say of each pair what explains it, and open kinds for those that nothing does.

    Args:
        mean, covariance: of each pair's coefficients of the basis, from `pair_laws`.
        laws: the library.
        distance_m: distances at which pairs were seen.
    """
    eye = torch.eye(mean.shape[1], dtype=mean.dtype)
    shapes = [law_in_basis(law, distance_m) for law in laws]
    zero = torch.zeros_like(mean[0])
    priors = [(zero, NULL_SHARE**2 * eye)]
    priors += [_prior(known, shape, eye) for known, shape in zip(laws, shapes, strict=True)]
    priors.append((zero, eye))
    share = min(NOVEL_SHARE, 0.9 / (1 + len(laws)))  # of a long library a smaller one: something is left for "none"
    prior = [1.0 - share * (1 + len(laws)), *([share] * (1 + len(laws)))]
    scores = torch.stack(
        [
            _log_normal(mean - centre, covariance + spread) + math.log(p)
            for (centre, spread), p in zip(priors, prior, strict=True)
        ],
        -1,
    )
    for number, (known, shape) in enumerate(zip(laws, shapes, strict=True), start=1):
        if not known.signed and not _is_read(known):  # half of the Gaussian is ruled out
            strength = _strength(mean, covariance, shape, known.strength_scale)
            scores[:, number] += math.log(2.0) + torch.special.log_ndtr(strength)
    names = torch.tensor([NONE, *range(len(laws)), NOVEL])
    law = names[scores.argmax(-1)]
    novelty = scores[:, -1] - scores[:, :-1].amax(-1)
    return Explained(law, _opened(mean, covariance, law == NOVEL), novelty)


def opened_laws(
    found: Explained,
    laws: Sequence[ForceLaw],
    distance_m: Float[Tensor, " n"],
    precision: Float[Tensor, "d d"],
    information: Float[Tensor, " d"],
) -> Float[Tensor, "Z Q"]:
    """Return the law of each opened kind, fitted to the scene as a whole. See `fitted_laws`."""
    return fitted_laws(found, laws, distance_m, precision, information)[0]


def fitted_laws(
    found: Explained,
    laws: Sequence[ForceLaw],
    distance_m: Float[Tensor, " n"],
    precision: Float[Tensor, "d d"],
    information: Float[Tensor, " d"],
) -> tuple[Float[Tensor, "Z Q"], Float[Tensor, "Z Q Q"]]:
    """Return the law of each opened kind and its covariance, fitted to the scene as a whole.

    All pairs of an opened kind share its law, and each pair that a law of the library explains has a strength of its
    own: what it feels must not be taken for the new law.

    Args:
        found: what explains each pair.
        laws: the library.
        distance_m: distances at which pairs were seen.
        precision, information: likelihood of all coefficients of the scene, pair-major.
    """
    kinds, columns = len(found.opened.pairs), len(POWERS)
    eye = torch.eye(columns, dtype=precision.dtype)
    blocks = [torch.kron((found.opened.assignment == k).to(precision.dtype)[:, None], eye) for k in range(kinds)]
    for number, known in enumerate(laws):
        pairs = torch.eye(len(found.law), dtype=precision.dtype)[:, found.law == number]
        blocks.append(torch.kron(pairs, law_in_basis(known, distance_m)[:, None]))
    if kinds == 0:
        return precision.new_zeros(0, columns), precision.new_zeros(0, columns, columns)
    share = torch.cat(blocks, dim=1)  # [P Q, Z Q + pairs of known laws]
    factor = stable_cholesky(share.T @ precision @ share)
    fitted = torch.cholesky_solve((share.T @ information)[:, None], factor)
    own, size = torch.arange(kinds), kinds * columns
    covariance = torch.cholesky_inverse(factor)[:size, :size].view(kinds, columns, kinds, columns)[own, :, own]
    return fitted[:size, 0].view(kinds, columns), 0.5 * (covariance + covariance.mT)


def _opened(mean: Float[Tensor, "P Q"], covariance: Float[Tensor, "P Q Q"], novel: Bool[Tensor, " P"]) -> OpenedKinds:
    """Return the kinds of the novel pairs, numbered among all pairs."""
    assignment = torch.full((len(mean),), -1, dtype=torch.int64)
    if not novel.any():
        return OpenedKinds(assignment, mean[:0], covariance[:0], assignment[:0])
    kinds = open_kinds(mean[novel], covariance[novel])
    assignment[novel] = kinds.assignment
    return replace(kinds, assignment=assignment)


def _is_read(law: ForceLaw) -> TypeGuard[LearnedInteraction]:
    """Return whether a law is a belief in this very basis."""
    return isinstance(law, LearnedInteraction) and law.card.terms == TERMS


def _prior(law: ForceLaw, shape: Float[Tensor, " Q"], eye: Float[Tensor, "Q Q"]) -> tuple[Tensor, Tensor]:
    """Return mean and covariance of the coefficients of a pair that a law explains.

    A law of the library has its shape, at any strength. One that was learned has its size too, as far as that is known.
    """
    if not _is_read(law):
        return torch.zeros_like(shape), law.strength_scale**2 * _about(shape, eye)
    card = law.card
    mean = torch.tensor(card.mean, dtype=shape.dtype)
    known = torch.tensor(card.covariance, dtype=shape.dtype)
    deviation = card.strength_std**2 * torch.outer(mean, mean)
    return mean, known + deviation + (SHAPE_SHARE * mean.norm()) ** 2 * eye


def _about(shape: Float[Tensor, " Q"], eye: Float[Tensor, "Q Q"]) -> Float[Tensor, "Q Q"]:
    return torch.outer(shape, shape) + (SHAPE_SHARE * shape.norm()) ** 2 * eye


def _strength(mean: Tensor, covariance: Tensor, shape: Tensor, scale: float) -> Float[Tensor, " P"]:
    """Return the mean strength of a law of that shape over its standard deviation."""
    told = torch.linalg.solve(covariance, shape.expand_as(mean)[..., None])[..., 0]
    precision = (told * shape).sum(-1) + scale**-2
    return (told * mean).sum(-1) / precision.sqrt()


def _log_normal(mean: Float[Tensor, "P Q"], covariance: Float[Tensor, "P Q Q"]) -> Float[Tensor, " P"]:
    factor = torch.linalg.cholesky(covariance)
    white = torch.linalg.solve_triangular(factor, mean[..., None], upper=False)[..., 0]
    return -0.5 * white.square().sum(-1) - factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)
