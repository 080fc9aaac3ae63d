"""Where there is room to walk: the footprints of what stands on the floor."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import networkx as nx

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

    def free_length(self, start: Point, direction: Point, reach_m: float, margin_m: float) -> float:
        """Return how far one gets from `start` along the unit `direction` before an obstacle is within `margin_m`."""
        free = reach_m
        for x_min, x_max, y_min, y_max in self.footprints:
            enter, leave = 0.0, free
            bounds = ((x_min - margin_m, x_max + margin_m), (y_min - margin_m, y_max + margin_m))
            for position, slope, (low, high) in zip(start, direction, bounds, strict=True):
                if abs(slope) < 1e-9:
                    if not low < position < high:
                        leave = -1.0
                    continue
                near, far = sorted(((low - position) / slope, (high - position) / slope))
                enter, leave = max(enter, near), min(leave, far)
            if enter < leave:
                free = enter
        return free

    def sees(self, a: Point, b: Point, margin_m: float) -> bool:
        """Return whether the straight way from `a` to `b` keeps `margin_m` from every obstacle."""
        length = math.dist(a, b)
        if length < 1e-9:
            return True
        return self.free_length(a, ((b[0] - a[0]) / length, (b[1] - a[1]) / length), length, margin_m) >= length - 1e-9

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
        graph = nx.Graph()
        places = [start, goal, *self.waypoints]
        for (i, a), (j, b) in itertools.combinations(enumerate(places), 2):
            if self.sees(a, b, margin_m):
                graph.add_edge(i, j, weight=math.dist(a, b))
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
