"""Which contacts a body may make in this step, and where they are now.

A contact is a point against a rounded box: a point of the body against an obstacle (or the floor), or a corner
of an obstacle against the body (*reversed*). Contacts of edge with edge are not looked for; they end as one of
the two after a small rotation.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from worldsim.dynamics import quaternion
from worldsim.dynamics.bodies import ContactSettings, Obstacles
from worldsim.dynamics.geometry import (
    POINTS,
    box_distance,
    box_signed_distance,
    contact_points,
    core_and_radius,
    corner_signs,
    points_present,
)


@dataclass(frozen=True, slots=True)
class BodyShape:
    """Geometry of N bodies over a step: core box half edges [N, 3], radius [N], shape index [N], points used [N, 8]."""

    core_half_m: Float[Tensor, "N 3"]
    radius_m: Float[Tensor, " N"]
    shape_index: Int[Tensor, " N"]
    present: Bool[Tensor, "N 8"]

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
        position, half_extent_m, linear_velocity, corner_m: [N, K, 3]; `corner_m` is the obstacle's corner in the
            world frame, relative to its centre.
        rotation: [N, K, 3, 3].
    """

    source: Int[Tensor, "N K"]
    point_index: Int[Tensor, "N K"]
    reverse: Bool[Tensor, "N K"]
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
    first = _candidate_gaps(shape, *start, boxes, boxes.position)
    moved = boxes.position + boxes.linear_velocity * dt_s
    last = _candidate_gaps(shape, *end, boxes, moved)
    key = torch.minimum(first, last)
    count = min(settings.max_contacts, key.shape[1])
    nearest, index = torch.topk(key.detach(), count, dim=1, largest=False, sorted=False)
    n_boxes = boxes.boxes
    forward = POINTS * n_boxes
    reverse = index >= forward
    flat = torch.where(reverse, index - forward, index)
    source, point_index = flat // POINTS, flat % POINTS

    def gather(values: Tensor) -> Tensor:
        tail = values.shape[2:]
        spread = source.reshape(*source.shape, *(1,) * len(tail)).expand(*source.shape, *tail)
        return torch.gather(values, 1, spread)

    half, rotation = gather(boxes.half_extent_m), gather(quaternion.to_matrix(boxes.orientation_xyzw))
    corner = corner_signs(half)[point_index] * half
    slots = BoxSlots(
        source,
        point_index,
        reverse,
        gather(boxes.position),
        half,
        gather(boxes.linear_velocity),
        (rotation @ corner[..., None])[..., 0],
        rotation,
    )
    return slots, nearest < ABSENT_M


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
    point = torch.where(reverse, centre + slots.corner_m, body_point)
    frame_centre = torch.where(reverse, position[:, None, :], centre)
    frame = torch.where(reverse[..., None], rotation[:, None], slots.rotation)
    half = torch.where(reverse, shape.core_half_m[:, None, :], slots.half_extent_m)
    local = (frame * (point - frame_centre)[..., None]).sum(-2)
    distance, local_normal = box_signed_distance(local, half)
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


def _candidate_gaps(
    shape: BodyShape,
    position: Float[Tensor, "N 3"],
    orientation_xyzw: Float[Tensor, "N 4"],
    boxes: Obstacles,
    box_position: Float[Tensor, "N B 3"],
) -> Float[Tensor, "N 16B"]:
    """Return the distances of all candidates: points against boxes (box-major), then the boxes' corners."""
    rotation = quaternion.to_matrix(orientation_xyzw)
    points = _world_points(shape, position, rotation)
    box_rotation = quaternion.to_matrix(boxes.orientation_xyzw)
    local = (points[:, None] - box_position[:, :, None]) @ box_rotation  # [N, B, 8, 3], rows are R^T x
    forward = box_distance(local, boxes.half_extent_m[:, :, None])
    corners = (corner_signs(points) * boxes.half_extent_m[:, :, None]) @ box_rotation.mT + box_position[:, :, None]
    in_body = (corners - position[:, None, None]) @ rotation[:, None]
    backward = box_distance(in_body, shape.core_half_m[:, None, None])
    forward_there = boxes.present[..., None] & shape.present[:, None]
    # The floor has no corners within reach; leaving its slot out keeps the far corners out of the numerics.
    backward_there = boxes.present[:, :-1, None].expand(-1, -1, POINTS)
    radius = shape.radius_m[:, None, None]
    gaps = [
        torch.where(forward_there, forward - radius, ABSENT_M).flatten(1),
        torch.where(backward_there, backward[:, :-1] - radius, ABSENT_M).flatten(1),
    ]
    return torch.cat(gaps, dim=1)
