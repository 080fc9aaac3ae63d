"""What is asked of a physics engine: bodies in, forces in, states and contacts out."""

from __future__ import annotations

import abc
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

import numpy as np
from jaxtyping import Float, Int

from worldsim.simulation.scene import BodySpec, Quaternion, Vector


class RigidState(NamedTuple):
    """Pose and velocity of the centre of a body's bounding box, world frame, as plain numbers (m, m/s, rad/s)."""

    position: Vector
    orientation_xyzw: Quaternion
    linear_velocity: Vector
    angular_velocity: Vector


class Contact(NamedTuple):
    """Two touching bodies.

    Attributes:
        a, b: indices of the bodies in the order they were added.
        force_n: normal force.
        normal_z: upward part of the force on `a`, as a share of `force_n`: 1 where `b` carries `a`.
    """

    a: int
    b: int
    force_n: float
    normal_z: float


class StateArrays(NamedTuple):
    """States of N bodies: position [N, 3], orientation_xyzw [N, 4], linear and angular velocity [N, 3]."""

    position: Float[np.ndarray, "N 3"]
    orientation_xyzw: Float[np.ndarray, "N 4"]
    linear_velocity: Float[np.ndarray, "N 3"]
    angular_velocity: Float[np.ndarray, "N 3"]

    def copy(self) -> StateArrays:
        """Return a copy that shares nothing."""
        return StateArrays(*[array.copy() for array in self])


class States(Protocol):
    """What a frame's states are asked for: `StateArrays`, or a `Glance` that reads velocities only when asked."""

    @property
    def position(self) -> Float[np.ndarray, "N 3"]:
        """Return the centres of the bodies' boxes, m."""

    @property
    def orientation_xyzw(self) -> Float[np.ndarray, "N 4"]:
        """Return the orientations, body to world."""

    @property
    def linear_velocity(self) -> Float[np.ndarray, "N 3"]:
        """Return the velocities of the centres, m/s."""

    @property
    def angular_velocity(self) -> Float[np.ndarray, "N 3"]:
        """Return the angular velocities, rad/s, world frame."""


class Glance:
    """Poses of N bodies at one moment; their velocities are read when first asked for, if it is still that moment."""

    __slots__ = ("_angular", "_linear", "_read", "orientation_xyzw", "position")

    def __init__(
        self,
        position: Float[np.ndarray, "N 3"],
        orientation_xyzw: Float[np.ndarray, "N 4"],
        read: Callable[[], StateArrays],
    ) -> None:
        """Keep the poses; `read` returns the whole states, or raises when the engine has moved on."""
        self.position, self.orientation_xyzw, self._read = position, orientation_xyzw, read
        self._linear: np.ndarray | None = None
        self._angular: np.ndarray | None = None

    @property
    def linear_velocity(self) -> Float[np.ndarray, "N 3"]:
        """Return the velocities of the centres, m/s."""
        if self._linear is None:
            _, _, self._linear, self._angular = self._read()
        return self._linear

    @property
    def angular_velocity(self) -> Float[np.ndarray, "N 3"]:
        """Return the angular velocities, rad/s, world frame."""
        if self._angular is None:
            _, _, self._linear, self._angular = self._read()
        return self._angular


class PinholeCamera(NamedTuple):
    """A camera for pictures.

    Attributes:
        position: where it stands, m.
        target: what it looks at, m.
        up: what is up.
        vertical_field_rad: how wide it sees.
        width, height: of the picture, pixels.
        near_m, far_m: what is nearer or farther is not drawn.
        shadows: drawn on a map of a few metres only, so they serve pictures of single things; without them a
            software renderer is up to three times as fast.
    """

    position: Vector
    target: Vector
    up: Vector = (0.0, 0.0, 1.0)
    vertical_field_rad: float = 1.0
    width: int = 640
    height: int = 480
    near_m: float = 0.05
    far_m: float = 60.0
    shadows: bool = False


class Engine(abc.ABC):
    """One simulated world. Bodies are numbered in the order they were added."""

    time_step_s: float

    @abc.abstractmethod
    def clear(self) -> None:
        """Empty the world and set every setting anew."""

    @abc.abstractmethod
    def add(self, spec: BodySpec) -> int:
        """Add a body; return its number."""

    @abc.abstractmethod
    def state(self, body: int) -> RigidState:
        """Return the present state of one body."""

    @abc.abstractmethod
    def states(self) -> StateArrays:
        """Return the present states of all bodies."""

    def glance(self) -> States:
        """Return the present states of all bodies, of which the velocities may be read later, before the next step."""
        return self.states()

    @abc.abstractmethod
    def push(self, body: int, force: Vector, torque: Vector) -> None:
        """Apply a force (N) at the centre of mass and a torque (N m), world frame, during the next step only."""

    @abc.abstractmethod
    def aim(self, body: int, angles_rad: Mapping[str, float]) -> None:
        """Turn named links towards angles, by bounded torques at their joints, until told otherwise."""

    @abc.abstractmethod
    def place(self, body: int, position: Vector, orientation_xyzw: Quaternion) -> None:
        """Put a body at rest somewhere else (only for what is taken away; never to move something about)."""

    @abc.abstractmethod
    def advance(self) -> None:
        """Advance by one engine step."""

    @abc.abstractmethod
    def contacts(self, body: int | None = None) -> list[Contact]:
        """Return the touching pairs (of one body, where given) after the last step."""

    def touching(self, body: int) -> set[int]:
        """Return the numbers of the bodies that press on one body after the last step."""
        return {contact.b if contact.a == body else contact.a for contact in self.contacts(body)}

    @abc.abstractmethod
    def first_hits(self, start: Float[np.ndarray, "R 3"], end: Float[np.ndarray, "R 3"]) -> Int[np.ndarray, " R"]:
        """Return the number of the first body that each of R rays meets, -1 for none."""

    @abc.abstractmethod
    def save(self) -> Any:
        """Return a token of the present state."""

    @abc.abstractmethod
    def load(self, token: Any) -> None:
        """Go back to the state of `token`, bit for bit."""

    @abc.abstractmethod
    def picture(self, camera: PinholeCamera) -> tuple[np.ndarray, np.ndarray]:
        """Return an image [H, W, 3] uint8 and its depth [H, W] float32, m."""

    @abc.abstractmethod
    def close(self) -> None:
        """Free the engine."""
