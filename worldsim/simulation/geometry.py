"""Turning vectors by quaternions in plain floats, for code that runs at every engine step."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from worldsim.simulation.scene import Quaternion, Vector


def rotation_matrix(q: Quaternion) -> Float[np.ndarray, "3 3"]:
    """Return the rotation matrix of a unit xyzw quaternion."""
    return np.array([turned(q, axis) for axis in ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))]).T


def turned(q: Quaternion, v: Vector) -> Vector:
    """Return `v` turned by the unit quaternion `q`: v + 2 u x (u x v + w v), u being its vector part.

    >>> turned((0.0, 0.0, 1.0, 0.0), (1.0, 2.0, 3.0))
    (-1.0, -2.0, 3.0)
    """
    u, w = (q[0], q[1], q[2]), q[3]
    first = cross(u, v)
    second = cross(u, (first[0] + w * v[0], first[1] + w * v[1], first[2] + w * v[2]))
    return (v[0] + 2.0 * second[0], v[1] + 2.0 * second[1], v[2] + 2.0 * second[2])


def cross(a: Vector, b: Vector) -> Vector:
    """Return the cross product."""
    return (a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0])


def floats3(values: np.ndarray) -> Vector:
    """Return three numbers of an array as plain floats."""
    x, y, z = values.tolist()
    return x, y, z


def floats4(values: np.ndarray) -> Quaternion:
    """Return four numbers of an array as plain floats."""
    x, y, z, w = values.tolist()
    return x, y, z, w
