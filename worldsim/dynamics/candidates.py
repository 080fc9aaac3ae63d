"""Which contacts a body may make in this step, and where they are now.

A contact is a point against a rounded box: a point of the body against an obstacle (or the floor), a corner
of an obstacle against the body (*reversed*), or, of two boxes, a point where the outline of one passes over the
border of the other (*crossing*). Two boxes push each other along the faces that part them best (`manifold`).
Other contacts of edge with edge are not looked for; they end as one of these after a small rotation.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from worldsim.dynamics import quaternion
from worldsim.dynamics.bodies import ContactSettings, Obstacles
from worldsim.dynamics.geometry import (
    BOX,
    POINTS,
    box_distance,
    box_signed_distance,
    contact_points,
    core_and_radius,
    corner_signs,
    points_present,
)
from worldsim.dynamics.manifold import PartingFaces, crossings, height_and_overhang


@dataclass(frozen=True, slots=True)
class BodyShape:
    """Geometry of N bodies over a step: core box half edges [N, 3], radius [N], shape index [N], points used [N, 8]."""

    core_half_m: Float[Tensor, "N 3"]
    radius_m: Float[Tensor, " N"]
    shape_index: Int[Tensor, " N"]
    present: Bool[Tensor, "N 8"]

    @property
    def is_box(self) -> Bool[Tensor, " N"]:
        """Which bodies have flat sides and corners."""
        return self.shape_index == BOX

    @classmethod
    def of(
        cls,
        extent_m: Float[Tensor, "N 3"],
        shape_index: Int[Tensor, " N"],
        corner_radius_m: Float[Tensor, " N"] | None,
    ) -> BodyShape:
        """Return the geometry of bodies of these extents and shapes."""
        core, radius = core_and_radius(extent_m, shape_index, corner_radius_m)
        return cls(core, radius, shape_index, points_present(shape_index))


@dataclass(frozen=True, slots=True)
class BoxSlots:
    """The box side of K contact slots a body, gathered once a step. The floor is a box of index B.

    Attributes:
        source: [N, K] index of the obstacle, B for the floor.
        point_index: [N, K] which point of the body, or which corner of the obstacle where `reverse`.
        reverse: [N, K] a corner of the obstacle against the body.
        crossing: [N, K] an outline over a border, at `crossing_m` [N, K, 3] in the body's frame.
        face: [N, K, 3] the face that parts the two, outwards, in the frame of the box that the point is against.
        position, half_extent_m, linear_velocity, corner_m: [N, K, 3]; `corner_m` is the obstacle's corner in the
            world frame, relative to its centre.
        rotation: [N, K, 3, 3].
    """

    source: Int[Tensor, "N K"]
    point_index: Int[Tensor, "N K"]
    reverse: Bool[Tensor, "N K"]
    crossing: Bool[Tensor, "N K"]
    crossing_m: Float[Tensor, "N K 3"]
    face: Float[Tensor, "N K 3"]
    position: Float[Tensor, "N K 3"]
    half_extent_m: Float[Tensor, "N K 3"]
    linear_velocity: Float[Tensor, "N K 3"]
    corner_m: Float[Tensor, "N K 3"]
    rotation: Float[Tensor, "N K 3 3"]


@dataclass(frozen=True, slots=True)
class Contacts:
    """K possible contacts a body at one instant.

    Attributes:
        gap_m: [N, K] signed distance.
        normal: [N, K, 3] unit, world frame, the direction in which the body is pushed.
        point: [N, K, 3] m, world frame, the point of the body.
        surface_velocity: [N, K, 3] m/s of what is touched.
        present: [N, K] False for slots that hold nothing.
    """

    gap_m: Float[Tensor, "N K"]
    normal: Float[Tensor, "N K 3"]
    point: Float[Tensor, "N K 3"]
    surface_velocity: Float[Tensor, "N K 3"]
    present: Bool[Tensor, "N K"]


FLOOR_HALF_M = 1e3
"""Half edge of the box that stands for the floor below a body; its half thickness is 1 m: float32 then keeps 0.1 um."""


def select_slots(
    shape: BodyShape,
    start: tuple[Float[Tensor, "N 3"], Float[Tensor, "N 4"]],
    end: tuple[Float[Tensor, "N 3"], Float[Tensor, "N 4"]],
    obstacles: Obstacles,
    dt_s: float,
    settings: ContactSettings,
) -> tuple[BoxSlots, Bool[Tensor, "N K"]]:
    """Take the candidates that come nearest at the start or at the freely moved end of the step.

    Args:
        shape: geometry of the bodies.
        start: position and orientation of the box centre at the start.
        end: the same at the end, moved freely.
        obstacles: at the start.
        dt_s: step, s.
        settings: gives the number of slots.

    Returns:
        The slots, and which of them hold a candidate.
    """
    boxes = _with_floor(obstacles, start[0])
    n_boxes, moved = boxes.boxes, boxes.position + boxes.linear_velocity * dt_s
    first, last = _Pairs.of(*start, boxes, boxes.position), _Pairs.of(*end, boxes, moved)
    faces = PartingFaces.of(first.offset, first.relative, shape.core_half_m, boxes.half_extent_m)
    # where a body comes down is known at its end; the floor has no border
    crossing_m, there = crossings(
        last.offset[:, :-1],
        last.relative[:, :-1],
        shape.core_half_m,
        boxes.half_extent_m[:, :-1],
        PartingFaces(faces.of_obstacle[:, :-1], faces.of_body[:, :-1]),
    )
    there &= boxes.present[:, :-1, None] & shape.is_box[:, None, None]
    gaps = [_candidate_gaps(shape, pose, boxes, faces, crossing_m, there) for pose in (first, last)]
    key = torch.minimum(*gaps)
    count = min(settings.max_contacts, key.shape[1])
    nearest, index = torch.topk(key.detach(), count, dim=1, largest=False, sorted=False)
    crossing = index >= POINTS * (2 * n_boxes - 1)
    reverse = (index >= POINTS * n_boxes) & ~crossing
    flat = index - torch.where(crossing, POINTS * (2 * n_boxes - 1), torch.where(reverse, POINTS * n_boxes, 0))
    source, point_index = flat // POINTS, flat % POINTS

    def gather(values: Tensor) -> Tensor:
        tail = values.shape[2:]
        spread = source.reshape(*source.shape, *(1,) * len(tail)).expand(*source.shape, *tail)
        return torch.gather(values, 1, spread)

    half, rotation = gather(boxes.half_extent_m), gather(quaternion.to_matrix(boxes.orientation_xyzw))
    corner = corner_signs(half)[point_index] * half
    spread = torch.where(crossing, flat, 0)[..., None].expand(-1, -1, 3)
    outlines = torch.cat([crossing_m.flatten(1, 2), half.new_zeros(len(half), 1, 3)], dim=1)  # never empty
    slots = BoxSlots(
        source,
        point_index,
        reverse,
        crossing,
        torch.gather(outlines, 1, spread),
        torch.where(reverse[..., None], gather(faces.of_body), gather(faces.of_obstacle)),
        gather(boxes.position),
        half,
        gather(boxes.linear_velocity),
        (rotation @ corner[..., None])[..., 0],
        rotation,
    )
    return slots, nearest < ABSENT_M


FLUSH_M = 1e-4
"""How far beyond a face's border one's corner still lies on it; the other's has to be so far within, or both count."""

ABSENT_M = 1e6
"""Distance given to candidates that do not exist."""


def floor_contacts(shape: BodyShape, position: Float[Tensor, "N 3"], rotation: Float[Tensor, "N 3 3"]) -> Contacts:
    """Return the contacts of each body with the floor alone: its four lowest points (no flat side has more)."""
    points = _world_points(shape, position, rotation)
    height = torch.where(shape.present, points[..., 2], ABSENT_M)
    index = torch.topk(height.detach(), FLOOR_POINTS, dim=1, largest=False, sorted=False).indices
    lowest = torch.gather(points, 1, index[..., None].expand(-1, -1, 3))
    present = torch.gather(shape.present, 1, index)
    normal = torch.zeros_like(lowest)
    normal[..., 2] = 1.0
    radius = shape.radius_m[:, None]
    gap = lowest[..., 2] - radius
    return Contacts(gap, normal, lowest - radius[..., None] * normal, torch.zeros_like(lowest), present)


FLOOR_POINTS = 4
"""Contacts of a body with the floor alone."""


def box_contacts(
    shape: BodyShape,
    position: Float[Tensor, "N 3"],
    rotation: Float[Tensor, "N 3 3"],
    slots: BoxSlots,
    present: Bool[Tensor, "N K"],
    time_s: float,
) -> Contacts:
    """Return where the contacts of the slots are, `time_s` into the step."""
    all_points = _world_points(shape, position, rotation)
    spread = slots.point_index[..., None].expand(-1, -1, 3)
    body_point = torch.gather(all_points, 1, spread)
    centre = slots.position + slots.linear_velocity * time_s
    reverse = slots.reverse[..., None]
    outline = (rotation[:, None] * slots.crossing_m[..., None, :]).sum(-1) + position[:, None]
    body_point = torch.where(slots.crossing[..., None], outline, body_point)
    point = torch.where(reverse, centre + slots.corner_m, body_point)
    frame_centre = torch.where(reverse, position[:, None, :], centre)
    frame = torch.where(reverse[..., None], rotation[:, None], slots.rotation)
    half = torch.where(reverse, shape.core_half_m[:, None, :], slots.half_extent_m)
    local = (frame * (point - frame_centre)[..., None]).sum(-2)
    distance, local_normal = box_signed_distance(local, half)
    height, overhang = height_and_overhang(local, half, slots.face)
    flush = slots.crossing | (overhang <= torch.where(slots.reverse, -FLUSH_M, FLUSH_M))
    distance = torch.where(flush, height, distance)
    local_normal = torch.where(flush[..., None], slots.face, local_normal)
    # of two boxes a corner that is beside the other's face touches nothing: the outlines' crossings do
    present = present & (flush | ~shape.is_box[:, None])
    outward = (frame * local_normal[..., None, :]).sum(-1)
    normal = torch.where(reverse, -outward, outward)
    radius = shape.radius_m[:, None, None]
    touching = torch.where(reverse, point, point - radius * normal)
    return Contacts(distance - shape.radius_m[:, None], normal, touching, slots.linear_velocity, present)


def _with_floor(obstacles: Obstacles, above: Float[Tensor, "N 3"]) -> Obstacles:
    """Return the obstacles with the floor below each body appended as one more box (absent where there is no floor)."""
    position = obstacles.position
    n = position.shape[0]
    zero = position.new_zeros(n, 1, 1)
    one = torch.ones_like(zero)
    centre = torch.cat([above[:, None, :2], -one], dim=-1)
    upright = torch.cat([zero, zero, zero, one], dim=-1)
    half = torch.cat([FLOOR_HALF_M * one, FLOOR_HALF_M * one, one], dim=-1)
    there = torch.full_like(obstacles.present[:, :1], obstacles.floor)
    return Obstacles(
        obstacles.floor,
        torch.cat([position, centre], dim=1),
        torch.cat([obstacles.orientation_xyzw, upright], dim=1),
        torch.cat([obstacles.half_extent_m, half], dim=1),
        torch.cat([obstacles.linear_velocity, torch.zeros_like(centre)], dim=1),
        torch.cat([obstacles.present, there], dim=1),
    )


def _world_points(
    shape: BodyShape, position: Float[Tensor, "N 3"], rotation: Float[Tensor, "N 3 3"]
) -> Float[Tensor, "N 8 3"]:
    local = contact_points(shape.core_half_m, shape.shape_index, rotation)
    return (rotation[:, None] * local[:, :, None, :]).sum(-1) + position[:, None, :]


@dataclass(frozen=True, slots=True)
class _Pairs:
    """Where bodies are, and how they and their obstacles lie to each other.

    Attributes:
        position: [N, 3] of the bodies; rotation: [N, 3, 3].
        box_position: [N, B, 3] of the obstacles; box_rotation: [N, B, 3, 3].
        offset: [N, B, 3] from the obstacle to the body, obstacle's frame.
        relative: [N, B, 3, 3] rotation from the body's frame to the obstacle's.
    """

    position: Float[Tensor, "N 3"]
    rotation: Float[Tensor, "N 3 3"]
    box_position: Float[Tensor, "N B 3"]
    box_rotation: Float[Tensor, "N B 3 3"]
    offset: Float[Tensor, "N B 3"]
    relative: Float[Tensor, "N B 3 3"]

    @classmethod
    def of(
        cls,
        position: Float[Tensor, "N 3"],
        orientation_xyzw: Float[Tensor, "N 4"],
        boxes: Obstacles,
        box_position: Float[Tensor, "N B 3"],
    ) -> _Pairs:
        """Return them for bodies there, and boxes at `box_position`."""
        rotation = quaternion.to_matrix(orientation_xyzw)
        box_rotation = quaternion.to_matrix(boxes.orientation_xyzw)
        offset = (box_rotation * (position[:, None] - box_position)[..., None]).sum(-2)
        return cls(position, rotation, box_position, box_rotation, offset, box_rotation.mT @ rotation[:, None])


def _candidate_gaps(
    shape: BodyShape,
    pairs: _Pairs,
    boxes: Obstacles,
    faces: PartingFaces,
    crossing_m: Float[Tensor, "N B 8 3"],
    crossing_there: Bool[Tensor, "N B 8"],
) -> Float[Tensor, "N 24B"]:
    """Return the distances of all candidates, box-major: points against boxes, the boxes' corners, the crossings."""
    rotation, position, box_rotation = pairs.rotation, pairs.position, pairs.box_rotation
    points = _world_points(shape, position, rotation)
    local = (points[:, None] - pairs.box_position[:, :, None]) @ box_rotation  # [N, B, 8, 3], rows are R^T x
    half = boxes.half_extent_m[:, :, None]
    forward = _gap(local, half, faces.of_obstacle, FLUSH_M)
    corners = (corner_signs(points) * half) @ box_rotation.mT + pairs.box_position[:, :, None]
    in_body = (corners - position[:, None, None]) @ rotation[:, None]
    backward = _gap(in_body, shape.core_half_m[:, None, None], faces.of_body, -FLUSH_M)
    forward_there = boxes.present[..., None] & shape.present[:, None]
    # The floor has no corners within reach; leaving its slot out keeps the far corners out of the numerics.
    backward_there = boxes.present[:, :-1, None].expand(-1, -1, POINTS)
    outline = crossing_m @ pairs.relative[:, :-1].mT + pairs.offset[:, :-1, None]
    over, _ = height_and_overhang(outline, half[:, :-1], faces.of_obstacle[:, :-1, None])
    radius = shape.radius_m[:, None, None]
    gaps = [
        torch.where(forward_there, forward - radius, ABSENT_M).flatten(1),
        torch.where(backward_there, backward[:, :-1] - radius, ABSENT_M).flatten(1),
        torch.where(crossing_there, over - radius, ABSENT_M).flatten(1),
    ]
    return torch.cat(gaps, dim=1)


def _gap(
    local: Float[Tensor, "N B 8 3"],
    half_m: Float[Tensor, "N B1 1 3"],
    face: Float[Tensor, "N B 3"],
    border_m: float,
) -> Float[Tensor, "N B 8"]:
    """Return how far points are over a face, or, beside it, from the box."""
    height, overhang = height_and_overhang(local, half_m, face[:, :, None])
    return torch.where(overhang <= border_m, height, box_distance(local, half_m).clamp_min(0.0))
