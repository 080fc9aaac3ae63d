"""Draws the belief into the camera's picture: where each mover is believed to stand, and what it is taken for."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float
from PIL import Image, ImageDraw

from worldsim.evaluation.episode import Frame
from worldsim.evaluation.report.palette import DARK, colour_of_kind, rgb
from worldsim.evaluation.report.scene import (
    EDGE_COLOURS,
    FIXED_KINDS,
    Label,
    ellipse_points,
    label_of,
    surprise_by_id,
    write_labels,
)
from worldsim.simulation.engine import PinholeCamera

__all__ = ["draw_overlay", "project"]

_LEAST_RADIUS_M = 0.28  # an ellipse smaller than this is drawn this large, or nobody sees it
_EDGE_SHOWN = 0.5
_FEET = ("robot", "agv", "worker")


def project(camera: PinholeCamera, points: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 2"]:
    """Return where points (m) appear in the camera's picture, pixels from its upper left corner.

    >>> camera = PinholeCamera((0.0, -5.0, 0.0), (0.0, 0.0, 0.0), width=200, height=100)
    >>> project(camera, np.array([[0.0, 0.0, 0.0]])).tolist()
    [[100.0, 50.0]]
    """
    forward = np.subtract(camera.target, camera.position)
    forward = forward / np.linalg.norm(forward)
    right = np.cross(forward, camera.up)
    right = right / np.linalg.norm(right)
    above = np.cross(right, forward)
    away = np.asarray(points) - np.asarray(camera.position)
    depth = np.maximum(away @ forward, 1e-6) * np.tan(camera.vertical_field_rad / 2.0)
    x, y = (away @ right) / depth * camera.height / camera.width, (away @ above) / depth
    return np.stack([(x + 1.0) / 2.0 * camera.width, (1.0 - y) / 2.0 * camera.height], axis=1)


def draw_overlay(picture: Image.Image, camera: PinholeCamera, frame: Frame, settled: Mapping[int, str]) -> Image.Image:
    """Return the picture with the belief drawn into it.

    Args:
        picture: what the camera saw, in its own size.
        camera: where it was taken from.
        frame: the belief and the record of that moment.
        settled: object id -> what it was found to be.
    """
    belief, record = frame.belief, frame.record
    if belief is None or record is None:
        return picture
    picture = picture.convert("RGB")
    draw = ImageDraw.Draw(picture, "RGBA")
    surprise = surprise_by_id(frame)
    graph = record.graph
    for source, target, kind, p in zip(graph.source, graph.target, graph.kind, graph.probability, strict=True):
        a, b = belief.row_of(int(source)), belief.row_of(int(target))
        if a is None or b is None or {belief.kind[a], belief.kind[b]} <= set(FIXED_KINDS):
            continue
        if p >= _EDGE_SHOWN:
            ends = [(float(x), float(y)) for x, y in project(camera, belief.position[[a, b]])]
            draw.line(ends, fill=rgb(EDGE_COLOURS.get(kind, DARK["s5"]), 200), width=2)
    labels: list[Label] = []
    for row, object_id in enumerate(belief.object_id.tolist()):
        label = label_of(frame, object_id, settled)
        doubted = object_id in record.alarmed
        if label is None and belief.kind[row] not in _FEET and not doubted:
            continue
        colour = DARK["alarm"] if doubted else colour_of_kind(belief.kind[row])
        ring = _ring(belief.position[row], belief.position_covariance[row])
        opacity = 120 if doubted or label is not None else 70
        outline = [(float(x), float(y)) for x, y in project(camera, ring)]
        draw.polygon(
            outline, outline=rgb(colour), fill=rgb(colour, int(opacity * max(0.5, surprise.get(object_id, 0.0))))
        )
        if label is not None:
            top = belief.position[row] + [0.0, 0.0, belief.extent_m[row, 2] / 2 + 0.1]
            x, y = project(camera, top[None])[0]
            labels.append(Label((float(x) + 6.0, float(y) - 24.0), *label))
    write_labels(picture, labels)
    return picture


def _ring(position: Float[np.ndarray, "3"], covariance: Float[np.ndarray, "3 3"]) -> Float[np.ndarray, "n 3"]:
    """Return the 90 % ellipse on the floor, at least a hand wide."""
    outline = ellipse_points(position[:2], covariance[:2, :2]) - position[:2]
    size = np.linalg.norm(outline, axis=1, keepdims=True)
    outline = outline * np.maximum(1.0, _LEAST_RADIUS_M / np.maximum(size, 1e-9))
    return np.column_stack([position[:2] + outline, np.full(len(outline), 0.02)])
