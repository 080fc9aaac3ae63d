"""Judges the graph of a whole episode: who was said to act on whom, with what probability, and who did."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import networkx as nx
import numpy as np
from jaxtyping import Bool, Float

from worldsim.evaluation.calibration import ReliabilityCurve, expected_calibration_error, reliability_curve
from worldsim.evaluation.episode import EpisodeLog
from worldsim.evaluation.graph_scoring import Edge, names_of_objects, ordered_edges, true_edges
from worldsim.evaluation.run_folder import RunFolder
from worldsim.types.graph import InteractionGraph, InteractionKind

__all__ = [
    "GRAPHML",
    "GRAPH_JSON",
    "Calibration",
    "JudgedFrame",
    "accuracy_curve",
    "calibration",
    "judge",
    "named_graph",
    "stated_and_happened",
    "write_graph",
]

GRAPHML, GRAPH_JSON = "graph.graphml", "graph.json"


@dataclass(frozen=True, slots=True)
class JudgedFrame:
    """One frame of the graph against the truth.

    Attributes:
        time_s: s since reset.
        said: kind -> edge (by true names) -> probability, of every listed edge between two known things.
        there: kind -> true edges between known things.
    """

    time_s: float
    said: Mapping[str, Mapping[Edge, float]]
    there: Mapping[str, frozenset[Edge]]

    def counts(self, kind: str, threshold: float) -> tuple[int, int, int]:
        """Return how many edges of `kind` were found, invented and missed."""
        believed = {edge for edge, p in self.said[kind].items() if p >= threshold}
        there = self.there[kind]
        return len(believed & there), len(believed - there), len(there - believed)


def judge(log: EpisodeLog) -> list[JudgedFrame]:
    """Return every frame in which a world model ran, its graph beside the truth."""
    judged = []
    for frame in log.frames:
        if frame.record is None or frame.belief is None:
            continue
        names = names_of_objects(frame.belief, frame.truth)
        known = set(names.values())
        said = {str(kind): _said(frame.record.graph, kind, names) for kind in InteractionKind}
        there = {str(kind): frozenset(true_edges(frame.truth, kind, known)) for kind in InteractionKind}
        judged.append(JudgedFrame(frame.time_s, said, there))
    return judged


def _said(graph: InteractionGraph, kind: InteractionKind, names: Mapping[int, str]) -> dict[Edge, float]:
    said: dict[Edge, float] = {}
    rows = zip(graph.source.tolist(), graph.target.tolist(), graph.kind, graph.probability.tolist(), strict=True)
    for source, target, listed, p in rows:
        if listed != kind or source not in names or target not in names:
            continue
        (edge,) = ordered_edges([(names[source], names[target])], kind)
        said[edge] = max(p, said.get(edge, 0.0))
    return said


def accuracy_curve(
    judged: Sequence[JudgedFrame], kind: str, threshold: float, window: int = 20
) -> tuple[Float[np.ndarray, " T"], Float[np.ndarray, " T"]]:
    """Return times (s) and the F1 of the edges of one kind over a sliding window, NaN where there was none.

    Args:
        judged: the frames.
        kind: of the edges.
        threshold: an edge counts as believed from this probability on.
        window: frames that one value looks back on.
    """
    counts = np.array([frame.counts(kind, threshold) for frame in judged], dtype=np.float64).reshape(-1, 3)
    total = np.concatenate([np.zeros((1, 3)), counts.cumsum(axis=0)])
    end = np.arange(1, len(judged) + 1)
    found, invented, missed = (total[end] - total[np.maximum(end - window, 0)]).T
    with np.errstate(invalid="ignore"):
        f1 = 2.0 * found / (2.0 * found + invented + missed)
    return np.array([frame.time_s for frame in judged]), f1


@dataclass(frozen=True, slots=True)
class Calibration:
    """Whether stated probabilities of edges are honest.

    Attributes:
        error: expected calibration error over all listed edges and all true edges that were not listed (p = 0).
        curve: the reliability curve.
        count: edges x frames behind it.
    """

    error: float
    curve: ReliabilityCurve
    count: int


def calibration(judged: Sequence[JudgedFrame], kind: str) -> Calibration:
    """Return how honest the probabilities of one kind were (an error of NaN where no edge was listed or there)."""
    probability, outcome = stated_and_happened(judged, kind)
    error = expected_calibration_error(probability, outcome) if len(probability) else float("nan")
    return Calibration(error, reliability_curve(probability, outcome), len(probability))


def stated_and_happened(
    judged: Sequence[JudgedFrame], kind: str
) -> tuple[Float[np.ndarray, " N"], Bool[np.ndarray, " N"]]:
    """Return the stated probability of every listed or true edge of one kind, frame by frame, and whether it was there.

    A true edge that was not listed was stated with 0.
    """
    probability: list[float] = []
    outcome: list[bool] = []
    for frame in judged:
        said, there = frame.said[kind], frame.there[kind]
        for edge in sorted(said.keys() | there):
            probability.append(said.get(edge, 0.0))
            outcome.append(edge in there)
    return np.array(probability), np.array(outcome, dtype=bool)


def named_graph(log: EpisodeLog, threshold: float) -> nx.MultiDiGraph:
    """Return the last graph of the episode, nodes with the kind and place that were believed of them.

    Args:
        log: an episode in which a world model ran.
        threshold: edges below this probability are left out.
    """
    last = next((f for f in reversed(log.frames) if f.record is not None and f.belief is not None), None)
    if last is None or last.record is None or last.belief is None:
        return nx.MultiDiGraph()
    graph = last.record.graph.to_networkx(threshold)
    belief = last.belief
    for row, object_id in enumerate(belief.object_id.tolist()):
        if object_id in graph:
            x, y, z = (float(value) for value in belief.position[row])
            graph.add_node(object_id, kind=belief.kind[row], x_m=x, y_m=y, z_m=z)
    graph.graph["time_s"] = float(last.time_s)
    return graph


def write_graph(graph: nx.MultiDiGraph, folder: RunFolder) -> dict[str, Any]:
    """Write the graph as GraphML and as node-link JSON into the run folder; return the latter."""
    folder.write_text(GRAPHML, "\n".join(nx.generate_graphml(graph)) + "\n")
    data: dict[str, Any] = nx.node_link_data(graph, edges="edges")
    folder.write_text(GRAPH_JSON, json.dumps(data, indent=1) + "\n")
    return data
