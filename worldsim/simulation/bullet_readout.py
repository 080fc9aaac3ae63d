"""Reads states and contacts out of a PyBullet client, which has no call for many bodies at once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pybullet as bullet
from jaxtyping import Float

from worldsim.simulation.engine import Contact, RigidState
from worldsim.simulation.geometry import cross, turned
from worldsim.simulation.scene import Vector

Handle = tuple[int, int, Vector | None]
"""A body's uid, its link (-1 for the base), and the lever from its centre of mass to the centre of its box, if any."""


def read_state(handle: Handle, client: int) -> tuple[RigidState, Vector]:
    """Return the state of a body's box, and where its centre of mass is, in plain floats."""
    uid, link, offset = handle
    if link >= 0:
        found = bullet.getLinkState(uid, link, 1, 1, client)
        mass_at, q, linear, w = found[0], found[1], found[6], found[7]
    else:
        mass_at, q = bullet.getBasePositionAndOrientation(uid, client)
        linear, w = bullet.getBaseVelocity(uid, client)
    if offset is None:
        return RigidState(mass_at, q, linear, w), mass_at
    lever = turned(q, offset)
    at = (mass_at[0] + lever[0], mass_at[1] + lever[1], mass_at[2] + lever[2])
    swing = cross(w, lever)
    return RigidState(at, q, (linear[0] + swing[0], linear[1] + swing[1], linear[2] + swing[2]), w), mass_at


def read_poses(handles: Iterable[Handle], client: int) -> Float[np.ndarray, "n 7"]:
    """Return position (m) and orientation (xyzw) of bodies; one flat list is soonest an array."""
    flat: list[float] = []
    pose = bullet.getBasePositionAndOrientation
    for handle in handles:
        uid, link, offset = handle
        if link < 0 and offset is None:  # the common case, without a call of ours
            position, orientation = pose(uid, client)
        else:
            (position, orientation, _, _), _ = read_state(handle, client)
        flat += (*position, *orientation)
    return np.array(flat, dtype=np.float64).reshape(-1, 7)


def read_states(handles: Iterable[Handle], client: int) -> Float[np.ndarray, "n 13"]:
    """Return position (m), orientation (xyzw), linear (m/s) and angular velocity (rad/s) of bodies."""
    flat: list[float] = []
    for handle in handles:
        (position, orientation, linear, angular), _ = read_state(handle, client)
        flat += (*position, *orientation, *linear, *angular)
    return np.array(flat, dtype=np.float64).reshape(-1, 13)


def summed(points: Sequence[tuple] | None, number: dict[int, int]) -> list[Contact]:
    """Return the pairs that press on each other, forces summed over their contact points.

    Args:
        points: as ``getContactPoints`` gives them.
        number: uid -> number of the body.
    """
    force: dict[tuple[int, int], float] = {}
    upward: dict[tuple[int, int], float] = {}
    for point in points or ():
        pair = (number[point[1]], number[point[2]])
        if point[9] <= 0.0 or pair[0] == pair[1]:
            continue
        force[pair] = force.get(pair, 0.0) + point[9]
        upward[pair] = upward.get(pair, 0.0) + point[9] * point[7][2]  # the normal points from b to a
    return [Contact(a, b, total, upward[a, b] / total) for (a, b), total in force.items()]
