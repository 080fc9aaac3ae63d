"""Postings: values filed under integer keys, found for many keys at once at a cost that follows what is found."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int

GOLDEN = np.uint64(0x9E3779B97F4A7C15)  # 2^64 over the golden ratio: neighbouring keys end up far apart
_SMALL, _SHARE = 4096, 64  # what is filed late goes to a table of its own, rebuilt each time, until it is this long


Filed = tuple[np.ndarray, np.ndarray, np.ndarray, np.uint64]
"""Keys, values, first of each bucket, and shift of a hash (see `_Table`)."""


@dataclass(frozen=True, slots=True)
class _Table:
    """Keys and values in the order of their buckets.

    Attributes:
        keys, values: [n]; first: [2^bits + 1] where each bucket starts; shift: 64 - bits.
    """

    keys: Int[np.ndarray, " n"]
    values: Int[np.ndarray, " n"]
    first: Int[np.ndarray, " m"]
    shift: np.uint64

    @classmethod
    def of(cls, keys: Int[np.ndarray, " n"], values: Int[np.ndarray, " n"]) -> _Table:
        bits = max(int(np.ceil(np.log2(max(2 * len(keys), 2)))), 1)
        shift = np.uint64(64 - bits)
        bucket = _bucket(keys, shift)
        order = np.argsort(bucket, kind="stable")
        count = np.bincount(bucket, minlength=1 << bits)
        first = np.concatenate([[0], np.cumsum(count)]).astype(np.int32)
        return cls(keys[order], values[order], first, shift)

    def find(self, keys: Int[np.ndarray, " k"]) -> tuple[Int[np.ndarray, " p"], Int[np.ndarray, " p"]]:
        bucket = _bucket(keys, self.shift)
        first = self.first[bucket]
        count = self.first[bucket + 1] - first
        which = np.repeat(np.arange(len(keys)), count)
        entry = np.arange(len(which)) + np.repeat(first - (np.cumsum(count) - count), count)
        hit = np.flatnonzero(self.keys[entry] == keys[which])
        return which[hit], self.values[entry[hit]]


def _bucket(keys: Int[np.ndarray, " k"], shift: np.uint64) -> Int[np.ndarray, " k"]:
    return ((keys.astype(np.uint64) * GOLDEN) >> shift).astype(np.int64)


class Postings:
    """A hash table in arrays. What is filed stays filed; who no longer counts is told apart by the caller.

    Most of it is one table, built once; what came later lies in a second, small one, and is merged into the first when
    it has grown, so that filing a few things among a million costs little.

    Example:
        >>> found = Postings()
        >>> found.file(np.array([7, 9, 7]), np.array([0, 1, 2]))
        >>> [rows.tolist() for rows in found.find(np.array([9, 7, 8]))]
        [[0, 1, 1], [1, 0, 2]]
    """

    def __init__(self) -> None:
        """File nothing yet."""
        nothing = np.zeros(0, dtype=np.int64)
        self._base = self._late = _Table.of(nothing, nothing)

    def __len__(self) -> int:
        """Return how many values are filed."""
        return len(self._base.keys) + len(self._late.keys)

    @property
    def tables(self) -> list[Filed]:
        """What was filed first, and what came late if anything did, for whoever looks it up by himself."""
        return [(t.keys, t.values, t.first, t.shift) for t in (self._base, self._late) if len(t.keys)]

    def file(self, keys: Int[np.ndarray, " n"], values: Int[np.ndarray, " n"]) -> None:
        """File each value under its key."""
        if len(keys) == 0:
            return
        late = np.concatenate([self._late.keys, keys]), np.concatenate([self._late.values, values])
        if len(late[0]) <= _SMALL + len(self._base.keys) // _SHARE:
            self._late = _Table.of(*late)
            return
        self._base = _Table.of(np.concatenate([self._base.keys, late[0]]), np.concatenate([self._base.values, late[1]]))
        self._late = _Table.of(keys[:0], values[:0])

    def find(self, keys: Int[np.ndarray, " k"]) -> tuple[Int[np.ndarray, " p"], Int[np.ndarray, " p"]]:
        """Return (row in `keys`, value) of everything filed under one of the keys."""
        which, values = self._base.find(keys)
        if len(self._late.keys) == 0:
            return which, values
        more, others = self._late.find(keys)
        return np.concatenate([which, more]), np.concatenate([values, others])
