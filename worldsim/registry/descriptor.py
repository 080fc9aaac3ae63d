"""What a search compares: cards and queries as vectors, and the distance between them.

One vector of D = 21 numbers in three parts: *shape* (logarithms of the longer and the shorter horizontal edge and of
the height, since which way a thing faces says nothing of its size), *appearance*, and *motion* (compressed so that a
factor counts, not a difference). A missing number is NaN.

The distance of a part is the mean over its numbers of ``z^2 + log(variance / least variance)``, where the variance
adds the card's spread, the query's, and a floor for what a detector and half a second leave unknown: minus twice a
Gaussian log density, shifted to 0 for a perfect match, so that a vague card is not near to everything.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from worldsim.errors import ConfigurationError
from worldsim.types.card import ModelCard
from worldsim.types.observation import APPEARANCE_DIM
from worldsim.types.query import Query

__all__ = [
    "DIM",
    "MOTION_STATISTICS",
    "PARTS",
    "QueryVector",
    "card_vector",
    "check_query",
    "distances",
    "query_vector",
]

MOTION_STATISTICS = ("speed_mean", "speed_max", "acceleration_rms", "turn_rate_rms", "height", "still_share")
"""Names of the motion statistics: m/s, m/s, m/s^2, rad/s, m of the body's bottom above the floor, share of time."""

PARTS = {
    "shape": slice(0, 3),
    "appearance": slice(3, 3 + APPEARANCE_DIM),
    "motion": slice(3 + APPEARANCE_DIM, 3 + APPEARANCE_DIM + len(MOTION_STATISTICS)),
}
DIM = PARTS["motion"].stop
"""Length D of a descriptor vector."""

_MOTION_OFFSETS = np.array([0.1, 0.1, 1.0, 0.5, 1.0, 1.0])  # below these a difference is noise; the last two are unused
_MOTION_IS_LOG = np.array([True, True, True, True, False, False])
_FLOOR = np.concatenate(
    [
        np.full(3, 0.06),  # a detector's error of the size, as a ratio
        np.full(APPEARANCE_DIM, 0.05),
        np.array([0.7, 0.7, 0.8, 0.8, 0.1, 0.4]),  # half a second tells little of how a thing moves
    ]
)
FLOOR_VARIANCE: Float[np.ndarray, " D"] = _FLOOR**2
"""Variance that every comparison has at least."""

MISSING_DISTANCE = 2.0
"""Distance of a part that the query has and the card lacks: worse than a usual match, which is near 1."""

_STARTS: Int[np.ndarray, " 3"] = np.array([part.start for part in PARTS.values()])
_PART_NUMBER: Int[np.ndarray, " D"] = np.repeat(np.arange(len(PARTS)), [p.stop - p.start for p in PARTS.values()])
_PART_OF: Float[np.ndarray, "D 3"] = np.eye(len(PARTS), dtype=np.float32)[_PART_NUMBER]  # 1 where a number is of a part

_WEIGHTS = {"shape": 1.0, "appearance": 1.0, "motion": 0.4}  # before the surprise's channels move them
_CHANNEL_PART = {"appearance": "appearance", "position": "motion", "rotation": "motion", "contact": "motion"}
_CHANNEL_WEIGHT = 0.5  # what a part gains when its channels hold all of the surprise


@dataclass(frozen=True, slots=True)
class QueryVector:
    """A query as numbers.

    Attributes:
        value: [D], NaN where missing.
        variance: [D] the query's own spread.
        weights: [3] weight of each part in the order of `PARTS`, summing to 1; 0 where the query has nothing of it.
        number_weights: [D] weight of each number, where a part's is shared among those that the query has.
    """

    value: Float[np.ndarray, " D"]
    variance: Float[np.ndarray, " D"]
    weights: Float[np.ndarray, " 3"]
    number_weights: Float[np.ndarray, " D"]


def card_vector(card: ModelCard) -> tuple[Float[np.ndarray, " D"], Float[np.ndarray, " D"]]:
    """Return the card's descriptor and its variance over instances, float32, NaN where the card says nothing."""
    value, variance = _vectors(
        card.shape.extent_m,
        card.shape.extent_std_m,
        card.descriptor.appearance,
        card.descriptor.appearance_std,
        dict(card.descriptor.motion),
    )
    return value.astype(np.float32), variance.astype(np.float32)


def check_query(query: Query) -> None:
    """Refuse a query whose numbers cannot be; a part that is not known is None, or missing.

    Raises:
        ConfigurationError: a part has another length than that of its kind, or a number that is none or too small.
    """
    _check_part("extent_m", query.extent_m, 3, "three edges in m, finite and above 0", above=0.0)
    _check_part("extent_std_m", query.extent_std_m, 3, "three spreads in m, finite and 0 or more", least=0.0)
    _check_part("appearance", query.appearance, APPEARANCE_DIM, f"{APPEARANCE_DIM} finite numbers")
    _check_part("appearance_std", query.appearance_std, APPEARANCE_DIM, f"{APPEARANCE_DIM} of 0 or more", least=0.0)
    for name in ("motion", "channel_share"):
        values = tuple(getattr(query, name).values())
        _check_part(name, values, len(values), "finite numbers")


def _check_part(
    name: str,
    values: Sequence[float] | None,
    length: int,
    expected: str,
    *,
    above: float = -np.inf,
    least: float = -np.inf,
) -> None:
    if values is None:
        return
    try:
        numbers = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        numbers = np.full(length, np.nan)
    fits = numbers.shape == (length,) and np.isfinite(numbers).all()
    if not (fits and (numbers > above).all() and (numbers >= least).all()):
        raise ConfigurationError(f"query: {name} is {values!r}, expected {expected}; leave out what is not known.")


def query_vector(query: Query) -> QueryVector:
    """Return the query as numbers; its channel shares move the weights of the parts.

    Raises:
        ConfigurationError: as `check_query`.
    """
    check_query(query)
    value, variance = _vectors(
        query.extent_m, query.extent_std_m, query.appearance, query.appearance_std, dict(query.motion)
    )
    weights = dict(_WEIGHTS)
    total = sum(max(float(share), 0.0) for share in query.channel_share.values())
    for channel, share in query.channel_share.items():
        part = _CHANNEL_PART.get(str(channel))
        if part is not None and total > 0.0:
            weights[part] += _CHANNEL_WEIGHT * max(float(share), 0.0) / total
    known = np.isfinite(value)
    counts = np.add.reduceat(known, _STARTS, dtype=np.int64)
    raw = np.array([weights[name] for name in PARTS]) * (counts > 0)
    total = raw.sum()
    shares = raw / total if total > 0.0 else raw
    return QueryVector(value, variance, shares, (shares / np.maximum(counts, 1))[_PART_NUMBER] * known)


def distances(
    query: QueryVector, value: Float[np.ndarray, "N D"], variance: Float[np.ndarray, "N D"]
) -> Float[np.ndarray, " N"]:
    """Return the distance of each of N cards from the query, in squared standard deviations, >= 0.

    Quickest where a column of N numbers lies in one piece (Fortran order).
    """
    asked = np.flatnonzero(query.number_weights)
    if len(asked) == 0:
        return np.zeros(len(value), dtype=np.float32)
    columns: slice | Int[np.ndarray, " d"] = slice(0, DIM) if len(asked) == DIM else asked  # a slice copies nothing
    weights = query.number_weights[asked].astype(np.float32)
    least = (query.variance + FLOOR_VARIANCE)[asked].astype(np.float32)
    spread = variance[:, columns] + least
    terms = value[:, columns] - query.value[asked].astype(np.float32)
    terms *= terms
    terms /= spread
    spread /= least
    terms += np.log(spread, out=spread)
    total: Float[np.ndarray, " N"] = terms @ weights
    broken = np.flatnonzero(np.isnan(total))
    if len(broken):
        total[broken] = _by_parts(query, asked, terms[broken])
    return total


def _by_parts(
    query: QueryVector, asked: Int[np.ndarray, " d"], terms: Float[np.ndarray, "n d"]
) -> Float[np.ndarray, " n"]:
    """Return the distances of cards that lack numbers: the mean of a part is over those that they have."""
    known: Bool[np.ndarray, "n d"] = ~np.isnan(terms)
    of_part = _PART_OF[asked]
    count = known @ of_part
    mean = (np.where(known, terms, np.float32(0.0)) @ of_part) / np.maximum(count, np.float32(1.0))
    total: Float[np.ndarray, " n"] = np.where(count > 0.0, mean, np.float32(MISSING_DISTANCE)) @ query.weights
    return total.astype(np.float32)


def _vectors(
    extent_m: tuple[float, ...] | None,
    extent_std_m: tuple[float, ...] | None,
    appearance: tuple[float, ...] | None,
    appearance_std: tuple[float, ...] | None,
    motion: dict[str, float],
) -> tuple[Float[np.ndarray, " D"], Float[np.ndarray, " D"]]:
    value, variance = np.full(DIM, np.nan), np.zeros(DIM)
    if extent_m is not None:
        extent = np.maximum(np.asarray(extent_m, dtype=np.float64), 1e-4)
        order = np.array([0, 1, 2] if extent[0] >= extent[1] else [1, 0, 2])
        value[PARTS["shape"]] = np.log(extent[order])
        if extent_std_m is not None:
            variance[PARTS["shape"]] = (np.asarray(extent_std_m, dtype=np.float64) / extent)[order] ** 2
    if appearance is not None and len(appearance) == APPEARANCE_DIM:
        value[PARTS["appearance"]] = appearance
        if appearance_std is not None and len(appearance_std) == APPEARANCE_DIM:
            variance[PARTS["appearance"]] = np.square(appearance_std)
    stated = np.array([float(motion.get(name, np.nan)) for name in MOTION_STATISTICS])
    compressed = np.log(np.maximum(stated, 0.0) + _MOTION_OFFSETS)
    value[PARTS["motion"]] = np.where(_MOTION_IS_LOG, compressed, stated)
    return value, variance
