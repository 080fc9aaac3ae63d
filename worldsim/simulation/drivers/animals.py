"""The cat and the dog."""

from __future__ import annotations

import math

import numpy as np

from worldsim.simulation.drivers.driver import Actuator, Bulk, Limits, SceneView, bounded, steer
from worldsim.simulation.drivers.intruder import Entry, Intruder, random_direction, unit
from worldsim.simulation.floorplan import Floorplan, Point


class Animal(Intruder):
    """A quadruped: forces on the torso move it, its limbs swing as fast as it walks."""

    def __init__(
        self, body: str, bulk: Bulk, entry: Entry, floorplan: Floorplan, half_length_m: float, stride_m: float
    ) -> None:
        """Take charge of `body`; `stride_m` is the length of a stride."""
        super().__init__(body, entry, floorplan, half_length_m)
        self.bulk, self.stride_m = bulk, stride_m
        self.limits = Limits(6.0, 7.0, turn_gain_per_s=8.0, turn_rate_rad_s=7.0, turn_acceleration_rad_s2=60.0)
        self.velocity: Point = (0.0, 0.0)
        self.heading: float | None = None
        self.gait_rad = 0.0
        self.limbs: dict[str, float] = {}

    def face(self, direction: Point) -> None:
        """Turn towards `direction`."""
        self.heading = math.atan2(direction[1], direction[0])

    def swing_limbs(self, view: SceneView) -> None:
        """Set where the limbs should be at the end of the frame."""
        speed = math.hypot(*view.velocity(self.body))
        self.gait_rad = (self.gait_rad + 2.0 * math.pi * speed * view.dt_s / self.stride_m) % (2.0 * math.pi)
        swing = min(0.6, 0.6 * speed) * math.sin(self.gait_rad)
        self.limbs = {
            "front_left": swing,
            "hind_right": swing,
            "front_right": -swing,
            "hind_left": -swing,
            "head": 0.15 * math.sin(2.0 * self.gait_rad) * min(1.0, speed),
            "tail": 0.35 * math.sin(3.0 * view.time_s),
        }

    def drive(self, actuator: Actuator) -> None:
        """Push against the floor."""
        if self.collected(actuator):
            return
        state = actuator.state(self.body)
        actuator.push(self.body, *steer(state, self.bulk, self.velocity, self.heading, self.limits))
        if self.limbs:
            actuator.aim(self.body, self.limbs)
            self.limbs = {}


class Cat(Animal):
    """Bursts and pauses; flees straight away from what comes near."""

    def __init__(self, body: str, bulk: Bulk, entry: Entry, floorplan: Floorplan, rng: np.random.Generator) -> None:
        """Take charge of `body`; its temper is drawn from `rng`."""
        super().__init__(body, bulk, entry, floorplan, half_length_m=0.2, stride_m=0.45)
        self.burst_speed_m_s = float(rng.uniform(2.1, 2.5))
        self.flee_distance_m = float(rng.uniform(2.3, 2.7))
        self.until_s = 0.0
        self.fleeing = False

    def decide(self, view: SceneView, rng: np.random.Generator) -> None:
        """Flee, burst or pause."""
        self.follow_phase(view)
        here = view.place(self.body)
        if self.phase in ("waiting", "gone"):
            self.velocity = (0.0, 0.0)
        elif self.comes_in:
            self._run(self.entry.inward, 1.8, view.time_s + 0.3)
        elif self.phase == "leaving":
            self._run(self.way_out(here), 1.8, view.time_s)
        else:
            self._live(view, here, rng)
        self.swing_limbs(view)

    def _live(self, view: SceneView, here: Point, rng: np.random.Generator) -> None:
        threat = view.nearest_mover(self.body, self.flee_distance_m + (0.5 if self.fleeing else 0.0))
        if threat is not None:
            x, y = view.place(threat)
            away = unit(here[0] - x, here[1] - y)
            self.fleeing = True
            self._run(self.clear_direction(here, away, 1.5), self.burst_speed_m_s, view.time_s + 0.2)
        elif view.time_s >= self.until_s:
            self.fleeing = False
            if math.hypot(*self.velocity) > 0.0:
                self.velocity, self.until_s = (0.0, 0.0), view.time_s + rng.uniform(0.5, 2.5)
            else:
                direction = self.clear_direction(here, random_direction(rng), 1.5)
                speed = self.burst_speed_m_s * rng.uniform(0.5, 1.0)
                self._run(direction, speed, view.time_s + rng.uniform(0.4, 1.2))
        elif math.hypot(*self.velocity) > 0.0:
            direction = unit(*self.velocity)
            if self.floorplan.free_length(here, direction, 0.7, 0.2) < 0.7:
                self._run(self.clear_direction(here, direction, 1.2), math.hypot(*self.velocity), self.until_s)

    def _run(self, direction: Point, speed_m_s: float, until_s: float) -> None:
        self.velocity, self.until_s = (speed_m_s * direction[0], speed_m_s * direction[1]), until_s
        self.face(direction)


class Dog(Animal):
    """Comes up to somebody, stops at a distance, follows, and steps back from what comes nearer."""

    def __init__(self, body: str, bulk: Bulk, entry: Entry, floorplan: Floorplan, rng: np.random.Generator) -> None:
        """Take charge of `body`; its manners are drawn from `rng`."""
        super().__init__(body, bulk, entry, floorplan, half_length_m=0.35, stride_m=0.9)
        self.limits = Limits(4.0, 5.0, turn_gain_per_s=6.0, turn_rate_rad_s=4.0, turn_acceleration_rad_s2=40.0)
        self.approach_speed_m_s = float(rng.uniform(1.45, 1.75))
        self.stop_distance_m = float(rng.uniform(1.2, 1.4))
        self.friend: str | None = None

    def decide(self, view: SceneView, rng: np.random.Generator) -> None:
        """Walk up, stand, or step back."""
        self.follow_phase(view)
        here = view.place(self.body)
        if self.phase in ("waiting", "gone"):
            self.velocity = (0.0, 0.0)
        elif self.comes_in:
            self._walk(self.entry.inward, self.approach_speed_m_s)
        elif self.phase == "leaving":
            self._walk(self.way_out(here), self.approach_speed_m_s)
        else:
            self._follow(view, here)
        self.swing_limbs(view)

    def _follow(self, view: SceneView, here: Point) -> None:
        if self.friend is None:
            people = [n for n in view.movers if view.kinds[view.index[n]] in ("robot", "worker")]
            if not people:
                self.velocity = (0.0, 0.0)
                return
            self.friend = min(people, key=lambda name: (math.dist(here, view.place(name)), name))
        there = view.place(self.friend)
        distance = math.dist(here, there)
        towards = unit(there[0] - here[0], there[1] - here[1])
        too_near = view.nearest_mover(self.body, self.stop_distance_m - 0.1)
        if too_near is not None:
            x, y = view.place(too_near)
            away = self.clear_direction(here, unit(here[0] - x, here[1] - y), 0.8, 0.3)
            lack = self.stop_distance_m - math.dist(here, (x, y))
            self.velocity = _scaled(away, bounded(4.0 * lack, self.approach_speed_m_s))
            self.face((x - here[0], y - here[1]))
        elif distance > self.stop_distance_m + 0.1:
            route = self.floorplan.route(here, there, 0.35)
            ahead = unit(route[0][0] - here[0], route[0][1] - here[1])
            speed = min(self.approach_speed_m_s, 1.8 * (distance - self.stop_distance_m))
            if not self.floorplan.sees(here, there, 0.2):
                speed = self.approach_speed_m_s
            self._walk(self.clear_direction(here, ahead, 0.5, 0.25), speed)
        else:
            self.velocity = (0.0, 0.0)
            self.face(towards)

    def _walk(self, direction: Point, speed_m_s: float) -> None:
        self.velocity = _scaled(direction, speed_m_s)
        self.face(direction)


def _scaled(direction: Point, length: float) -> Point:
    return length * direction[0], length * direction[1]
