"""Edges of sleepers: nothing changes between two things when one of them lies in deep sleep."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Float, Int

from worldsim.dormancy.postings import Postings
from worldsim.dormancy.store import longer

_FIELDS = ("source", "target", "kind", "log_odds", "here")

Asleep = Callable[[Int[np.ndarray, " n"]], Bool[np.ndarray, " n"]]


def _none() -> Int[np.ndarray, " 0"]:
    return np.zeros(0, dtype=np.int64)


@dataclass(slots=True)
class DormantEdges:
    """E edges with at least one end in deep sleep, found by either end.

    Attributes:
        source, target: [E] object ids; kind: [E]; log_odds: [E].
        here: [E] False for what was taken back since, and for room that is not in use yet.
        ends: edges by the ids of their ends.
    """

    source: Int[np.ndarray, " E"] = field(default_factory=_none)
    target: Int[np.ndarray, " E"] = field(default_factory=_none)
    kind: Int[np.ndarray, " E"] = field(default_factory=_none)
    log_odds: Float[np.ndarray, " E"] = field(default_factory=lambda: np.zeros(0))
    here: Bool[np.ndarray, " E"] = field(default_factory=lambda: np.zeros(0, dtype=bool))
    ends: Postings = field(default_factory=Postings)
    _size: int = 0  # rows in use; the arrays are longer, so that adding a few does not copy all

    @property
    def rows(self) -> int:
        """Return how many rows are in use."""
        return self._size

    def put(
        self,
        source: Int[np.ndarray, " n"],
        target: Int[np.ndarray, " n"],
        kind: Int[np.ndarray, " n"],
        log_odds: Float[np.ndarray, " n"],
    ) -> None:
        """Add n edges."""
        if len(source) == 0:
            return
        if self._size > 4096 and int(np.count_nonzero(self.here)) * 4 < self._size:
            self._keep(self.here)
        row = self._size + np.arange(len(source))
        self._size += len(source)
        if self._size > len(self.here):
            room = max(self._size, 2 * len(self.here))
            for name in _FIELDS:
                setattr(self, name, longer(getattr(self, name), room))
        self.source[row], self.target[row], self.kind[row], self.log_odds[row] = source, target, kind, log_odds
        self.here[row] = True
        self.ends.file(np.concatenate([source, target]), np.concatenate([row, row]))

    def take(self, ids: Int[np.ndarray, " n"], asleep: Asleep) -> Int[np.ndarray, " m"]:
        """Return the rows of the edges of some objects whose other end is not asleep either; they are no longer here.

        Args:
            ids: who was roused.
            asleep: tells of object ids which are in deep sleep.
        """
        _, row = self.ends.find(ids)
        row = np.unique(row)
        free = self.here[row] & ~asleep(self.source[row]) & ~asleep(self.target[row])
        self.here[row[free]] = False
        return row[free]

    def forget(self, ids: Int[np.ndarray, " n"]) -> None:
        """Drop the edges of objects that are gone."""
        _, row = self.ends.find(ids)
        self.here[row] = False

    def _keep(self, kept: Bool[np.ndarray, " E"]) -> None:
        self.source, self.target = self.source[kept], self.target[kept]
        self.kind, self.log_odds, self.here = self.kind[kept], self.log_odds[kept], self.here[kept]
        self.file_all()

    def file_all(self) -> None:
        """File every edge anew, all that the arrays hold being in use."""
        self._size, self.ends = len(self.source), Postings()
        row = np.arange(self._size)
        self.ends.file(np.concatenate([self.source, self.target]), np.concatenate([row, row]))
