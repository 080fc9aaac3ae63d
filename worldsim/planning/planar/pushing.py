"""Quasi-static pushing in the floor plane: where a thing goes that the own body drives into.

The thing slides with friction and stops at once when it is no longer pushed. Which way it turns while it gives way
follows from its friction with the floor alone: the limit surface of the frictional wrench is taken as an ellipsoid, so
that a push f through an arm of torque tau moves it along (f, tau / c^2), c being the mean distance of its contact with
the floor from its middle. The contact between the two has no friction, as the own body's bumper is slippery.

Source: Goyal, Ruina & Papadopoulos 1991 (limit surface); Lynch & Mason 1996, section 3 (ellipsoid, characteristic
length). Ours moves the thing out of the own body by a few projections of the deepest overlap, which is differentiable
and needs no case for one contact or two: a flat front that pushes a flat face lines the two up.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

HULL = (
    (1.0, 1.0), (1.0, -1.0), (-1.0, -1.0), (-1.0, 1.0), (1.0, 0.0), (-1.0, 0.0), (0.0, 1.0), (0.0, -1.0),
)  # fmt: skip
"""Points of the own hull, in half its edges: corners, and middles of the sides, which a narrower thing meets first."""
_PROJECTIONS = 2  # of the deepest overlap, a piece of a step: a face on a face takes the two corners in turn
_TINY_M = 1e-9
_SAMPLES_A_METRE = 40  # of the grid over an outline that its characteristic length is measured on


@dataclass(frozen=True, slots=True)
class Outline:
    """The outline of a thing seen from above: rectangles in a frame whose origin is the middle of its area.

    Attributes:
        middle_m: [2] of its area, in the frame of its bounding box.
        centre: [R, 2] m, middles of the rectangles, from `middle_m`.
        half_m: [R, 2] m, half their edges.
        characteristic_m: c, mean distance of its area from its middle.
    """

    middle_m: Float[Tensor, "2"]
    centre: Float[Tensor, "R 2"]
    half_m: Float[Tensor, "R 2"]
    characteristic_m: float

    @classmethod
    def of(cls, rectangles: Float[Tensor, "R 4"]) -> Outline:
        """Return the outline of rectangles (x, y, length, width) in the bounding box's frame, which do not overlap.

        >>> round(Outline.of(torch.tensor([[0.0, 0.0, 2.0, 2.0]])).characteristic_m, 2)  # 0.3826 of a square's edge
        0.77
        """
        area = rectangles[:, 2] * rectangles[:, 3]
        middle = (rectangles[:, :2] * area[:, None]).sum(dim=0) / area.sum()
        centre = rectangles[:, :2] - middle
        moment = 0.0
        for (x, y), (length, width) in zip(centre.tolist(), rectangles[:, 2:].tolist(), strict=True):
            columns, rows = (max(2, math.ceil(edge * _SAMPLES_A_METRE)) for edge in (length, width))
            across = x + length * ((torch.arange(columns) + 0.5) / columns - 0.5)
            along = y + width * ((torch.arange(rows) + 0.5) / rows - 0.5)
            moment += length * width * float((across[:, None] ** 2 + along[None, :] ** 2).sqrt().mean())
        return cls(middle, centre, rectangles[:, 2:] / 2.0, moment / float(area.sum()))

    def corners(self) -> Float[Tensor, "P 2"]:
        """Return the corners of all rectangles, P = 4 R."""
        return corners_of(torch.cat([self.centre, self.half_m], dim=1))

    @property
    def radius_m(self) -> float:
        """Distance of the farthest corner from the middle."""
        return float(self.corners().norm(dim=-1).max())


def corners_of(rectangles: Float[Tensor, "R 4"]) -> Float[Tensor, "P 2"]:
    """Return the corners of rectangles that are given by middle and half edges, P = 4 R."""
    signs = rectangles.new_tensor(HULL[:4])
    return (rectangles[:, None, :2] + signs * rectangles[:, None, 2:]).reshape(-1, 2)


def to_world(points: Float[Tensor, "P 2"], pose: Float[Tensor, "S 3"]) -> Float[Tensor, "S P 2"]:
    """Return points of a body in the world, given the body's poses (x, y, yaw)."""
    c, s = torch.cos(pose[:, 2:]), torch.sin(pose[:, 2:])
    x, y = points[:, 0], points[:, 1]
    return torch.stack([pose[:, :1] + c * x - s * y, pose[:, 1:2] + s * x + c * y], dim=-1)


def to_body(points: Float[Tensor, "S P 2"], pose: Float[Tensor, "S 3"]) -> Float[Tensor, "S P 2"]:
    """Return points of the world in the frame of a body of poses (x, y, yaw)."""
    c, s = torch.cos(pose[:, 2:]), torch.sin(pose[:, 2:])
    x, y = points[..., 0] - pose[:, :1], points[..., 1] - pose[:, 1:2]
    return torch.stack([c * x + s * y, c * y - s * x], dim=-1)


def push_out(
    own: Float[Tensor, "S 3"],
    own_half_m: Float[Tensor, "2"],
    pose: Float[Tensor, "S 3"],
    outline: Outline,
    held: Float[Tensor, "H 4"] | None = None,
) -> tuple[Float[Tensor, "S 3"], Float[Tensor, " S"], Float[Tensor, "S 2"]]:
    """Return where the thing is once it no longer overlaps with the own body, how deep it did at first, and the push.

    The depth is in metres. The push is that of a unit force on the thing: its part along the own heading where the
    overlap is deepest, and its lever about the own middle (m), a mean over all that overlaps, weighted by depth: flush
    faces push through the middle of what they share, and where the own body turns into a thing its leading edge bears
    the most.

    Args:
        own: poses (x, y, yaw) of the own body's middle.
        own_half_m: half its length and width.
        pose: poses of the outline's middle before.
        outline: of the thing.
        held: rectangles that the own body holds and pushes with, too (middle and half edges, in its frame).
    """
    rectangles = torch.cat([own_half_m.new_zeros(2), own_half_m])[None]
    if held is not None:
        rectangles = torch.cat([rectangles, held.to(rectangles)])
    return pushed_by(own, rectangles, pose, outline)


def pushed_by(
    own: Float[Tensor, "S 3"], rectangles: Float[Tensor, "B 4"], pose: Float[Tensor, "S 3"], outline: Outline
) -> tuple[Float[Tensor, "S 3"], Float[Tensor, " S"], Float[Tensor, "S 2"]]:
    """Return the same for a pusher of several rectangles (middle and half edges, in its frame)."""
    hulls = rectangles[:, None, :2] + rectangles.new_tensor(HULL) * rectangles[:, None, 2:]
    own_points = to_world(hulls.flatten(0, 1), own)
    corners = outline.corners()
    first: tuple[Tensor, Tensor] | None = None
    for _ in range(_PROJECTIONS):
        depth, point, normal, lever = _deepest(own, rectangles, own_points, pose, outline, corners)
        if first is None:
            ahead = torch.stack([torch.cos(own[:, 2]), torch.sin(own[:, 2])], dim=-1)
            first = depth, torch.stack([(normal * ahead).sum(dim=-1), lever], dim=-1)
        arm = point - pose[:, :2]
        torque = arm[:, 0] * normal[:, 1] - arm[:, 1] * normal[:, 0]
        squared = outline.characteristic_m**2
        share = depth / (1.0 + torque.square() / squared)
        pose = pose + torch.cat([normal * share[:, None], (torque * share / squared)[:, None]], dim=1)
    assert first is not None
    return pose, *first


def _deepest(
    own: Float[Tensor, "S 3"],
    rectangles: Float[Tensor, "R 4"],
    own_points: Float[Tensor, "S Q 2"],
    pose: Float[Tensor, "S 3"],
    outline: Outline,
    corners: Float[Tensor, "P 2"],
) -> tuple[Float[Tensor, " S"], Float[Tensor, "S 2"], Float[Tensor, "S 2"], Float[Tensor, " S"]]:
    """Return depth (0 for none), place and direction (of giving way) of the worst overlap, and the lever of all."""
    seen = to_world(corners, pose)
    depth_a, normal_a = _inside(
        (to_body(seen, own)[:, :, None] - rectangles[:, :2]).flatten(1, 2), rectangles[:, 2:].repeat(seen.shape[1], 1)
    )
    depth_b, normal_b = _inside(
        (to_body(own_points, pose)[:, :, None] - outline.centre).flatten(1, 2),
        outline.half_m.repeat(own_points.shape[1], 1),
    )
    depth = torch.cat([depth_a, depth_b], dim=1)
    seen = seen.repeat_interleave(len(rectangles), dim=1)
    points = torch.cat([seen, own_points.repeat_interleave(outline.centre.shape[0], dim=1)], dim=1)
    normals = torch.cat([_turned(normal_a, own[:, 2:]), _turned(-normal_b, pose[:, 2:])], dim=1)
    arms, borne = points - own[:, None, :2], depth.detach().clamp(min=0.0)
    levers = arms[..., 0] * normals[..., 1] - arms[..., 1] * normals[..., 0]
    lever = (borne * levers).sum(dim=1) / borne.sum(dim=1).clamp(min=_TINY_M)
    least, at = depth.max(dim=1)
    rows = torch.arange(len(at))
    return least.clamp(min=0.0), points[rows, at], normals[rows, at], lever


def _turned(vectors: Float[Tensor, "S P 2"], yaw: Float[Tensor, "S 1"]) -> Float[Tensor, "S P 2"]:
    c, s = torch.cos(yaw), torch.sin(yaw)
    x, y = vectors.unbind(-1)
    return torch.stack([c * x - s * y, s * x + c * y], dim=-1)


def _inside(
    points: Float[Tensor, "S P 2"], half_m: Float[Tensor, "... 2"]
) -> tuple[Float[Tensor, "S P"], Float[Tensor, "S P 2"]]:
    """Return how deep points lie in a rectangle about the origin (negative outside), and the way out, a unit vector."""
    left = half_m - points.abs()
    depth = left.amin(dim=-1)
    along_x = (left[..., 0] <= left[..., 1]).to(points.dtype)
    sign = torch.where(points >= 0.0, 1.0, -1.0)
    return depth, torch.stack([sign[..., 0] * along_x, sign[..., 1] * (1.0 - along_x)], dim=-1)
