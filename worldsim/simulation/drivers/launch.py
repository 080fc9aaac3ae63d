"""Sets bodies going by one short push each, and leaves them to physics."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from worldsim.errors import ConfigurationError
from worldsim.simulation.drivers.driver import Actuator, Driver, SceneView, whole_steps
from worldsim.simulation.scene import Vector

PUSH_S = 0.1
"""How long a push lasts, s."""


class Launch(Driver):
    """Pushes bodies evenly for a moment, so that each gets its impulse; nothing moves of itself afterwards."""

    def __init__(self, impulse_n_s: Mapping[str, Vector]) -> None:
        """Take charge of the bodies.

        Args:
            impulse_n_s: name -> impulse, world frame.

        Raises:
            ConfigurationError: no body is named.
        """
        if not impulse_n_s:
            raise ConfigurationError("Launch: no body is named; leave the driver out.")
        super().__init__(next(iter(impulse_n_s)))
        self.impulse_n_s = dict(impulse_n_s)
        self.pushed_steps = 0

    def decide(self, view: SceneView, rng: np.random.Generator) -> None:
        """Choose nothing: the pushes were fixed."""
        del view, rng

    def drive(self, actuator: Actuator) -> None:
        """Push while the push lasts."""
        steps = whole_steps(PUSH_S, actuator.step_s)
        if self.pushed_steps == steps:
            return
        self.pushed_steps += 1
        for name, impulse in self.impulse_n_s.items():
            actuator.push(name, _scaled(impulse, 1.0 / (steps * actuator.step_s)), (0.0, 0.0, 0.0))

    @property
    def moves(self) -> bool:
        """Say that the bodies do not move of themselves."""
        return False


def _scaled(vector: Vector, factor: float) -> Vector:
    return (vector[0] * factor, vector[1] * factor, vector[2] * factor)
