"""Unit quaternions in xyzw order: the rotation algebra of every state, batched and differentiable at zero.

All functions broadcast over leading dimensions (``...``). A quaternion turns body coordinates to world
coordinates; rotation vectors are in world axes unless a function says otherwise.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

SMALL_ANGLE_SQUARED = 1e-6
"""Below this squared angle (rad^2) the series replaces the closed form; its error is then under 1e-15."""


def multiply(left: Float[Tensor, "... 4"], right: Float[Tensor, "... 4"]) -> Float[Tensor, "... 4"]:
    """Return the Hamilton product: the rotation `right` followed by the rotation `left`."""
    left, right = torch.broadcast_tensors(left, right)
    lv, lw = left[..., :3], left[..., 3:]
    rv, rw = right[..., :3], right[..., 3:]
    vector = torch.addcmul(torch.addcmul(torch.linalg.cross(lv, rv), lw, rv), rw, lv)
    return torch.cat([vector, lw * rw - (lv * rv).sum(-1, keepdim=True)], dim=-1)


def conjugate(quaternion: Float[Tensor, "... 4"]) -> Float[Tensor, "... 4"]:
    """Return the inverse of a unit quaternion."""
    return torch.cat([-quaternion[..., :3], quaternion[..., 3:]], dim=-1)


def normalise(quaternion: Float[Tensor, "... 4"]) -> Float[Tensor, "... 4"]:
    """Return the quaternion scaled to unit length."""
    return quaternion / torch.linalg.vector_norm(quaternion, dim=-1, keepdim=True)


def rotate(quaternion: Float[Tensor, "... 4"], vector: Float[Tensor, "... 3"]) -> Float[Tensor, "... 3"]:
    """Return `vector` turned from the body frame to the world frame."""
    axis, scalar = quaternion[..., :3], quaternion[..., 3:]
    axis, vector = torch.broadcast_tensors(axis, vector)
    twice = 2.0 * torch.linalg.cross(axis, vector)
    return vector + scalar * twice + torch.linalg.cross(axis, twice)


def rotate_inverse(quaternion: Float[Tensor, "... 4"], vector: Float[Tensor, "... 3"]) -> Float[Tensor, "... 3"]:
    """Return `vector` turned from the world frame to the body frame."""
    return rotate(conjugate(quaternion), vector)


def to_matrix(quaternion: Float[Tensor, "... 4"]) -> Float[Tensor, "... 3 3"]:
    """Return the rotation matrix, body to world."""
    x, y, z, w = quaternion.unbind(-1)
    x2, y2, z2 = 2.0 * x, 2.0 * y, 2.0 * z
    xx, yy, zz = x * x2, y * y2, z * z2
    xy, xz, yz = x * y2, x * z2, y * z2
    wx, wy, wz = w * x2, w * y2, w * z2
    rows = torch.stack(
        [1.0 - yy - zz, xy - wz, xz + wy, xy + wz, 1.0 - xx - zz, yz - wx, xz - wy, yz + wx, 1.0 - xx - yy],
        dim=-1,
    )
    return rows.unflatten(-1, (3, 3))


def exp(rotation_vector: Float[Tensor, "... 3"]) -> Float[Tensor, "... 4"]:
    """Return the quaternion of a rotation vector (rad); smooth at zero."""
    squared = (rotation_vector * rotation_vector).sum(-1, keepdim=True)
    small = squared < SMALL_ANGLE_SQUARED
    angle = torch.sqrt(torch.where(small, torch.ones_like(squared), squared))
    factor = torch.where(small, 0.5 - squared / 48.0, torch.sin(0.5 * angle) / angle)
    scalar = torch.where(small, 1.0 - squared / 8.0 + squared * squared / 384.0, torch.cos(0.5 * angle))
    return torch.cat([factor * rotation_vector, scalar], dim=-1)


def log(quaternion: Float[Tensor, "... 4"]) -> Float[Tensor, "... 3"]:
    """Return the rotation vector (rad, angle at most pi) of a unit quaternion; smooth at the identity."""
    sign = torch.where(quaternion[..., 3:] < 0.0, -1.0, 1.0).to(quaternion.dtype)
    axis, scalar = sign * quaternion[..., :3], sign * quaternion[..., 3:]
    squared = (axis * axis).sum(-1, keepdim=True)
    small = squared < SMALL_ANGLE_SQUARED
    sine = torch.sqrt(torch.where(small, torch.ones_like(squared), squared))
    safe_scalar = torch.where(small, scalar, torch.ones_like(scalar))
    series = 2.0 / safe_scalar * (1.0 - squared / (3.0 * safe_scalar * safe_scalar))
    closed = 2.0 * torch.atan2(sine, scalar) / sine
    return torch.where(small, series, closed) * axis


def integrate(
    quaternion: Float[Tensor, "... 4"], angular_velocity: Float[Tensor, "... 3"], dt_s: float
) -> Float[Tensor, "... 4"]:
    """Return the orientation after `dt_s` at a constant world-frame angular velocity (rad/s), renormalised."""
    return normalise(multiply(exp(angular_velocity * dt_s), quaternion))


def difference(target: Float[Tensor, "... 4"], source: Float[Tensor, "... 4"]) -> Float[Tensor, "... 3"]:
    """Return the world-frame rotation vector (rad) that takes `source` to `target`."""
    return log(multiply(target, conjugate(source)))


def geodesic_angle(first: Float[Tensor, "... 4"], second: Float[Tensor, "... 4"]) -> Float[Tensor, "..."]:
    """Return the angle (rad, 0 to pi) between two orientations."""
    relative = multiply(first, conjugate(second))
    return 2.0 * torch.atan2(torch.linalg.vector_norm(relative[..., :3], dim=-1), relative[..., 3].abs())
