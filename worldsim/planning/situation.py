"""What a plan starts from: the own body, and the forecast of everything else."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from worldsim.types.belief import WorldBelief
from worldsim.types.observation import EgoState
from worldsim.types.planning import Forecast

_RESPONSE_RANGE_PER_S = (1.0, 30.0)  # beliefs about the own answer to commands outside this are not driven by
_BROAD_MODEL = "generic/unknown"  # its parameters are of a thing that may be anything, and say nothing of commands
_LOAD_GAP_M = (-0.2, 0.45)  # between the front and a held thing's near face: a gripper's reach, and the lag of a belief
_LOAD_ASIDE_M = 0.4


@dataclass(frozen=True, slots=True)
class OwnBody:
    """The believed state of the own body, a wheeled base on the floor, and what it carries in front.

    Attributes:
        position: (x, y) m, world frame, centre of the body.
        heading_rad: about world z.
        speed_m_s: along the heading, negative when backing.
        yaw_rate_rad_s: about world z.
        extent_m: full edge lengths in the body frame.
        load_extent_m: full edge lengths of the load, None when nothing is held.
        load_ahead_m: distance from the body's centre to the load's, along the heading.
        speed_response_per_s: rate at which the speed nears its command.
        yaw_response_per_s: rate at which the yaw rate nears its command.
    """

    position: tuple[float, float]
    heading_rad: float
    speed_m_s: float
    yaw_rate_rad_s: float
    extent_m: tuple[float, float, float]
    load_extent_m: tuple[float, float, float] | None = None
    load_ahead_m: float = 0.0
    speed_response_per_s: float = 5.0
    yaw_response_per_s: float = 6.0

    def discs(self) -> tuple[Float[Tensor, " J"], Float[Tensor, " J"]]:
        """Return offsets along the heading and radii (m) of J discs that stand for body and load from above.

        The discs touch front, back and sides of a box that is at least as long as it is wide; its corners stick out by
        at most 0.41 of the radius, which the wanted margins cover. A wider one is a single disc that touches front and
        back: its sides stick out, and nothing keeps them clear.
        """
        offsets, radii = _discs(self.extent_m, 0.0)
        if self.load_extent_m is not None:
            more_offsets, more_radii = _discs(self.load_extent_m, self.load_ahead_m)
            offsets, radii = offsets + more_offsets, radii + more_radii
        return torch.tensor(offsets, dtype=torch.float32), torch.tensor(radii, dtype=torch.float32)


def _discs(extent_m: tuple[float, float, float], ahead_m: float) -> tuple[list[float], list[float]]:
    length, width = extent_m[0], extent_m[1]
    radius = width / 2
    if length <= width:
        return [ahead_m], [length / 2]
    # Neighbouring discs overlap by half a radius or more, so that the sides have no deep notches.
    count = max(2, int(-(-(length - width) // (1.5 * radius))) + 1)
    reach = (length - width) / 2
    return [ahead_m - reach + 2 * reach * i / (count - 1) for i in range(count)], [radius] * count


def believed_own_body(belief: WorldBelief, own_id: int | None, ego: EgoState | None) -> OwnBody | None:
    """Return the own body as the belief holds it, as `ego` measured it where the belief does not, else None.

    How it answers to commands is taken from the parameters of its model; where the broad model runs it, which knows no
    commands, the answer is that of `OwnBody`.
    """
    slot = None if own_id is None else belief.slot_of(own_id)
    if slot is not None:
        body = _own_body(
            belief.position[slot].tolist(),
            belief.orientation_xyzw[slot].tolist(),
            belief.linear_velocity[slot].tolist(),
            float(belief.angular_velocity[slot, 2]),
            belief.extent_m[slot].tolist(),
        )
        if belief.model_ids and belief.model_ids[int(belief.model_index[slot])] == _BROAD_MODEL:
            return body
        speed_response, yaw_response = torch.exp(belief.parameters[slot, :2]).clamp(*_RESPONSE_RANGE_PER_S).tolist()
        return replace(body, speed_response_per_s=speed_response, yaw_response_per_s=yaw_response)
    if ego is None:
        return None
    return _own_body(
        ego.position.tolist(),
        ego.orientation_xyzw.tolist(),
        ego.linear_velocity.tolist(),
        float(ego.angular_velocity[2]),
        ego.extent_m.tolist(),
    )


def _own_body(
    position: list[float], orientation_xyzw: list[float], velocity: list[float], yaw_rate: float, extent_m: list[float]
) -> OwnBody:
    x, y, z, w = orientation_xyzw
    heading = math.atan2(2 * (w * z + x * y), 1 - 2 * (y * y + z * z))
    speed = velocity[0] * math.cos(heading) + velocity[1] * math.sin(heading)
    length, width, height = extent_m
    return OwnBody((position[0], position[1]), heading, speed, yaw_rate, (length, width, height))


@dataclass(frozen=True, slots=True)
class Situation:
    """Own body and surroundings at one time.

    Attributes:
        time_s: time of the belief.
        own: the own body.
        forecast: everything else, the load excepted.
    """

    time_s: float
    own: OwnBody
    forecast: Forecast


@dataclass(frozen=True, slots=True)
class OwnTrajectories:
    """S imagined trajectories of the own body over T steps.

    Attributes:
        position: [S, T, 2] m, world frame.
        heading: [S, T] rad.
        speed: [S, T] m/s along the heading.
        yaw_rate: [S, T] rad/s.
        command: [S, T, 2] what was commanded, each in [-1, 1] of the limits.
    """

    position: Float[Tensor, "S T 2"]
    heading: Float[Tensor, "S T"]
    speed: Float[Tensor, "S T"]
    yaw_rate: Float[Tensor, "S T"]
    command: Float[Tensor, "S T 2"]


def held_objects(own: OwnBody, forecast: Forecast) -> Bool[Tensor, " N"]:
    """Return which objects lie where the load does: right before the front, low, and no larger than the own body."""
    if len(forecast) == 0:
        return torch.zeros(0, dtype=torch.bool)
    away = forecast.position[0, :, :2] - forecast.position.new_tensor(own.position)
    ahead = away @ away.new_tensor([math.cos(own.heading_rad), math.sin(own.heading_rad)])
    aside = (away @ away.new_tensor([-math.sin(own.heading_rad), math.cos(own.heading_rad)])).abs()
    reach = forecast.extent_m[:, :2].mean(dim=-1) / 2
    gap = ahead - own.extent_m[0] / 2 - reach
    small = forecast.extent_m[:, :2].amax(dim=-1) < own.extent_m[0]
    low = forecast.position[0, :, 2] < 2 * own.extent_m[2]
    return small & low & (gap > _LOAD_GAP_M[0]) & (gap < _LOAD_GAP_M[1]) & (aside < _LOAD_ASIDE_M)


def without(forecast: Forecast, objects: Bool[Tensor, " N"]) -> Forecast:
    """Return the forecast less some of its objects."""
    keep = ~objects
    return Forecast(
        forecast.object_id[keep],
        forecast.position[:, keep],
        forecast.position_std[:, keep],
        forecast.orientation_xyzw[keep],
        forecast.extent_m[keep],
        forecast.moves[keep],
        forecast.dt_s,
    )
