"""Vectors with their three coordinates first: every operation runs over long rows, and vectorises over samples.

A vector is [3, ...], a rotation matrix [3, 3, ...] (row, column), a quaternion [4, ...] in xyzw order.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def dot(a: Float[Tensor, "3 ..."], b: Float[Tensor, "3 ..."]) -> Float[Tensor, "..."]:
    """Return the inner product."""
    return torch.addcmul(torch.addcmul(a[0] * b[0], a[1], b[1]), a[2], b[2])


def cross(a: Float[Tensor, "3 ..."], b: Float[Tensor, "3 ..."]) -> Float[Tensor, "3 ..."]:
    """Return the cross product."""
    (x, y, z), (u, v, w) = a.unbind(0), b.unbind(0)
    # fused multiply-and-subtract: a third of the passes over memory that three products and a difference take
    return torch.stack(
        [
            torch.addcmul(y * w, z, v, value=-1.0),
            torch.addcmul(z * u, x, w, value=-1.0),
            torch.addcmul(x * v, y, u, value=-1.0),
        ]
    )


def turned(rotation: Float[Tensor, "3 3 ..."], v: Float[Tensor, "3 ..."]) -> Float[Tensor, "3 ..."]:
    """Return R v: from the body's frame to the world's."""
    return torch.stack([dot(rotation[0], v), dot(rotation[1], v), dot(rotation[2], v)])


def turned_back(rotation: Float[Tensor, "3 3 ..."], v: Float[Tensor, "3 ..."]) -> Float[Tensor, "3 ..."]:
    """Return R^T v: from the world's frame to the body's."""
    return rotation[0] * v[0] + rotation[1] * v[1] + rotation[2] * v[2]


def matrix(q: Float[Tensor, "4 ..."]) -> Float[Tensor, "3 3 ..."]:
    """Return the rotation matrix of unit quaternions."""
    x, y, z, w = q.unbind(0)
    x2, y2, z2 = 2.0 * x, 2.0 * y, 2.0 * z
    xx, yy, zz, xy, xz, yz = x * x2, y * y2, z * z2, x * y2, x * z2, y * z2
    wx, wy, wz = w * x2, w * y2, w * z2
    return torch.stack(
        [
            torch.stack([1.0 - yy - zz, xy - wz, xz + wy]),
            torch.stack([xy + wz, 1.0 - xx - zz, yz - wx]),
            torch.stack([xz - wy, yz + wx, 1.0 - xx - yy]),
        ]
    )


def spun(q: Float[Tensor, "4 ..."], spin: Float[Tensor, "3 ..."], dt_s: float) -> Float[Tensor, "4 ..."]:
    """Return orientations after `dt_s` at constant world-frame spins (rad/s)."""
    half = (0.5 * dt_s) * spin
    square = dot(half, half)
    # sin(a)/a and cos(a) by series: smooth at rest, and exact to 1e-10 up to half a radian a step (the next term)
    sine = 1.0 - square / 6.0 * (1.0 - square / 20.0 * (1.0 - square / 42.0 * (1.0 - square / 72.0)))
    w2 = 1.0 - square / 2.0 * (1.0 - square / 12.0 * (1.0 - square / 30.0 * (1.0 - square / 56.0)))
    u = half * sine
    v, w = q[:3], q[3]
    vector = w2 * v + w * u + cross(u, v)
    turned_q = torch.cat([vector, (w2 * w - dot(u, v))[None]])
    return turned_q / torch.sqrt((turned_q * turned_q).sum(0))
