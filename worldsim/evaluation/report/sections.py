"""The report's sections: what each drawing is, and how to read it."""

from __future__ import annotations

import math
from dataclasses import dataclass

from worldsim.evaluation.episode import EpisodeLog
from worldsim.evaluation.report.maps import graph_drawing, path_drawing
from worldsim.evaluation.report.plots import Plot, error_plot, posterior_plot, surprise_plot

__all__ = ["FILM_CAPTION", "Drawing", "Section", "sections"]

FILM_CAPTION = (
    "Left: what really happens. Right: what the world model believes, seen from above. Filled boxes are believed "
    "things in the colour of their kind, white outlines the truth; ellipses hold a thing with 90 % probability, fans "
    "are where it may be within the next second; lines join what carries, touches or holds each other; the blue curve "
    "is what the robot means to do; red is surprise. The dots are the moments of the story: click one to go there."
)


@dataclass(frozen=True, slots=True)
class Drawing:
    """A plot with its caption."""

    plot: Plot
    caption: str


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the page: how to read it, and its drawings."""

    title: str
    text: str
    drawings: tuple[Drawing, ...]


def sections(log: EpisodeLog) -> list[Section]:
    """Return the sections for what the log holds; a drawing without content is left out."""
    return [s for s in (_surprise(log), _candidates(log), _graph(log), _belief(log)) if s is not None]


def _surprise(log: EpisodeLog) -> Section:
    levels = [f.record.surprise.alarm_threshold_nats for f in log.frames if f.record is not None]
    hours = math.exp(min(levels[-1], 30.0)) * log.dt_s / 3600.0 if levels else 0.0
    about = float(f"{hours:.2g}")
    odds = f"less than once in about {about:,.12g} hours of watching one object" if levels else "rarely"
    text = (
        "For every object the world model keeps a running bet against its own model of it, with a broad alternative "
        "on the other side. The curve is the bet's winnings. While the model is right, they reach the dashed level "
        f"{odds} on average; what crosses it is not what it was taken for."
    )
    drawing = Drawing(surprise_plot(log), "Red: objects that raised an alarm. Grey: every other object.")
    return Section("How surprised it was", text, (drawing,))


def _candidates(log: EpisodeLog) -> Section | None:
    plot = posterior_plot(log)
    if plot is None:
        return None
    text = (
        "After the alarm, candidate models from the registry predict the coming frames side by side. Each gains or "
        "loses probability by how well it foresaw what came; the test stops as soon as one is clearly ahead."
    )
    return Section(
        "What it might be",
        text,
        (Drawing(plot, "Probability of each kind while it was tested, summed over the candidates of that kind."),),
    )


def _graph(log: EpisodeLog) -> Section | None:
    drawn = graph_drawing(log)
    if drawn is None:
        return None
    text = (
        "The interaction graph is inferred from what is seen; nobody tells the world model that a crate stands on a "
        "pallet. Arrows point from what carries to what is carried. Links of less than 50 % probability, and those "
        "among fixed things, are left out."
    )
    return Section(
        "Who carries, touches or holds whom", text, (Drawing(Plot(drawn), "The floor at an angle, heights stretched."),)
    )


def _belief(log: EpisodeLog) -> Section:
    text = "Where a dotted line lies on a solid one, the belief was right."
    drawings = [
        Drawing(Plot(path_drawing(log)), "Seen from above; shaded ellipses hold the thing with 90 % probability.")
    ]
    errors = error_plot(log)
    if errors is not None:
        text += (
            " Forecasts are compared with those of a tuned constant-velocity tracker that was handed the intruder's "
            "detections and never had to find them."
        )
        drawings.append(Drawing(errors, "Distance between the believed and the true place of the intruder."))
    return Section("What it believed, and what was so", text, tuple(drawings))
