"""Sets bodies going by one short push each, and leaves them to physics."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from worldsim.errors import ConfigurationError
from worldsim.simulation.drivers.driver import Actuator, Driver, SceneView
from worldsim.simulation.scene import Vector

PUSH_STEPS = 24
"""Engine steps that a push lasts: 0.1 s at 240 Hz."""


class Launch(Driver):
    """Pushes bodies evenly for a moment, so that each gets its impulse; nothing moves of itself afterwards."""

    def __init__(self, impulse_n_s: Mapping[str, Vector], step_s: float = 1.0 / 240.0) -> None:
        """Take charge of the bodies.

        Args:
            impulse_n_s: name -> impulse, world frame.
            step_s: length of an engine step.

        Raises:
            ConfigurationError: no body is named.
        """
        if not impulse_n_s:
            raise ConfigurationError("Launch: no body is named; leave the driver out.")
        super().__init__(next(iter(impulse_n_s)))
        self.force = {name: _scaled(impulse, 1.0 / (PUSH_STEPS * step_s)) for name, impulse in impulse_n_s.items()}
        self.steps_left = PUSH_STEPS

    def decide(self, view: SceneView, rng: np.random.Generator) -> None:
        """Choose nothing: the pushes were fixed."""
        del view, rng

    def drive(self, actuator: Actuator) -> None:
        """Push while the push lasts."""
        if self.steps_left == 0:
            return
        self.steps_left -= 1
        for name, force in self.force.items():
            actuator.push(name, force, (0.0, 0.0, 0.0))

    @property
    def moves(self) -> bool:
        """Say that the bodies do not move of themselves."""
        return False


def _scaled(vector: Vector, factor: float) -> Vector:
    return (vector[0] * factor, vector[1] * factor, vector[2] * factor)
