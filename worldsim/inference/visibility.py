"""Which objects some sensor should see: within range and view, with a line of sight past what is believed to stand."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from worldsim.dynamics import quaternion
from worldsim.types.states import ObjectStates

_POINTS = ((0.0, 0.0, 0.0), (0.0, 0.0, 0.4), (0.4, 0.0, 0.0), (-0.4, 0.0, 0.0), (0.0, 0.4, 0.0), (0.0, -0.4, 0.0))
_TIGHT = 0.98  # a box a little smaller than believed: grazing rays are not counted as blocked


def visible(
    states: ObjectStates,
    rows: Int[Tensor, " n"],
    blockers: Int[Tensor, " B"],
    viewpoint: Float[Tensor, "K 3"],
    range_m: Float[Tensor, " K"],
    cones: tuple[Float[Tensor, "K 3"], Float[Tensor, " K"]] | None = None,
) -> Bool[Tensor, " n"]:
    """Return whether the centre of each object in `rows`, or four of five other points, can be seen from one place.

    A sight line is blocked where it crosses the box of another object that is among the `blockers` (slab test), and
    ends at the range of the viewpoint. No viewpoints mean that all is in view.

    Args:
        states: of all objects; rows: whom to look for; blockers: who may hide others.
        viewpoint: m, world frame; range_m: m.
        cones: unit axes, and the least cosine of the angle to them (`Viewpoints.cones`); all around where None.
    """
    if viewpoint.shape[0] == 0:
        return torch.ones(len(rows), dtype=torch.bool, device=viewpoint.device)
    asked = states.select(rows)
    offset = viewpoint.new_tensor(_POINTS) * asked.extent_m.unsqueeze(1)
    points = asked.position.unsqueeze(1) + quaternion.rotate(asked.orientation_xyzw.unsqueeze(1), offset)
    clear = _clear(points, rows, states.select(blockers), blockers, viewpoint)  # [n, R, K]
    away = points.unsqueeze(2) - viewpoint
    distance = away.norm(dim=-1)
    seen = clear & (distance <= range_m)
    if cones is not None:
        seen &= (away * cones[0]).sum(dim=-1) >= cones[1] * distance
    return (seen[:, 0] | (seen.float().mean(dim=1) > 0.5)).any(dim=-1)


def _clear(
    points: Float[Tensor, "n R 3"],
    rows: Int[Tensor, " n"],
    boxes: ObjectStates,
    blockers: Int[Tensor, " B"],
    viewpoint: Float[Tensor, "K 3"],
) -> Bool[Tensor, "n R K"]:
    n, r, _ = points.shape
    k, b = viewpoint.shape[0], blockers.shape[0]
    if b == 0:
        return torch.ones(n, r, k, dtype=torch.bool, device=points.device)
    inverse = quaternion.conjugate(boxes.orientation_xyzw)  # [B, 4]
    centre, half = boxes.position, 0.5 * _TIGHT * boxes.extent_m
    end = quaternion.rotate(inverse, points.reshape(-1, 1, 3) - centre).reshape(n, r, 1, b, 3)
    start = quaternion.rotate(inverse, viewpoint.reshape(-1, 1, 3) - centre).reshape(1, 1, k, b, 3)
    along = end - start
    along = torch.where(along.abs() < 1e-9, torch.full_like(along, 1e-9), along)
    first, second = (-half - start) / along, (half - start) / along
    enter = torch.minimum(first, second).amax(-1)
    leave = torch.maximum(first, second).amin(-1)
    hit = (enter < leave) & (leave > 0.0) & (enter < 1.0)  # [N, R, K, B]
    itself = blockers == rows.unsqueeze(-1)  # [n, B]
    return ~(hit & ~itself.reshape(n, 1, 1, b)).any(dim=-1)
