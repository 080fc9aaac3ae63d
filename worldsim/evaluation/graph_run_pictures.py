"""Draws the graph of an episode: accuracy against time, reliability, and the graph moving over the scene."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from worldsim.evaluation.episode import EpisodeLog
from worldsim.evaluation.graph_run import JudgedFrame, accuracy_curve, calibration
from worldsim.evaluation.graph_scoring import Edge
from worldsim.evaluation.report.animation import Pictures
from worldsim.evaluation.report.maps import footprint
from worldsim.evaluation.report.palette import DARK, colour_of_kind, rgb
from worldsim.evaluation.report.scene import FIXED_KINDS, font
from worldsim.types.truth import WorldTruth

__all__ = ["draw_accuracy", "draw_graph", "draw_reliability"]

COLOURS = {"support": "#3cc4d8", "contact": "#e3b04b", "attach": "#a98bef", "spring": "#4fcf83", "charge": "#f07fb0"}
"""Kind -> colour of its edges, in plots and pictures."""

_OTHER = "#93a1b2"
_DPI = 130
_SIZE = (1024, 720)  # multiples of 16, which H.264 wants
_LEGEND_PX = 64
_EVERY = 2  # frames
_MARGIN_M = 0.6


def draw_accuracy(judged: Sequence[JudgedFrame], kinds: Sequence[str], threshold: float, path: Path) -> Path:
    """Draw the F1 of each kind's edges against time; return `path`."""
    from matplotlib.figure import Figure as Drawing

    drawing = Drawing(figsize=(8.0, 3.6), layout="constrained")
    axes = drawing.subplots()
    for kind in kinds:
        time_s, f1 = accuracy_curve(judged, kind, threshold)
        axes.plot(time_s, f1, color=COLOURS.get(kind, _OTHER), label=kind)
    axes.set(xlabel="time, s", ylabel="F1 of the edges, last second", ylim=(-0.02, 1.02))
    axes.legend(frameon=False, ncols=max(len(kinds), 1), fontsize=8)
    drawing.savefig(path, dpi=_DPI)
    return path


def draw_reliability(judged: Sequence[JudgedFrame], kinds: Sequence[str], path: Path) -> Path:
    """Draw what happened against what was said, one curve a kind; return `path`."""
    from matplotlib.figure import Figure as Drawing

    drawing = Drawing(figsize=(4.6, 4.6), layout="constrained")
    axes = drawing.subplots()
    axes.plot([0.0, 1.0], [0.0, 1.0], color="#9aa5b1", lw=1, ls=":")
    for kind in kinds:
        found = calibration(judged, kind)
        used = found.curve.count > 0
        if used.any():
            words = f"{kind}: ECE {found.error:.3f}, n = {found.count}"
            colour = COLOURS.get(kind, _OTHER)
            axes.plot(found.curve.stated[used], found.curve.happened[used], "o-", color=colour, label=words)
    axes.set(xlabel="probability that was stated", ylabel="share that was there", xlim=(0, 1), ylim=(0, 1))
    axes.legend(frameon=False, fontsize=8)
    drawing.savefig(path, dpi=_DPI)
    return path


def draw_graph(
    log: EpisodeLog,
    judged: Sequence[JudgedFrame],
    threshold: float,
    on_picture: Callable[[int, int], None] | None = None,
) -> Pictures:
    """Draw every other frame from above: bodies where they truly are, and the edges between them.

    An edge that was found is a full line in the colour of its kind, one that was invented is dashed, and one that was
    missed is dotted in red. Lines grow opaque with the probability.

    Args:
        log: the episode that was judged.
        judged: its frames.
        threshold: an edge counts as believed from this probability on.
        on_picture: told (done, of how many) after each picture.
    """
    truths = {frame.time_s: frame.truth for frame in log.frames}
    plan = _Plan.around(log.frames[0].truth)
    shown = list(judged)[::_EVERY]
    images = []
    for number, frame in enumerate(shown, start=1):
        images.append(np.asarray(plan.draw(frame, truths[frame.time_s], threshold)))
        if on_picture is not None:
            on_picture(number, len(shown))
    step_s = shown[1].time_s - shown[0].time_s if len(shown) > 1 else _EVERY * max(log.dt_s, 1e-3)
    return Pictures(tuple(images), tuple(frame.time_s for frame in shown), 1.0 / step_s)


class _Plan:
    """A map of the floor in pixels."""

    def __init__(self, low: np.ndarray, high: np.ndarray) -> None:
        size = np.array([_SIZE[0], _SIZE[1] - _LEGEND_PX])
        self.scale = float((size / (high - low)).min())
        self.origin = size / 2 - self.scale * (low + high) / 2 * [1.0, -1.0]

    @classmethod
    def around(cls, truth: WorldTruth) -> _Plan:
        """Return a map that shows every body of `truth`."""
        here = truth.position[[name not in truth.absent for name in truth.names], :2]
        return cls(here.min(axis=0) - _MARGIN_M, here.max(axis=0) + _MARGIN_M)

    def pixels(self, points: np.ndarray) -> list[tuple[float, float]]:
        """Return places on the floor, [n, 2] m, as places in the picture."""
        return [(float(x), float(y)) for x, y in points * [1.0, -1.0] * self.scale + self.origin]

    def draw(self, frame: JudgedFrame, truth: WorldTruth, threshold: float) -> Image.Image:
        """Return the picture of one frame."""
        image = Image.new("RGB", _SIZE, rgb(DARK["page"])[:3])
        draw = ImageDraw.Draw(image, "RGBA")
        for row in np.argsort(truth.position[:, 2] + truth.extent_m[:, 2] / 2):
            kind = truth.kinds[row]
            if truth.names[row] in truth.absent:
                continue
            corners = footprint(truth.position[row], truth.orientation_xyzw[row], truth.extent_m[row])
            fill = rgb(colour_of_kind(kind), 90 if kind in FIXED_KINDS else 190)
            draw.polygon(self.pixels(corners), fill=fill, outline=rgb(DARK["muted"], 200))
        place = {name: truth.position[row, :2] for row, name in enumerate(truth.names)}
        for kind in frame.said:
            self._edges(draw, frame, kind, place, threshold)
        _legend(draw, frame, threshold)
        return image

    def _edges(
        self, draw: ImageDraw.ImageDraw, frame: JudgedFrame, kind: str, place: dict[str, np.ndarray], threshold: float
    ) -> None:
        said, there = frame.said[kind], frame.there[kind]
        for edge in sorted(said.keys() | there):
            p = said.get(edge, 0.0)
            if p >= threshold:
                colour, dash = rgb(COLOURS.get(kind, _OTHER), int(90 + 165 * p)), None if edge in there else (10, 6)
            elif edge in there:
                colour, dash = rgb(DARK["alarm"], 230), (3, 5)
            else:
                continue
            self._line(draw, edge, place, colour, dash)

    def _line(
        self,
        draw: ImageDraw.ImageDraw,
        edge: Edge,
        place: dict[str, np.ndarray],
        colour: tuple[int, int, int, int],
        dash: tuple[int, int] | None,
    ) -> None:
        first, second = (np.array(end) for end in self.pixels(np.stack([place[edge[0]], place[edge[1]]])))
        length = float(np.linalg.norm(second - first))
        if dash is None or length < sum(dash):
            draw.line([*first, *second], fill=colour, width=3)
        else:
            on, off = dash
            for start in np.arange(0.0, length, on + off):
                a, b = start / length, min((start + on) / length, 1.0)
                draw.line([*(first + a * (second - first)), *(first + b * (second - first))], fill=colour, width=2)
        for x, y in (first, second):
            draw.ellipse((x - 4, y - 4, x + 4, y + 4), fill=colour)


def _legend(draw: ImageDraw.ImageDraw, frame: JudgedFrame, threshold: float) -> None:
    top = _SIZE[1] - _LEGEND_PX
    draw.rectangle((0, top, *_SIZE), fill=rgb(DARK["panel"])[:3])
    draw.text((16, top + 18), f"{frame.time_s:5.1f} s", font=font(22), fill=rgb(DARK["muted"])[:3])
    x = 130
    for kind in frame.said:
        found, invented, missed = frame.counts(kind, threshold)
        text = f"{kind}: {found} found, {invented} invented, {missed} missed"
        draw.text((x, top + 23), text, font=font(14), fill=rgb(COLOURS.get(kind, _OTHER))[:3])
        x += 28 + int(draw.textlength(text, font=font(14)))
