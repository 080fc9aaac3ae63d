"""Draws the graph of an episode: accuracy against time, reliability, and the graph moving over the scene."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float
from PIL import Image, ImageDraw
from scipy.spatial.transform import Rotation

from worldsim.evaluation.episode import EpisodeLog
from worldsim.evaluation.graph_run import JudgedFrame, accuracy_curve, calibration
from worldsim.evaluation.graph_scoring import Edge
from worldsim.evaluation.report.animation import Pictures
from worldsim.evaluation.report.maps import footprint
from worldsim.evaluation.report.palette import DARK, colour_of_kind, rgb
from worldsim.evaluation.report.scene import FIXED_KINDS, font
from worldsim.types.truth import WorldTruth

__all__ = ["draw_accuracy", "draw_graph", "draw_reliability", "draw_still"]

COLOURS = {
    "support": "#3cc4d8",
    "contact": "#e3b04b",
    "attach": "#a98bef",
    "containment": "#5b8def",
    "spring": "#4fcf83",
    "charge": "#f07fb0",
}
"""Kind -> colour of its edges, in plots and pictures."""

_OTHER = "#93a1b2"
_DPI = 130
_SIZE = (1024, 720)  # multiples of 16, which H.264 wants
_LEGEND_PX = 64
_LEGEND_LEFT_PX, _LEGEND_GAP_PX = 130, 28
_EVERY = 2  # frames
_MARGIN_M = 0.6
_ASLANT_RAD = math.radians(38.0)
_STILL_COLOURS = 64
_ROUND_KINDS = ("ball",)
_SHIFT_PX = {"contact": 4.0, "attach": -4.0}
"""Kind -> how far beside the line of the centres its edges lie: what carries also touches."""


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
    """Draw every other frame: bodies where they truly are, and the edges between them.

    An edge that was found is a full line in the colour of its kind, one that was invented is dashed, and one that was
    missed is dotted in red. Lines grow opaque with the probability. Where things stand on one another, the scene is
    seen aslant from the south, since from above they hide each other and their edges; else from above.

    Args:
        log: the episode that was judged.
        judged: its frames.
        threshold: an edge counts as believed from this probability on.
        on_picture: told (done, of how many) after each picture.
    """
    truths = {frame.time_s: frame.truth for frame in log.frames}
    shown = list(judged)[::_EVERY]
    plan = _plan_of(log, judged)
    images = []
    for number, frame in enumerate(shown, start=1):
        images.append(np.asarray(plan.draw(frame, truths[frame.time_s], threshold)))
        if on_picture is not None:
            on_picture(number, len(shown))
    step_s = shown[1].time_s - shown[0].time_s if len(shown) > 1 else _EVERY * max(log.dt_s, 1e-3)
    return Pictures(tuple(images), tuple(frame.time_s for frame in shown), 1.0 / step_s)


def draw_still(log: EpisodeLog, judged: Sequence[JudgedFrame], threshold: float, path: Path) -> Path:
    """Draw the frame with the most edges, the last of several, as the film shows it; return `path`."""
    frame = max(reversed(judged), key=lambda each: sum(len(there) for there in each.there.values()))
    truth = next(each.truth for each in log.frames if each.time_s == frame.time_s)
    _plan_of(log, judged).draw(frame, truth, threshold).quantize(_STILL_COLOURS).save(path, optimize=True)
    return path


def _plan_of(log: EpisodeLog, judged: Sequence[JudgedFrame]) -> _Plan:
    stands = any(frame.there["support"] for frame in judged)
    return _Plan.around([frame.truth for frame in log.frames], _ASLANT_RAD if stands else math.pi / 2.0)


class _Plan:
    """A map of the scene in pixels, seen from the south at an elevation (pi / 2: from above), without perspective."""

    def __init__(self, points: Float[np.ndarray, "n 3"], elevation_rad: float) -> None:
        """Fit the map to `points`, m."""
        self.aslant = elevation_rad < math.pi / 2.0
        up, over = math.sin(elevation_rad), math.cos(elevation_rad)
        self.across = np.array([[1.0, 0.0, 0.0], [0.0, up, over]])  # world to the plane of the picture
        self.toward = np.array([0.0, -over, up])  # to the eye
        flat = points @ self.across.T
        low, high = flat.min(axis=0) - _MARGIN_M, flat.max(axis=0) + _MARGIN_M
        size = np.array([_SIZE[0], _SIZE[1] - _LEGEND_PX])
        self.scale = float((size / (high - low)).min())
        self.origin = size / 2 - self.scale * (low + high) / 2 * [1.0, -1.0]

    @classmethod
    def around(cls, truths: Sequence[WorldTruth], elevation_rad: float) -> _Plan:
        """Return a map that shows every body of the first and the last of `truths`, and all between."""
        points = [
            truth.position[[name not in truth.absent for name in truth.names]]
            for truth in (*truths[:: max(1, len(truths) // 8)], truths[-1])
        ]
        return cls(np.concatenate(points), elevation_rad)

    def pixels(self, points: Float[np.ndarray, "n 3"]) -> list[tuple[float, float]]:
        """Return places, [n, 3] m, as places in the picture."""
        flat = points @ self.across.T
        return [(float(x), float(y)) for x, y in flat * [1.0, -1.0] * self.scale + self.origin]

    def draw(self, frame: JudgedFrame, truth: WorldTruth, threshold: float) -> Image.Image:
        """Return the picture of one frame."""
        image = Image.new("RGB", _SIZE, rgb(DARK["page"])[:3])
        draw = ImageDraw.Draw(image, "RGBA")
        fixed = np.array([kind in FIXED_KINDS for kind in truth.kinds])
        near = truth.position @ self.toward
        # what never moves goes first: it is drawn flat, and nothing may vanish behind a wall
        for row in np.lexsort((near, ~fixed)):
            if truth.names[row] not in truth.absent:
                self._body(draw, truth, int(row), flat=bool(fixed[row]))
        place = dict(zip(truth.names, truth.position, strict=True))
        for kind in frame.said:
            self._edges(draw, frame, kind, place, threshold)
        _legend(draw, frame, threshold)
        return image

    def _body(self, draw: ImageDraw.ImageDraw, truth: WorldTruth, row: int, *, flat: bool) -> None:
        colour, outline = colour_of_kind(truth.kinds[row]), rgb(DARK["muted"], 200)
        place, extent = truth.position[row], truth.extent_m[row]
        if truth.kinds[row] in _ROUND_KINDS:
            (x, y), radius = self.pixels(place[None])[0], float(extent[0]) / 2.0 * self.scale
            draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=rgb(colour, 190), outline=outline)
            return
        if flat or not self.aslant:
            corners = footprint(place, truth.orientation_xyzw[row], extent)
            ground = 0.0 if self.aslant else float(place[2])
            corners = np.column_stack([corners, np.full(len(corners), ground)])
            draw.polygon(self.pixels(corners), fill=rgb(colour, 90 if flat else 190), outline=outline)
            return
        turn = Rotation.from_quat(truth.orientation_xyzw[row]).as_matrix()
        for axis, side in itertools.product(range(3), (-1.0, 1.0)):
            facing = float(side * turn[:, axis] @ self.toward)
            if facing > 0.0:
                corners = place + (0.5 * extent * _face(axis, side)) @ turn.T
                shade = tuple(round(part * (0.55 + 0.45 * facing)) for part in rgb(colour)[:3])
                draw.polygon(self.pixels(corners), fill=(*shade, 225), outline=outline)

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
            self._line(draw, edge, place, colour, dash, _SHIFT_PX.get(kind, 0.0))

    def _line(
        self,
        draw: ImageDraw.ImageDraw,
        edge: Edge,
        place: dict[str, np.ndarray],
        colour: tuple[int, int, int, int],
        dash: tuple[int, int] | None,
        shift_px: float,
    ) -> None:
        first, second = (np.array(end) for end in self.pixels(np.stack([place[edge[0]], place[edge[1]]])))
        length = float(np.linalg.norm(second - first))
        # the same shift for either direction, so that the kinds of one pair lie side by side
        along = (second - first) / max(length, 1e-9) * (1.0 if tuple(first) <= tuple(second) else -1.0)
        beside = shift_px * np.array([-along[1], along[0]])
        first, second = first + beside, second + beside
        if dash is None or length < sum(dash):
            draw.line([*first, *second], fill=colour, width=3)
        else:
            on, off = dash
            for start in np.arange(0.0, length, on + off):
                a, b = start / length, min((start + on) / length, 1.0)
                draw.line([*(first + a * (second - first)), *(first + b * (second - first))], fill=colour, width=2)
        for x, y in (first, second):
            draw.ellipse((x - 4, y - 4, x + 4, y + 4), fill=colour)


def _face(axis: int, side: float) -> Float[np.ndarray, "4 3"]:
    """Return the corners of a face of the cube from -1 to 1."""
    corners = np.full((4, 3), side)
    corners[:, [other for other in range(3) if other != axis]] = [[-1, -1], [1, -1], [1, 1], [-1, 1]]
    return corners


def _legend(draw: ImageDraw.ImageDraw, frame: JudgedFrame, threshold: float) -> None:
    top = _SIZE[1] - _LEGEND_PX
    draw.rectangle((0, top, *_SIZE), fill=rgb(DARK["panel"])[:3])
    draw.text((16, top + 8), f"{frame.time_s:5.1f} s", font=font(22), fill=rgb(DARK["muted"])[:3])
    key = "edges found (full), invented (dashed), missed (red, dotted)"
    draw.text((16, top + 40), key, font=font(13), fill=rgb(DARK["muted"])[:3])
    texts = {kind: "{}: {}, {}, {}".format(kind, *frame.counts(kind, threshold)) for kind in frame.said}
    room = _SIZE[0] - _LEGEND_LEFT_PX - _LEGEND_GAP_PX * len(texts)
    size = next((s for s in (16, 14, 12) if sum(draw.textlength(t, font=font(s)) for t in texts.values()) <= room), 10)
    x = _LEGEND_LEFT_PX
    for kind, text in texts.items():
        draw.text((x, top + 11), text, font=font(size), fill=rgb(COLOURS.get(kind, _OTHER))[:3])
        x += _LEGEND_GAP_PX + int(draw.textlength(text, font=font(size)))
