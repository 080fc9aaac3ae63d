"""What rolls of itself, towards a way out and away from the commanded body."""

from __future__ import annotations

import math

import numpy as np

from worldsim.simulation.drivers.driver import Actuator, Driver, SceneView, shortened

_RESPONSE_PER_S = 6.0
_ACCELERATION_M_S2 = 3.0
_WALL_M = 0.7  # it turns away from a side wall nearer than this


class Runaway(Driver):
    """Drives a ball by a bounded force at its centre: towards +x, off the side walls, and away from its pursuer."""

    def __init__(
        self, body: str, mass_kg: float, speed_m_s: float, flee_distance_m: float, half_width_m: float
    ) -> None:
        """Take charge of `body`.

        Args:
            body: name of the ball.
            mass_kg: of the ball.
            speed_m_s: that it keeps.
            flee_distance_m: it minds the commanded body from this distance on.
            half_width_m: the side walls stand at y = +- this.
        """
        super().__init__(body)
        self.mass_kg, self.speed_m_s = mass_kg, speed_m_s
        self.flee_distance_m, self.half_width_m = flee_distance_m, half_width_m
        self.velocity = (0.0, 0.0)

    def decide(self, view: SceneView, rng: np.random.Generator) -> None:
        """Choose a direction."""
        del rng
        x, y = view.place(self.body)
        along, across = 1.0, 0.0
        if view.ego is not None:
            ego_x, ego_y = view.place(view.ego)
            distance = math.dist((x, y), (ego_x, ego_y))
            fear = 2.0 * max(0.0, 1.0 - distance / self.flee_distance_m)
            along += fear * (x - ego_x) / max(distance, 1e-6)
            across += fear * (y - ego_y) / max(distance, 1e-6)
        near_wall = max(0.0, abs(y) - (self.half_width_m - _WALL_M)) / _WALL_M
        across -= 1.5 * math.copysign(near_wall, y)
        length = max(math.hypot(along, across), 1e-6)
        self.velocity = (self.speed_m_s * along / length, self.speed_m_s * across / length)

    def drive(self, actuator: Actuator) -> None:
        """Push for the next engine step."""
        vx, vy, _ = actuator.state(self.body).linear_velocity
        wanted = (_RESPONSE_PER_S * (self.velocity[0] - vx), _RESPONSE_PER_S * (self.velocity[1] - vy))
        ax, ay = shortened(*wanted, _ACCELERATION_M_S2)
        actuator.push(self.body, (self.mass_kg * ax, self.mass_kg * ay, 0.0), (0.0, 0.0, 0.0))
