"""The steps of a rollout, sample by sample: `worldsim.dynamics.imagination.rollout` in machine code.

In arrays every sample goes through every contact that some sample may have. Here a sample looks only at pairs whose
bounding spheres may meet within the step, and its iterations run over the contacts that it has. The arithmetic is that
of `worldsim.dynamics.imagination`, in double precision; a test holds the two together.

This package imports the compiler: it is imported by those who roll out on the host, at their first rollout. Machine
code is kept for `roll` alone, under a stamp of all the sources that go into it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from jaxtyping import Float

from worldsim.dynamics.imagination.kernels.impulses import (
    BLOW,
    add_recovery,
    found_contacts,
    iterate,
    set_changes,
    set_paces,
)
from worldsim.dynamics.imagination.kernels.layout import (
    CORNERS,
    Bodies,
    Cast,
    Contacts,
    Matrices,
    Motions,
    Rules,
    Vectors,
    jit,
)
from worldsim.dynamics.imagination.kernels.shapes import cross, rotated, rotated_back
from worldsim.dynamics.machine_code import compiled

_GRAVITY_M_S2 = 9.81


@jit
def _turn(
    attitude: Float[np.ndarray, "N 4"], inverse_moments: Vectors, rotation: Matrices, inertia: Matrices, i: int
) -> None:
    """Work out rotation and inverse inertia of body i."""
    x, y, z, w = attitude[i, 0], attitude[i, 1], attitude[i, 2], attitude[i, 3]
    r = rotation
    r[i, 0, 0], r[i, 0, 1], r[i, 0, 2] = 1.0 - 2.0 * (y * y + z * z), 2.0 * (x * y - w * z), 2.0 * (x * z + w * y)
    r[i, 1, 0], r[i, 1, 1], r[i, 1, 2] = 2.0 * (x * y + w * z), 1.0 - 2.0 * (x * x + z * z), 2.0 * (y * z - w * x)
    r[i, 2, 0], r[i, 2, 1], r[i, 2, 2] = 2.0 * (x * z - w * y), 2.0 * (y * z + w * x), 1.0 - 2.0 * (x * x + y * y)
    a, b, c = inverse_moments[i, 0], inverse_moments[i, 1], inverse_moments[i, 2]
    for j in range(3):
        u, v, t = r[i, j, 0] * a, r[i, j, 1] * b, r[i, j, 2] * c
        for k in range(3):
            inertia[i, j, k] = u * r[i, k, 0] + v * r[i, k, 1] + t * r[i, k, 2]


@jit
def _freely(bodies: Bodies, cast: Cast, rules: Rules, s: int, push: Float[np.ndarray, "N 6"]) -> None:
    """Work out the motions of all bodies after gravity, wrenches and their own turning alone."""
    dt, before, free, inertia, m = rules.dt_s, bodies.before, bodies.free, bodies.inertia, cast.moments
    inverse_moments = cast.inverse_moments[s]
    for i in range(len(cast.kind)):
        _turn(bodies.attitude, inverse_moments, bodies.rotation, inertia, i)
        mass, p, q, r = cast.inverse_mass[s, i], bodies.spin[i, 0], bodies.spin[i, 1], bodies.spin[i, 2]
        before[i, 3], before[i, 4], before[i, 5] = p, q, r
        for axis in range(3):
            before[i, axis] = bodies.velocity[i, axis]
            free[i, axis] = before[i, axis] + dt * mass * push[i, axis]
        if mass > 0.0:
            free[i, 2] -= dt * _GRAVITY_M_S2
        x, y, z = rotated_back(bodies.rotation, i, p, q, r)
        x, y, z = rotated(bodies.rotation, i, m[s, i, 0] * x, m[s, i, 1] * y, m[s, i, 2] * z)
        x, y, z = cross(p, q, r, x, y, z)
        x, y, z = push[i, 3] - x, push[i, 4] - y, push[i, 5] - z
        for axis in range(3):
            gained = inertia[i, axis, 0] * x + inertia[i, axis, 1] * y + inertia[i, axis, 2] * z
            free[i, axis + 3] = before[i, axis + 3] + dt * gained
        bodies.swing[i] = np.sqrt(free[i, 3] ** 2 + free[i, 4] ** 2 + free[i, 5] ** 2)


@jit
def _go(
    centre: Vectors,
    attitude: Float[np.ndarray, "N 4"],
    moved: Float[np.ndarray, "N1 4"],
    free: Motions,
    i: int,
    dt: float,
) -> None:
    """Move and turn body i for a step at its velocity and spin, and out of what it is in."""
    deep = max(moved[i, 3], 1.0)
    for axis in range(3):
        centre[i, axis] += dt * free[i, axis] + moved[i, axis] / deep
    a, b, c = 0.5 * dt * free[i, 3], 0.5 * dt * free[i, 4], 0.5 * dt * free[i, 5]
    square = (
        a * a + b * b + c * c
    )  # sine over angle, and cosine, by the series of `worldsim.dynamics.imagination.vectors`
    sine = 1.0 - square / 6.0 * (1.0 - square / 20.0 * (1.0 - square / 42.0 * (1.0 - square / 72.0)))
    cosine = 1.0 - square / 2.0 * (1.0 - square / 12.0 * (1.0 - square / 30.0 * (1.0 - square / 56.0)))
    a, b, c = a * sine, b * sine, c * sine
    x, y, z, w = attitude[i, 0], attitude[i, 1], attitude[i, 2], attitude[i, 3]
    u, v, t = cross(a, b, c, x, y, z)
    p, q, r = cosine * x + w * a + u, cosine * y + w * b + v, cosine * z + w * c + t
    o = cosine * w - (a * x + b * y + c * z)
    length = np.sqrt(p * p + q * q + r * r + o * o)
    attitude[i, 0], attitude[i, 1], attitude[i, 2], attitude[i, 3] = p / length, q / length, r / length, o / length


@jit
def _step(
    bodies: Bodies,
    contacts: Contacts,
    cast: Cast,
    rules: Rules,
    s: int,
    push: Float[np.ndarray, "N 6"],
    iterations: int,
) -> None:
    """Take one step."""
    _freely(bodies, cast, rules, s, push)
    many = found_contacts(bodies, contacts, cast, rules, s)
    bodies.moved[:] = 0.0
    contacts.lasting[:] = 0.0
    free, onto = bodies.free, bodies.onto
    onto[:] = 0.0
    impulse, normal, inverse_mass = contacts.impulse, contacts.normal, cast.inverse_mass[s]
    if many:
        set_paces(bodies, contacts, cast, s, many)
        age = 0.0
        for _ in range(iterations):
            age = iterate(bodies, contacts, inverse_mass, many, age)
        set_changes(bodies, contacts, inverse_mass, many, impulse)
        add_recovery(bodies, contacts, cast, rules, s, many)
        for i in range(len(cast.kind)):
            for axis in range(6):
                free[i, axis] += bodies.change[i, axis]
    for c in range(many):
        pressed = 0.0
        for axis in range(3):
            pressed += impulse[c, axis] * normal[c, axis]
            if contacts.number[c, BLOW] == 0.0:  # a blow does not last
                contacts.lasting[contacts.who[c, 2], axis] = impulse[c, axis]
        onto[contacts.who[c, 0]] += pressed
        onto[contacts.who[c, 1]] += pressed
    for i in range(len(cast.kind)):
        for axis in range(3):
            bodies.velocity[i, axis], bodies.spin[i, axis] = free[i, axis], free[i, axis + 3]
        _go(bodies.centre, bodies.attitude, bodies.moved, free, i, rules.dt_s)


def _stamped(stamp: str) -> Callable[..., None]:
    def roll(
        cast: Cast,
        rules: Rules,
        start: Float[np.ndarray, "S N 13"],
        wrench: Float[np.ndarray, "T S1 N 6"],
        path: Float[np.ndarray, "T S N 14"],
        first: int,
        last: int,
        slots: int,
    ) -> None:
        """Roll samples `first` to `last` - 1 out.

        Args:
            cast: who there is.
            rules: how.
            start: [S, N, 13] place, attitude (xyzw), velocity and spin.
            wrench: [T, S1, N, 6] N and N m.
            path: [T, S, N, 14] what `start` tells, at the end of every step, and the normal impulse, N s; written.
            first, last: of the samples.
            slots: how many contacts there may be.
        """
        _ = stamp  # so that it is part of the function, and of the key of its machine code
        n, room = len(cast.kind), 3 * CORNERS + 1
        vectors, motions, numbers = (n + 1, 3), (n + 1, 6), n + 1
        bodies = Bodies(
            np.zeros(vectors), np.zeros((n, 4)), np.zeros(vectors), np.zeros(vectors), np.zeros((n + 1, 3, 3)),
            np.zeros((n + 1, 3, 3)), np.zeros(motions), np.zeros(motions), np.zeros(motions), np.zeros(motions),
            np.zeros(numbers), np.zeros(numbers), np.zeros((n + 1, 4)), np.zeros(numbers),
        )  # fmt: skip
        contacts = Contacts(
            np.zeros((slots, 3), dtype=np.int64), np.zeros((slots, 6)), np.zeros((slots, 3)), np.zeros((slots, 3)),
            np.zeros((slots, 3)), np.zeros((slots, 3)), np.zeros((slots, 3)), np.zeros((slots, 3)), np.zeros((room, 7)),
        )  # fmt: skip
        for sample in range(first, last):
            s, pushed = min(sample, len(cast.half) - 1), min(sample, wrench.shape[1] - 1)
            for i in range(n):
                row = start[sample, i]
                for axis in range(3):
                    bodies.centre[i, axis], bodies.attitude[i, axis] = row[axis], row[3 + axis]
                    bodies.velocity[i, axis], bodies.spin[i, axis] = row[7 + axis], row[10 + axis]
                bodies.attitude[i, 3] = row[6]
            contacts.lasting[:] = 0.0
            for t in range(len(wrench)):
                iterations = rules.iterations if t else rules.first_iterations
                _step(bodies, contacts, cast, rules, s, wrench[t, pushed], iterations)
                for i in range(n):
                    row = path[t, sample, i]
                    for axis in range(3):
                        row[axis], row[3 + axis] = bodies.centre[i, axis], bodies.attitude[i, axis]
                        row[7 + axis], row[10 + axis] = bodies.velocity[i, axis], bodies.spin[i, axis]
                    row[6], row[13] = bodies.attitude[i, 3], bodies.onto[i]

    return compiled(roll)


_SOURCES = sorted(Path(__file__).parent.glob("*.py"))
roll = _stamped(hashlib.sha256(b"".join(source.read_bytes() for source in _SOURCES)).hexdigest())
