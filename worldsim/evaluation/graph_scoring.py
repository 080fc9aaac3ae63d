"""Scores an inferred interaction graph against the true one, frame by frame."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from worldsim.evaluation.episode import BeliefSnapshot, EpisodeLog
from worldsim.types.graph import InteractionGraph, InteractionKind
from worldsim.types.truth import WorldTruth

__all__ = ["Edge", "EdgeScore", "graph_scores", "names_of_objects", "ordered_edges", "true_edges"]

_SAME_THING_M = 0.5  # a belief farther from every true body than this is of none of them
_DIRECTED = frozenset({InteractionKind.SUPPORT, InteractionKind.CONTAINMENT})

Edge = tuple[str, str]


@dataclass(frozen=True, slots=True)
class EdgeScore:
    """Edges of one kind, counted over frames.

    Only pairs whose two things are both believed somewhere can be told apart or missed; what the world model has
    not seen yet is no fault of its graph.

    Attributes:
        kind: of the interaction.
        frames: number of frames counted.
        found: true edges that were believed with p >= the threshold.
        invented: edges believed that were not there.
        missed: true edges between believed things that were not believed.
    """

    kind: str
    frames: int
    found: int
    invented: int
    missed: int

    @property
    def precision(self) -> float:
        """Share of the believed edges that were there, NaN where none was believed."""
        return _share(self.found, self.found + self.invented)

    @property
    def recall(self) -> float:
        """Share of the true edges that were believed, NaN where there was none."""
        return _share(self.found, self.found + self.missed)

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall, NaN where there was nothing to find and nothing was believed."""
        return _share(2 * self.found, 2 * self.found + self.invented + self.missed)


def graph_scores(log: EpisodeLog, threshold: float = 0.5) -> list[EdgeScore]:
    """Return a score for each kind of interaction that the simulator knows the truth of.

    Args:
        log: an episode in which a world model ran.
        threshold: an edge counts as believed from this probability on.
    """
    counts = {kind: np.zeros(3, dtype=np.int64) for kind in InteractionKind}
    frames = 0
    for frame in log.frames:
        if frame.record is None or frame.belief is None:
            continue
        frames += 1
        names = names_of_objects(frame.belief, frame.truth)
        for kind in InteractionKind:
            believed = _believed(frame.record.graph, kind, names, threshold)
            there = true_edges(frame.truth, kind, set(names.values()))
            counts[kind] += (len(believed & there), len(believed - there), len(there - believed))
    return [EdgeScore(kind.value, frames, *(int(c) for c in counts[kind])) for kind in InteractionKind]


def names_of_objects(belief: BeliefSnapshot, truth: WorldTruth) -> dict[int, str]:
    """Return object id -> name of the true body that it stands for, each body once.

    The pairs are those whose distances sum to least; a pair farther apart than half a metre stands for nothing.
    """
    rows = [row for row, name in enumerate(truth.names) if name not in truth.absent]
    distance = np.linalg.norm(belief.position[:, None] - truth.position[None, rows], axis=2)
    objects, bodies = linear_sum_assignment(np.minimum(distance, _SAME_THING_M))
    return {
        int(belief.object_id[i]): truth.names[rows[j]]
        for i, j in zip(objects, bodies, strict=True)
        if distance[i, j] < _SAME_THING_M
    }


def _believed(graph: InteractionGraph, kind: InteractionKind, names: dict[int, str], threshold: float) -> set[Edge]:
    pairs = zip(graph.source.tolist(), graph.target.tolist(), graph.kind, graph.probability.tolist(), strict=True)
    return ordered_edges(
        ((names[a], names[b]) for a, b, k, p in pairs if k == kind and p >= threshold and a in names and b in names),
        kind,
    )


def true_edges(truth: WorldTruth, kind: InteractionKind, known: set[str]) -> set[Edge]:
    """Return the edges of one kind that are there between `known` things."""
    edges: Iterable[Edge]
    if kind is InteractionKind.SUPPORT:
        edges = truth.supports
    elif kind is InteractionKind.ATTACH:
        edges = truth.attachments
    elif kind is InteractionKind.CONTAINMENT:
        edges = truth.containments
    else:
        edges = ((a, b) for a, b, _ in truth.contacts)
    return ordered_edges(((a, b) for a, b in edges if a in known and b in known), kind)


def ordered_edges(edges: Iterable[Edge], kind: InteractionKind) -> set[Edge]:
    """Return the edges as a set, those of a symmetric kind listed by name."""
    return set(edges) if kind in _DIRECTED else {(min(edge), max(edge)) for edge in edges}


def _share(part: int, whole: int) -> float:
    return part / whole if whole else float("nan")
