"""A hoist that lifts a body, carries it over, lowers it and lets go, by a bounded force."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from worldsim.errors import ConfigurationError
from worldsim.simulation.drivers.driver import Actuator, Bulk, Driver, SceneView, upright_torque, wrapped, yaw_of
from worldsim.simulation.scene import Vector

_RATE_PER_S = 20.0  # natural frequency of the ropes, critically damped
_MOST_G = 3.0  # they pull no harder than three times the weight
_GRAVITY_M_S2 = 9.81
_HOLDS_S = 0.4  # at the end of the way, until what it carries has caught up


@dataclass(frozen=True, slots=True)
class Trip:
    """One trip of a hoist: straight up, across at one height, straight down.

    Attributes:
        clear_m: height of the body's centre while it is carried across.
        to: where its centre is put down, m.
        speed_m_s: along the way.
        from_s: when it is taken up, s since reset.
        loaded_kg: mass that hangs on the hoist, the body's and its load's.
    """

    clear_m: float
    to: Vector
    speed_m_s: float
    from_s: float
    loaded_kg: float

    def __post_init__(self) -> None:
        """Check the numbers.

        Raises:
            ConfigurationError: one cannot work.
        """
        numbers = (self.clear_m, *self.to, self.speed_m_s, self.from_s, self.loaded_kg)
        if not all(map(math.isfinite, numbers)) or min(self.speed_m_s, self.loaded_kg) <= 0.0 or self.from_s < 0.0:
            raise ConfigurationError(
                f"Trip: {self} cannot work: all finite, speed_m_s and loaded_kg > 0, from_s >= 0 are needed."
            )


class Hoist(Driver):
    """Carries one body along a trip from wherever it is; before and afterwards it leaves the body alone."""

    def __init__(self, body: str, bulk: Bulk, trip: Trip) -> None:
        """Take charge of `body`.

        Args:
            body: its name.
            bulk: its mass and inertia.
            trip: where to and when.
        """
        super().__init__(body)
        self.bulk, self.trip = bulk, trip
        self.way: tuple[Vector, ...] = ()
        self.yaw_rad = 0.0
        self.travelled_s = 0.0
        self.holds = False

    def decide(self, view: SceneView, rng: np.random.Generator) -> None:
        """Take the body up when it is time."""
        del rng
        if self.way or view.time_s < self.trip.from_s:
            return
        x, y, z = (float(v) for v in view.states.position[view.index[self.body]])
        to_x, to_y, to_z = self.trip.to
        clear = max(self.trip.clear_m, z)
        self.way = ((x, y, z), (x, y, clear), (to_x, to_y, clear), (to_x, to_y, to_z))
        self.yaw_rad = view.heading(self.body)
        self.holds = True

    def drive(self, actuator: Actuator) -> None:
        """Pull towards the place on the way, and against the weight; keep the body upright and its heading."""
        if not self.holds:
            return
        self.travelled_s += actuator.step_s
        goal = _along(self.way, self.trip.speed_m_s * self.travelled_s)
        self.holds = self.trip.speed_m_s * (self.travelled_s - _HOLDS_S) < _length(self.way)
        state, mass = actuator.state(self.body), self.trip.loaded_kg
        pull = [
            _RATE_PER_S * (_RATE_PER_S * (goal - at) - 2.0 * speed)
            for goal, at, speed in zip(goal, state.position, state.linear_velocity, strict=True)
        ]
        pull[2] += _GRAVITY_M_S2
        size = math.sqrt(sum(part * part for part in pull))
        scale = mass * min(1.0, _MOST_G * _GRAVITY_M_S2 / max(size, 1e-9))
        tilt_x, tilt_y = upright_torque(state, self.bulk)
        turn = wrapped(self.yaw_rad - yaw_of(state.orientation_xyzw))
        twist = self.bulk.yaw_inertia * _RATE_PER_S * (_RATE_PER_S * turn - 2.0 * state.angular_velocity[2])
        actuator.push(self.body, (scale * pull[0], scale * pull[1], scale * pull[2]), (tilt_x, tilt_y, twist))

    @property
    def moves(self) -> bool:
        """Say that the body does not move of itself."""
        return False


def _length(way: tuple[Vector, ...]) -> float:
    return sum(math.dist(start, end) for start, end in pairwise(way))


def _along(way: tuple[Vector, ...], distance_m: float) -> Vector:
    """Return the place so far along the way; its end beyond it."""
    for start, end in pairwise(way):
        length = math.dist(start, end)
        if distance_m < length:
            share = distance_m / length
            x, y, z = (a + share * (b - a) for a, b in zip(start, end, strict=True))
            return (x, y, z)
        distance_m -= length
    return way[-1]
