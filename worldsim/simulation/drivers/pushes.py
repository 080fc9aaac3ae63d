"""Hands that push bodies at set times, with a bounded force, and let go of what falls."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from worldsim.errors import ConfigurationError
from worldsim.simulation.drivers.driver import Actuator, Driver, SceneView

_GAIN_PER_S = 60.0  # a quarter of a velocity error a step of 1/240 s: firm, and far from unstable
_FALLEN_M = 0.05


@dataclass(frozen=True, slots=True)
class Push:
    """One push, horizontal, through the centre of a body.

    Attributes:
        body: its name.
        mass_kg: of the body; the force grows with it.
        heading_rad: where to, 0 is along x.
        speed_m_s: the hand goes no faster.
        most_n: nor does it push harder.
        from_s, until_s: when, s since reset.
    """

    body: str
    mass_kg: float
    heading_rad: float
    speed_m_s: float
    most_n: float
    from_s: float
    until_s: float

    def __post_init__(self) -> None:
        """Check the numbers.

        Raises:
            ConfigurationError: one cannot work.
        """
        positive = all(
            math.isfinite(value) and value > 0.0 for value in (self.mass_kg, self.speed_m_s, self.most_n, self.until_s)
        )
        if not (positive and math.isfinite(self.heading_rad) and 0.0 <= self.from_s < self.until_s):
            raise ConfigurationError(
                f"Push: {self} cannot work: mass_kg, speed_m_s and most_n must be > 0, and 0 <= from_s < until_s."
            )


class Pushes(Driver):
    """Hands that push. The bodies do not move of themselves; a hand never pulls, and lets go of what falls."""

    def __init__(self, pushes: tuple[Push, ...]) -> None:
        """Take charge of `pushes`.

        Raises:
            ConfigurationError: there are none.
        """
        if not pushes:
            raise ConfigurationError("Pushes: no push was given; leave the driver out.")
        super().__init__(pushes[0].body)
        self.pushes = pushes
        self.active: tuple[Push, ...] = ()
        self.height_m: dict[str, float] = {}
        self.fallen: frozenset[str] = frozenset()

    def decide(self, view: SceneView, rng: np.random.Generator) -> None:
        """Begin and end pushes."""
        del rng
        now = [push for push in self.pushes if push.from_s <= view.time_s < push.until_s]
        for push in now:
            height = float(view.states.position[view.index[push.body], 2])
            if height < self.height_m.setdefault(push.body, height) - _FALLEN_M:
                self.fallen |= {push.body}
        self.active = tuple(push for push in now if push.body not in self.fallen)

    def drive(self, actuator: Actuator) -> None:
        """Push towards the hand's speed, as hard as it may."""
        for push in self.active:
            x, y = math.cos(push.heading_rad), math.sin(push.heading_rad)
            vx, vy, _ = actuator.state(push.body).linear_velocity
            force = push.mass_kg * _GAIN_PER_S * (push.speed_m_s - vx * x - vy * y)
            force = min(max(force, 0.0), push.most_n)
            actuator.push(push.body, (force * x, force * y, 0.0), (0.0, 0.0, 0.0))

    @property
    def acts(self) -> bool:
        """Return whether a hand is at work."""
        return bool(self.active)

    @property
    def moves(self) -> bool:
        """Say that the bodies do not move of themselves."""
        return False
