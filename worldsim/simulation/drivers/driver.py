"""The contract of a driver, and what drivers share."""

from __future__ import annotations

import abc
import copy
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np

from worldsim.simulation.engine import RigidState, States
from worldsim.simulation.scene import Quaternion, Vector


class SceneView(NamedTuple):
    """What drivers and tasks may read of the true world at the start of a frame (they are part of that world).

    A tuple, since one or two are made in every frame.

    Attributes:
        time_s: s since reset; dt_s: length of a frame, s.
        names, kinds: of the N bodies; index: name -> row.
        states: [N] states; extent_m: [N, 3].
        movers: names of the bodies that move of themselves now.
        command: [U] the action of this frame, each in [-1, 1].
        ego: name of the commanded body.
    """

    time_s: float
    dt_s: float
    names: tuple[str, ...]
    kinds: tuple[str, ...]
    index: Mapping[str, int]  # type: ignore[assignment]  # hides a tuple's own method, which nobody needs here
    states: States
    extent_m: np.ndarray
    movers: tuple[str, ...]
    command: tuple[float, ...]
    ego: str | None

    def place(self, name: str) -> tuple[float, float]:
        """Return where `name` stands, (x, y) in m."""
        x, y, _ = self.states.position[self.index[name]]
        return float(x), float(y)

    def velocity(self, name: str) -> tuple[float, float]:
        """Return the horizontal velocity of `name`, m/s."""
        x, y, _ = self.states.linear_velocity[self.index[name]]
        return float(x), float(y)

    def heading(self, name: str) -> float:
        """Return the yaw of `name`, rad."""
        x, y, z, w = self.states.orientation_xyzw[self.index[name]]
        return yaw_of((float(x), float(y), float(z), float(w)))

    def nearest_mover(self, name: str, reach_m: float = math.inf) -> str | None:
        """Return the nearest other mover within `reach_m` of `name`, None where there is none."""
        here = self.place(name)
        near = [(math.dist(here, self.place(other)), other) for other in self.movers if other != name]
        near = [pair for pair in near if pair[0] < reach_m]
        return min(near)[1] if near else None


class Actuator(Protocol):
    """What a driver may do in an engine step: feel bodies, push them, move limbs, take away what has left."""

    @property
    def step_s(self) -> float:
        """Length of an engine step, s."""

    def state(self, name: str) -> RigidState:
        """Return the present state of `name`."""

    def push(self, name: str, force: Vector, torque: Vector) -> None:
        """Push `name` during the next engine step (N at its centre of mass, N m; world frame)."""

    def aim(self, name: str, angles_rad: Mapping[str, float]) -> None:
        """Turn the limbs of `name` towards angles."""

    def withdraw(self, name: str, position: Vector) -> None:
        """Take `name` out of the scene: somebody collects it and puts it down at `position`, out of sight."""


class Driver(abc.ABC):
    """Moves one body by bounded forces: decides once a frame, pushes at every engine step.

    Everything that changes lives in the instance's attributes, which `save` copies and `load` puts back.
    """

    def __init__(self, body: str) -> None:
        """Take charge of `body`."""
        self.body = body

    @abc.abstractmethod
    def decide(self, view: SceneView, rng: np.random.Generator) -> None:
        """Choose what to do in the coming frame."""

    @abc.abstractmethod
    def drive(self, actuator: Actuator) -> None:
        """Push, for the next engine step."""

    @property
    def moves(self) -> bool:
        """Whether others should take the body for something that moves of itself."""
        return True

    @property
    def acts(self) -> bool:
        """Whether `drive` is to be called in this frame: not where it was decided to do nothing."""
        return True

    @property
    def present(self) -> bool:
        """Whether the body takes part in the scene (an intruder that has not come yet does not)."""
        return True

    @property
    def is_intruder(self) -> bool:
        """Whether the body comes from outside."""
        return False

    @property
    def away(self) -> tuple[str, ...]:
        """Names of those of its bodies that are not in the scene now: not yet, or no longer."""
        return (self.body,) if self.is_intruder and not self.present else ()

    def attachments(self) -> tuple[tuple[str, str], ...]:
        """Return the pairs of names that the driver holds together."""
        return ()

    def forces(self) -> tuple[tuple[str, str, str, float], ...]:
        """Return (first, second, kind, strength) of every force between two bodies that the driver applies now."""
        return ()

    def save(self) -> SavedDriver:
        """Return a copy of everything that changes."""
        return tuple([(name, how(value), how) for name, value in vars(self).items() for how in (_copier(value),)])

    def load(self, saved: SavedDriver) -> None:
        """Put back what `save` returned."""
        vars(self).clear()
        vars(self).update({name: how(value) for name, value, how in saved})


SavedDriver = tuple[tuple[str, Any, Callable[[Any], Any]], ...]
"""Name and copy of each attribute of a driver, and how it is copied again: found out once, as resets are many."""


def _copier(value: Any) -> Callable[[Any], Any]:
    """Return what copies `value`: most of a driver is plain numbers and frozen values, which need no copy."""
    if _unchanging(value):
        return _itself
    if type(value) is dict and all(map(_unchanging, value.values())):
        return dict.copy
    return copy.deepcopy


def _itself(value: Any) -> Any:
    return value


def _unchanging(value: Any) -> bool:
    if value is None or isinstance(value, int | float | str | bytes):
        return True
    if isinstance(value, tuple | frozenset):
        return all(map(_unchanging, value))
    parameters = getattr(type(value), "__dataclass_params__", None)
    return parameters is not None and parameters.frozen


@dataclass(frozen=True, slots=True)
class Bulk:
    """Mass (kg), moment of inertia about the vertical (kg m^2) and tilting stiffness (N m/rad) of a driven body."""

    mass_kg: float
    yaw_inertia: float
    tilt_stiffness: float

    @classmethod
    def of_box(cls, mass_kg: float, extent_m: Vector) -> Bulk:
        """Return the bulk of a solid box."""
        x, y, z = extent_m
        # stiff enough that a push at the middle tips nothing, soft enough for a step of 1/240 s
        tilt = mass_kg / 12.0 * (min(x, y) ** 2 + z**2)
        return cls(mass_kg, mass_kg / 12.0 * (x * x + y * y), 400.0 * tilt)


def yaw_of(q: Quaternion) -> float:
    """Return the heading of a body, rad."""
    x, y, z, w = q
    return math.atan2(2.0 * (w * z + x * y), 1.0 - 2.0 * (y * y + z * z))


def wrapped(angle_rad: float) -> float:
    """Return an angle in (-pi, pi]."""
    return math.atan2(math.sin(angle_rad), math.cos(angle_rad))


def bounded(value: float, bound: float) -> float:
    """Return `value` clipped to [-bound, bound]."""
    return bound if value > bound else -bound if value < -bound else value  # sooner than min and max


def whole_steps(duration_s: float, step_s: float) -> int:
    """Return how many engine steps something lasts, at least one."""
    return max(1, round(duration_s / step_s))


def shortened(x: float, y: float, bound: float) -> tuple[float, float]:
    """Return the vector, no longer than `bound`."""
    length = math.hypot(x, y)
    return (x, y) if length <= bound else (x * bound / length, y * bound / length)


def upright_torque(state: RigidState, bulk: Bulk) -> tuple[float, float]:
    """Return the bounded horizontal torque (N m) that keeps the body's z axis vertical."""
    x, y, z, w = state.orientation_xyzw
    up_x, up_y = 2.0 * (x * z + w * y), 2.0 * (y * z - w * x)
    damping = 0.1 * bulk.tilt_stiffness  # critical: 2 / sqrt(400)
    most = 0.6 * bulk.tilt_stiffness
    torque_x = bulk.tilt_stiffness * up_y - damping * state.angular_velocity[0]
    torque_y = -bulk.tilt_stiffness * up_x - damping * state.angular_velocity[1]
    return shortened(torque_x, torque_y, most)


def steer(
    state: RigidState, bulk: Bulk, velocity: tuple[float, float], heading_rad: float | None, limits: Limits
) -> tuple[Vector, Vector]:
    """Return the force and torque that bring a body to a horizontal velocity and a heading.

    Args:
        state: of the body.
        bulk: its mass and inertia.
        velocity: wanted, m/s, world frame.
        heading_rad: wanted; None leaves the heading where it is.
        limits: gains and bounds.
    """
    vx, vy, _ = state.linear_velocity
    ax, ay = shortened(
        limits.response_per_s * (velocity[0] - vx), limits.response_per_s * (velocity[1] - vy), limits.acceleration_m_s2
    )
    rate = 0.0
    if heading_rad is not None:
        turn = wrapped(heading_rad - yaw_of(state.orientation_xyzw))
        rate = bounded(limits.turn_gain_per_s * turn, limits.turn_rate_rad_s)
    spin = bounded(12.0 * (rate - state.angular_velocity[2]), limits.turn_acceleration_rad_s2)
    tilt = upright_torque(state, bulk)
    force = (bulk.mass_kg * ax, bulk.mass_kg * ay, 0.0)
    return force, (tilt[0], tilt[1], bulk.yaw_inertia * spin)


@dataclass(frozen=True, slots=True)
class Limits:
    """Gains and bounds of a driven body."""

    response_per_s: float
    acceleration_m_s2: float
    turn_gain_per_s: float = 6.0
    turn_rate_rad_s: float = 4.0
    turn_acceleration_rad_s2: float = 25.0
