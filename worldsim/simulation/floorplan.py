"""Where there is room to walk: the footprints of what stands on the floor."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import networkx as nx
import numpy as np
from jaxtyping import Bool, Float

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Floorplan:
    """Axis-aligned footprints, and places to walk between.

    Attributes:
        footprints: (x_min, x_max, y_min, y_max) of each obstacle, m.
        waypoints: free places, m.
    """

    footprints: tuple[tuple[float, float, float, float], ...]
    waypoints: tuple[Point, ...] = ()

    def __deepcopy__(self, memo: object) -> Floorplan:
        """Return itself: it is frozen, so a snapshot need not copy it."""
        return self

    @classmethod
    def of_boxes(
        cls, boxes: Sequence[tuple[float, float, float, float, float]], waypoints: Sequence[Point] = ()
    ) -> Floorplan:
        """Return the plan of boxes (x, y, length, width, yaw), each by its axis-aligned bounds."""
        footprints = []
        for x, y, length, width, yaw in boxes:
            c, s = abs(math.cos(yaw)), abs(math.sin(yaw))
            half_x, half_y = (length * c + width * s) / 2.0, (length * s + width * c) / 2.0
            footprints.append((x - half_x, x + half_x, y - half_y, y + half_y))
        return cls(tuple(footprints), tuple(waypoints))

    def free_lengths(
        self, start: Float[np.ndarray, "n 2"], direction: Float[np.ndarray, "n 2"], reach_m: np.ndarray, margin_m: float
    ) -> Float[np.ndarray, " n"]:
        """Return how far one gets from each start along its unit direction before an obstacle is within `margin_m`.

        Args:
            start, direction: of n ways.
            reach_m: [n] lengths of interest; what is farther away is not looked at.
            margin_m: by which the obstacles are widened.
        """
        reach = np.asarray(reach_m, dtype=np.float64)
        if not self.footprints:
            return reach.copy()
        boxes = np.array(self.footprints)
        low, high = boxes[:, (0, 2)] - margin_m, boxes[:, (1, 3)] + margin_m
        slope = np.where(np.abs(direction) < 1e-9, 1e-9, direction)[:, None]
        first, second = (low[None] - start[:, None]) / slope, (high[None] - start[:, None]) / slope
        enter = np.maximum(np.minimum(first, second).max(axis=2), 0.0)
        leave = np.minimum(np.maximum(first, second).min(axis=2), reach[:, None])
        return np.minimum(reach, np.where(enter < leave, enter, np.inf).min(axis=1))

    def free_length(self, start: Point, direction: Point, reach_m: float, margin_m: float) -> float:
        """Return the same for one way."""
        return float(self.free_lengths(np.array([start]), np.array([direction]), np.array([reach_m]), margin_m)[0])

    def sees(self, a: Point, b: Point, margin_m: float) -> bool:
        """Return whether the straight way from `a` to `b` keeps `margin_m` from every obstacle."""
        return bool(self._pairs_see(np.array([a]), np.array([b]), margin_m)[0])

    def _pairs_see(
        self, a: Float[np.ndarray, "n 2"], b: Float[np.ndarray, "n 2"], margin_m: float
    ) -> Bool[np.ndarray, " n"]:
        length = np.linalg.norm(b - a, axis=1)
        direction = (b - a) / np.maximum(length, 1e-9)[:, None]
        return np.asarray(self.free_lengths(a, direction, length, margin_m) >= length - 1e-9)

    def clearance(self, point: Point) -> float:
        """Return the distance from `point` to the nearest obstacle (0 inside one)."""
        return min((math.hypot(*self._gap(point, f)) for f in self.footprints), default=math.inf)

    def repulsion(self, point: Point, reach_m: float) -> Point:
        """Return a push away from the obstacles nearer than `reach_m`: 0 at the reach, 1 at an obstacle's face."""
        push = [0.0, 0.0]
        for footprint in self.footprints:
            gap = self._gap(point, footprint)
            distance = math.hypot(*gap)
            if 1e-6 < distance < reach_m:
                weight = (1.0 - distance / reach_m) / distance
                push[0] += weight * gap[0]
                push[1] += weight * gap[1]
        return push[0], push[1]

    def route(self, start: Point, goal: Point, margin_m: float) -> list[Point]:
        """Return the shortest way over the waypoints, `start` left out; straight to `goal` where none is free."""
        if self.sees(start, goal, margin_m):
            return [goal]
        places = [start, goal, *self.waypoints]
        pairs = np.array(list(itertools.combinations(range(len(places)), 2)))
        at = np.array(places)
        free = pairs[self._pairs_see(at[pairs[:, 0]], at[pairs[:, 1]], margin_m)]
        graph = nx.Graph()
        graph.add_weighted_edges_from((int(i), int(j), math.dist(places[i], places[j])) for i, j in free)
        try:
            return [places[i] for i in nx.shortest_path(graph, 0, 1, weight="weight")[1:]]
        except (nx.NetworkXNoPath, nx.NodeNotFound):
            return [goal]

    @staticmethod
    def _gap(point: Point, footprint: tuple[float, float, float, float]) -> Point:
        x_min, x_max, y_min, y_max = footprint
        dx = max(x_min - point[0], 0.0, point[0] - x_max) * (1.0 if point[0] > x_max else -1.0)
        dy = max(y_min - point[1], 0.0, point[1] - y_max) * (1.0 if point[1] > y_max else -1.0)
        return dx, dy
