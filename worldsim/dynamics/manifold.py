"""Two flat sides on each other: the face that parts two boxes best, and where their outlines cross.

Which way a corner is pushed out of a box is a matter of the pair, not of the corner: one that stands flush with an edge
is as near to the side as to the top. Where neither box has a corner over the other, the overlap ends where an edge of
one passes over the border of the other.

Source: Gottschalk, Lin & Manocha 1996 (separating axes; of the fifteen, the six of the faces); Liang & Barsky 1984
(an edge clipped to a rectangle).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

__all__ = ["PartingFaces", "crossings", "height_and_overhang"]

_TIE = 1e-4
"""How much of an edge (share) is no edge, and how far apart (m) two separations have to be to be told apart."""


@dataclass(frozen=True, slots=True)
class PartingFaces:
    """The faces of each of N x B pairs that look at each other, as signed unit vectors along an axis.

    Attributes:
        of_obstacle: [N, B, 3] obstacle's frame, outwards.
        of_body: [N, B, 3] body's frame, outwards.
    """

    of_obstacle: Float[Tensor, "N B 3"]
    of_body: Float[Tensor, "N B 3"]

    @classmethod
    def of(
        cls,
        offset: Float[Tensor, "N B 3"],
        relative: Float[Tensor, "N B 3 3"],
        body_half_m: Float[Tensor, "N 3"],
        obstacle_half_m: Float[Tensor, "N B 3"],
    ) -> PartingFaces:
        """Return them for bodies `offset` (m, obstacle's frame) from their obstacles.

        Args:
            offset: from the obstacle's centre to the body's.
            relative: rotation from the body's frame to the obstacle's.
            body_half_m: half edges of the bodies.
            obstacle_half_m: half edges of the obstacles.
        """
        with torch.no_grad():
            size, seen = relative.abs(), (relative.mT @ offset[..., None])[..., 0]
            apart = offset.abs() - obstacle_half_m - (size * body_half_m[:, None, None]).sum(-1)
            apart_of_body = seen.abs() - body_half_m[:, None] - (size * obstacle_half_m[..., None]).sum(-2) - _TIE
            best = torch.cat([apart, apart_of_body], dim=-1).argmax(-1)
            own = _one_hot(best % 3, offset)
            in_obstacle = own * _sign(offset)
            in_body = own * _sign(seen)
            by_body = (best >= 3)[..., None]
            axis = torch.where(by_body, (relative * in_body[..., None, :]).sum(-1), in_obstacle)
            back = (relative * axis[..., None]).sum(-2)
            return cls(_face_along(axis), -_face_along(back))


def height_and_overhang(
    local: Float[Tensor, "... 3"], half_m: Float[Tensor, "... 3"], face: Float[Tensor, "... 3"]
) -> tuple[Float[Tensor, "..."], Float[Tensor, "..."]]:
    """Return how high (m) a point is over the plane of a box's face, and how far (m) beyond the face's border.

    Within the border the second is negative. All in the box's frame; `face` as in `PartingFaces`.
    """
    along = face.abs()
    height = (local * face).sum(-1) - (half_m * along).sum(-1)
    beyond = local.abs() - half_m
    return height, torch.where(along > 0.0, -torch.inf, beyond).amax(-1)


def crossings(
    offset: Float[Tensor, "N B 3"],
    relative: Float[Tensor, "N B 3 3"],
    body_half_m: Float[Tensor, "N 3"],
    obstacle_half_m: Float[Tensor, "N B 3"],
    faces: PartingFaces,
) -> tuple[Float[Tensor, "N B 8 3"], Bool[Tensor, "N B 8"]]:
    """Return where the edges of the body's face enter and leave the obstacle's, seen along the obstacle's face.

    Points are in the body's frame (m); the second says which there are. See `PartingFaces.of` for the arguments.
    """
    with torch.no_grad():
        axis = faces.of_body.abs().argmax(-1)
        first, second = _one_hot((axis + 1) % 3, offset), _one_hot((axis + 2) % 3, offset)
        one = torch.ones((), dtype=offset.dtype, device=offset.device)
        a, b = torch.stack([-one, one, one, -one]), torch.stack([-one, -one, one, one])
        signs = (
            faces.of_body[:, :, None] + first[:, :, None] * a[:, None] + second[:, :, None] * b[:, None]
        )  # [N, B, 4, 3], round the face
        corner = signs * body_half_m[:, None, None]
        edge = corner.roll(-1, 2) - corner
        start = corner @ relative.mT + offset[:, :, None]
        along = edge @ relative.mT
        half = obstacle_half_m[:, :, None]
        # a slab's two borders, as shares of the edge; along an edge that is parallel to them it is all or nothing
        moves = along.abs() > _TIE * torch.linalg.vector_norm(along, dim=-1, keepdim=True)
        step = torch.where(moves, along, 1.0)
        low, high = (-half - start) / step, (half - start) / step
        inside = start.abs() <= half + _TIE
        enter = torch.where(moves, torch.minimum(low, high), torch.where(inside, -torch.inf, torch.inf))
        leave = torch.where(moves, torch.maximum(low, high), torch.where(inside, torch.inf, -torch.inf))
        normal = (faces.of_obstacle.abs() > 0.0)[:, :, None]
        enter = torch.where(normal, -torch.inf, enter).amax(-1)
        leave = torch.where(normal, torch.inf, leave).amin(-1)
        share = torch.cat([enter, leave], dim=-1)
        there = (enter < leave).repeat(1, 1, 2) & (share > _TIE) & (share < 1.0 - _TIE)
        share = torch.where(there, share, 0.0)
        return corner.repeat(1, 1, 2, 1) + share[..., None] * edge.repeat(1, 1, 2, 1), there


def _face_along(axis: Float[Tensor, "... 3"]) -> Float[Tensor, "... 3"]:
    return _one_hot(axis.abs().argmax(-1), axis) * _sign(axis)


def _one_hot(index: Int[Tensor, "..."], like: Tensor) -> Float[Tensor, "... 3"]:
    return torch.nn.functional.one_hot(index, 3).to(like.dtype)


def _sign(x: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    return torch.where(x < 0.0, -1.0, 1.0).to(x.dtype)
