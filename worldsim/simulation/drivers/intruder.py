"""What all intruders share: they wait behind a gate, come in at a time, and may leave again."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from worldsim.simulation.drivers.driver import Actuator, Driver, SceneView
from worldsim.simulation.floorplan import Floorplan, Point
from worldsim.simulation.geometry import floats3
from worldsim.simulation.scene import Vector


@dataclass(frozen=True, slots=True)
class Entry:
    """How an intruder comes in.

    Attributes:
        gate: middle of the gate, on the curtain, m.
        inward: unit vector from the gate into the hall.
        at_s: not before this time.
        leave_after_s: how long after coming in it leaves again; None where it stays.
        keep_away_m: it waits while the robot is nearer to the gate than this, but `patience_s` at most.
        patience_s: see `keep_away_m`.
    """

    gate: Point
    inward: Point
    at_s: float
    leave_after_s: float | None = None
    keep_away_m: float = 3.6
    patience_s: float = 6.0

    def __deepcopy__(self, memo: object) -> Entry:
        """Return itself: it is frozen."""
        return self

    def inside(self, point: Point) -> float:
        """Return how far inside the gate's plane `point` is, m."""
        return (point[0] - self.gate[0]) * self.inward[0] + (point[1] - self.gate[1]) * self.inward[1]

    def ahead(self, distance_m: float) -> Point:
        """Return the point so far inside the gate, straight ahead."""
        return self.gate[0] + distance_m * self.inward[0], self.gate[1] + distance_m * self.inward[1]


class Intruder(Driver):
    """Base of the intruders: phases ``waiting``, ``entering``, ``inside``, ``leaving``, ``gone``."""

    def __init__(self, body: str, entry: Entry, floorplan: Floorplan, half_length_m: float) -> None:
        """Take charge of `body`, which stands behind the gate; to the `floorplan`, gates are walls."""
        super().__init__(body)
        self.entry, self.floorplan, self.half_length_m = entry, floorplan, half_length_m
        self.leaving_takes_s = 13.0
        self.phase = "waiting"
        self.came_in_s = math.inf
        self.arrived = False
        self.resident = False
        self.route: list[Point] = []
        self.home: Vector | None = None
        self.collect = False

    @property
    def is_intruder(self) -> bool:
        """It comes from outside, unless it lives here."""
        return not self.resident

    def settle_in(self) -> None:
        """Be at home here from the start: it never came in, and does not leave."""
        self.phase, self.arrived, self.came_in_s, self.resident = "inside", True, 0.0, True

    @property
    def present(self) -> bool:
        """Whether it is in the hall."""
        return self.phase in ("inside", "leaving")

    @property
    def moves(self) -> bool:
        """Whether others should take it for something that moves of itself."""
        return self.present

    def follow_phase(self, view: SceneView) -> None:
        """Move from phase to phase as time and place demand; called at the start of `decide`."""
        here = view.place(self.body)
        if self.home is None:
            self.home = floats3(view.states.position[view.index[self.body]])
        if self.phase == "waiting" and view.time_s >= self.entry.at_s:
            robot = view.place(view.ego) if view.ego is not None else None
            near = robot is not None and math.dist(robot, self.entry.gate) < self.entry.keep_away_m
            if not near or view.time_s >= self.entry.at_s + self.entry.patience_s:
                self.phase = "entering"
        if self.phase == "entering" and self.entry.inside(here) > -self.half_length_m:
            self.phase, self.came_in_s = "inside", view.time_s
        self.arrived = self.arrived or (self.phase == "inside" and self.entry.inside(here) > 1.0)
        stay_s = self.entry.leave_after_s
        if self.phase == "inside" and stay_s is not None and view.time_s >= self.came_in_s + stay_s:
            self.phase = "leaving"
            self.route = [*self.floorplan.route(here, self.entry.ahead(0.9), 0.45), self.entry.ahead(-1.6)]
        if self.phase == "leaving" and self.entry.inside(here) < -self.half_length_m - 0.1:
            self.phase = "gone"
        stayed_s = view.time_s - self.came_in_s
        if self.phase == "leaving" and stay_s is not None and stayed_s > stay_s + self.leaving_takes_s:
            self.phase, self.collect = "gone", True

    def collected(self, actuator: Actuator) -> bool:
        """Let what did not leave by itself be taken away; return whether it was; called at the start of `drive`."""
        if not self.collect or self.home is None:
            return False
        actuator.withdraw(self.body, self.home)
        self.collect = False
        return True

    @property
    def comes_in(self) -> bool:
        """Whether it is on its way from behind the gate to the first metre of the hall."""
        return self.phase == "entering" or (self.phase == "inside" and not self.arrived)

    def way_out(self, here: Point) -> Point:
        """Return the unit direction of the way out: by the route, round what is in the way, then through the gate."""
        while len(self.route) > 1 and math.dist(here, self.route[0]) < 0.45:
            self.route.pop(0)
        wanted = unit(self.route[0][0] - here[0], self.route[0][1] - here[1])
        return wanted if len(self.route) == 1 else self.clear_direction(here, wanted, 0.5)

    def clear_direction(self, here: Point, wanted: Point, reach_m: float, margin_m: float = 0.25) -> Point:
        """Return the free direction nearest to `wanted` (all round, in steps of 15 degrees)."""
        turns = np.arange(24) * math.pi / 12.0
        angles = math.atan2(wanted[1], wanted[0]) + turns
        directions = np.stack([np.cos(angles), np.sin(angles)], axis=1)
        start = np.broadcast_to(np.asarray(here), directions.shape)
        free = self.floorplan.free_lengths(start, directions, np.full(24, reach_m), margin_m)
        best = directions[int(np.argmax(np.round(np.cos(turns) + 2.0 * free / reach_m, 9)))]
        return float(best[0]), float(best[1])


def unit(x: float, y: float) -> Point:
    """Return the unit vector along (x, y); (1, 0) where that has no length."""
    length = math.hypot(x, y)
    return (x / length, y / length) if length > 1e-9 else (1.0, 0.0)


def random_direction(rng: np.random.Generator) -> Point:
    """Return a horizontal unit vector, drawn evenly."""
    angle = rng.uniform(-math.pi, math.pi)
    return math.cos(angle), math.sin(angle)
