"""A crane that holds a body up and lets go of it at a set time."""

from __future__ import annotations

import math

import numpy as np

from worldsim.errors import ConfigurationError
from worldsim.simulation.drivers.driver import Actuator, Driver, SceneView
from worldsim.simulation.scene import Vector

_RATE_PER_S = 20.0  # natural frequency of the rope, critically damped
_MOST_G = 2.0  # the crane pulls no harder than twice the weight
_GRAVITY_M_S2 = 9.81


class Crane(Driver):
    """Bears a body's weight and keeps its centre in place by a bounded force; what it has let go of falls."""

    def __init__(self, body: str, mass_kg: float, position: Vector, until_s: float) -> None:
        """Take charge of `body`.

        Args:
            body: its name.
            mass_kg: of the body.
            position: where its centre is held, m.
            until_s: when it is let go, s since reset.

        Raises:
            ConfigurationError: the mass is not positive, or the time not finite.
        """
        if not (math.isfinite(mass_kg) and mass_kg > 0.0 and math.isfinite(until_s)):
            raise ConfigurationError(
                f"Crane: {body!r} has mass_kg {mass_kg} and until_s {until_s}; expected a mass > 0 and a finite time."
            )
        super().__init__(body)
        self.mass_kg, self.position, self.until_s = mass_kg, position, until_s
        self.holds = True

    def decide(self, view: SceneView, rng: np.random.Generator) -> None:
        """Let go when it is time."""
        del rng
        self.holds = view.time_s < self.until_s

    def drive(self, actuator: Actuator) -> None:
        """Pull towards the place, and against the weight."""
        state = actuator.state(self.body)
        (goal_x, goal_y, goal_z), (x, y, z), (vx, vy, vz) = self.position, state.position, state.linear_velocity
        ax = _RATE_PER_S * (_RATE_PER_S * (goal_x - x) - 2.0 * vx)
        ay = _RATE_PER_S * (_RATE_PER_S * (goal_y - y) - 2.0 * vy)
        az = _RATE_PER_S * (_RATE_PER_S * (goal_z - z) - 2.0 * vz) + _GRAVITY_M_S2
        size = math.sqrt(ax * ax + ay * ay + az * az)
        scale = self.mass_kg * min(1.0, _MOST_G * _GRAVITY_M_S2 / size) if size > 0.0 else 0.0
        actuator.push(self.body, (scale * ax, scale * ay, scale * az), (0.0, 0.0, 0.0))

    @property
    def acts(self) -> bool:
        """Return whether it still holds the body."""
        return self.holds

    @property
    def moves(self) -> bool:
        """Say that the body does not move of itself."""
        return False
