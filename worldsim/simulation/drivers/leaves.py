"""Pushes what hangs on mounts: doors, flaps, drawers, pendulums, with locks, end stops and counterweights."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from worldsim.errors import ConfigurationError
from worldsim.simulation.drivers.driver import Actuator, Driver, SceneView
from worldsim.simulation.engine import RigidState
from worldsim.simulation.geometry import rotation_matrix
from worldsim.simulation.scene import BodySpec, Mount, Vector

GRAVITY_M_S2 = 9.81
_STOP_RAD_S = 60.0
"""Natural frequency of end stops and locks: what they give way stays below half a millimetre under a hand's push."""


@dataclass(frozen=True, slots=True)
class LeafPush:
    """A steady force on a leaf's centre for a while.

    Attributes:
        force_n: world frame.
        from_s, until_s: s since reset.
    """

    force_n: Vector
    from_s: float
    until_s: float


@dataclass(frozen=True, slots=True)
class Leaf:
    """One mounted body and what acts on it.

    Attributes:
        frame: name of the body that it belongs to (which stands still).
        spec: of the leaf.
        pushes: that move it.
        lower, upper: where its end stops are, rad or m from where it starts.
        opens_s: it is locked before, s since reset.
    """

    frame: str
    spec: BodySpec
    pushes: tuple[LeafPush, ...]
    lower: float = -math.inf
    upper: float = math.inf
    opens_s: float = 0.0


class Leaves(Driver):
    """Moves all leaves of a scene; each is balanced against its weight."""

    def __init__(self, leaves: tuple[Leaf, ...]) -> None:
        """Take charge of `leaves`.

        Raises:
            ConfigurationError: there are none, or one is not mounted.
        """
        if not leaves:
            raise ConfigurationError("Leaves: no leaf was given; leave the driver out.")
        for leaf in leaves:
            if leaf.spec.mount is None:
                raise ConfigurationError(f"Leaves: {leaf.spec.name!r} hangs on no mount.")
        super().__init__(leaves[0].spec.name)
        self.leaves = leaves
        self.time_s = 0.0

    def decide(self, view: SceneView, rng: np.random.Generator) -> None:
        """Read the clock: the pushes were fixed."""
        del rng
        self.time_s = view.time_s

    def drive(self, actuator: Actuator) -> None:
        """Push every leaf for one engine step."""
        for leaf in self.leaves:
            total = np.array([0.0, 0.0, leaf.spec.mass_kg * GRAVITY_M_S2])
            for push in leaf.pushes:
                if push.from_s <= self.time_s < push.until_s:
                    total += push.force_n
            total += _stops(leaf, actuator.state(leaf.spec.name), locked=self.time_s < leaf.opens_s)
            actuator.push(leaf.spec.name, (float(total[0]), float(total[1]), float(total[2])), (0.0, 0.0, 0.0))

    @property
    def moves(self) -> bool:
        """Say that nothing here moves of itself."""
        return False

    def forces(self) -> tuple[tuple[str, str, str, float], ...]:
        """Return (frame, leaf, kind of joint, 1) of every leaf."""
        return tuple((leaf.frame, leaf.spec.name, _mount(leaf).kind, 1.0) for leaf in self.leaves)


def joint_state(spec: BodySpec, state: RigidState) -> tuple[float, float]:
    """Return angle (rad) or offset (m) of a leaf from where it was placed, and its rate; zeros for a ball joint."""
    mount = spec.mount
    if mount is None or mount.kind == "ball_joint":
        return 0.0, 0.0
    start = rotation_matrix(spec.orientation_xyzw)
    axis = start @ np.asarray(mount.axis)
    if mount.kind == "slider":
        offset = axis @ (np.asarray(state.position) - np.asarray(spec.position))
        return float(offset), float(axis @ np.asarray(state.linear_velocity))
    turn = rotation_matrix(state.orientation_xyzw) @ start.T
    sine = 0.5 * axis @ np.array([turn[2, 1] - turn[1, 2], turn[0, 2] - turn[2, 0], turn[1, 0] - turn[0, 1]])
    angle = math.atan2(float(sine), 0.5 * (float(np.trace(turn)) - 1.0))
    return angle, float(axis @ np.asarray(state.angular_velocity))


def _stops(leaf: Leaf, state: RigidState, *, locked: bool) -> np.ndarray:
    """Return the force on the leaf's centre of its lock or of the end stop that it leans on."""
    if not locked and math.isinf(leaf.upper):
        return np.zeros(3)
    at, rate = joint_state(leaf.spec, state)
    low, high = (0.0, 0.0) if locked else (leaf.lower, leaf.upper)
    beyond = at - min(max(at, low), high)
    if beyond == 0.0 and not locked:
        return np.zeros(3)
    wanted = -(_STOP_RAD_S**2) * beyond - _STOP_RAD_S * rate  # acceleration of the joint
    mount = _mount(leaf)
    axis = rotation_matrix(leaf.spec.orientation_xyzw) @ np.asarray(mount.axis)
    if mount.kind == "slider":
        return leaf.spec.mass_kg * wanted * axis
    lever = -rotation_matrix(state.orientation_xyzw) @ np.asarray(mount.anchor_m)
    return leaf.spec.mass_kg * wanted * np.cross(axis, lever)


def _mount(leaf: Leaf) -> Mount:
    mount = leaf.spec.mount
    assert mount is not None  # checked when the leaf was taken
    return mount
