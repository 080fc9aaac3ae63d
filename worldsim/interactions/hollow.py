"""The inside of a container: an open box whose walls and floor have about the same thickness."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from worldsim.dynamics import quaternion
from worldsim.types.states import ObjectStates

FLOOR_M, FLOOR_SPREAD_M = 0.018, 0.010
"""Thickness of a container's floor and walls, give or take."""


def upright_edge_m(states: ObjectStates) -> Float[Tensor, " E"]:
    """Return the length of the edge of each box that stands most upright, m."""
    return _edge_m(states, quaternion.rise(states.orientation_xyzw).abs().argmax(-1, keepdim=True))


def height_over_underside(source: ObjectStates, target: ObjectStates) -> Float[Tensor, " E"]:
    """Return how high the target's underside is over the source's, m, from inside of the source.

    It is measured along the edge of the source that stands most upright, from the face that is below; what lies on a
    face has one edge upright, and of a ball all are alike.
    """
    return inside(source, target, centre_in(source, target)).height_m


def centre_in(source: ObjectStates, target: ObjectStates) -> Float[Tensor, "E 3"]:
    """Return the centre of each target in the frame of its source, m."""
    return quaternion.rotate_inverse(source.orientation_xyzw, target.position - source.position)


@dataclass(frozen=True, slots=True)
class Inside:
    """How targets are to their sources, of which one edge each stands most upright.

    Attributes:
        edge: [E, 1] which edge that is; tall_m: [E] its length.
        height_m: [E] `height_over_underside`.
    """

    edge: Int[Tensor, "E 1"]
    tall_m: Float[Tensor, " E"]
    height_m: Float[Tensor, " E"]


def inside(source: ObjectStates, target: ObjectStates, centre: Float[Tensor, "E 3"]) -> Inside:
    """Return how targets are to their sources, given their `centre_in` them."""
    rise = quaternion.rise(source.orientation_xyzw)
    edge = rise.abs().argmax(-1, keepdim=True)
    height, tall = (rise.gather(-1, edge).sign() * centre.gather(-1, edge))[:, 0], _edge_m(source, edge)
    return Inside(edge, tall, height + 0.5 * tall - 0.5 * upright_edge_m(target))


def clearance_m(source: ObjectStates, target: ObjectStates) -> Float[Tensor, " E"]:
    """Return how far a target in the source is from the nearest of its walls and its floor, m (negative: in it).

    The face above is open.
    """
    axes, theirs = quaternion.to_matrix(source.orientation_xyzw), quaternion.to_matrix(target.orientation_xyzw)
    centre = centre_in(source, target)
    reach = ((axes.mT @ theirs).abs() @ (0.5 * target.extent_m).unsqueeze(-1)).squeeze(-1)
    room = 0.5 * source.extent_m - centre.abs() - reach - FLOOR_M
    how = inside(source, target, centre)
    return torch.scatter(room, -1, how.edge, (how.height_m - FLOOR_M).unsqueeze(-1)).amin(-1)


def _edge_m(states: ObjectStates, edge: Int[Tensor, "E 1"]) -> Float[Tensor, " E"]:
    return states.extent_m.gather(-1, edge)[:, 0]
