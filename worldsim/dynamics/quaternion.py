"""Unit quaternions in xyzw order, batched over leading axes, differentiable at the identity."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

_SMALL_ANGLE_SQUARED = 1e-8  # below it the series of sin(x)/x is exact to float64 rounding


def multiply(a: Float[Tensor, "*B 4"], b: Float[Tensor, "*B 4"]) -> Float[Tensor, "*B 4"]:
    """Return the Hamilton product ``a b`` (rotate by b first, then by a)."""
    av, aw = a[..., :3], a[..., 3:]
    bv, bw = b[..., :3], b[..., 3:]
    vector = aw * bv + bw * av + torch.linalg.cross(av, bv, dim=-1)
    scalar = aw * bw - (av * bv).sum(-1, keepdim=True)
    return torch.cat([vector, scalar], dim=-1)


def conjugate(q: Float[Tensor, "*B 4"]) -> Float[Tensor, "*B 4"]:
    """Return the inverse rotation of a unit quaternion."""
    return torch.cat([-q[..., :3], q[..., 3:]], dim=-1)


def rotate(q: Float[Tensor, "*B 4"], v: Float[Tensor, "*B 3"]) -> Float[Tensor, "*B 3"]:
    """Rotate vectors from the body to the world frame."""
    u, w = q[..., :3], q[..., 3:]
    t = 2.0 * torch.linalg.cross(u, v, dim=-1)
    return v + w * t + torch.linalg.cross(u, t, dim=-1)


def exp(rotation_vector: Float[Tensor, "*B 3"]) -> Float[Tensor, "*B 4"]:
    """Return the quaternion of a rotation vector (rad)."""
    squared = (rotation_vector * rotation_vector).sum(-1, keepdim=True)
    small = squared < _SMALL_ANGLE_SQUARED
    angle = torch.where(small, torch.ones_like(squared), squared).sqrt()
    scale = torch.where(small, 0.5 - squared / 48.0, torch.sin(0.5 * angle) / angle)
    scalar = torch.where(small, 1.0 - squared / 8.0, torch.cos(0.5 * angle))
    return torch.cat([scale * rotation_vector, scalar], dim=-1)


def log(q: Float[Tensor, "*B 4"]) -> Float[Tensor, "*B 3"]:
    """Return the rotation vector (rad, length at most pi) of a unit quaternion."""
    q = torch.where(q[..., 3:] < 0.0, -q, q)
    vector, scalar = q[..., :3], q[..., 3:]
    squared = (vector * vector).sum(-1, keepdim=True)
    small = squared < _SMALL_ANGLE_SQUARED
    sine = torch.where(small, torch.ones_like(squared), squared).sqrt()
    scale = torch.where(small, 2.0 + squared / 3.0, 2.0 * torch.atan2(sine, scalar) / sine)
    return scale * vector


def integrate(q: Float[Tensor, "*B 4"], angular_velocity: Float[Tensor, "*B 3"], dt_s: float) -> Float[Tensor, "*B 4"]:
    """Turn `q` by a constant world-frame angular velocity (rad/s) for `dt_s`, renormalised."""
    turned = multiply(exp(angular_velocity * dt_s), q)
    return turned / turned.norm(dim=-1, keepdim=True)


def difference(a: Float[Tensor, "*B 4"], b: Float[Tensor, "*B 4"]) -> Float[Tensor, "*B 3"]:
    """Return the world-frame rotation vector (rad) that turns `b` into `a`."""
    return log(multiply(a, conjugate(b)))


def to_matrix(q: Float[Tensor, "*B 4"]) -> Float[Tensor, "*B 3 3"]:
    """Return the rotation matrix (body to world) of a unit quaternion."""
    x, y, z, w = q.unbind(-1)
    return torch.stack(
        [
            1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w),
            2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w),
            2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y),
        ],
        dim=-1,
    ).unflatten(-1, (3, 3))  # fmt: skip
