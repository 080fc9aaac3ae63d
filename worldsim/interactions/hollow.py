"""The inside of a container: an open box whose walls and floor have about the same thickness."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from worldsim.dynamics import quaternion
from worldsim.types.states import ObjectStates

FLOOR_M, FLOOR_SPREAD_M = 0.018, 0.010
"""Thickness of a container's floor and walls, give or take."""


def upright_edge_m(states: ObjectStates) -> Float[Tensor, " E"]:
    """Return the length of the edge of each box that stands most upright, m."""
    return states.extent_m.gather(-1, _upright(states))[:, 0]


def height_over_underside(source: ObjectStates, target: ObjectStates) -> Float[Tensor, " E"]:
    """Return how high the target's underside is over the source's, m, from inside of the source.

    It is measured along the edge of the source that stands most upright, from the face that is below; what lies on a
    face has one edge upright, and of a ball all are alike.
    """
    centre = quaternion.rotate_inverse(source.orientation_xyzw, target.position - source.position)
    edge = _upright(source)
    up = quaternion.to_matrix(source.orientation_xyzw)[:, 2].gather(-1, edge).sign()
    height = (up * centre.gather(-1, edge))[:, 0]
    return height + 0.5 * upright_edge_m(source) - 0.5 * upright_edge_m(target)


def clearance_m(source: ObjectStates, target: ObjectStates) -> Float[Tensor, " E"]:
    """Return how far a target in the source is from the nearest of its walls and its floor, m (negative: in it).

    The face above is open.
    """
    axes, theirs = quaternion.to_matrix(source.orientation_xyzw), quaternion.to_matrix(target.orientation_xyzw)
    centre = quaternion.rotate_inverse(source.orientation_xyzw, target.position - source.position)
    reach = ((axes.mT @ theirs).abs() @ (0.5 * target.extent_m).unsqueeze(-1)).squeeze(-1)
    room = 0.5 * source.extent_m - centre.abs() - reach - FLOOR_M
    edge = _upright(source)
    low = (height_over_underside(source, target) - FLOOR_M).unsqueeze(-1)
    return torch.scatter(room, -1, edge, low).amin(-1)


def _upright(states: ObjectStates) -> Int[Tensor, "E 1"]:
    return quaternion.to_matrix(states.orientation_xyzw)[:, 2].abs().argmax(-1, keepdim=True)
