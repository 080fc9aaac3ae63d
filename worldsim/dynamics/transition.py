"""Derivatives of a step on the tangent space, from those of the velocities.

A model that knows the derivative of its own velocities saves the filter 2 x (12 + P) copies of every row: the rest of
the step (position and orientation after it, semi-implicitly) is the same for all.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from worldsim.dynamics.motion import STANDING_RATE_PER_S
from worldsim.types.belief import TANGENT_DIM

POSITION, ROTATION, LINEAR, ANGULAR = slice(0, 3), slice(3, 6), slice(6, 9), slice(9, 12)
"""Columns (and rows) of the tangent space; parameters follow from column 12."""

_SMALL_RAD = 1e-3  # below it the series beats the closed form, even in float32


def advance_transition(
    linear: Float[Tensor, "N 3 U"],
    angular: Float[Tensor, "N 3 U"] | float,
    angular_velocity_after: Float[Tensor, "N 3"],
    dt_s: float,
) -> Float[Tensor, "N 12 U"]:
    """Return the derivative of a semi-implicit step (`motion.advance`) from the derivatives of its new velocities.

    Args:
        linear: of the new linear velocity with respect to the U = 12 + P tangent coordinates.
        angular: of the new angular velocity; a number where it is that share of the old one and depends on nothing
            else.
        angular_velocity_after: the new angular velocity itself, rad/s, world frame.
        dt_s: step, s.

    Source: Sola, Deray and Atchuthan 2018, eq. 142, 145 and 179 (rotation errors on the left, world frame).
    """
    rotation, jacobian = rotation_and_jacobian(angular_velocity_after * dt_s)
    out = linear.new_zeros(linear.shape[0], TANGENT_DIM, linear.shape[-1])
    out[:, POSITION] = linear * dt_s
    torch.diagonal(out[:, POSITION, POSITION], dim1=1, dim2=2).add_(1.0)
    out[:, ROTATION, ROTATION] = rotation
    out[:, LINEAR] = linear
    if isinstance(angular, float):
        out[:, ROTATION, ANGULAR] = jacobian * (angular * dt_s)
        torch.diagonal(out[:, ANGULAR, ANGULAR], dim1=1, dim2=2).fill_(angular)
    else:
        out[:, ROTATION] += jacobian @ angular * dt_s
        out[:, ANGULAR] = angular
    return out


def rotation_and_jacobian(
    rotation_vector: Float[Tensor, "N 3"],
) -> tuple[Float[Tensor, "N 3 3"], Float[Tensor, "N 3 3"]]:
    """Return the rotation matrix and the left Jacobian of SO(3) at a rotation vector w (rad); smooth at zero.

    With a = |w| and W the matrix of the cross product with w they are
    ``cos a I + sin a / a W + (1 - cos a) / a^2 w w'`` and
    ``sin a / a I + (1 - cos a) / a^2 W + (a - sin a) / a^3 w w'``
    (Sola et al. 2018, eq. 145, and Rodrigues' formula; W^2 = w w' - a^2 I).
    """
    angle = torch.linalg.vector_norm(rotation_vector, dim=-1)[:, None, None]
    first = torch.sinc(angle / math.pi)  # sin a / a
    second = 0.5 * torch.sinc(angle / (2.0 * math.pi)).square()  # (1 - cos a) / a^2
    safe = angle.clamp_min(_SMALL_RAD)
    third = torch.where(angle < _SMALL_RAD, 1.0 / 6.0, (safe - torch.sin(safe)) / (safe * safe * safe))
    cross, both = skew(rotation_vector), outer(rotation_vector, rotation_vector)
    eye = torch.eye(3, dtype=angle.dtype, device=angle.device)
    rotation = torch.addcmul(torch.addcmul(torch.cos(angle) * eye, first, cross), second, both)
    return rotation, torch.addcmul(torch.addcmul(first * eye, second, cross), third, both)


def skew(vector: Float[Tensor, "N 3"]) -> Float[Tensor, "N 3 3"]:
    """Return the matrix of the cross product with `vector` from the left."""
    x, y, z = vector.unbind(-1)
    zero = torch.zeros_like(x)
    return torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], dim=-1).unflatten(-1, (3, 3))


def outer(column: Float[Tensor, "N a"], row: Float[Tensor, "N b"]) -> Float[Tensor, "N a b"]:
    """Return the product of a column and a row for each of N."""
    return column.unsqueeze(-1) * row.unsqueeze(-2)


def standing_transition(dt_s: float) -> tuple[float, float]:
    """Return the derivatives of `motion.standing_velocity` with respect to height (1/s) and vertical velocity."""
    decay = math.exp(-STANDING_RATE_PER_S * dt_s)
    return ((1.0 + STANDING_RATE_PER_S * dt_s) * decay - 1.0) / dt_s, decay
