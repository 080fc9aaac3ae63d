"""The typed posterior: one log-odds per pair and kind, filtered over time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from worldsim.contracts.interaction import EdgePrior, Interaction, PairFrame
from worldsim.types.graph import InteractionGraph

_LOG_ODDS_LIMIT = 9.0  # beyond one in ten thousand an edge could never be given up in time
_FORGET_LOG_ODDS = -3.9  # below 2 %: out of reach and unlikely, so no longer listed


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


def edge_keys(
    source: Int[np.ndarray, " E"], target: Int[np.ndarray, " E"], kind: Int[np.ndarray, " E"]
) -> Int[np.ndarray, " E"]:
    """Return one int64 per (source id, target id, kind); ids below 2^28, kinds below 2^7."""
    return (source << 35) | (target << 7) | kind


def after_waiting(log_odds: Float[np.ndarray, " E"], prior: EdgePrior, dt_s: float) -> Float[np.ndarray, " E"]:
    """Return log-odds after `dt_s` in which edges may have appeared and vanished (two-state Markov chain)."""
    p = 1.0 / (1.0 + np.exp(-log_odds))
    on, off = 1.0 - np.exp(-prior.appear_per_s * dt_s), 1.0 - np.exp(-prior.vanish_per_s * dt_s)
    p = np.clip(p * (1.0 - off) + (1.0 - p) * on, 1e-9, 1.0 - 1e-9)
    return np.log(p) - np.log1p(-p)


def infer(
    table: EdgeTable,
    kind: int,
    interaction: Interaction,
    ids: Int[np.ndarray, "E 2"],
    frame: PairFrame,
) -> EdgeTable:
    """Return the table after one frame of evidence on one kind's candidate pairs.

    Pairs that are new start at the prior; pairs of this kind that are no longer candidates only wait, and are
    dropped once they are unlikely.
    """
    mine = table.kind == kind
    old = EdgeTable(table.source[mine], table.target[mine], table.kind[mine], table.log_odds[mine])
    waited = after_waiting(old.log_odds, interaction.prior, frame.dt_s)
    kinds = np.full(len(ids), kind, dtype=np.int64)
    candidate_keys = edge_keys(ids[:, 0], ids[:, 1], kinds)
    old_keys = old.keys()
    place = np.searchsorted(old_keys, candidate_keys)
    place_ok = np.minimum(place, max(len(old_keys) - 1, 0))
    known = (
        (place < len(old_keys)) & (old_keys[place_ok] == candidate_keys) if len(old_keys) else np.zeros(len(ids), bool)
    )
    start = np.full(len(ids), interaction.prior.log_odds)
    start[known] = waited[place_ok[known]]
    found = interaction.log_evidence(frame) if len(ids) else frame.source_std_m
    evidence = found.detach().cpu().numpy().astype(np.float64)
    fresh = np.clip(start + evidence, -_LOG_ODDS_LIMIT, _LOG_ODDS_LIMIT)
    kept = ~np.isin(old_keys, candidate_keys) & (waited > _FORGET_LOG_ODDS)
    others = ~mine
    joined = EdgeTable(
        np.concatenate([table.source[others], old.source[kept], ids[:, 0]]),
        np.concatenate([table.target[others], old.target[kept], ids[:, 1]]),
        np.concatenate([table.kind[others], old.kind[kept], kinds]),
        np.concatenate([table.log_odds[others], waited[kept], fresh]),
    )
    order = np.argsort(joined.keys(), kind="stable")
    return EdgeTable(joined.source[order], joined.target[order], joined.kind[order], joined.log_odds[order])


def without(table: EdgeTable, dead: Int[np.ndarray, " n"]) -> EdgeTable:
    """Return the table without the edges of objects that are gone."""
    keep = ~(np.isin(table.source, dead) | np.isin(table.target, dead))
    return EdgeTable(table.source[keep], table.target[keep], table.kind[keep], table.log_odds[keep])


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
