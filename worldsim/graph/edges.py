"""The typed posterior: one log-odds per pair and kind, filtered over time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from worldsim.contracts.interaction import EdgePrior, Interaction, PairFrame
from worldsim.types.graph import InteractionGraph
from worldsim.types.membership import among
from worldsim.types.transfer import fetched

_LOG_ODDS_LIMIT = 9.0  # beyond one in ten thousand an edge could never be given up in time
_FORGET_LOG_ODDS = -3.9  # below 2 %: out of reach and unlikely, so no longer listed
_APART_NATS = 3.0  # what a frame tells in which a pair was out of reach; one alone may err, since places do


@dataclass(frozen=True, slots=True)
class EdgeTable:
    """E edges by object id, sorted by (source, target, kind).

    Attributes:
        source, target: [E] object ids; kind: [E] index into the filter's kinds; log_odds: [E].
    """

    source: Int[np.ndarray, " E"]
    target: Int[np.ndarray, " E"]
    kind: Int[np.ndarray, " E"]
    log_odds: Float[np.ndarray, " E"]

    @classmethod
    def empty(cls) -> EdgeTable:
        """Return no edges."""
        i = np.zeros(0, dtype=np.int64)
        return cls(i, i, i, np.zeros(0))

    def joined(self, other: EdgeTable) -> EdgeTable:
        """Return the edges of both, of which none is in both."""
        if len(other.source) == 0:
            return self
        both = EdgeTable(
            np.concatenate([self.source, other.source]),
            np.concatenate([self.target, other.target]),
            np.concatenate([self.kind, other.kind]),
            np.concatenate([self.log_odds, other.log_odds]),
        )
        order = np.argsort(both.keys(), kind="stable")
        return EdgeTable(both.source[order], both.target[order], both.kind[order], both.log_odds[order])

    def keys(self) -> Int[np.ndarray, " E"]:
        """Return one integer a row that orders rows by (source, target, kind)."""
        return edge_keys(self.source, self.target, self.kind)


def rows_linked(
    table: EdgeTable, kinds: Sequence[int], object_id: Int[np.ndarray, " N"], above: float
) -> tuple[Int[np.ndarray, " n"], Int[np.ndarray, " n"]]:
    """Return the rows (source, target) among N things that edges of some kinds link; O(E log N + N).

    Args:
        table: the edges.
        kinds: by their number in the table.
        object_id: [N] of the things, all different; edges to others are left out.
        above: log-odds above which an edge counts.
    """
    likely = np.flatnonzero(table.log_odds > above)
    linking = likely[among(table.kind[likely], kinds)]
    if len(linking) == 0 or len(object_id) == 0:
        return linking[:0], linking[:0]
    order = np.argsort(object_id, kind="stable")
    source, target = (
        order[np.searchsorted(object_id, ids, sorter=order).clip(max=len(order) - 1)]
        for ids in (table.source[linking], table.target[linking])
    )
    known = (object_id[source] == table.source[linking]) & (object_id[target] == table.target[linking])
    return source[known], target[known]


MOST_IDS = 2**28
"""How many object ids there are: a pair of them and a kind make one whole number."""


def edge_keys(
    source: Int[np.ndarray, " E"], target: Int[np.ndarray, " E"], kind: Int[np.ndarray, " E"]
) -> Int[np.ndarray, " E"]:
    """Return one int64 per (source id, target id, kind); ids below `MOST_IDS`, kinds below 2^7."""
    return (source << 35) | (target << 7) | kind


def after_waiting(log_odds: Float[np.ndarray, " E"], prior: EdgePrior, dt_s: float) -> Float[np.ndarray, " E"]:
    """Return log-odds after `dt_s` in which edges may have appeared and vanished, however often.

    A two-state Markov chain in continuous time: what is known fades towards its stationary share (Norris 1997,
    "Markov Chains", section 2.1).
    """
    change_per_s = prior.appear_per_s + prior.vanish_per_s
    if change_per_s == 0.0:
        return log_odds
    p, rest = 1.0 / (1.0 + np.exp(-log_odds)), prior.appear_per_s / change_per_s
    p = np.clip(rest + (p - rest) * np.exp(-change_per_s * dt_s), 1e-9, 1.0 - 1e-9)
    return np.log(p) - np.log1p(-p)


@dataclass(frozen=True, slots=True)
class Evidence:
    """What one frame says about one kind's candidate pairs.

    Attributes:
        kind: index into the filter's kinds.
        interaction: the kind.
        ids: [E, 2] object ids of the pairs, source first, sorted.
        frame: the pairs as they are and were.
        searched: [ids] by object id, whether all within reach of the object were looked for, so that what is not among
            the pairs was out of reach. None: of none is it known.
    """

    kind: int
    interaction: Interaction
    ids: Int[np.ndarray, "E 2"]
    frame: PairFrame
    searched: Bool[np.ndarray, " ids"] | None = None


def infer(table: EdgeTable, evidence: Sequence[Evidence]) -> EdgeTable:
    """Return the table after one frame, of which every kind is looked at once at most.

    Pairs that are new start at the prior. Pairs of a kind that are no longer its candidates were seen to be out of
    reach, where one of the two was searched around, and are dropped once they are unlikely; where neither was (two
    sleepers) they stay as they are. Kinds that were not looked at stay too.
    """
    looked_at = among(table.kind, [e.kind for e in evidence])
    nats = fetched(*(e.interaction.log_evidence(e.frame) if len(e.ids) else e.frame.source_std_m for e in evidence))
    found = [_updated(_rows(table, table.kind == e.kind), e, n) for e, n in zip(evidence, nats, strict=True)]
    parts = [_rows(table, ~looked_at), *found]
    joined = EdgeTable(
        np.concatenate([p.source for p in parts]),
        np.concatenate([p.target for p in parts]),
        np.concatenate([p.kind for p in parts]),
        np.concatenate([p.log_odds for p in parts]),
    )
    return _rows(joined, np.argsort(joined.keys(), kind="stable"))  # once for all kinds: each part is in order already


def _updated(old: EdgeTable, seen: Evidence, nats: Float[np.ndarray, " E"]) -> EdgeTable:
    """Return one kind's rows after a frame that told so much: those that are no candidates, then the candidates."""
    prior, ids = seen.interaction.prior, seen.ids
    waited = after_waiting(old.log_odds, prior, seen.frame.dt_s)
    if seen.searched is None:
        rest = waited
    else:
        around = seen.searched[old.source] | seen.searched[old.target]
        rest = np.where(around, waited - _APART_NATS, old.log_odds)
    kinds = np.full(len(ids), seen.kind, dtype=np.int64)
    candidates, old_keys = edge_keys(ids[:, 0], ids[:, 1], kinds), old.keys()
    start, waiting = np.full(len(ids), prior.log_odds), np.ones(len(old_keys), dtype=bool)
    if len(old_keys):
        place = np.searchsorted(old_keys, candidates).clip(max=len(old_keys) - 1)
        known = old_keys[place] == candidates
        start[known] = waited[place[known]]
        waiting[place[known]] = False
    fresh = np.clip(start + nats.astype(np.float64), -_LOG_ODDS_LIMIT, _LOG_ODDS_LIMIT)
    kept = waiting & (rest > _FORGET_LOG_ODDS)
    return EdgeTable(
        np.concatenate([old.source[kept], ids[:, 0]]),
        np.concatenate([old.target[kept], ids[:, 1]]),
        np.concatenate([old.kind[kept], kinds]),
        np.concatenate([rest[kept], fresh]),
    )


def _rows(table: EdgeTable, index: Bool[np.ndarray, " E"] | Int[np.ndarray, " n"]) -> EdgeTable:
    return EdgeTable(table.source[index], table.target[index], table.kind[index], table.log_odds[index])


def without(table: EdgeTable, dead: Int[np.ndarray, " n"]) -> EdgeTable:
    """Return the table without the edges of objects that are gone."""
    return _rows(table, ~(np.isin(table.source, dead) | np.isin(table.target, dead)))


def as_graph(
    table: EdgeTable, kinds: tuple[str, ...], object_ids: tuple[int, ...], labels: tuple[str, ...]
) -> InteractionGraph:
    """Return the table as the public value, without edges that are all but excluded."""
    likely = table.log_odds > _FORGET_LOG_ODDS
    return InteractionGraph(
        table.source[likely].copy(),
        table.target[likely].copy(),
        tuple(kinds[k] for k in table.kind[likely]),
        table.log_odds[likely].copy(),
        object_ids,
        labels,
    )
