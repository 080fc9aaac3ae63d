"""What a planar plan starts from, read from the belief: own body, what can be pushed, who plays which role."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from worldsim.errors import ConfigurationError
from worldsim.planning.boxes import Boxes, outlines, top_and_bottom
from worldsim.planning.planar.pushing import Outline
from worldsim.planning.planar.rollout import Pushable
from worldsim.planning.situation import OwnBody, believed_own_body
from worldsim.types.belief import WorldBelief
from worldsim.types.observation import Observation
from worldsim.types.planning import OWN_ROLES, Forecast, Preferences

LIMITS = (1.2, 1.5)
"""Speed (m/s) and yaw rate (rad/s) that an action of 1 stands for."""
_SAME_SIZE = 0.25  # relative error of an edge: what is believed of a size wanders by a few percent
_EXISTS = 0.5
_HEADROOM_M = 0.25
_BEHIND_M = 0.15
_LAST_LOOK_S = 1.0  # whoever is near by then will have been seen within so long: robot and plan answer much sooner
_SIZE = "task_object_extent_m"
_PLACES = {"goal": ("task_dropoff_position", "task_goal_position"), "shut": ("task_shut_position",)}
"""Roles that a place plays, and what the task calls it: the first name that it has."""


class Believer(Protocol):
    """What planning asks of a world model."""

    @property
    def belief(self) -> WorldBelief:
        """The belief now."""

    @property
    def own_id(self) -> int | None:
        """Id of the own body in the belief, None where it is not held there."""

    def forecast(self, horizon_s: float, dt_s: float) -> Forecast:
        """Return where everything but the own body is expected to be."""


@dataclass(frozen=True, slots=True)
class PlanarScene:
    """Beliefs alone; no preference is in it but which things they speak of.

    Attributes:
        time_s: of the belief.
        own: the own body.
        pushables: N things that the own body may be asked to move.
        pushed_roles: role -> index into `pushables`.
        paths: role -> [T or 1, 3] expected poses (x, y, yaw) of what the own body does not move.
        standing, moving: outlines of everything else, in whose way the own body may get.
        carried: role -> pose (x, y, yaw) in the own body's frame of what the own body holds, and takes along.
        limits: speed (m/s) and yaw rate (rad/s) that a candidate's action of 1 stands for.
        held: rectangles that the own body holds and pushes with, too (middle and half edges, in its frame).
        bottom_m: [N] height over the floor at which each outline of `standing` begins, as the scene was read.
        held_among: outlines that what is held cannot pass above or below.
    """

    time_s: float
    own: OwnBody
    pushables: tuple[Pushable, ...]
    pushed_roles: Mapping[str, int]
    paths: Mapping[str, Float[Tensor, "T 3"]]
    standing: Boxes
    moving: Boxes
    carried: Mapping[str, tuple[float, float, float]] = field(default_factory=dict)
    limits: tuple[float, float] = LIMITS
    held: Float[Tensor, "H 4"] | None = None
    bottom_m: Float[Tensor, " N"] | None = None
    held_among: Boxes | None = None

    def with_resistance(self, resistance_m_s: tuple[float, ...]) -> PlanarScene:
        """Return the scene under a hypothesis of how much each of the N pushables resists."""
        things = tuple(replace(thing, resistance_m_s=r) for thing, r in zip(self.pushables, resistance_m_s))
        return replace(self, pushables=things)


def read_scene(
    world_model: Believer,
    observation: Observation,
    preferences: Preferences,
    steps: int,
    dt_s: float,
    object_ids: tuple[int, ...] = (),
    hidden: frozenset[str] = frozenset(),
    by_hand: int | None = None,
) -> PlanarScene | None:
    """Return the scene of a task as it is believed; None while own body or task object are not in the belief.

    A thing that an outcome wants somewhere is taken for one that can be pushed; one that the own body is only to be
    near goes where the world model forecasts it. Where the outcomes speak of roles that nobody is known to play
    (``heaviest``), everything of the size that the task names can be pushed, in the order of the ids. The role ``base``
    is played by what has the size that the task names of what the object is to stand on, ``shut`` by where the task
    says that the object is when shut, ``line`` by the place nearest to the object that is well behind the task's line.

    Args:
        world_model: gives belief and forecast.
        observation: its task names goal, size and outline of the object.
        preferences: whose outcomes name the roles.
        steps, dt_s: of the horizon.
        object_ids: the task's objects, where they are known already.
        hidden: roles whose players' places are hypotheses: the scene does without them.
        by_hand: id of what is moved by the clamp and not by pushing.

    Raises:
        ConfigurationError: the preferences speak of nothing that the task describes.
    """
    task = dict(observation.task or {})
    roles = {role for o in preferences.outcomes for role in (o.subject, o.reference)} - set(OWN_ROLES) - hidden
    if not preferences.outcomes:
        raise ConfigurationError(
            "planar planning: the preferences name no outcome. Give the scenario's preferences `outcomes`, or plan "
            "with worldsim.planning.MPPI towards a goal of the own body."
        )
    belief = world_model.belief
    own = believed_own_body(belief, world_model.own_id, observation.ego)
    if own is None:
        return None
    forecast = world_model.forecast(steps * dt_s, dt_s)
    pushables: list[Pushable] = []
    paths: dict[str, Float[Tensor, "T 3"]] = {}
    pushed: dict[str, int] = {}
    spoken_of: list[int] = []
    if hidden:
        spoken_of += [row for i in object_ids if (row := _row_of(forecast, i)) is not None]
    if "object" in roles:
        found = object_ids or find_objects(belief, world_model.own_id, task)[:1]
        row = _row_of(forecast, found[0]) if found else None
        if row is None:
            return None
        spoken_of.append(row)
        if found[0] != by_hand and any(o.subject == "object" for o in preferences.outcomes):
            pushed["object"] = len(pushables)
            pushables.append(_pushable(forecast, row, task))
        else:
            paths["object"] = _path(forecast, row)
    if own_names := roles - {"object", "base", "line", *_PLACES}:
        _check_named(own_names, task)
        rows = [_row_of(forecast, i) for i in object_ids or sorted(find_objects(belief, world_model.own_id, task))]
        known = [row for row in rows if row is not None]
        if not known or len(known) < len(rows):
            return None
        spoken_of += known
        pushables += [_pushable(forecast, row, task) for row in known]
    for role in roles & set(_PLACES):
        paths[role] = _goal(task, role, pushables[0].outline if pushables else None)
    if "line" in roles:
        paths["line"] = _behind_the_line(task, pushables[0].pose[1] if pushables else own.position[1])
    if by_hand is not None:
        spoken_of += [row for row in [_row_of(forecast, by_hand)] if row is not None]
    if "base" in roles:  # what the object is to stand on is in the own body's way like anything else
        row = _row_of_size(belief, world_model.own_id, forecast, task, "task_base_extent_m")
        if row is None:
            return None
        paths["base"] = _path(forecast, row)
    standing, moving, bottom_m = _others(own, forecast, spoken_of)
    return PlanarScene(observation.time_s, own, tuple(pushables), pushed, paths, standing, moving, bottom_m=bottom_m)


def _check_named(roles: set[str], task: Mapping[str, np.ndarray]) -> None:
    """Check that the task names the size of those of whom one plays a role of the task's own.

    Raises:
        ConfigurationError: it does not, so that nobody can play it; it may be misspelt.
    """
    if _SIZE not in task:
        known = sorted({"object", "base", "line", *_PLACES, *OWN_ROLES})
        raise ConfigurationError(
            f"planar planning: nobody plays the roles {sorted(roles)} of the preferences' outcomes; known are {known}. "
            f"A role of the task's own is played by one of several things whose size it names as {_SIZE!r}."
        )


def read_surroundings(world_model: Believer, observation: Observation, steps: int, dt_s: float) -> PlanarScene | None:
    """Return the own body and what is in its way, where nobody plays a role yet; None without an own body.

    Args:
        world_model: gives belief and forecast.
        observation: of this frame.
        steps, dt_s: of the horizon.
    """
    own = believed_own_body(world_model.belief, world_model.own_id, observation.ego)
    if own is None:
        return None
    forecast = world_model.forecast(steps * dt_s, dt_s)
    standing, moving, bottom_m = _others(own, forecast, [])
    return PlanarScene(observation.time_s, own, (), {}, {}, standing, moving, bottom_m=bottom_m)


def find_objects(
    belief: WorldBelief, own_id: int | None, task: Mapping[str, np.ndarray], field: str = _SIZE
) -> tuple[int, ...]:
    """Return the ids of all that has the size that the task names in `field`, the best fit first.

    Raises:
        ConfigurationError: the task names none.
    """
    if field not in task:
        raise ConfigurationError(
            f"planar planning: the task says nothing of an object's size; it has {sorted(task)}, expected {field!r}."
        )
    wanted = torch.as_tensor(np.asarray(task[field], dtype=np.float64), device=belief.extent_m.device)
    misfit = (belief.extent_m.to(wanted.dtype) / wanted - 1.0).abs().amax(dim=-1)
    fits = belief.alive & (belief.existence > _EXISTS) & (misfit < _SAME_SIZE) & (belief.object_id != own_id)
    order = torch.argsort(misfit)
    return tuple(int(i) for i in belief.object_id[order[fits[order]]])


def _row_of_size(
    belief: WorldBelief, own_id: int | None, forecast: Forecast, task: Mapping[str, np.ndarray], field: str
) -> int | None:
    found = find_objects(belief, own_id, task, field)
    return _row_of(forecast, found[0]) if found else None


def _row_of(forecast: Forecast, object_id: int) -> int | None:
    rows = torch.nonzero(forecast.object_id == object_id).reshape(-1)
    return int(rows[0]) if len(rows) else None


def _yaw(orientation_xyzw: Float[Tensor, "4"]) -> float:
    x, y, z, w = orientation_xyzw.tolist()
    return math.atan2(2.0 * (w * z + x * y), 1.0 - 2.0 * (y * y + z * z))


def _pushable(forecast: Forecast, row: int, task: Mapping[str, np.ndarray]) -> Pushable:
    length, width = forecast.extent_m[row, :2].tolist()
    rectangles = torch.tensor([[0.0, 0.0, length, width]])
    if "task_object_outline_m" in task:
        rectangles = torch.as_tensor(np.asarray(task["task_object_outline_m"], dtype=np.float32)).reshape(-1, 4)
    outline = Outline.of(rectangles)
    yaw = _yaw(forecast.orientation_xyzw[row])
    box = (float(forecast.position[0, row, 0]), float(forecast.position[0, row, 1]), yaw)
    x, y = _middle(box, outline)
    return Pushable(int(forecast.object_id[row]), (x, y, yaw), outline)


def _middle(pose: tuple[float, float, float], outline: Outline) -> tuple[float, float]:
    """Return where the outline's middle is, given the pose of its bounding box."""
    c, s = math.cos(pose[2]), math.sin(pose[2])
    x, y = outline.middle_m.tolist()
    return pose[0] + c * x - s * y, pose[1] + s * x + c * y


def _path(forecast: Forecast, row: int) -> Float[Tensor, "T 3"]:
    steps = forecast.position.shape[0]
    yaw = torch.full((steps, 1), _yaw(forecast.orientation_xyzw[row]))
    return torch.cat([forecast.position[:, row, :2].float(), yaw], dim=1)


def _goal(task: Mapping[str, np.ndarray], role: str, outline: Outline | None) -> Float[Tensor, "1 3"]:
    named = [name for name in _PLACES[role] if name in task]
    if not named:
        raise ConfigurationError(
            f"planar planning: the task has no {role}; it has {sorted(task)}, expected {_PLACES[role][-1]!r}."
        )
    x, y = (float(v) for v in np.asarray(task[named[0]])[:2])
    turn = np.asarray(task.get("task_goal_orientation_xyzw", (0.0, 0.0, 0.0, 1.0)), dtype=np.float64)
    yaw = _yaw(torch.as_tensor(turn))
    if outline is not None:
        x, y = _middle((x, y, yaw), outline)
    return torch.tensor([[x, y, yaw]])


def _behind_the_line(task: Mapping[str, np.ndarray], y_m: float) -> Float[Tensor, "1 3"]:
    if "task_line_x_m" not in task:
        raise ConfigurationError(
            f"planar planning: the task has no line; it has {sorted(task)}, expected 'task_line_x_m'."
        )
    return torch.tensor([[float(np.asarray(task["task_line_x_m"]).reshape(-1)[0]) - _BEHIND_M, y_m, 0.0]])


def _others(own: OwnBody, forecast: Forecast, spoken_of: list[int]) -> tuple[Boxes, Boxes, Float[Tensor, " N"]]:
    """Return the outlines of what stands and of what moves, as far as it is low enough to be touched.

    With them come the heights at which those that stand begin, m.
    """
    top, bottom = top_and_bottom(forecast.position[0], forecast.orientation_xyzw, forecast.extent_m)
    low: Bool[Tensor, " N"] = (bottom < own.extent_m[2] + _HEADROOM_M) & (top > 0.02)
    low[spoken_of] = False
    boxes = outlines(forecast.position, forecast.position_std, forecast.orientation_xyzw, forecast.extent_m)
    shift = (forecast.position[-1, :, :2] - forecast.position[0, :, :2]).norm(dim=-1)
    restless = forecast.moves & (shift > 0.08)
    still = boxes.select(low & ~restless)
    standing = Boxes(still.centre[:1], still.direction, still.half_m, still.std_m[:1])
    moving = boxes.select(low & restless).seen_again(max(1, round(_LAST_LOOK_S / forecast.dt_s)))
    return standing, moving, bottom[low & ~restless]
