"""What an analytic scene is, what an engine must offer to run it, and what is recorded of a run."""

from __future__ import annotations

import abc
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from worldsim.errors import ConfigurationError
from worldsim.simulation.engine import RigidState
from worldsim.simulation.scene import Quaternion, Vector

__all__ = ["Bench", "Force", "LabBody", "LabLink", "LabScene", "Trace", "midpoint_force", "record", "solid_moments"]

Force = Callable[[Vector, Vector], Vector]
"""(position m, velocity m/s) -> force N on the first body, world frame."""

NO_VECTOR: Vector = (0.0, 0.0, 0.0)
UPRIGHT: Quaternion = (0.0, 0.0, 0.0, 1.0)


@dataclass(frozen=True, slots=True)
class LabBody:
    """One free or fixed body; its frame is at its centre of mass, along its principal axes.

    Attributes:
        shape: ``box``, ``sphere`` or ``capsule`` (along body z).
        extent_m: full edges of the bounding box.
        mass_kg: 0 for what never moves.
        position, orientation_xyzw: initial pose, world frame.
        linear_velocity, angular_velocity: initial twist, world frame.
        moments_kg_m2: principal moments; those of the solid shape where None.
        friction: Coulomb coefficient against anything in the scene.
        restitution: against anything in the scene.
        solid: False for a body that touches nothing.
    """

    shape: str
    extent_m: Vector
    mass_kg: float
    position: Vector
    orientation_xyzw: Quaternion = UPRIGHT
    linear_velocity: Vector = NO_VECTOR
    angular_velocity: Vector = NO_VECTOR
    moments_kg_m2: Vector | None = None
    friction: float = 0.0
    restitution: float = 0.0
    solid: bool = True

    @property
    def moments(self) -> Vector:
        """Principal moments about the centre of mass, kg m^2."""
        return self.moments_kg_m2 or solid_moments(self.shape, self.extent_m, self.mass_kg)


@dataclass(frozen=True, slots=True)
class LabLink:
    """A link of a chain that hangs from the world; it touches nothing.

    Attributes:
        mass_kg: of the link.
        moments_kg_m2: about its centre of mass, link axes.
        centre_m: centre of mass from its joint, link frame.
        next_joint_m: where the next link hangs, link frame.
        orientation_xyzw: initial orientation in the frame of the link before (of the world for the first).
        rate_rad_s: initial angular velocity relative to the link before, link frame; about y for a hinge.
    """

    mass_kg: float
    moments_kg_m2: Vector
    centre_m: Vector
    next_joint_m: Vector = NO_VECTOR
    orientation_xyzw: Quaternion = UPRIGHT
    rate_rad_s: Vector = NO_VECTOR


@dataclass(frozen=True, slots=True)
class LabScene:
    """A scene with a known law.

    Attributes:
        name: as the tables call it.
        duration_s: how long it runs.
        bodies: free and fixed bodies.
        chain: links that hang from the origin, each from the one before.
        joint: ``hinge`` (about y) or ``ball``, for every joint of the chain.
        gravity_m_s2: the pull, world frame.
        force: on the first body, besides.
        floor: whether the plane z = 0 is there; it takes the friction and restitution of what touches it.
    """

    name: str
    duration_s: float
    bodies: tuple[LabBody, ...] = ()
    chain: tuple[LabLink, ...] = ()
    joint: str = "hinge"
    gravity_m_s2: Vector = (0.0, 0.0, -9.81)
    force: Force | None = None
    floor: bool = False


class Bench(abc.ABC):
    """An engine that runs analytic scenes. Things are numbered: the bodies first, then the links."""

    name: str
    step_s: float

    @abc.abstractmethod
    def can_run(self, scene: LabScene) -> bool:
        """Return whether the engine has what the scene needs."""

    @abc.abstractmethod
    def start(self, scene: LabScene) -> None:
        """Build the scene at its initial state."""

    @abc.abstractmethod
    def advance(self) -> None:
        """Advance by one step, the scene's force included."""

    @abc.abstractmethod
    def states(self) -> list[RigidState]:
        """Return pose and velocity of the centre of mass of every thing."""

    def close(self) -> None:  # noqa: B027  # an engine without resources has nothing to free
        """Free the engine."""


@dataclass(frozen=True, slots=True)
class Trace:
    """What a run did, sampled at every step (T samples, the start among them) of n things.

    Attributes:
        time_s: [T].
        position: [T, n, 3] m; orientation_xyzw: [T, n, 4].
        linear_velocity: [T, n, 3] m/s; angular_velocity: [T, n, 3] rad/s; world frame.
        cost_us: processor time of the steps, microseconds a simulated second.
    """

    time_s: Float[np.ndarray, " T"]
    position: Float[np.ndarray, "T n 3"]
    orientation_xyzw: Float[np.ndarray, "T n 4"]
    linear_velocity: Float[np.ndarray, "T n 3"]
    angular_velocity: Float[np.ndarray, "T n 3"]
    cost_us: float


def record(bench: Bench, scene: LabScene, sample_s: float = 0.0) -> Trace:
    """Run `scene` in `bench`; read it at every step, or about every `sample_s`.

    The cost is the processor time of this thread inside the steps, so that neither reading nor other processes count.
    """
    steps = round(scene.duration_s / bench.step_s)
    stride = max(1, round(sample_s / bench.step_s))
    rows, times, spent = [], [], 0
    bench.start(scene)
    try:
        for step in range(steps + 1):
            if step:
                began = time.thread_time_ns()
                bench.advance()
                spent += time.thread_time_ns() - began
            if step % stride == 0 or step == steps:
                rows.append(bench.states())
                times.append(step * bench.step_s)
    finally:
        bench.close()
    position, orientation, velocity, spin = (np.array([[s[k] for s in row] for row in rows]) for k in range(4))
    return Trace(np.array(times), position, orientation, velocity, spin, spent / 1e3 / scene.duration_s)


def midpoint_force(
    force: Force, mass_kg: float, pull: Vector, state: RigidState, step_s: float
) -> tuple[Vector, Vector]:
    """Return the force at the start of a step, and at its middle as an Euler half step foresees it."""
    x, v = state.position, state.linear_velocity
    first = force(x, v)
    half = 0.5 * step_s
    there = tuple(a + half * b for a, b in zip(x, v, strict=True))
    faster = tuple(b + half * (f / mass_kg + g) for b, f, g in zip(v, first, pull, strict=True))
    return first, force((there[0], there[1], there[2]), (faster[0], faster[1], faster[2]))


def solid_moments(shape: str, extent_m: Vector, mass_kg: float) -> Vector:
    """Return the principal moments of a solid uniform shape, kg m^2.

    >>> solid_moments("sphere", (2.0, 2.0, 2.0), 5.0)
    (2.0, 2.0, 2.0)
    """
    x, y, z = extent_m
    if shape == "box":
        return (mass_kg * (y * y + z * z) / 12.0, mass_kg * (x * x + z * z) / 12.0, mass_kg * (x * x + y * y) / 12.0)
    r = 0.5 * x
    if shape == "sphere":
        return (0.4 * mass_kg * r * r,) * 3
    if shape != "capsule":
        raise ConfigurationError(f"laboratory: shape is {shape!r}, expected box, sphere or capsule.")
    straight = z - x
    body, caps = straight / (straight + 4.0 * r / 3.0) * mass_kg, 4.0 * r / 3.0 / (straight + 4.0 * r / 3.0) * mass_kg
    across = body * (r * r / 4.0 + straight * straight / 12.0) + caps * (
        0.4 * r * r + straight * straight / 4.0 + 0.375 * straight * r
    )
    return (across, across, 0.5 * body * r * r + 0.4 * caps * r * r)
