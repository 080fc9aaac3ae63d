"""Edges clipped by the borders of a face: where an outline passes over another's.

Sources: Liang & Barsky 1984 (an edge and a rectangle); Cyrus & Beck 1978 (an edge and a convex polygon).
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from worldsim.dynamics.imagination.vectors import dot

__all__ = ["within_planes", "within_slabs"]

_EDGE_TIE = 1e-4  # how much of an edge (share) is no edge, and how far (m) beside a border is on it
_TINY = 1e-12
_SAME_WAY = 1.0 - 1e-9


def within_slabs(
    start: Float[Tensor, "3 E P S"],
    along: Float[Tensor, "3 E P S"],
    half_m: Float[Tensor, "3 1 P S1"],
    face: Int[Tensor, "P S"],
) -> tuple[Float[Tensor, "K P S"], Bool[Tensor, "K P S"]]:
    """Return the shares of each edge at which it enters and leaves the border of a box's face, and which there are.

    Args:
        start: m, box's frame; along: to its end.
        half_m: half edges of the box.
        face: x, y, z, then - x, - y, - z.
    """
    moves = along.abs() > _EDGE_TIE * _length(along)
    step = torch.where(moves, along, 1.0)
    low, high = (-half_m - start) / step, (half_m - start) / step
    never = _unless(start.abs() <= half_m + _EDGE_TIE, start)
    beside = torch.stack([face % 3 != axis for axis in range(3)])[:, None]
    return _shares(
        torch.where(moves, torch.minimum(low, high), never),
        torch.where(moves, torch.maximum(low, high), -never),
        beside,
    )


def within_planes(
    start: Float[Tensor, "3 E P S"],
    along: Float[Tensor, "3 E P S"],
    normals: Float[Tensor, "3 F P 1"],
    offsets: Float[Tensor, "F P 1"],
    face: Int[Tensor, "P S"],
) -> tuple[Float[Tensor, "K P S"], Bool[Tensor, "K P S"]]:
    """Return the same of a face of a hull, by its planes; some may be there twice."""
    height = dot(start[:, None], normals[:, :, None]) - offsets[:, None]  # [F, E, P, S]
    rate = dot(along[:, None], normals[:, :, None])
    spread = normals.expand(*normals.shape[:-1], face.shape[-1])
    outwards = torch.gather(spread, 1, face[None, None].expand(3, 1, *face.shape))
    beside = (dot(spread, outwards.expand_as(spread)) < _SAME_WAY)[:, None]
    moves = rate.abs() > _EDGE_TIE * _length(along)
    share = -height / torch.where(moves, rate, 1.0)
    never = _unless(height <= _EDGE_TIE, start)
    enter = torch.where(moves, torch.where(rate < 0.0, share, -torch.inf), never)
    leave = torch.where(moves, torch.where(rate > 0.0, share, torch.inf), -never)
    return _shares(enter, leave, beside)


def _length(along: Float[Tensor, "3 E P S"]) -> Float[Tensor, "E P S"]:
    return torch.sqrt(dot(along, along) + _TINY)


def _unless(inside: Bool[Tensor, "F E P S"], like: Tensor) -> Float[Tensor, "F E P S"]:
    """Return when an edge that is parallel to a border enters: long ago where it is inside, never where not."""
    return torch.where(inside, -torch.inf, torch.inf).to(like.dtype)


def _shares(
    enter: Float[Tensor, "F E P S"], leave: Float[Tensor, "F E P S"], beside: Bool[Tensor, "F 1 P S"]
) -> tuple[Float[Tensor, "K P S"], Bool[Tensor, "K P S"]]:
    first = torch.where(beside, enter, -torch.inf).amax(0)
    last = torch.where(beside, leave, torch.inf).amin(0)
    share = torch.cat([first, last])
    there = (first < last).repeat(2, 1, 1) & (share > _EDGE_TIE) & (share < 1.0 - _EDGE_TIE)
    return torch.where(there, share, 0.0), there
