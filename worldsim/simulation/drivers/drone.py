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
LARGEST_CIRCLE_M = 1.7
"""Radius of its widest circle; the hall has room for it."""


class Drone(Intruder):
    """Hovers at a height and flies circles; keeps away from walls and from the robot.

    Lift against gravity and a soft spring hold the height, a bounded sideways force holds speed and turn rate.
    """

    def __init__(self, body: str, bulk: Bulk, entry: Entry, floorplan: Floorplan, rng: np.random.Generator) -> None:
        """Take charge of `body`; height, speed and turn rate are drawn from `rng`."""
        super().__init__(body, entry, floorplan, half_length_m=0.2)
        self.bulk = bulk
        self.height_m = float(rng.uniform(1.0, 1.4))
        turn = float(rng.uniform(0.5, 0.9))
        self.speed_m_s = min(float(rng.uniform(0.8, 1.2)), LARGEST_CIRCLE_M * turn)
        self.turn_rate_rad_s = turn * float(rng.choice((-1.0, 1.0)))
        self.keep_from_robot_m = 1.2
        self.response_per_s, self.acceleration_m_s2 = 3.0, 4.0
        self.height_frequency_rad_s = 2.5
        self.course_rad = math.atan2(entry.inward[1], entry.inward[0])
        self.centre: Point | None = None
        self.flying = False
        self.velocity: Point = (0.0, 0.0)
        self.turning_rad_s = 0.0

    def decide(self, view: SceneView, rng: np.random.Generator) -> None:
        """Turn the course."""
        self.follow_phase(view)
        here = view.place(self.body)
        height = float(view.states.position[view.index[self.body]][2])
        landed = self.phase == "gone" and self.entry.inside(here) < -1.2
        self.flying = self.phase != "waiting" and not landed
        self.turning_rad_s = 0.0
        if self.phase == "waiting" or (self.phase == "entering" and height < 0.7 * self.height_m):
            self.velocity = (0.0, 0.0)  # it rises before it comes in
            return
        if self.comes_in or self.phase == "gone":
            sign = -1.0 if self.phase == "gone" else 1.0
            self.course_rad = math.atan2(sign * self.entry.inward[1], sign * self.entry.inward[0])
        elif self.phase == "leaving":
            out = self.way_out(here)
            self.course_rad = math.atan2(out[1], out[0])
        else:
            self._circle(view, here, rng)
        self.velocity = (self.speed_m_s * math.cos(self.course_rad), self.speed_m_s * math.sin(self.course_rad))

    def _circle(self, view: SceneView, here: Point, rng: np.random.Generator) -> None:
        """Fly round the chosen middle at the own turn rate; move the middle away from whoever comes near."""
        if self.centre is None:
            self.centre = self._choose_centre(rng)
        radius = self.speed_m_s / abs(self.turn_rate_rad_s)
        away_x, away_y = self._away_from_movers(view, here)
        self.centre = (self.centre[0] + view.dt_s * away_x, self.centre[1] + view.dt_s * away_y)
        if self.floorplan.clearance(self.centre) < radius + 0.4:
            push = self.floorplan.repulsion(self.centre, radius + 0.6)
            self.centre = (self.centre[0] + view.dt_s * push[0], self.centre[1] + view.dt_s * push[1])
        out = unit(here[0] - self.centre[0], here[1] - self.centre[1])
        lack = bounded(0.8 * (math.dist(here, self.centre) - radius), 1.0)
        side = math.copysign(1.0, self.turn_rate_rad_s)
        wall_x, wall_y = self.floorplan.repulsion(here, 0.7)
        course_x = -side * out[1] - lack * out[0] + 2.0 * wall_x + 1.2 * away_x
        course_y = side * out[0] - lack * out[1] + 2.0 * wall_y + 1.2 * away_y
        turn = wrapped(math.atan2(course_y, course_x) - self.course_rad)
        own = self.turn_rate_rad_s * (1.0 + 0.03 * rng.standard_normal()) if abs(lack) < 0.9 else 0.0
        self.turning_rad_s = bounded(own + 2.0 * turn, 2.5)
        self.course_rad = wrapped(self.course_rad + self.turning_rad_s * view.dt_s)

    def _choose_centre(self, rng: np.random.Generator) -> Point:
        """Return a place some metres inside the gate with room for the circle, and to spare."""
        enough = self.speed_m_s / abs(self.turn_rate_rad_s) + 1.2
        ahead, aside = rng.uniform(1.8, 6.0, size=40), rng.uniform(-2.0, 2.0, size=40)
        best, best_room = self.entry.ahead(3.0), -math.inf
        for forward, sideways in zip(ahead, aside, strict=True):
            x, y = self.entry.ahead(float(forward))
            place = (x - float(sideways) * self.entry.inward[1], y + float(sideways) * self.entry.inward[0])
            room = min(self.floorplan.clearance(place), enough)
            if room > best_room + 1e-9:
                best, best_room = place, room
        return best

    def _away_from_movers(self, view: SceneView, here: Point) -> Point:
        away_x, away_y = 0.0, 0.0
        for other in view.movers:
            there = view.place(other)
            reach = self.keep_from_robot_m + 0.7
            if other != self.body and math.dist(here, there) < reach:
                away = unit(here[0] - there[0], here[1] - there[1])
                lack = (reach - math.dist(here, there)) / 0.7
                away_x, away_y = away_x + lack * away[0], away_y + lack * away[1]
        return away_x, away_y

    def drive(self, actuator: Actuator) -> None:
        """Push the air."""
        if self.collected(actuator) or not self.flying:
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
