"""Draws one frame of the belief from above, quickly (Pillow; a plotting library would take ten times as long)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import matplotlib
import numpy as np
from jaxtyping import Float
from PIL import Image, ImageDraw, ImageFont

from worldsim.evaluation.episode import BeliefSnapshot, Frame
from worldsim.evaluation.model_names import by_kind
from worldsim.evaluation.report.maps import footprint
from worldsim.evaluation.report.palette import DARK, colour_of_kind, rgb

__all__ = [
    "EDGE_COLOURS",
    "FIXED_KINDS",
    "Label",
    "TopView",
    "ellipse_points",
    "font",
    "label_of",
    "surprise_by_id",
    "write_labels",
]

_SUPERSAMPLING = 2  # Pillow draws without anti-aliasing
_EDGE_SHOWN = 0.5
EDGE_COLOURS = {"support": DARK["s1"], "contact": DARK["s2"], "attach": DARK["s3"]}
_RADIUS_90_2D = 2.146  # sqrt of the 90 % point of chi-square with 2 degrees of freedom
FIXED_KINDS = ("wall", "shelf", "pillar", "door_frame", "station")
_SHOWN_HYPOTHESES = 3
_SPEED_M_S, _YAW_RATE_RAD_S = 1.2, 1.5  # what an action of 1 commands
_FRESH_NATS = 2.0  # log W below this is what a right model shows all the time


class Label(NamedTuple):
    """A text in a picture: where (pixels), what, and in which colour."""

    place: tuple[float, float]
    text: str
    colour: str


def font(size: int) -> ImageFont.FreeTypeFont:
    """Return the sans-serif font that comes with matplotlib, so that every machine draws the same."""
    return ImageFont.truetype(str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"), size)


def ellipse_points(
    centre: Float[np.ndarray, "2"], covariance: Float[np.ndarray, "2 2"], points: int = 28
) -> Float[np.ndarray, "points 2"]:
    """Return the outline of the 90 % region of a planar Gaussian."""
    values, vectors = np.linalg.eigh(covariance)
    angle = np.linspace(0, 2 * np.pi, points, endpoint=False)
    circle = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return centre + _RADIUS_90_2D * circle * np.sqrt(np.maximum(values, 0.0)) @ vectors.T


@dataclass(slots=True)
class TopView:
    """Draws beliefs over a fixed part of the floor.

    Attributes:
        width, height: of the picture, pixels.
        low_m, high_m: corners of the floor that must be in the picture.
        plan_step_s: time between the actions of a plan.
        settled: object id -> what it was found to be; filled by the caller as the story goes on.
    """

    width: int
    height: int
    low_m: tuple[float, float]
    high_m: tuple[float, float]
    plan_step_s: float = 0.1
    settled: dict[int, str] = field(default_factory=dict)

    def draw(self, frame: Frame) -> Image.Image:
        """Return the picture of one frame."""
        image = Image.new("RGB", (self.width * _SUPERSAMPLING, self.height * _SUPERSAMPLING), rgb(DARK["page"])[:3])
        draw = ImageDraw.Draw(image, "RGBA")
        self._floor(draw)
        labels: list[Label] = []
        if frame.belief is not None:
            surprise = surprise_by_id(frame)
            self._boxes(draw, frame.belief, surprise)
            self._forecasts(draw, frame)
            self._edges(draw, frame)
            labels = self._labels(frame)
        self._truth(draw, frame)
        self._plan(draw, frame)
        image = image.resize((self.width, self.height), Image.Resampling.BOX)
        write_labels(image, labels)
        return image

    def to_pixels(self, points: Float[np.ndarray, "n 2"]) -> list[tuple[float, float]]:
        """Return places on the floor as places in the supersampled picture."""
        scale, offset = self._scale()
        pixels = (np.atleast_2d(points) * [1, -1] * scale + offset) * _SUPERSAMPLING
        return [(float(x), float(y)) for x, y in pixels]

    def _scale(self) -> tuple[float, np.ndarray]:
        low, high = np.array(self.low_m), np.array(self.high_m)
        scale = float(min(np.array([self.width, self.height]) / (high - low)))
        centre = (low + high) / 2
        return scale, np.array([self.width / 2 - centre[0] * scale, self.height / 2 + centre[1] * scale])

    def _floor(self, draw: ImageDraw.ImageDraw) -> None:
        low, high = self.low_m, self.high_m
        line = rgb(DARK["grid"], 110)
        for x in np.arange(np.ceil(low[0]), high[0], 2.0):
            draw.line(self.to_pixels(np.array([[x, low[1]], [x, high[1]]])), fill=line, width=1)
        for y in np.arange(np.ceil(low[1]), high[1], 2.0):
            draw.line(self.to_pixels(np.array([[low[0], y], [high[0], y]])), fill=line, width=1)

    def _boxes(self, draw: ImageDraw.ImageDraw, belief: BeliefSnapshot, surprise: dict[int, float]) -> None:
        for i in np.argsort(belief.position[:, 2] + belief.extent_m[:, 2] / 2):
            kind = belief.kind[i]
            object_id = int(belief.object_id[i])
            corners = self.to_pixels(footprint(belief.position[i], belief.orientation_xyzw[i], belief.extent_m[i]))
            solid = 235 if kind not in FIXED_KINDS else 150
            fill = _mix(colour_of_kind(kind), DARK["alarm"], surprise.get(object_id, 0.0))
            draw.polygon(corners, fill=(*fill, int(solid * min(1.0, 0.3 + belief.existence[i]))))
            outline = self.to_pixels(ellipse_points(belief.position[i, :2], belief.position_covariance[i, :2, :2]))
            draw.polygon(outline, outline=(*fill, 255), fill=(*fill, 45))

    def _forecasts(self, draw: ImageDraw.ImageDraw, frame: Frame) -> None:
        if frame.forecast is None or frame.belief is None:
            return
        ahead = frame.forecast
        for column in np.flatnonzero(ahead.moves):
            row = frame.belief.row_of(int(ahead.object_id[column]))
            travelled = np.linalg.norm(ahead.position[-1, column, :2] - ahead.position[0, column, :2])
            if row is None or travelled + ahead.position_std[-1, column, :2].max() < 0.15:
                continue
            colour = colour_of_kind(frame.belief.kind[row])
            for position, std in zip(ahead.position[:, column], ahead.position_std[:, column], strict=True):
                shape = self.to_pixels(ellipse_points(position[:2], np.diag(std[:2] ** 2)))
                draw.polygon(shape, fill=rgb(colour, 26), outline=rgb(colour, 80))

    def _edges(self, draw: ImageDraw.ImageDraw, frame: Frame) -> None:
        if frame.record is None or frame.belief is None:
            return
        graph, belief = frame.record.graph, frame.belief
        for source, target, kind, p in zip(graph.source, graph.target, graph.kind, graph.probability, strict=True):
            a, b = belief.row_of(int(source)), belief.row_of(int(target))
            if p < _EDGE_SHOWN or a is None or b is None or {belief.kind[a], belief.kind[b]} <= set(FIXED_KINDS):
                continue
            colour = rgb(EDGE_COLOURS.get(kind, DARK["s5"]), int(255 * p))
            ends = self.to_pixels(belief.position[[a, b], :2])
            draw.line(ends, fill=colour, width=3)
            for x, y in ends:
                draw.ellipse((x - 4, y - 4, x + 4, y + 4), fill=colour)

    def _truth(self, draw: ImageDraw.ImageDraw, frame: Frame) -> None:
        truth = frame.truth
        boxes = zip(truth.position, truth.orientation_xyzw, truth.extent_m, strict=True)
        for name, kind, box in zip(truth.names, truth.kinds, boxes, strict=True):
            if kind not in FIXED_KINDS and name not in truth.absent:
                corners = self.to_pixels(footprint(*box))
                draw.line([*corners, corners[0]], fill=(255, 255, 255, 150), width=2)

    def _plan(self, draw: ImageDraw.ImageDraw, frame: Frame) -> None:
        ego = frame.observation.ego if frame.observation is not None else None
        if frame.plan is None or ego is None:
            return
        x, y, z, w = ego.orientation_xyzw
        yaw, place = float(np.arctan2(2 * (w * z + x * y), 1 - 2 * (y * y + z * z))), ego.position[:2].copy()
        path = [place.copy()]
        for action in frame.plan.actions:
            yaw += float(action[1]) * _YAW_RATE_RAD_S * self.plan_step_s
            place = place + float(action[0]) * _SPEED_M_S * self.plan_step_s * np.array([np.cos(yaw), np.sin(yaw)])
            path.append(place.copy())
        draw.line(self.to_pixels(np.array(path)), fill=rgb(DARK["belief"], 230), width=5, joint="curve")

    def _labels(self, frame: Frame) -> list[Label]:
        """Return the labels of the things that deserve one."""
        labels = []
        if frame.belief is not None:
            for object_id, position in zip(frame.belief.object_id.tolist(), frame.belief.position, strict=True):
                label = label_of(frame, object_id, self.settled)
                if label is not None:
                    x, y = self.to_pixels(position[:2])[0]
                    labels.append(Label((x / _SUPERSAMPLING + 10, y / _SUPERSAMPLING - 18), *label))
        return labels


def label_of(frame: Frame, object_id: int, settled: Mapping[int, str]) -> tuple[str, str] | None:
    """Return text and colour of an object's label: hypotheses under test, a verdict, or a question mark."""
    if frame.record is None:
        return None
    if object_id in frame.record.hypotheses:
        return _hypotheses(frame.record.hypotheses[object_id]), DARK["alarm"]
    if object_id in settled:
        return settled[object_id], DARK["settled"]
    return ("?", DARK["alarm"]) if object_id in frame.record.alarmed else None


def write_labels(image: Image.Image, labels: Sequence[Label]) -> None:
    """Write labels into a picture, moved as far as they would stick out of it."""
    draw = ImageDraw.Draw(image, "RGBA")
    letters = font(14)
    for (x, y), text, colour in labels:
        box = draw.multiline_textbbox((x, y), text, font=letters, spacing=2)
        shift_x = min(0.0, image.width - 8 - box[2])
        shift_y = min(0.0, image.height - 8 - box[3]) + max(0.0, 4 - box[1])
        frame = (box[0] + shift_x - 5, box[1] + shift_y - 3, box[2] + shift_x + 5, box[3] + shift_y + 3)
        draw.rounded_rectangle(frame, radius=4, fill=rgb(DARK["panel"], 225), outline=rgb(colour))
        draw.multiline_text((x + shift_x, y + shift_y), text, font=letters, spacing=2, fill=rgb(colour))


def surprise_by_id(frame: Frame) -> dict[int, float]:
    """Return object id -> 0 (nothing unusual) .. 1 (at the alarm level, or under test)."""
    if frame.record is None:
        return {}
    report = frame.record.surprise
    span = max(report.alarm_threshold_nats - _FRESH_NATS, 1e-6)
    shares = np.clip((report.log_e_value - _FRESH_NATS) / span, 0.0, 1.0)
    out = {int(i): float(share) for i, share in zip(report.object_id, shares, strict=True)}
    return out | dict.fromkeys(frame.record.alarmed, 1.0)


def _mix(colour: str, other: str, share: float) -> tuple[int, int, int]:
    a, b = np.array(rgb(colour)[:3]), np.array(rgb(other)[:3])
    red, green, blue = (int(v) for v in a + share * (b - a))
    return red, green, blue


def _hypotheses(posterior: Mapping[str, float]) -> str:
    first, *rest = list(by_kind(posterior).items())[:_SHOWN_HYPOTHESES]
    return "\n".join(f"{kind}? {100 * p:.0f} %" for kind, p in [first, *(item for item in rest if item[1] >= 0.005)])
