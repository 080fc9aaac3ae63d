"""Shapes as points and rounded boxes: contact points, inertia, signed distances.

Every shape is a *core box* swept by a sphere: a box has a core a little smaller than itself, a sphere has a
point core, a capsule a segment. A cylinder (axis along body z) is the exception: its core is the box around
it, and its contact points are taken on the two rims, the lowest point of each rim among them, so that it rolls.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

POINTS = 8
"""Contact points of a body; a shape with fewer marks the rest as absent."""

BOX, SPHERE, CYLINDER, CAPSULE = range(4)
"""Shape indices, in the order of `worldsim.types.card.SHAPES`."""

TINY = 1e-12
"""Keeps square roots differentiable; far below any length (m) or speed (m/s) that matters."""


def corner_signs(like: Float[Tensor, "..."]) -> Float[Tensor, "8 3"]:
    """Return the signs of the eight corners of a box, x slowest, in the dtype and on the device of `like`."""
    one = torch.ones((), dtype=like.dtype, device=like.device)
    pair = torch.stack([-one, one])
    return torch.cartesian_prod(pair, pair, pair)


def core_and_radius(
    extent_m: Float[Tensor, "N 3"],
    shape_index: Int[Tensor, " N"],
    corner_radius_m: Float[Tensor, " N"] | None = None,
) -> tuple[Float[Tensor, "N 3"], Float[Tensor, " N"]]:
    """Return the half edges of the core box and the radius that sweeps it (m).

    Args:
        extent_m: [N, 3] full edges of the bounding box, body frame.
        shape_index: [N] 0 box, 1 sphere, 2 cylinder, 3 capsule (the last two along body z).
        corner_radius_m: [N] rounding of a box's corners; 0 where not given.
    """
    half = 0.5 * extent_m
    # Spheres and capsules take the mean of their round directions: a believed extent is rarely exactly round.
    round_radius = torch.where(shape_index == SPHERE, half.mean(-1), half[:, :2].mean(-1))
    zero = torch.zeros_like(round_radius)
    radius = zero if corner_radius_m is None else torch.where(shape_index == BOX, corner_radius_m, zero)
    is_round = (shape_index == SPHERE) | (shape_index == CAPSULE)
    radius = torch.where(is_round, round_radius, radius)
    segment = torch.stack([zero, zero, (half[:, 2] - round_radius).clamp_min(0.0)], dim=-1)
    shape = shape_index[:, None]
    core = torch.where(shape == CAPSULE, segment, (half - radius[:, None]).clamp_min(0.0))
    return torch.where(shape == SPHERE, torch.zeros_like(core), core), radius


def points_present(shape_index: Int[Tensor, " N"]) -> Bool[Tensor, "N 8"]:
    """Return which of the eight contact points a shape uses."""
    slot = torch.arange(POINTS, device=shape_index.device)
    shape = shape_index[:, None]
    ends = (slot == 0) | (slot == 1)  # corners 0 and 1 differ in the sign of z alone: the ends of a capsule
    return (shape == BOX) | (shape == CYLINDER) | ((shape == SPHERE) & (slot == 0)) | ((shape == CAPSULE) & ends)


def contact_points(
    core_half_m: Float[Tensor, "N 3"],
    shape_index: Int[Tensor, " N"],
    rotation: Float[Tensor, "N 3 3"],
) -> Float[Tensor, "N 8 3"]:
    """Return the contact points in the body frame (m), relative to the centre of the box.

    Args:
        core_half_m: from `core_and_radius`.
        shape_index: [N].
        rotation: [N, 3, 3] body to world; it finds the lowest rim points of a cylinder.
    """
    corners = core_half_m[:, None, :] * corner_signs(core_half_m)
    # World down in the body frame, projected on the disc: the direction of a rim's lowest point. An upright
    # cylinder has none; the small bias along body x then picks one smoothly.
    down_x, down_y = -rotation[:, 2, 0] + 1e-4, -rotation[:, 2, 1]
    length = torch.sqrt(down_x * down_x + down_y * down_y + TINY)
    along = torch.stack([down_x / length, down_y / length], dim=-1)
    across = torch.stack([-along[:, 1], along[:, 0]], dim=-1)
    disc = torch.stack([along, -along, across, -across], dim=1) * core_half_m[:, None, :2]
    height = core_half_m[:, None, 2:].expand(-1, 4, -1)
    rims = torch.cat([torch.cat([disc, -height], dim=-1), torch.cat([disc, height], dim=-1)], dim=1)
    return torch.where((shape_index == CYLINDER)[:, None, None], rims, corners)


def moments_of_inertia(
    mass_kg: Float[Tensor, " N"], extent_m: Float[Tensor, "N 3"], shape_index: Int[Tensor, " N"]
) -> Float[Tensor, "N 3"]:
    """Return the principal moments (kg m^2) of solid uniform bodies about their centres, body axes."""
    mass = mass_kg[:, None]
    square = extent_m * extent_m
    box = mass / 12.0 * (square.sum(-1, keepdim=True) - square)
    radius = extent_m.mean(-1, keepdim=True) / 2.0
    sphere = (0.4 * mass * radius * radius).expand(-1, 3)
    disc = extent_m[:, :2].mean(-1, keepdim=True) / 2.0
    disc_square, height = disc * disc, extent_m[:, 2:]
    cylinder = _axial(mass * (disc_square / 4.0 + height * height / 12.0), mass * disc_square / 2.0)
    capsule = _capsule_moments(mass, disc, (height - 2.0 * disc).clamp_min(0.0))
    shape = shape_index[:, None]
    result = torch.where(shape == SPHERE, sphere, box)
    return torch.where(shape == CAPSULE, capsule, torch.where(shape == CYLINDER, cylinder, result))


def box_signed_distance(
    point: Float[Tensor, "... 3"], half_m: Float[Tensor, "... 3"]
) -> tuple[Float[Tensor, "..."], Float[Tensor, "... 3"]]:
    """Return the signed distance (m) of a point to a centred box, and the outward unit normal, in the box's frame."""
    excess = point.abs() - half_m
    sign = torch.where(point < 0.0, -1.0, 1.0).to(point.dtype)
    outside = excess.clamp_min(0.0)
    distance = torch.sqrt((outside * outside).sum(-1) + TINY * TINY)
    deepest = excess.max(dim=-1, keepdim=True).values
    is_outside = deepest > 0.0
    face = torch.nn.functional.one_hot(excess.argmax(-1), 3).to(point.dtype)
    normal = sign * torch.where(is_outside, outside / distance[..., None], face)
    return torch.where(is_outside[..., 0], distance, deepest[..., 0]), normal


def box_distance(point: Float[Tensor, "... 3"], half_m: Float[Tensor, "... 3"]) -> Float[Tensor, "..."]:
    """Return the signed distance (m) of a point to a centred box, without the normal (cheaper)."""
    excess = point.abs() - half_m
    outside = excess.clamp_min(0.0)
    return torch.sqrt((outside * outside).sum(-1) + TINY * TINY) + excess.amax(dim=-1).clamp_max(0.0)


def tangent_basis(normal: Float[Tensor, "... 3"]) -> Float[Tensor, "... 3 3"]:
    """Return an orthonormal frame as rows (normal, tangent, tangent), without a branch on the normal.

    Source: Duff et al. 2017, "Building an Orthonormal Basis, Revisited", listing 3.
    """
    x, y, z = normal.unbind(-1)
    sign = torch.where(z < 0.0, -1.0, 1.0).to(normal.dtype)
    a = -1.0 / (sign + z)
    b = x * y * a
    first = torch.stack([1.0 + sign * x * x * a, sign * b, -sign * x], dim=-1)
    second = torch.stack([b, sign + y * y * a, -y], dim=-1)
    return torch.stack([normal, first, second], dim=-2)


def _axial(across: Float[Tensor, "N 1"], along: Float[Tensor, "N 1"]) -> Float[Tensor, "N 3"]:
    return torch.cat([across, across, along], dim=-1)


def _capsule_moments(
    mass: Float[Tensor, "N 1"], radius: Float[Tensor, "N 1"], length: Float[Tensor, "N 1"]
) -> Float[Tensor, "N 3"]:
    """Return the moments of a solid capsule: a cylinder of `length` and two half balls, of equal density."""
    ball_share = 4.0 * radius / (3.0 * length + 4.0 * radius)
    ball, tube = mass * ball_share, mass * (1.0 - ball_share)
    square = radius * radius
    along = tube * square / 2.0 + ball * 0.4 * square
    shift = ball * (0.4 * square + length * length / 4.0 + 0.375 * length * radius)
    return _axial(tube * (square / 4.0 + length * length / 12.0) + shift, along)
