"""Unit quaternions in xyzw order: the rotation algebra of every state, batched and differentiable at zero.

All functions broadcast over leading dimensions (``...``). A quaternion turns body coordinates to world
coordinates; rotation vectors are in world axes unless a function says otherwise.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor


def multiply(left: Float[Tensor, "... 4"], right: Float[Tensor, "... 4"]) -> Float[Tensor, "... 4"]:
    """Return the Hamilton product: the rotation `right` followed by the rotation `left`."""
    if left.shape != right.shape:
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
    axis, scalar = quaternion[..., :3], quaternion[..., 3:]
    axis, vector = torch.broadcast_tensors(axis, vector)
    twice = 2.0 * torch.linalg.cross(axis, vector)
    return vector - scalar * twice + torch.linalg.cross(axis, twice)


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


def rise(quaternion: Float[Tensor, "... 4"]) -> Float[Tensor, "... 3"]:
    """Return how much each body axis points up: the last row of `to_matrix`."""
    x, y, z, w = quaternion.unbind(-1)
    x2, y2, z2 = 2.0 * x, 2.0 * y, 2.0 * z
    return torch.stack([x * z2 - w * y2, y * z2 + w * x2, 1.0 - x * x2 - y * y2], dim=-1)


def exp(rotation_vector: Float[Tensor, "... 3"]) -> Float[Tensor, "... 4"]:
    """Return the quaternion of a rotation vector (rad); smooth at zero."""
    half = 0.5 * torch.linalg.vector_norm(rotation_vector, dim=-1, keepdim=True)
    return torch.cat([(0.5 * torch.sinc(half / math.pi)) * rotation_vector, torch.cos(half)], dim=-1)


def log(quaternion: Float[Tensor, "... 4"]) -> Float[Tensor, "... 3"]:
    """Return the rotation vector (rad, angle at most pi) of a unit quaternion; smooth at the identity."""
    axis, scalar = quaternion[..., :3], quaternion[..., 3:]
    sine = torch.linalg.vector_norm(axis, dim=-1, keepdim=True)
    half = torch.atan2(sine, scalar.abs()) / math.pi
    # half an angle over its sine; the cosine tells the two quaternions of one rotation apart
    return torch.where(scalar < 0.0, -2.0, 2.0) / torch.sinc(half) * axis


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
