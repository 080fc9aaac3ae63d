"""What would be seen from where: how much a future is expected to tell about where things are."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from worldsim.planning.boxes import Boxes
from worldsim.planning.planar.scene import Believer, PlanarScene
from worldsim.planning.situation import OwnBody
from worldsim.types.observation import ALL_AROUND, Observation, Viewpoints

SENSOR_STD_M = 0.05
"""Of a look: a thing known better than this is not in doubt."""
_CLOSE_M = 0.01  # a line of sight may graze an outline by this
_EYE_M = 0.6  # a viewpoint nearer to the own body's middle than this is on it


@dataclass(frozen=True, slots=True)
class Cone:
    """What the own eye has in its picture.

    Attributes:
        axis: unit vector of where it looks, in the own body's frame (ahead, to the left, up).
        cosine: least cosine of the angle to it at which something is in the picture.
        height_m: of the eye above the floor.
    """

    axis: tuple[float, float, float]
    cosine: float
    height_m: float

    def holds(
        self,
        own: Float[Tensor, "S T 3"],
        place: Float[Tensor, "#T M 2"],
        above_m: Float[Tensor, "#T M"] | float = 0.0,
    ) -> Float[Tensor, "S T M"]:
        """Return whether each place is in the picture from each pose of the own body (x, y, yaw); 0 or 1.

        Args:
            own: the eye is taken to be at the own body's middle.
            place: m.
            above_m: height of each place above the floor.
        """
        away = place[None] - own[:, :, None, :2]
        cos, sin = own[..., 2].cos()[..., None], own[..., 2].sin()[..., None]
        rise = torch.as_tensor(above_m, dtype=own.dtype) - self.height_m
        ahead, left, up = self.axis
        along = (cos * away[..., 0] + sin * away[..., 1]) * ahead + (cos * away[..., 1] - sin * away[..., 0]) * left
        distance = (away.square().sum(dim=-1) + rise**2).sqrt()
        return (along + rise * up >= self.cosine * distance).to(own.dtype)


@dataclass(frozen=True, slots=True)
class Unseen:
    """Things whose place only the own eye can tell: no other sensor sees them.

    Attributes:
        place: [T, M, 2] m, where they are expected.
        std_m: [T, M] how surely.
        range_m: of the own eye.
        blocking: what hides things from it.
        above_m: [T, M] how high above the floor they are expected.
        cone: what the own eye has in its picture; None where it looks all around.
    """

    place: Float[Tensor, "T M 2"]
    std_m: Float[Tensor, "T M"]
    range_m: float
    blocking: Boxes
    above_m: Float[Tensor, "T M"] | float = 0.0
    cone: Cone | None = None

    def seen_from(self, own: Float[Tensor, "S T 3"]) -> Float[Tensor, "S T M"]:
        """Return whether each thing would be seen from poses (x, y, yaw) of the own body; 0 or 1."""
        seen = sees(own[..., :2], self.place, self.range_m, self.blocking)
        return seen if self.cone is None else seen * self.cone.holds(own, self.place, self.above_m)


def sees(
    eye: Float[Tensor, "S T 2"], place: Float[Tensor, "T M 2"], range_m: float, blocking: Boxes
) -> Float[Tensor, "S T M"]:
    """Return whether an eye sees each of M places at each step: in range, and no standing outline between; 0 or 1.

    Seen from above, by the separating-slab test of a segment against a rectangle.
    """
    away = place[None] - eye[:, :, None]
    seen = (away.norm(dim=-1) <= range_m).to(eye.dtype)
    if len(blocking) == 0:
        return seen
    normal = torch.stack([-blocking.direction[:, 1], blocking.direction[:, 0]], dim=-1)
    low = torch.zeros(*seen.shape, len(blocking), dtype=eye.dtype)
    high = torch.ones_like(low)
    for axis, half in ((blocking.direction, blocking.half_m[:, 0]), (normal, blocking.half_m[:, 1])):
        start = eye @ axis.T - (blocking.centre[0] * axis).sum(dim=-1)  # [S, T, B]
        step = away @ axis.T  # [S, T, M, B]
        safe = torch.where(step.abs() < 1e-9, torch.full_like(step, 1e-9), step)
        inner = (half - _CLOSE_M).clamp(min=0.0)
        first, second = (-inner - start[:, :, None]) / safe, (inner - start[:, :, None]) / safe
        low = torch.maximum(low, torch.minimum(first, second))
        high = torch.minimum(high, torch.maximum(first, second))
    hidden: Bool[Tensor, "S T M"] = (low < high).any(dim=-1)
    return torch.where(hidden, 0.0, seen)


def state_information_gain(
    seen: Float[Tensor, "S T M"], std_m: Float[Tensor, "T M"], sensor_std_m: float
) -> Float[Tensor, " S"]:
    """Return how much each future is expected to tell about where M things are, nats.

    A look at a thing believed to within s by a sensor of noise r tells ``ln(1 + s^2 / r^2)`` nats about its place in
    the plane (the mutual information of two normals). The best look of a horizon counts: a second tells little more.

    Args:
        seen: [S, T, M] whether each thing would be seen.
        std_m: [T, M] how surely its place is predicted until it is seen.
        sensor_std_m: of a look.
    """
    told = torch.log1p((std_m / sensor_std_m).square())
    if told.shape[1] == 0:
        return seen.new_zeros(seen.shape[0])
    return (seen * told).amax(dim=1).sum(dim=-1)


def own_eye(views: Viewpoints, own: OwnBody) -> int | None:
    """Return which viewpoint is on the own body, None where none is."""
    away = np.linalg.norm(views.position[:, :2] - np.asarray(own.position), axis=1)
    return int(np.argmin(away)) if len(away) and away.min() <= _EYE_M else None


def own_cone(views: Viewpoints, own: OwnBody) -> Cone | None:
    """Return what the own eye has in its picture; None where it looks all around, or where there is no eye."""
    eye = own_eye(views, own)
    axes, cosines = views.cones()
    if eye is None or cosines[eye] <= ALL_AROUND:
        return None
    (x, y, z), cos, sin = axes[eye].tolist(), math.cos(own.heading_rad), math.sin(own.heading_rad)
    return Cone((cos * x + sin * y, cos * y - sin * x, z), float(cosines[eye]), float(views.position[eye, 2]))


def floor_sight(observation: Observation, scene: PlanarScene, sight_m: float) -> float:
    """Return how far from the own body something on the floor is made out that an eye makes out from `sight_m`, m."""
    eye = own_eye(observation.viewpoints, scene.own)
    if eye is None:
        return 0.0
    up_m = float(observation.viewpoints.position[eye, 2])
    return math.sqrt(max(min(sight_m, float(observation.viewpoints.range_m[eye])) ** 2 - up_m**2, 0.0))


def read_unseen(
    world_model: Believer, observation: Observation, scene: PlanarScene, steps: int, dt_s: float
) -> Unseen | None:
    """Return the things whose place only the own eye can tell; None where other sensors see all that is in doubt.

    The own eye is the viewpoint above the own body. A thing is in doubt where its place is known no better than by a
    look.

    Args:
        world_model: whose belief and forecast they are taken from.
        observation: its viewpoints are the sensors.
        scene: own body, and what hides things.
        steps, dt_s: of the horizon.
    """
    views = observation.viewpoints
    eye = own_eye(views, scene.own)
    if eye is None:
        return None  # everything is in view, or the own body has no eye
    belief, others = world_model.belief, np.delete(np.arange(len(views.position)), eye)
    now = belief.position[belief.alive].numpy().astype(np.float64)
    if bool(_in_reach(views, others, now).all()):  # a forecast costs more than all the rest of a plan
        return None
    forecast = world_model.forecast(steps * dt_s, dt_s)
    std = forecast.position_std[..., :2].square().mean(dim=-1).sqrt()
    place = forecast.position[0].numpy().astype(np.float64)
    doubtful = torch.as_tensor(~_in_reach(views, others, place)) & (std[-1] > SENSOR_STD_M)
    if not bool(doubtful.any()):
        return None
    return Unseen(
        forecast.position[:, doubtful, :2],
        std[:, doubtful],
        float(views.range_m[eye]),
        scene.standing,
        forecast.position[:, doubtful, 2],
        own_cone(views, scene.own),
    )


def _in_reach(views: Viewpoints, eyes: np.ndarray, place: Float[np.ndarray, "N 3"]) -> Bool[np.ndarray, " N"]:
    """Return which places are within the range, seen from above, and in the cone of one of `eyes`."""
    away, (axes, cosines) = place[None] - views.position[eyes, None], views.cones()
    near = np.linalg.norm(away[..., :2], axis=2) <= views.range_m[eyes, None]
    ahead = (away * axes[eyes, None]).sum(axis=2) >= cosines[eyes, None] * np.linalg.norm(away, axis=2)
    return np.asarray((near & ahead).any(axis=0))
