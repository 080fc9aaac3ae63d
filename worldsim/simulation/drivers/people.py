"""Workers: they walk from place to place, and round what is in their way."""

from __future__ import annotations

import math

import numpy as np

from worldsim.simulation.drivers.driver import Actuator, Bulk, Driver, Limits, SceneView, bounded, shortened, steer
from worldsim.simulation.drivers.intruder import unit
from worldsim.simulation.floorplan import Floorplan, Point


class Worker(Driver):
    """Goal-directed walking by the social-force model.

    Source: Helbing & Molnar 1995, eqs. 2 and 4; ours repels from the centres of movers by A exp(-d / B), adds a
    sidestep (people pass each other on one side), and slows down for what is straight ahead.
    """

    def __init__(
        self, body: str, bulk: Bulk, floorplan: Floorplan, places: tuple[Point, ...], speed_m_s: float
    ) -> None:
        """Take charge of `body`, which walks between `places` at `speed_m_s` where nothing is in the way."""
        super().__init__(body)
        self.bulk, self.floorplan, self.places, self.speed_m_s = bulk, floorplan, places, speed_m_s
        self.relaxation_s = 0.5
        self.avoid_strength_m_s2, self.avoid_range_m = 6.0, 0.6
        self.wander_m_s = 0.12
        self.limits = Limits(1.0 / self.relaxation_s, 3.0, turn_gain_per_s=5.0, turn_rate_rad_s=3.0)
        self.route: list[Point] = []
        self.pause_until_s = 0.0
        self.stuck_s = 0.0
        self.wander = (0.0, 0.0)
        self.velocity = (0.0, 0.0)
        self.heading: float | None = None

    def decide(self, view: SceneView, rng: np.random.Generator) -> None:
        """Choose velocity and heading for the coming frame."""
        here, now = view.place(self.body), view.velocity(self.body)
        fade = math.exp(-view.dt_s / 1.0)
        kick = self.wander_m_s * math.sqrt(1.0 - fade * fade)
        noise = rng.standard_normal(2)
        self.wander = (fade * self.wander[0] + kick * float(noise[0]), fade * self.wander[1] + kick * float(noise[1]))
        self._choose_route(view, here, now, rng)
        if view.time_s < self.pause_until_s:
            wanted = (0.0, 0.0)
        else:
            ahead = unit(self.route[0][0] - here[0], self.route[0][1] - here[1])
            wanted = (self.speed_m_s * ahead[0] + self.wander[0], self.speed_m_s * ahead[1] + self.wander[1])
        self.velocity = self._avoiding(view, here, wanted)
        if math.hypot(*self.velocity) > 0.25:
            self.heading = math.atan2(self.velocity[1], self.velocity[0])

    def _choose_route(self, view: SceneView, here: Point, now: Point, rng: np.random.Generator) -> None:
        walking = view.time_s >= self.pause_until_s
        self.stuck_s = self.stuck_s + view.dt_s if walking and math.hypot(*now) < 0.15 else 0.0
        while self.route and math.dist(here, self.route[0]) < 0.4:
            self.route.pop(0)
            if not self.route and rng.random() < 0.5:
                self.pause_until_s = view.time_s + rng.uniform(0.8, 3.0)
        if not self.route or self.stuck_s > 2.0:
            self.stuck_s = 0.0
            far = [place for place in self.places if math.dist(here, place) > 1.5]
            goal = far[int(rng.integers(len(far)))]
            self.route = self.floorplan.route(here, goal, 0.40)

    def _avoiding(self, view: SceneView, here: Point, wanted: Point) -> Point:
        """Return the wanted velocity, bent away from movers and walls (as accelerations over the relaxation time)."""
        push_x, push_y = self.floorplan.repulsion(here, 0.45)
        push_x, push_y = 2.0 * push_x, 2.0 * push_y
        speed = math.hypot(*wanted)
        slow = 1.0
        for other in view.movers:
            if other == self.body:
                continue
            x, y = view.place(other)
            away = unit(here[0] - x, here[1] - y)
            distance = math.dist(here, (x, y))
            if distance > 3.0:
                continue
            strength = self.avoid_strength_m_s2 * math.exp(-distance / self.avoid_range_m)
            # a step to the right of what comes straight on, or two people would stand before each other for ever
            push_x += strength * (away[0] + 0.6 * away[1])
            push_y += strength * (away[1] - 0.6 * away[0])
            facing = -(away[0] * wanted[0] + away[1] * wanted[1]) / max(speed, 1e-6)
            reach = float(np.linalg.norm(view.extent_m[view.index[other], :2])) / 2.0 + 0.35
            if facing > 0.5:
                slow = min(slow, max(0.0, (distance - reach) / 0.9))
        return shortened(
            slow * wanted[0] + self.relaxation_s * bounded(push_x, 4.0),
            slow * wanted[1] + self.relaxation_s * bounded(push_y, 4.0),
            1.3 * self.speed_m_s,
        )

    def drive(self, actuator: Actuator) -> None:
        """Push against the floor."""
        state = actuator.state(self.body)
        actuator.push(self.body, *steer(state, self.bulk, self.velocity, self.heading, self.limits))
