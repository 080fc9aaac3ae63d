"""The contacts of one sample and the impulses between its bodies: `worldsim.dynamics.imagination.solve`, and blows."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from worldsim.dynamics.imagination.kernels.layout import (
    SLOTS,
    TINY,
    Bodies,
    Cast,
    Contacts,
    Motions,
    Rules,
    Vectors,
    jit,
)
from worldsim.dynamics.imagination.kernels.shapes import cross, meet, rotated_back, stand

_GAP, _FRICTION, _AIM, _ALONG, _ACROSS, BLOW = range(6)
"""Columns of `Contacts.number`."""


@jit
def _between(
    motion: Motions, centre: Vectors, i: int, j: int, x: float, y: float, z: float
) -> tuple[float, float, float]:
    """Return how fast body i's point moves against body j's: `motion` [N1, 6] is velocities and spins."""
    a, b, c = cross(motion[i, 3], motion[i, 4], motion[i, 5], x - centre[i, 0], y - centre[i, 1], z - centre[i, 2])
    u, v, w = cross(motion[j, 3], motion[j, 4], motion[j, 5], x - centre[j, 0], y - centre[j, 1], z - centre[j, 2])
    return motion[i, 0] + a - motion[j, 0] - u, motion[i, 1] + b - motion[j, 1] - v, motion[i, 2] + c - motion[j, 2] - w


@jit
def _keep(
    bodies: Bodies,
    contacts: Contacts,
    rules: Rules,
    who: tuple[int, int, int],
    surface: tuple[float, float],
    count: int,
    many: int,
) -> int:
    """Keep those of the found contacts that push in this step, after `many`; return how many there are then.

    Args:
        bodies, contacts, rules: of the sample.
        who: the two bodies, and the slot of their first contact.
        surface: friction and restitution between them.
        count: how many were found.
        many: how many are kept already.
    """
    i, j, slot = who
    friction, restitution = surface
    found, number, normal, point = contacts.found, contacts.number, contacts.normal, contacts.point
    for k in range(count):
        a, b, c, x, y, z = found[k, 1], found[k, 2], found[k, 3], found[k, 4], found[k, 5], found[k, 6]
        gap = max(found[k, 0] + rules.slop_m, 0.0)
        u, v, w = _between(bodies.free, bodies.centre, i, j, x, y, z)
        reached = gap + rules.dt_s * (u * a + v * b + w * c) < 0.0
        if not (reached or gap < rules.margin_m):
            continue
        p, q, r = _between(bodies.before, bodies.centre, i, j, x, y, z)
        before = p * a + q * b + r * c
        blow = reached and before < -rules.restitution_threshold_m_s
        aim = -restitution * before if blow else -gap / rules.dt_s
        contacts.who[many, 0], contacts.who[many, 1], contacts.who[many, 2] = i, j, slot + k
        number[many, _GAP], number[many, _FRICTION], number[many, _AIM] = found[k, 0], friction, aim
        number[many, BLOW] = 1.0 if blow else 0.0
        normal[many, 0], normal[many, 1], normal[many, 2] = a, b, c
        point[many, 0], point[many, 1], point[many, 2] = x, y, z
        contacts.target[many, 0], contacts.target[many, 1] = u - aim * a, v - aim * b
        contacts.target[many, 2] = w - aim * c
        for axis in range(3):
            contacts.impulse[many, axis] = contacts.lasting[slot + k, axis]
            contacts.lookahead[many, axis] = contacts.lasting[slot + k, axis]
        bodies.touched[i] += 1.0
        bodies.touched[j] += 1.0
        many += 1
    return many


@jit
def found_contacts(bodies: Bodies, contacts: Contacts, cast: Cast, rules: Rules, s: int) -> int:
    """Find the contacts that push in this step; return how many."""
    bodies.touched[:] = 0.0
    many = 0
    half, reach, centre, free = cast.half[s], cast.reach[s], bodies.centre, bodies.free
    for pair in range(len(cast.pairs)):
        i, j = cast.pairs[pair]
        x, y, z = centre[i, 0] - centre[j, 0], centre[i, 1] - centre[j, 1], centre[i, 2] - centre[j, 2]
        u, v, w = free[i, 0] - free[j, 0], free[i, 1] - free[j, 1], free[i, 2] - free[j, 2]
        apart = np.sqrt(x * x + y * y + z * z)
        # no contact comes about beyond this, however they are turned: its point is on one of the two
        lever = apart + max(reach[i], reach[j])
        fast = np.sqrt(u * u + v * v + w * w) + (bodies.swing[i] + bodies.swing[j]) * lever
        room = rules.margin_m + rules.dt_s * fast
        if apart - reach[i] - reach[j] > room:
            continue
        count = meet(centre, bodies.rotation, half, cast.kind, i, j, contacts.found, room)
        surface = (cast.surface[s, i, 0] * cast.surface[s, j, 0], cast.surface[s, i, 1] * cast.surface[s, j, 1])
        many = _keep(bodies, contacts, rules, (i, j, SLOTS * pair), surface, count, many)
    slot, world = SLOTS * len(cast.pairs), len(cast.kind)
    for i in cast.grounded:
        for q in range(len(cast.planes)):
            plane = cast.planes[q]
            height = plane[0] * centre[i, 0] + plane[1] * centre[i, 1] + plane[2] * centre[i, 2] - plane[3] - reach[i]
            fast = np.sqrt(free[i, 0] ** 2 + free[i, 1] ** 2 + free[i, 2] ** 2) + bodies.swing[i] * reach[i]
            if height <= rules.margin_m + rules.dt_s * fast:
                count = stand(centre, bodies.rotation, half, cast.kind[i], i, plane, contacts.found)
                surface = (cast.surface[s, i, 0] * plane[4], cast.surface[s, i, 1] * plane[5])
                many = _keep(bodies, contacts, rules, (i, world, slot), surface, count, many)
            slot += SLOTS
    return many


@jit
def set_paces(bodies: Bodies, contacts: Contacts, cast: Cast, s: int, many: int) -> None:
    """Work out the steps along the normal and across it."""
    centre, normal, point = bodies.centre, contacts.normal, contacts.point
    for c in range(many):
        along = across = 0.0
        for side in range(2):
            b = contacts.who[c, side]
            mass, m = cast.inverse_mass[s, b], cast.inverse_moments
            x, y, z = point[c, 0] - centre[b, 0], point[c, 1] - centre[b, 1], point[c, 2] - centre[b, 2]
            u, v, w = cross(x, y, z, normal[c, 0], normal[c, 1], normal[c, 2])
            u, v, w = rotated_back(bodies.rotation, b, u, v, w)
            along += bodies.touched[b] * (mass + m[s, b, 0] * u * u + m[s, b, 1] * v * v + m[s, b, 2] * w * w)
            most = max(m[s, b, 0], m[s, b, 1], m[s, b, 2])
            across += bodies.touched[b] * (mass + most * (x * x + y * y + z * z))
        contacts.number[c, _ALONG], contacts.number[c, _ACROSS] = 1.0 / (along + TINY), 1.0 / (across + TINY)


@jit
def set_changes(
    bodies: Bodies,
    contacts: Contacts,
    inverse_mass: Float[np.ndarray, " N1"],
    many: int,
    impulse: Float[np.ndarray, "C 3"],
) -> None:
    """Work out what impulses on the first bodies, and their opposites on the second, change of all motions."""
    centre, twist, change, inertia, point = bodies.centre, bodies.twist, bodies.change, bodies.inertia, contacts.point
    for b in range(len(twist)):
        for axis in range(6):
            twist[b, axis] = 0.0
    for c in range(many):
        x, y, z, p, q, r = point[c, 0], point[c, 1], point[c, 2], impulse[c, 0], impulse[c, 1], impulse[c, 2]
        for side in range(2):
            b, sign = contacts.who[c, side], 1.0 - 2.0 * side
            u, v, w = cross(x - centre[b, 0], y - centre[b, 1], z - centre[b, 2], p, q, r)
            twist[b, 0] += sign * p
            twist[b, 1] += sign * q
            twist[b, 2] += sign * r
            twist[b, 3] += sign * u
            twist[b, 4] += sign * v
            twist[b, 5] += sign * w
    for b in range(len(twist)):
        u, v, w = twist[b, 3], twist[b, 4], twist[b, 5]
        for axis in range(3):
            change[b, axis] = inverse_mass[b] * twist[b, axis]
            change[b, axis + 3] = inertia[b, axis, 0] * u + inertia[b, axis, 1] * v + inertia[b, axis, 2] * w


@jit
def iterate(bodies: Bodies, contacts: Contacts, inverse_mass: Float[np.ndarray, " N1"], many: int, age: float) -> float:
    """Take one accelerated projected gradient step; return for how long momentum has lasted."""
    ahead, impulse, number, point = contacts.lookahead, contacts.impulse, contacts.number, contacts.point
    set_changes(bodies, contacts, inverse_mass, many, ahead)
    uphill = 0.0
    for c in range(many):
        n, o, m = contacts.normal[c, 0], contacts.normal[c, 1], contacts.normal[c, 2]
        i, j = contacts.who[c, 0], contacts.who[c, 1]
        u, v, w = _between(bodies.change, bodies.centre, i, j, point[c, 0], point[c, 1], point[c, 2])
        u, v, w = u + contacts.target[c, 0], v + contacts.target[c, 1], w + contacts.target[c, 2]
        along, held = u * n + v * o + w * m, ahead[c, 0] * n + ahead[c, 1] * o + ahead[c, 2] * m
        normal, pace = max(held - number[c, _ALONG] * along, 0.0), number[c, _ACROSS]
        left = held - pace * along
        x, y, z = (
            ahead[c, 0] - pace * u - left * n,
            ahead[c, 1] - pace * v - left * o,
            ahead[c, 2] - pace * w - left * m,
        )
        share = min(number[c, _FRICTION] * normal / np.sqrt(x * x + y * y + z * z + TINY * TINY), 1.0)
        x, y, z = normal * n + share * x, normal * o + share * y, normal * m + share * z
        p, q, r = x - impulse[c, 0], y - impulse[c, 1], z - impulse[c, 2]
        uphill += u * p + v * q + w * r
        # where momentum carries it is known when all are done: until then the way that it moved waits there
        ahead[c, 0], ahead[c, 1], ahead[c, 2] = p, q, r
        impulse[c, 0], impulse[c, 1], impulse[c, 2] = x, y, z
    age = 0.0 if uphill > 0.0 else age + 1.0
    momentum = age / (age + 3.0)
    for c in range(many):
        for axis in range(3):
            ahead[c, axis] = impulse[c, axis] + momentum * ahead[c, axis]
    return age


@jit
def add_recovery(bodies: Bodies, contacts: Contacts, cast: Cast, rules: Rules, s: int, many: int) -> None:
    """Add up the displacements that take bodies a little out of each other, the lighter one more."""
    moved = bodies.moved
    for c in range(many):
        depth = -contacts.number[c, _GAP] - rules.slop_m
        if depth <= 0.0:
            continue
        i, j = contacts.who[c, 0], contacts.who[c, 1]
        one, two = cast.inverse_mass[s, i], cast.inverse_mass[s, j]
        share = rules.recovery * depth / (one + two + TINY)
        for axis in range(3):
            moved[i, axis] += one * share * contacts.normal[c, axis]
            moved[j, axis] -= two * share * contacts.normal[c, axis]
        moved[i, 3] += 1.0
        moved[j, 3] += 1.0
