"""Writes everything that a graph's score consists of into a run folder."""

from __future__ import annotations

import dataclasses
from typing import Any

from worldsim.evaluation.episode import EpisodeLog
from worldsim.evaluation.graph_run import JudgedFrame, calibration, judge, named_graph, write_graph
from worldsim.evaluation.graph_run_forces import with_forces
from worldsim.evaluation.graph_run_pictures import draw_accuracy, draw_graph, draw_reliability, draw_still
from worldsim.evaluation.graph_scoring import EdgeScore
from worldsim.evaluation.report import write_animation, write_report
from worldsim.evaluation.report.page import Illustration
from worldsim.evaluation.run_folder import RunFolder, read_run

__all__ = ["ACCURACY", "FILM", "PAGE", "RELIABILITY", "STILL", "judge_and_write", "write_page"]

ACCURACY, RELIABILITY, FILM = "accuracy.png", "reliability.png", "graph.mp4"
STILL, PAGE = "graph.png", "report.html"
_FILM_CAPTION = (
    "Things where they truly are, and the edges between them: a full line was found by the world model, a dashed one "
    "was invented, a dotted red one was missed; the stronger the line, the surer the world model. Cyan: what carries "
    "what. Yellow: what touches. Blue: what lies in what. Where things stand on one another, the scene is seen "
    "aslant, else from above."
)


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
    if judged:
        draw_still(log, judged, threshold, folder.path / STILL)
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


def write_page(log: EpisodeLog, folder: RunFolder, title: str) -> None:
    """Write the report of the episode with the graph's film and plots in it, in place of the one without.

    Args:
        log: the episode that was judged.
        folder: holds what `judge_and_write` wrote.
        title: a few words above the headline.
    """
    film = folder.path / FILM
    illustrations = (
        Illustration("The graph at its fullest", folder.path / STILL, "The frame with the most true edges."),
        Illustration("The graph against the truth", folder.path / ACCURACY, "F1 of each kind over the last second."),
        Illustration(
            "How honest its probabilities are",
            folder.path / RELIABILITY,
            "On the dotted line, what was said with a probability happened in that share of cases.",
        ),
    )
    write_report(
        log,
        folder.path / PAGE,
        title=title,
        run=read_run(folder.path),
        video=film if film.exists() else None,
        beside=[path.name for path in sorted(folder.path.iterdir()) if path.name != PAGE],
        film_caption=_FILM_CAPTION,
        illustrations=tuple(each for each in illustrations if each.path.exists()),
    )


def _score(judged: list[JudgedFrame], kind: str, threshold: float) -> EdgeScore:
    found, invented, missed = (sum(part) for part in zip(*(f.counts(kind, threshold) for f in judged), strict=True))
    return EdgeScore(kind, len(judged), found, invented, missed)
