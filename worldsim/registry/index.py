"""The descriptors of a registry in memory, followed as others publish, and the exact search over them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import sqlalchemy as sa
from jaxtyping import Bool, Float, Int
from sqlalchemy.engine import Connection

from worldsim.registry.database import cards, descriptors
from worldsim.registry.descriptor import DIM, FLOOR_VARIANCE, QueryVector, distances
from worldsim.registry.filters import among

__all__ = ["ExactIndex", "Nearest", "pack_vector", "select_diverse", "unpack_vectors"]

_TWIN_WEIGHT = 2.0  # for each equal already taken, a candidate counts as this much farther away
_FLOOR_STD = np.sqrt(FLOOR_VARIANCE).astype(np.float32)
_READ_ROWS, _LOOKUP = 20_000, 500
_SINCE = (
    sa.select(
        descriptors.c.row, descriptors.c.replaces, descriptors.c.model_id, descriptors.c.kind, descriptors.c.vector
    )
    .where(descriptors.c.row > sa.bindparam("row"))
    .order_by(descriptors.c.row)
)


@dataclass(frozen=True, slots=True)
class Nearest:
    """Candidates of a search before diversity, nearest first.

    Attributes:
        row: [n] rows of the cards table.
        distance: [n].
        kind: [n] a number for each kind, equal where kinds are equal.
        value, variance: [n, D] their descriptors.
    """

    row: Int[np.ndarray, " n"]
    distance: Float[np.ndarray, " n"]
    kind: Int[np.ndarray, " n"]
    value: Float[np.ndarray, "n D"]
    variance: Float[np.ndarray, "n D"]


class ExactIndex:
    """All descriptors as arrays; a search compares the query with every one of them."""

    def __init__(self, kinds: dict[str, int] | None = None) -> None:
        """Start empty; `refresh` fills it.

        Args:
            kinds: numbers of the kinds, shared with another index and added to.
        """
        self.last_row = 0
        self._count = 0
        self._row = np.zeros(0, dtype=np.int64)
        self._kind = np.zeros(0, dtype=np.int32)
        self._alive = np.zeros(0, dtype=bool)
        self._vectors = np.zeros((0, 2 * DIM), dtype=np.float32, order="F")  # a search runs down the columns
        self._kinds: dict[str, int] = {} if kinds is None else kinds

    def __len__(self) -> int:
        """Return the number of searchable models."""
        return int(self._alive[: self._count].sum())

    def refresh(self, connection: Connection) -> list[int]:
        """Take in what was published since the last call; return the rows that it replaces.

        What a model published several times since replaced last was never seen here: then all its older rows are gone.
        """
        gone: list[int] = []
        before = self.last_row
        found = connection.execute(_SINCE, {"row": before})
        for rows in found.partitions(_READ_ROWS):
            self._append(
                np.array([r.row for r in rows], dtype=np.int64),
                [r.kind for r in rows],
                unpack_vectors([r.vector for r in rows]),
            )
            replaced = [r.replaces for r in rows if r.replaces is not None]
            if before > 0:
                unseen = [r.model_id for r in rows if r.replaces is not None and r.replaces > before]
                replaced += _older(connection, unseen, before)
            gone += replaced
            if replaced:
                self._alive[: self._count][np.isin(self._row[: self._count], replaced)] = False
        return gone

    def nearest(
        self,
        query: QueryVector,
        n: int,
        kind: str | None,
        exclude: Collection[int],
        only: Int[np.ndarray, " m"] | None,
    ) -> Nearest:
        """Return the `n` nearest, of one `kind` where asked, without rows in `exclude`, of rows `only` where given.

        Args:
            query: what is compared.
            n: how many.
            kind: of which kind; any where None.
            exclude: rows that are not wanted.
            only: [m] the rows that may be brought, ascending; all where None.
        """
        count = self._count
        if count == 0:
            nothing = np.zeros((0, DIM), dtype=np.float32)
            return Nearest(self._row[:0], np.zeros(0, np.float32), self._kind[:0], nothing, nothing)
        wanted: Bool[np.ndarray, " N"] = self._alive[:count].copy()
        if kind is not None:
            wanted &= self._kind[:count] == self._kinds.get(kind, -1)
        if exclude:
            wanted &= ~np.isin(self._row[:count], list(exclude))
        if only is not None:
            wanted &= among(self._row[:count], only)
        index = np.flatnonzero(wanted)
        vectors = self._vectors[:count] if len(index) == count else self._vectors[index]
        gap = distances(query, vectors[:, :DIM], vectors[:, DIM:])
        if len(gap) > n:
            near = np.argpartition(gap, n)[:n]
            index, gap = index[near], gap[near]
        order = np.lexsort((self._row[index], gap))  # by row where equal: the same search gives the same order
        index, gap = index[order], gap[order]
        found = self._vectors[index]
        return Nearest(self._row[index], gap, self._kind[index], found[:, :DIM], found[:, DIM:])

    def _append(self, row: Int[np.ndarray, " n"], kinds: list[str], vectors: Float[np.ndarray, "n D2"]) -> None:
        if len(row) == 0:
            return
        start, end = self._count, self._count + len(row)
        if end > len(self._row):
            room = max(1024, 2 * len(self._row), end)
            self._row = _grown(self._row, room)
            self._kind = _grown(self._kind, room)
            self._alive = _grown(self._alive, room)
            self._vectors = _grown(self._vectors, room)
        self._row[start:end] = row
        self._kind[start:end] = [self._kinds.setdefault(kind, len(self._kinds)) for kind in kinds]
        self._alive[start:end] = True
        self._vectors[start:end] = vectors
        self._count, self.last_row = end, int(row[-1])


def select_diverse(found: Nearest, k: int) -> list[int]:
    """Return at most `k` positions in `found`, nearest first, that are no near-twins of each other.

    After maximal marginal relevance (Carbonell and Goldstein 1998): the nearest is taken first; each next one has the
    least sum of its distance and of its likeness to those taken (ours adds the likenesses up, so that many copies of
    one model do not stay tied for second place). At most half of them are of one kind while
    other kinds are to be had, so that a wrong first guess of the kind is not the only guess.
    """
    if len(found.row) == 0:
        return []
    quota = max((k + 1) // 2, 1)
    pool, kind = _pool(found.kind, 2 * k, 16 * k)
    likeness = _Likeness(found.value[pool])
    of_kind = [0] * (len(found.kind) + 1)
    cost = found.distance[pool].astype(np.float64)
    closed = np.zeros(len(pool))  # infinite for kinds that have had their share
    taken: list[int] = []
    for _ in range(min(k, len(pool))):
        open_cost = cost + closed
        best = int(open_cost.argmin())
        if open_cost[best] == np.inf:
            best = int(cost.argmin())
        taken.append(int(pool[best]))
        mine = int(kind[best])
        of_kind[mine] += 1
        if of_kind[mine] == quota:
            closed[kind == mine] = np.inf
        if len(taken) < k:
            cost += _TWIN_WEIGHT * likeness.to(best)
            cost[best] = np.inf
    return sorted(taken)


class _Likeness:
    """exp(-d) in (0, 1] of each to one, d the mean squared distance over what both say (NaN: missing).

    The distance is in units of the floor's standard deviation.
    """

    def __init__(self, value: Float[np.ndarray, "n D"]) -> None:
        self._scaled = value / _FLOOR_STD
        missing = np.isnan(self._scaled)
        self._known = None if not missing.any() else (~missing).astype(np.float32)
        self._scaled[missing] = 0.0

    def to(self, one: int) -> Float[np.ndarray, " n"]:
        """Return the likeness of each of them to `one`."""
        gap = self._scaled - self._scaled[one]
        if self._known is None:
            return np.exp(np.einsum("nd,nd->n", gap, gap) / np.float32(-DIM))
        both = self._known * self._known[one]
        gap *= both
        return np.exp(-np.einsum("nd,nd->n", gap, gap) / np.maximum(both.sum(axis=1), np.float32(1.0)))


def _pool(
    kinds: Int[np.ndarray, " n"], of_one: int, in_all: int
) -> tuple[Int[np.ndarray, " p"], Int[np.ndarray, " p"]]:
    """Return the first `in_all` positions, at most `of_one` of a kind, and a number from 0 on for the kind of each."""
    count = len(kinds)
    order = np.argsort(kinds, kind="stable")
    ordered = kinds[order]
    first = np.ones(count, dtype=bool)
    first[1:] = ordered[1:] != ordered[:-1]
    group = first.cumsum() - 1
    rank = np.arange(count) - np.flatnonzero(first)[group]
    code = np.empty(count, dtype=np.int64)
    code[order] = group
    position = np.sort(order[rank < of_one])[:in_all]
    return position, code[position]


def pack_vector(value: Float[np.ndarray, " D"], variance: Float[np.ndarray, " D"]) -> bytes:
    """Return a descriptor as the database keeps it: 2 D little-endian float32."""
    return np.concatenate([value, variance]).astype("<f4").tobytes()


def unpack_vectors(packed: list[bytes]) -> Float[np.ndarray, "n D2"]:
    """Return descriptors as they were packed, values in the first D columns, variances in the others."""
    return np.frombuffer(b"".join(packed), dtype="<f4").reshape(-1, 2 * DIM).astype(np.float32)


def _older(connection: Connection, model_ids: list[str], last_row: int) -> list[int]:
    """Return the rows, up to `last_row`, of all versions of some models."""
    found: list[int] = []
    for start in range(0, len(model_ids), _LOOKUP):
        these = cards.c.model_id.in_(model_ids[start : start + _LOOKUP])
        found += connection.execute(sa.select(cards.c.row).where(these, cards.c.row <= last_row)).scalars()
    return found


def _grown(array: np.ndarray, room: int) -> np.ndarray:
    larger = np.zeros((room, *array.shape[1:]), dtype=array.dtype, order="F")
    larger[: len(array)] = array
    return larger
