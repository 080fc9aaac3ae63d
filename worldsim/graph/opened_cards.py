"""Kinds that a scene opened, named and written down as cards, so that another scene can be explained by them.

A name says what the law does over the distances at which it was seen, and ends in six digits of its numbers: two kinds
that behave alike are still two.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from worldsim.contracts.learned_interaction import LearnedInteraction
from worldsim.contracts.radial_basis import POWERS, TERMS
from worldsim.graph.joint import ClassStrengths, ForceLaw
from worldsim.graph.joint.opening import INSTANCE_DEVIATION
from worldsim.graph.unexplained import Explained, fitted_laws
from worldsim.types.card import Evidence
from worldsim.types.interaction_card import ClassPair, InteractionCard, InteractionQuery

__all__ = ["SceneSeen", "known_strengths", "law_name", "opened_cards", "query_of"]

LEAST_DOUBT = 0.02
"""Standard deviation of the strength of a class whose law was learned, as a share, at the least."""


@dataclass(frozen=True, slots=True)
class SceneSeen:
    """What was seen of one scene, for the record.

    Attributes:
        first, second: [P] bodies of each pair.
        classes: kind of each body, as its model's card names it.
        distance_m: [n] at which pairs were seen.
        precision, information: likelihood of all coefficients of the basis, pair-major.
        frames: how many.
        source: where, in words.
    """

    first: Int[Tensor, " P"]
    second: Int[Tensor, " P"]
    classes: Sequence[str]
    distance_m: Float[Tensor, " n"]
    precision: Float[Tensor, "d d"]
    information: Float[Tensor, " d"]
    frames: int
    source: str = "a scene"


def opened_cards(found: Explained, laws: Sequence[ForceLaw], seen: SceneSeen, reach_m: float) -> list[InteractionCard]:
    """Return a card of each kind that the scene opened.

    Args:
        found: what explains each pair.
        laws: the library that left these pairs unexplained.
        seen: the scene.
        reach_m: up to which distance pairs were candidates.
    """
    law, covariance = fitted_laws(found, laws, seen.distance_m, seen.precision, seen.information)
    low, high = float(seen.distance_m.min()), float(seen.distance_m.max())
    cards = []
    for kind, (mean, spread) in enumerate(zip(law, covariance, strict=True)):
        members = found.opened.assignment == kind
        name = law_name(mean, seen.distance_m)
        cards.append(
            InteractionCard(
                model_id=f"opened/{name}",
                version=0,
                kind=name,
                family="radial",
                terms=TERMS,
                mean=tuple(mean.tolist()),
                covariance=tuple(tuple(row) for row in spread.tolist()),
                strength_std=INSTANCE_DEVIATION,
                reach_m=reach_m,
                seen_m=(low, high),
                pairs=_class_pairs(members, seen),
                provenance=f"Opened from {int(members.sum())} pairs of {seen.source}.",
                tags=("opened",),
                evidence=Evidence(seen.frames, float(found.novelty_nats[members].sum()), seen.source),
            )
        )
    return cards


def law_name(law: Float[Tensor, " Q"], distance_m: Float[Tensor, " n"]) -> str:
    """Return a name for a central law: ``pull``, ``push``, ``hold`` or ``tip``, how it goes with distance, six digits.

    A law that changes sign within what was seen holds two bodies at the distance where it does (it pulls beyond), or
    tips them off it; another is named by the exponent of the distance that fits it best.

    >>> law_name(torch.tensor([2.0, 0.0, 0.0, 0.0]), torch.linspace(0.5, 1.5, 20))
    'pull-r1.0-693093'
    """
    place = distance_m.sort().values.to(law)
    force = torch.stack([place**power for power in POWERS], -1) @ law
    size = force.abs()
    positive = force > 0.0
    if bool(positive.all() | ~positive.any()):
        x, y = place.log(), size.clamp_min(1e-30).log()
        slope = float(((x - x.mean()) * (y - y.mean())).sum() / (x - x.mean()).square().sum().clamp_min(1e-12))
        what = f"{'pull' if bool(positive[0]) else 'push'}-r{slope:.1f}".replace("r-0.0", "r0.0")
    else:
        turn = int((positive[1:] != positive[:-1]).int().argmax())  # straight between the two places around it
        share = size[turn] / (size[turn] + size[turn + 1]).clamp_min(1e-30)
        rest = float(place[turn] + share * (place[turn + 1] - place[turn]))
        what = f"{'hold' if bool(positive[-1]) else 'tip'}-at{rest:.2f}"
    numbers = " ".join(f"{value:.6e}" for value in law.tolist())
    return f"{what}-{hashlib.sha256(numbers.encode()).hexdigest()[:6]}"


def query_of(
    mean: Float[Tensor, " Q"], covariance: Float[Tensor, "Q Q"], between: tuple[str, str] | None = None
) -> InteractionQuery:
    """Return the question which stored kinds have a law like this one, of the radial basis."""
    rows = (0.5 * (covariance + covariance.mT)).tolist()
    return InteractionQuery(TERMS, tuple(mean.tolist()), tuple(tuple(row) for row in rows), between)


def known_strengths(laws: Sequence[ForceLaw], groups: int, like: Tensor) -> ClassStrengths:
    """Return what is known of the strengths of laws before a scene is seen, for a `JointGraphFilter`.

    A law of the library has a strength of its scale. The strength of a learned law is 1, to within what its card says
    of the size of the law and of single pairs.
    """
    start = ClassStrengths.for_laws(laws, groups, like)
    mean, variance = start.prior_mean.clone(), start.prior_variance.clone()
    deviation = start.deviation_variance.clone()
    for column, law in enumerate(laws):
        if isinstance(law, LearnedInteraction):
            told = like.new_tensor(law.card.mean).double()
            known = like.new_tensor(law.card.covariance).double()
            size = float(told @ torch.cholesky_solve(told[:, None], torch.linalg.cholesky(known))[:, 0])
            mean[:, column] = 1.0
            variance[:, column] = max(LEAST_DOUBT**2, 1.0 / size)
            deviation[:, column] = max(LEAST_DOUBT, law.card.strength_std) ** 2
    return ClassStrengths(mean, variance, deviation, start.rates, mean, variance, start.prior_counts)


def _class_pairs(members: Tensor, seen: SceneSeen) -> tuple[ClassPair, ...]:
    rows = members.nonzero()[:, 0].tolist()
    first, second = seen.first.tolist(), seen.second.tolist()
    met: Counter[tuple[str, str]] = Counter()
    for row in rows:
        low, high = sorted((seen.classes[first[row]], seen.classes[second[row]]))
        met[low, high] += 1
    return tuple(ClassPair(source, target, count) for (source, target), count in sorted(met.items()))
