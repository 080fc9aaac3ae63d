"""How far a stored kind of interaction is from what was seen: two Gaussian laws, and where the kind was met."""

from __future__ import annotations

import heapq
from collections.abc import Iterable

import numpy as np

from worldsim.errors import CardError
from worldsim.registry.interaction_cards import check_gaussian
from worldsim.types.interaction_card import InteractionCandidates, InteractionCard, InteractionQuery

__all__ = ["distance", "nearest"]

STRANGER = 1.0
"""What a kind that was never met between such things is farther away, in squared standard deviations."""


def nearest(cards: Iterable[InteractionCard], query: InteractionQuery, k: int) -> InteractionCandidates:
    """Return the `k` cards nearest to the query, nearest first; of equal distance, by id.

    Cards with other terms than the query's are left out: nothing is known of how far their laws are.

    Raises:
        CardError: the query's law is not one.
    """
    if query.mean is not None:
        try:
            check_gaussian(query.terms, query.mean, query.covariance or ())
        except ValueError as error:
            raise CardError(f"search: the query's law: {error}.") from error
    kept = (
        card
        for card in cards
        if card.model_id not in query.exclude
        and query.kind in (None, card.kind)
        and (query.mean is None or card.terms == query.terms)
    )
    found = heapq.nsmallest(k, ((distance(query, card), card.model_id, card) for card in kept), key=lambda one: one[:2])
    return InteractionCandidates(tuple(card for *_, card in found), tuple(far for far, *_ in found))


def distance(query: InteractionQuery, card: InteractionCard) -> float:
    """Return the distance, >= 0: the mean squared difference of the laws, and a stranger's share.

    With S = covariance of the query, of the card, and of single pairs about their kind, and d the difference of the
    means, it is (d' S^-1 d + log |S| - log |S_query|) / Q: a vague card is not near to everything.
    """
    far = 0.0
    if query.mean is not None and query.covariance is not None:
        law, seen = np.array(card.mean), np.array(query.covariance)
        spread = seen + np.array(card.covariance) + card.strength_std**2 * np.outer(law, law)
        gap = np.array(query.mean) - law
        size = np.linalg.slogdet(spread)[1] - np.linalg.slogdet(seen)[1]
        far = max(float((gap @ np.linalg.solve(spread, gap) + size) / len(gap)), 0.0)
    if query.between is not None:
        asked = query.between if card.directed else tuple(sorted(query.between))
        far += 0.0 if any((pair.source, pair.target) == asked for pair in card.pairs) else STRANGER
    return far
