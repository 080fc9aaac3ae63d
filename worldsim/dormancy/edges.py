"""Edges of sleepers: nothing changes between two things when one of them lies in deep sleep."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Float, Int

from worldsim.dormancy.postings import Postings

Asleep = Callable[[Int[np.ndarray, " n"]], Bool[np.ndarray, " n"]]


def _none() -> Int[np.ndarray, " 0"]:
    return np.zeros(0, dtype=np.int64)


@dataclass(slots=True)
class DormantEdges:
    """E edges with at least one end in deep sleep, found by either end.

    Attributes:
        source, target: [E] object ids; kind: [E]; log_odds: [E].
        here: [E] False for what was taken back since.
        ends: edges by the ids of their ends.
    """

    source: Int[np.ndarray, " E"] = field(default_factory=_none)
    target: Int[np.ndarray, " E"] = field(default_factory=_none)
    kind: Int[np.ndarray, " E"] = field(default_factory=_none)
    log_odds: Float[np.ndarray, " E"] = field(default_factory=lambda: np.zeros(0))
    here: Bool[np.ndarray, " E"] = field(default_factory=lambda: np.zeros(0, dtype=bool))
    ends: Postings = field(default_factory=Postings)

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
        if len(self.here) > 4096 and int(self.here.sum()) * 4 < len(self.here):
            self._keep(self.here)
        row = len(self.source) + np.arange(len(source))
        self.source, self.target = np.concatenate([self.source, source]), np.concatenate([self.target, target])
        self.kind, self.log_odds = np.concatenate([self.kind, kind]), np.concatenate([self.log_odds, log_odds])
        self.here = np.concatenate([self.here, np.ones(len(row), dtype=bool)])
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
        """File every edge anew."""
        row, self.ends = np.arange(len(self.source)), Postings()
        self.ends.file(np.concatenate([self.source, self.target]), np.concatenate([row, row]))
