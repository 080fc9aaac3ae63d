"""Whether a registry finds what it should: against exact search, and for instances that it has not seen."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from worldsim.evaluation.bench import Figure
from worldsim.evaluation.registry_sightings import SEEN_S, sightings, without
from worldsim.registry import StoredRegistry, open_stored
from worldsim.registry.descriptor import query_vector
from worldsim.registry.search_index import SearchIndex
from worldsim.types.card import ModelCard
from worldsim.types.query import Query

__all__ = ["cards_from_all_over", "noisy_query", "recall", "retrieval"]

_K = 8
_FRAMES = 10  # half a second at 20 Hz
_DETECTOR_LOG_SIZE_STD = 0.05
_DETECTOR_APPEARANCE_STD = 0.04


def noisy_query(card: ModelCard, rng: np.random.Generator) -> Query:
    """Return what a detector says of a new instance of `card` after half a second: its own size, look and motion.

    The instance differs from the card by the card's own spread; the detector averages `_FRAMES` noisy frames.
    """
    averaged = 1.0 / np.sqrt(_FRAMES)
    extent = np.asarray(card.shape.extent_m) + np.asarray(card.shape.extent_std_m) * rng.standard_normal(3)
    extent = np.maximum(extent, 0.02) * np.exp(_DETECTOR_LOG_SIZE_STD * averaged * rng.standard_normal(3))
    look = card.descriptor.appearance
    if look is not None:
        spread = np.asarray(card.descriptor.appearance_std or np.zeros(len(look)))
        own = np.asarray(look) + spread * rng.standard_normal(len(look))
        look = tuple(own + _DETECTOR_APPEARANCE_STD * averaged * rng.standard_normal(len(look)))
    # half a second says little of how a thing usually moves: a factor of two either way, and a noise floor
    motion = {
        name: abs(value * float(np.exp(0.7 * rng.standard_normal())) + 0.05 * rng.standard_normal())
        for name, value in card.descriptor.motion.items()
        if name not in ("still_share", "height")
    }
    motion["height"] = card.descriptor.motion.get("height", 0.0) + 0.02 * float(rng.standard_normal())
    x, y, z = (float(edge) for edge in extent)
    std = tuple(float(edge) * _DETECTOR_LOG_SIZE_STD * float(averaged) for edge in (x, y, z))
    return Query((x, y, z), (std[0], std[1], std[2]), look, None, motion, {"position": 0.7, "appearance": 0.3})


def recall(registry: StoredRegistry, queries: list[Query]) -> list[Figure]:
    """Compare what the index brings with what a comparison with every card brings."""
    exact = SearchIndex(registry.database, None)
    shares = []
    with registry.database.reading() as connection:
        for query in queries:
            vector = query_vector(query)
            found = registry.index.nearest(connection, vector, 512).row[:_K]
            truth = exact.nearest(connection, vector, 512).row[:_K]
            shares.append(len(np.intersect1d(found, truth)) / len(truth))
    name = f"recall@{_K} against exact over {len(registry)} models"
    return [
        Figure.at_least(name, float(np.mean(shares)), 0.99, n=len(shares), interval=share_interval(np.array(shares)))
    ]


def retrieval(rng: np.random.Generator, rounds: int) -> list[Figure]:
    """Ask the shipped registry for new instances of its kinds, each without the card that it was drawn around.

    Each is seen for half a second by the simulator's noisy detector and tracked by a world model that has the starter
    models loaded; the question is the world model's own. An instance that was not tracked was not found.
    """
    right_kind, right_first = [], []
    with open_stored("builtin") as registry:
        starter = sorted(card.model_id for card in registry.cards(tag="starter"))
        loaded = [registry.fetch(model_id) for model_id in starter]
        cards = [card for card in registry.cards() if card.model_id not in starter]
        for _ in range(rounds):
            for seen in sightings(cards, loaded, rng):
                card = seen.instance.card
                found = () if seen.query is None else registry.search(without(seen.query, card.model_id), _K).cards
                right_kind.append(any(c.kind == card.kind for c in found))
                size = _size_class(seen.instance.extent_m)
                right_first.append(
                    len(found) > 0 and found[0].family == card.family and _size_class(found[0].shape.extent_m) == size
                )
    kind, first = np.array(right_kind, dtype=float), np.array(right_first, dtype=float)
    return [
        Figure.at_least(
            f"right kind among the {_K} for a new instance seen for {SEEN_S:g} s, its own card held out",
            float(kind.mean()),
            0.99,
            n=len(kind),
            interval=share_interval(kind),
        ),
        Figure.at_least(
            "right family and size class first", float(first.mean()), 0.90, n=len(first), interval=share_interval(first)
        ),
    ]


def cards_from_all_over(registry: StoredRegistry, count: int, rng: np.random.Generator) -> list[ModelCard]:
    """Return `count` cards from all over the registry."""
    newest = len(registry)
    found: list[ModelCard] = []
    while len(found) < count:
        rows = rng.integers(1, newest + 1, size=count)
        found += registry.cards_at([int(row) for row in rows])
    return [card for card in found if card.family != "generic"][:count]


def _size_class(extent_m: Sequence[float] | Float[np.ndarray, " 3"]) -> int:
    """Return the class of the longest edge, in factors of two."""
    return int(np.floor(np.log2(max(extent_m)) + 0.5))


def share_interval(values: Float[np.ndarray, " n"]) -> tuple[float, float]:
    """Return the 95 % interval of a mean of shares in [0, 1] (Wilson 1927)."""
    n, p, z = len(values), float(values.mean()), 1.96
    middle = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z * np.sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return float(middle - half), float(middle + half)
