"""Reads states, contacts and pictures out of a PyBullet client, which has no call for many bodies at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
from jaxtyping import Float

from worldsim.simulation.bullet_module import bullet
from worldsim.simulation.engine import Contact, PinholeCamera, RigidState
from worldsim.simulation.geometry import turned
from worldsim.simulation.scene import Vector

Handle = tuple[int, int, Vector | None]
"""A body's uid, its link (-1 for the base), and the lever from its centre of mass to the centre of its box, if any."""

_LIGHT = (4.0, -6.0, 12.0)

_pose, _twist = bullet.getBasePositionAndOrientation, bullet.getBaseVelocity


def read_state(handle: Handle, client: int) -> tuple[RigidState, Vector]:
    """Return the state of a body's box, and where its centre of mass is, in plain floats."""
    uid, link, offset = handle
    if link >= 0:
        found = bullet.getLinkState(uid, link, 1, 1, client)
        mass_at, q, linear, w = found[0], found[1], found[6], found[7]
    else:
        mass_at, q = _pose(uid, client)
        linear, w = _twist(uid, client)
    if offset is None:
        return RigidState(mass_at, q, linear, w), mass_at
    (x, y, z), (a, b, c), (p, r, s) = mass_at, turned(q, offset), w  # a cross product, written out like `turned`
    moved = (linear[0] + (r * c - s * b), linear[1] + (s * a - p * c), linear[2] + (p * b - r * a))
    return RigidState((x + a, y + b, z + c), q, moved, w), mass_at


def read_poses(handles: Iterable[Handle], client: int) -> list[float]:
    """Return position (m) and orientation (xyzw) of bodies, 7 numbers each; one flat list is soonest an array."""
    flat: list[float] = []
    for uid, link, offset in handles:
        if link >= 0:
            mass_at, q = bullet.getLinkState(uid, link, 0, 1, client)[:2]
        else:
            mass_at, q = _pose(uid, client)
        flat += mass_at
        if offset is not None:
            lever = turned(q, offset)
            flat[-3:] = (mass_at[0] + lever[0], mass_at[1] + lever[1], mass_at[2] + lever[2])
        flat += q
    return flat


def read_states(handles: Iterable[Handle], client: int) -> Float[np.ndarray, "n 13"]:
    """Return position (m), orientation (xyzw), linear (m/s) and angular velocity (rad/s) of bodies."""
    flat: list[float] = []
    for handle in handles:
        (position, orientation, linear, angular), _ = read_state(handle, client)
        flat += (*position, *orientation, *linear, *angular)
    return np.array(flat, dtype=np.float64).reshape(-1, 13)


def read_touching(uid: int, number: Mapping[int, int], client: int) -> set[int]:
    """Return the numbers of the bodies that press on body `uid`.

    Args:
        uid: of the body.
        number: uid -> number of the body.
        client: of PyBullet.
    """
    found = set()
    for point in bullet.getContactPoints(uid, -1, -2, -2, client) or ():
        if point[9] > 0.0:
            found.add(number[point[2] if point[1] == uid else point[1]])
    found.discard(number[uid])
    return found


def summed(points: Iterable[tuple] | None, number: Mapping[int, int]) -> list[Contact]:
    """Return the pairs that press on each other, forces summed over their contact points.

    Args:
        points: as ``getContactPoints`` gives them.
        number: uid -> number of the body.
    """
    sums: dict[tuple[int, int], list[float]] = {}
    for point in points or ():
        force = point[9]
        if force > 0.0 and point[1] != point[2]:
            pair = point[1:3]
            of_pair = sums.get(pair)
            if of_pair is None:
                of_pair = sums[pair] = [0.0, 0.0]
            of_pair[0] += force
            of_pair[1] += force * point[7][2]  # the normal points from b to a
    return [Contact(number[a], number[b], total, upward / total) for (a, b), (total, upward) in sums.items()]


def read_picture(client: int, camera: PinholeCamera) -> tuple[np.ndarray, np.ndarray]:
    """Return an image [H, W, 3] uint8 and its depth [H, W], m, by PyBullet's software renderer."""
    view = bullet.computeViewMatrix(camera.position, camera.target, camera.up)
    lens = bullet.computeProjectionMatrixFOV(
        np.degrees(camera.vertical_field_rad), camera.width / camera.height, camera.near_m, camera.far_m
    )
    image = bullet.getCameraImage(
        camera.width,
        camera.height,
        view,
        lens,
        lightDirection=_LIGHT,
        lightAmbientCoeff=0.55,
        lightDiffuseCoeff=0.45,
        lightSpecularCoeff=0.03,
        shadow=int(camera.shadows),
        renderer=bullet.ER_TINY_RENDERER,
        flags=bullet.ER_NO_SEGMENTATION_MASK,
        physicsClientId=client,
    )
    rgb = np.reshape(image[2], (camera.height, camera.width, 4))[..., :3].astype(np.uint8)
    buffer = np.reshape(image[3], (camera.height, camera.width)).astype(np.float64)
    near, far = camera.near_m, camera.far_m
    return rgb, (far * near / (far - (far - near) * buffer)).astype(np.float32)
