"""Writes everything that a graph's score consists of into a run folder."""

from __future__ import annotations

import dataclasses
from typing import Any

from worldsim.evaluation.episode import EpisodeLog
from worldsim.evaluation.graph_run import JudgedFrame, calibration, judge, named_graph, write_graph
from worldsim.evaluation.graph_run_forces import with_forces
from worldsim.evaluation.graph_run_pictures import draw_accuracy, draw_graph, draw_reliability
from worldsim.evaluation.graph_scoring import EdgeScore
from worldsim.evaluation.report import write_animation
from worldsim.evaluation.run_folder import RunFolder

__all__ = ["ACCURACY", "FILM", "RELIABILITY", "judge_and_write"]

ACCURACY, RELIABILITY, FILM = "accuracy.png", "reliability.png", "graph.mp4"


def judge_and_write(log: EpisodeLog, folder: RunFolder, threshold: float, *, film: bool = True) -> dict[str, Any]:
    """Score the graph of an episode, write graph, plots, film and figures; return the figures.

    Args:
        log: an episode in which a world model ran.
        folder: where to write.
        threshold: an edge counts as believed from this probability on.
        film: draw the graph over the scene.
    """
    judged = with_forces(log, judge(log))
    scores = {kind: _score(judged, kind, threshold) for kind in (judged[0].said if judged else ())}
    met = [kind for kind, score in scores.items() if score.found + score.invented + score.missed]
    kinds = {}
    for kind, score in scores.items():
        honest = calibration(judged, kind)
        kinds[kind] = dataclasses.asdict(score) | {
            "precision": score.precision,
            "recall": score.recall,
            "f1": score.f1,
            "ece": honest.error,
            "reliability": {
                "stated": honest.curve.stated.tolist(),
                "happened": honest.curve.happened.tolist(),
                "count": honest.curve.count.tolist(),
            },
        }
    graph = named_graph(log, threshold)
    write_graph(graph, folder)
    draw_accuracy(judged, met, threshold, folder.path / ACCURACY)
    draw_reliability(judged, met, folder.path / RELIABILITY)
    if film:
        write_animation(draw_graph(log, judged, threshold), folder.path / FILM)
    metrics = {
        "threshold": threshold,
        "kinds": kinds,
        "nodes": graph.number_of_nodes(),
        "edges": graph.number_of_edges(),
    }
    folder.write_metrics(metrics)
    return metrics


def _score(judged: list[JudgedFrame], kind: str, threshold: float) -> EdgeScore:
    found, invented, missed = (sum(part) for part in zip(*(f.counts(kind, threshold) for f in judged), strict=True))
    return EdgeScore(kind, len(judged), found, invented, missed)
