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
    (x, y, z, w), (a, b, c) = q, v  # written out: this runs several times in every engine step
    first, second, third = y * c - z * b + w * a, z * a - x * c + w * b, x * b - y * a + w * c
    return (
        a + 2.0 * (y * third - z * second),
        b + 2.0 * (z * first - x * third),
        c + 2.0 * (x * second - y * first),
    )


def cross(a: Vector, b: Vector) -> Vector:
    """Return the cross product."""
    return (a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0])


def cross_rows(a: Float[np.ndarray, "*N 3"], b: Float[np.ndarray, "*N 3"]) -> Float[np.ndarray, "*N 3"]:
    """Return the cross product of vectors in the last axis: what NumPy's gives, without its care for other axes."""
    (ax, ay, az), (bx, by, bz) = (a[..., 0], a[..., 1], a[..., 2]), (b[..., 0], b[..., 1], b[..., 2])
    found = np.empty(np.broadcast_shapes(a.shape, b.shape))
    found[..., 0] = ay * bz - az * by
    found[..., 1] = az * bx - ax * bz
    found[..., 2] = ax * by - ay * bx
    return found


def floats3(values: np.ndarray) -> Vector:
    """Return three numbers of an array as plain floats."""
    x, y, z = values.tolist()
    return x, y, z


def floats4(values: np.ndarray) -> Quaternion:
    """Return four numbers of an array as plain floats."""
    x, y, z, w = values.tolist()
    return x, y, z, w
