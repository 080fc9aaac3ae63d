"""The drone: a kind that no registry holds."""

from __future__ import annotations

import math

import numpy as np

from worldsim.simulation.drivers.driver import (
    Actuator,
    Bulk,
    SceneView,
    bounded,
    shortened,
    upright_torque,
    wrapped,
    yaw_of,
)
from worldsim.simulation.drivers.intruder import Entry, Intruder, unit
from worldsim.simulation.floorplan import Floorplan, Point

GRAVITY_M_S2 = 9.81


class Drone(Intruder):
    """Hovers at a height and flies circles; keeps away from walls and from the robot.

    Lift against gravity and a soft spring hold the height, a bounded sideways force holds speed and turn rate.
    """

    def __init__(self, body: str, bulk: Bulk, entry: Entry, floorplan: Floorplan, rng: np.random.Generator) -> None:
        """Take charge of `body`; height, speed and turn rate are drawn from `rng`."""
        super().__init__(body, entry, floorplan, half_length_m=0.2)
        self.bulk = bulk
        self.height_m = float(rng.uniform(1.0, 1.4))
        self.speed_m_s = float(rng.uniform(0.8, 1.2))
        self.turn_rate_rad_s = float(rng.uniform(0.5, 0.9) * rng.choice((-1.0, 1.0)))
        self.keep_from_robot_m = 1.2
        self.response_per_s, self.acceleration_m_s2 = 3.0, 4.0
        self.height_frequency_rad_s = 2.5
        self.course_rad = math.atan2(entry.inward[1], entry.inward[0])
        self.flying = False
        self.velocity: Point = (0.0, 0.0)
        self.turning_rad_s = 0.0

    def decide(self, view: SceneView, rng: np.random.Generator) -> None:
        """Turn the course."""
        self.follow_phase(view)
        here = view.place(self.body)
        height = float(view.states.position[view.index[self.body]][2])
        self.flying = self.phase != "waiting" and not (self.phase == "gone" and self.entry.inside(here) < -1.2)
        self.turning_rad_s = 0.0
        if self.phase == "entering" and height < 0.7 * self.height_m:
            self.velocity = (0.0, 0.0)  # up first
            return
        if self.phase in ("entering", "gone") or (self.phase == "inside" and self.entry.inside(here) < 1.2):
            sign = -1.0 if self.phase == "gone" else 1.0
            self.course_rad = math.atan2(sign * self.entry.inward[1], sign * self.entry.inward[0])
        elif self.phase == "leaving":
            out = self.way_out(here)
            self.course_rad = math.atan2(out[1], out[0])
        else:
            self._circle(view, here, rng)
        self.velocity = (self.speed_m_s * math.cos(self.course_rad), self.speed_m_s * math.sin(self.course_rad))

    def _circle(self, view: SceneView, here: Point, rng: np.random.Generator) -> None:
        """Turn at the own rate, and faster, the same way round, where the circle would meet something."""
        rate = self.turn_rate_rad_s * (1.0 + 0.03 * rng.standard_normal())
        course = (math.cos(self.course_rad), math.sin(self.course_rad))
        if self.floorplan.free_length(here, course, 1.3, 0.45) < 1.3:
            rate = math.copysign(2.0, self.turn_rate_rad_s)
        push = self.floorplan.repulsion(here, 0.8)
        away_x, away_y = 1.5 * push[0], 1.5 * push[1]
        for other in view.movers:
            if other == self.body or math.dist(here, view.place(other)) > self.keep_from_robot_m + 0.7:
                continue
            x, y = view.place(other)
            away = unit(here[0] - x, here[1] - y)
            lack = (self.keep_from_robot_m + 0.7 - math.dist(here, (x, y))) / 0.7
            away_x, away_y = away_x + 1.5 * lack * away[0], away_y + 1.5 * lack * away[1]
        if math.hypot(away_x, away_y) > 0.05:
            wanted = math.atan2(course[1] + away_y, course[0] + away_x)
            rate += bounded(4.0 * wrapped(wanted - self.course_rad), 2.5)
        self.turning_rad_s = rate
        self.course_rad = wrapped(self.course_rad + rate * view.dt_s)

    def drive(self, actuator: Actuator) -> None:
        """Push the air."""
        if not self.flying:
            return
        state = actuator.state(self.body)
        mass, w = self.bulk.mass_kg, self.height_frequency_rad_s
        climb = bounded(w * w * (self.height_m - state.position[2]) - 1.8 * w * state.linear_velocity[2], 3.0)
        vx, vy, _ = state.linear_velocity
        # the centripetal part keeps speed and turn rate both on what is wanted
        ax = self.response_per_s * (self.velocity[0] - vx) - self.turning_rad_s * vy
        ay = self.response_per_s * (self.velocity[1] - vy) + self.turning_rad_s * vx
        ax, ay = shortened(ax, ay, self.acceleration_m_s2)
        tilt = upright_torque(state, self.bulk)
        turn = bounded(3.0 * wrapped(self.course_rad - yaw_of(state.orientation_xyzw)), 2.5)
        spin = bounded(8.0 * (turn - state.angular_velocity[2]), 15.0)
        force = (mass * ax, mass * ay, mass * (GRAVITY_M_S2 + climb))
        actuator.push(self.body, force, (tilt[0], tilt[1], self.bulk.yaw_inertia * spin))
