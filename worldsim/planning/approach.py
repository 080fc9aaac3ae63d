"""From which side to stand before a thing on the floor, so that the front faces it and there is room to come and go."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from worldsim.planning.boxes import Boxes
from worldsim.planning.situation import OwnBody

_HEADINGS = 16
_ROOM_M = 0.1  # free floor wanted about the hull at the place itself
_TURN_COST_M_PER_RAD = 0.25  # what turning weighs against driving when sides are compared


@dataclass(frozen=True, slots=True)
class Approach:
    """A place to stand, reached by a straight last stretch.

    Attributes:
        position: (x, y) m of the body's centre, front towards the target.
        heading_rad: heading there.
        staging: (x, y) m where the straight last stretch begins.
    """

    position: tuple[float, float]
    heading_rad: float
    staging: tuple[float, float]


def find_approach(
    own: OwnBody, standing: Boxes, target: tuple[float, float], standoff_m: float, stretch_m: float = 0.6
) -> Approach | None:
    """Return the nearest side from which the target can be approached, None where every side is blocked.

    Args:
        own: the own body; a load that it carries counts as part of it on the last stretch.
        standing: outlines of what stands, the target and the load excepted.
        target: (x, y) m.
        standoff_m: distance of the body's centre from the target.
        stretch_m: length of the straight last stretch.
    """
    heading = torch.arange(_HEADINGS) * (2 * math.pi / _HEADINGS)
    ahead = torch.stack([torch.cos(heading), torch.sin(heading)], dim=-1)
    place = torch.tensor(target) - ahead * standoff_m
    staging = place - ahead * stretch_m
    room = torch.minimum(_room(own, standing, place, ahead), _room(own, standing, staging, ahead))
    here = torch.tensor(own.position)
    way = (staging - here).norm(dim=-1)
    towards = torch.atan2(staging[:, 1] - here[1], staging[:, 0] - here[0])
    turn = torch.remainder(heading - towards + math.pi, 2 * math.pi).sub(math.pi).abs()
    cost = way + _TURN_COST_M_PER_RAD * turn
    # A roomier side is worth a detour of a few times the room it gains, up to a body's width.
    cost = cost - 2.0 * room.clamp(max=0.5)
    cost[room < _ROOM_M] = torch.inf
    best = int(cost.argmin())
    if not math.isfinite(float(cost[best])):
        return None
    x, y = place[best].tolist()
    staging_x, staging_y = staging[best].tolist()
    return Approach((x, y), float(heading[best]), (staging_x, staging_y))


def _room(
    own: OwnBody, standing: Boxes, place: Float[Tensor, "N 2"], ahead: Float[Tensor, "N 2"]
) -> Float[Tensor, " N"]:
    """Return the gap (m) between hull and the nearest outline with the body at each place."""
    room = place.new_full((place.shape[0],), 10.0)
    if len(standing) == 0:
        return room
    for offset, radius in zip(*own.discs(), strict=True):
        gap = standing.signed_distance((place + offset * ahead)[None]).sub_(radius).amin(dim=(0, 2))
        room = torch.minimum(room, gap)
    return room
