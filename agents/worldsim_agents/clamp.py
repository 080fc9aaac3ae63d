"""What is moved by hand: from which side to come, when to close the clamp and when to open it."""

from __future__ import annotations

import enum
import math
from collections import deque
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from worldsim.planning.approach import Approach, find_approach
from worldsim.planning.boxes import Boxes
from worldsim.planning.planar import Believer, PlanarScene, Waypoints, find_objects, read_scene
from worldsim.planning.planar.joints import JointHypotheses, pull
from worldsim.planning.planar.rollout import reach_m
from worldsim.planning.situation import OwnBody, believed_own_body
from worldsim.types.belief import WorldBelief
from worldsim.types.observation import Observation
from worldsim.types.planning import Preferences, PreferredOutcome
from worldsim_agents.task_object import wrapped, yaw_of
from worldsim_agents.upper_level import UpperLevel

__all__ = ["NOISE_M", "Clamp", "Phase", "works_by_hand"]

_TOOL, _PICKUP = "task_tool_extent_m", "task_pickup_position"
_GAP_M = 0.08  # between the front and the thing, when the clamp is closed
_ZONE_M = (-0.04, 0.17, 0.14)  # least and largest gap, and largest offset beside the middle, at which it is closed
_STRETCH_M, _STAGED_M = 0.5, 0.3  # of the straight way up to the thing, and how near its start is near enough
_TOOL_STRETCH_M, _TOOL_STAGED_M = 0.5, 0.2  # the same of a tool, which is taken at one place alone
_SAME_PLACE_M = 0.4  # a thing is where the task says that it is
_AGAIN_S, _GIVE_UP_S = 2.0, 9.0
_HELD_S, _STILL_M = 0.5, 0.008  # after closing; what rises less in that time has been lifted
_OPENING_S, _CLEAR_S, _BACK_M_S = 0.5, 2.0, 0.3
_THERE = 0.6  # of the tolerance: so near, what was carried is let go
_SLOW = (0.15, 0.25)  # m/s and rad/s: what is slower than that can be let go
_GENTLE = (0.35, 0.5)  # speed (m/s) and yaw rate (rad/s) with something loose on top
_SLEW = (0.8, 1.6)  # m/s^2 and rad/s^2 that this bears
_BESIDE = (0.5, 0.8)  # speed (m/s) and yaw rate (rad/s) of a tool near what it is for: a push has no momentum in plans
_BESIDE_M = 0.5  # between the two
_LOOK_S = 0.4  # between two looks at a front that is pulled
NOISE_M = 0.04
"""What a look at a front that is pulled is off by, m."""


class Phase(enum.StrEnum):
    """What the upper level is at."""

    REACH = "reach"
    TAKE = "take"
    LIFT = "lift"
    MOVE = "move"
    LEAVE = "leave"
    DONE = "done"


@dataclass(frozen=True, slots=True)
class _Thing:
    """The task's object as it is believed: pose (x, y, yaw), height of its middle, edges."""

    pose: tuple[float, float, float]
    z_m: float
    extent_m: tuple[float, float, float]

    @property
    def stem_rad(self) -> float:
        """Heading from the end of a T's stem to its bar."""
        return self.pose[2] + math.pi / 2.0

    def half_along(self, heading_rad: float) -> float:
        """Return half its length along a heading."""
        turn = self.pose[2] - heading_rad
        return 0.5 * (self.extent_m[0] * abs(math.cos(turn)) + self.extent_m[1] * abs(math.sin(turn)))


def works_by_hand(task: Collection[str], preferences: Preferences) -> bool:
    """Return whether a task, by the names of what it tells, wants an object somewhere that the own body can hold."""
    return "task_holding" in task and any(o.subject == "object" for o in preferences.outcomes)


class Clamp(UpperLevel):
    """Fetches the task's object, and lets it go where it is wanted; or a tool that the object can be pushed with.

    A tool is taken by the end of its stem, so that its head is ahead.

    Attributes:
        phase: what it is at.
        object_id: of what is fetched; is_tool: whether that is a tool.
        joints: what the object may hang on, None where it stands free.
        gentle: whether something loose is on top of what is held.
    """

    def __init__(self, preferences: Preferences) -> None:
        """Serve `preferences`, which want an ``object`` somewhere."""
        self.preferences = preferences
        self.phase, self.gentle = Phase.REACH, False
        self.joints: JointHypotheses | None = None
        self.object_id: int | None = None
        self.is_tool = False
        self._outline = np.zeros((0, 4))
        self._ways = Waypoints()
        self._since_s = 0.0
        self._approach: Approach | None = None
        self._approached_s = -math.inf
        self._own: OwnBody | None = None
        self._thing: _Thing | None = None
        self._grip: tuple[float, float, float] = (0.0, 0.0, 0.0)
        self._rising: deque[tuple[float, float]] = deque()
        self._told: list[tuple[float, float]] = []
        self._look: tuple[float, OwnBody, tuple[float, float]] | None = None
        self._last = np.zeros(2)
        self._base: tuple[float, float] | None = None

    def step(self, world_model: Believer, observation: Observation) -> tuple[float, float] | None:
        """Take in a frame; return speed (m/s) and yaw rate (rad/s) where there is nothing to plan, else None."""
        task, belief, now = dict(observation.task or {}), world_model.belief, observation.time_s
        self.is_tool = _TOOL in task
        if self.is_tool:
            self._outline = np.asarray(task["task_tool_outline_m"], dtype=np.float64).reshape(-1, 4)
        self._own = believed_own_body(belief, world_model.own_id, observation.ego)
        self._find(belief, world_model.own_id, task)
        if self._own is None or self._thing is None:
            return 0.0, 0.0
        self._change(belief, task, bool(np.asarray(task["task_holding"]).reshape(-1)[0] > 0.5), now)
        if self.phase is Phase.LIFT:
            return 0.0, 0.0
        if self.phase is Phase.LEAVE:
            return (-_BACK_M_S if now - self._since_s > _OPENING_S else 0.0), 0.0
        if self.phase is Phase.MOVE and self.joints is not None:
            self._feel(now)
        return None

    def read(self, world_model: Believer, observation: Observation, steps: int, dt_s: float) -> PlanarScene | None:
        """Return the scene of the task; what is moved by hand is in nobody's way."""
        ids = () if self.is_tool or self.object_id is None else (self.object_id,)
        scene = read_scene(world_model, observation, self.preferences, steps, dt_s, ids, by_hand=self.object_id)
        if scene is not None and "base" in scene.paths:
            x, y, _ = scene.paths["base"][0].tolist()
            self._base = (x, y)
        return scene

    def arranged(self, scene: PlanarScene) -> tuple[PlanarScene, Preferences]:
        """Return the scene and the preferences that the lower level is to plan with now."""
        assert self._own is not None
        assert self._thing is not None
        if self.phase is Phase.MOVE:
            return self._moving(scene)
        if self.phase is Phase.DONE:  # nothing is left to want but to be in nobody's way
            return scene, replace(self.preferences, outcomes=())
        front_m = scene.own.extent_m[0] / 2.0
        if self.is_tool:
            self._approach = _from_the_stem(self._thing, front_m)
        return self._reaching(scene, front_m) if self.phase is Phase.REACH else self._taking(scene, front_m)

    def _reaching(self, scene: PlanarScene, front_m: float) -> tuple[PlanarScene, Preferences]:
        assert self._thing is not None
        x, y, _ = self._thing.pose
        outdated = self._approach is None or scene.time_s - self._approached_s > _AGAIN_S
        if not self.is_tool and outdated:
            standoff_m = front_m + self._thing.half_along(scene.own.heading_rad) + _GAP_M
            self._approach = find_approach(scene.own, scene.standing, (x, y), standoff_m, _STRETCH_M)
            self._approached_s = scene.time_s
        place = (x, y) if self._approach is None else self._approach.staging
        goal = torch.tensor([[*place, 0.0]])
        if self.is_tool:  # it is not to be run into on the way
            scene = replace(scene, standing=scene.standing.also(_outline_of(self._thing)))
        scene = self._ways.subgoal(replace(scene, paths={**scene.paths, "goal": goal}))
        reach = PreferredOutcome("reach", "own", "goal", scale_m=0.2)
        return scene, replace(self.preferences, outcomes=(reach,))

    def _taking(self, scene: PlanarScene, front_m: float) -> tuple[PlanarScene, Preferences]:
        assert self._thing is not None
        outcomes: tuple[PreferredOutcome, ...]
        if self.is_tool:  # as far from it on another side is not near its stem's end
            assert self._approach is not None
            pose = (*self._approach.position, self._approach.heading_rad)
            outcomes = (PreferredOutcome("take", "own", "taken", scale_m=0.05, scale_rad=0.1),)
        else:
            pose, face_m = self._thing.pose, self._thing.half_along(scene.own.heading_rad) + _GAP_M
            outcomes = (
                PreferredOutcome("take", "own", "taken", scale_m=0.1, distance_m=face_m + front_m),
                PreferredOutcome("face", "own_front", "taken", scale_m=0.05, distance_m=face_m),
            )
        paths = {**scene.paths, "taken": torch.tensor([pose])}
        scene = replace(scene, paths=paths, pushables=(), pushed_roles={})
        return self._slowed(scene), replace(self.preferences, outcomes=outcomes)

    def _moving(self, scene: PlanarScene) -> tuple[PlanarScene, Preferences]:
        assert self._thing is not None
        if self.joints is not None:
            return scene, self.preferences
        if self.is_tool:
            top_m = self._thing.z_m + self._thing.extent_m[2] / 2.0
            assert scene.bottom_m is not None
            among = scene.standing.select(scene.bottom_m < top_m)
            scene = replace(scene, held=_held(self._outline, self._grip), held_among=among)
            return (replace(scene, limits=_BESIDE) if self._is_beside(scene) else scene), self.preferences
        scene = replace(scene, carried={"object": self._grip})
        scene = self._slowed(scene)
        if "base" not in scene.paths:  # what is carried low is in the way; what is lifted over a thing is not
            ahead_m = math.hypot(*self._grip[:2])
            own = replace(scene.own, load_extent_m=self._thing.extent_m, load_ahead_m=ahead_m)
            scene = self._ways.subgoal(replace(scene, own=own))
        wanted = tuple(o for o in self.preferences.outcomes if o.subject == "object")
        return scene, replace(self.preferences, outcomes=wanted)

    def _slowed(self, scene: PlanarScene) -> PlanarScene:
        """Return the scene for one who goes gently, where something loose is on top: it answers as it is told to."""
        if not self._is_gentle:
            return scene
        answers = [slew / limit for slew, limit in zip(_SLEW, _GENTLE, strict=True)]
        own = replace(scene.own, speed_response_per_s=answers[0], yaw_response_per_s=answers[1])
        return replace(scene, own=own, limits=_GENTLE)

    def _is_beside(self, scene: PlanarScene) -> bool:
        """Return whether the tool that is held could soon touch something that can be pushed."""
        far_m = reach_m(scene.own, scene.held) + _BESIDE_M
        return any(math.dist(scene.own.position, t.pose[:2]) < far_m + t.outline.radius_m for t in scene.pushables)

    @property
    def front(self) -> tuple[float, float]:
        """Return where the object's middle is believed to be, m."""
        assert self._thing is not None
        return self._thing.pose[:2]

    @property
    def _is_gentle(self) -> bool:
        return self.gentle and self.phase in (Phase.TAKE, Phase.LIFT, Phase.MOVE)

    def gently(self, speed_m_s: float, yaw_rate_rad_s: float, frame_s: float) -> tuple[float, float]:
        """Return the command, changed by no more than what is loose on top bears; the same where nothing is."""
        wanted = np.array([speed_m_s, yaw_rate_rad_s])
        if self._is_gentle:
            slew = np.array(_SLEW) * frame_s
            wanted = self._last + np.clip(wanted - self._last, -slew, slew)
        self._last = wanted
        if self._look is not None:
            self._told.append((float(wanted[0]), float(wanted[1])))
        return float(wanted[0]), float(wanted[1])

    def _find(self, belief: WorldBelief, own_id: int | None, task: Mapping[str, np.ndarray]) -> None:
        """Keep the task's object in view: the one of its size, or where the task says that it is.

        Where the task says that it is elsewhere, it is another one that is asked for now.
        """
        slot = None if self.object_id is None else belief.slot_of(self.object_id)
        if slot is not None and _PICKUP in task:
            told = torch.as_tensor(np.asarray(task[_PICKUP], dtype=np.float64))
            if float((belief.position[slot].double() - told).norm()) > 2.0 * _SAME_PLACE_M:
                slot = None
        if slot is None:
            self.object_id = _object_id(belief, own_id, task)
            slot = None if self.object_id is None else belief.slot_of(self.object_id)
        if slot is None:
            self._thing = None
            return
        x, y, z = belief.position[slot].tolist()
        yaw = yaw_of(belief.orientation_xyzw[slot].cpu().numpy())
        length, width, height = belief.extent_m[slot].tolist()
        self._thing = _Thing((x, y, yaw), z, (length, width, height))
        if "task_shut_position" in task and self.joints is None and self._own is not None:
            shut = np.asarray(task["task_shut_position"], dtype=np.float64)
            wide = max(length, width)
            along = yaw if length >= width else yaw + math.pi / 2.0
            place = (float(shut[0]), float(shut[1]), along)
            self.joints = JointHypotheses.of_a_front(place, wide, self._own.position)

    def _enter(self, phase: Phase, now_s: float) -> None:
        self.phase, self._since_s, self._approach, self._look = phase, now_s, None, None
        self._rising.clear()

    def _change(self, belief: WorldBelief, task: Mapping[str, np.ndarray], holding: bool, now_s: float) -> None:
        """Go on to the next phase where this one is done."""
        assert self._own is not None
        assert self._thing is not None
        own, thing, waited = self._own, self._thing, now_s - self._since_s
        if self.phase is Phase.LEAVE:
            self.hold = -1.0
            if waited > _CLEAR_S:
                self._enter(Phase.DONE if self._is_there(task) else Phase.REACH, now_s)
            return
        if holding:
            self.hold = 1.0
            if self.phase in (Phase.REACH, Phase.TAKE):
                self._enter(Phase.LIFT, now_s)
                self.gentle = _laden(belief, self.object_id, thing)
            elif self.phase is Phase.LIFT:
                self._grip = _seen_from(own, thing)
                if self._has_risen(now_s) and waited > _HELD_S:
                    self._enter(Phase.MOVE, now_s)
            elif self._is_slow(own) and self._is_there(task, _THERE):
                self._enter(Phase.LEAVE, now_s)
                self.hold = -1.0
            return
        slipped = self.phase in (Phase.LIFT, Phase.MOVE)
        if slipped or (self.phase is Phase.DONE and not self._is_there(task)):
            self._enter(Phase.REACH, now_s)
        self.hold = -1.0
        if self.phase is Phase.REACH and self._approach is not None:
            near_m = _TOOL_STAGED_M if self.is_tool else _STAGED_M
            if math.dist(own.position, self._approach.staging) < near_m:
                self._enter(Phase.TAKE, now_s)
                self.gentle = _laden(belief, self.object_id, thing)
        elif self.phase is Phase.TAKE:  # what is gripped on the way by is jerked from under what is loose on it
            self.hold = 1.0 if _in_reach(own, thing) and (self._is_slow(own) or not self.gentle) else -1.0
            if waited > _GIVE_UP_S or math.dist(own.position, thing.pose[:2]) > 2.5 * _STRETCH_M + 1.0:
                self._enter(Phase.REACH, now_s)

    def _has_risen(self, now_s: float) -> bool:
        assert self._thing is not None
        self._rising.append((now_s, self._thing.z_m))
        while self._rising and now_s - self._rising[0][0] > _HELD_S:
            self._rising.popleft()
        heights = [z for _, z in self._rising]
        early, late = heights[: len(heights) // 2], heights[len(heights) // 2 :]
        return bool(early) and abs(float(np.mean(late)) - float(np.mean(early))) < _STILL_M

    @staticmethod
    def _is_slow(own: OwnBody) -> bool:
        return abs(own.speed_m_s) < _SLOW[0] and abs(own.yaw_rate_rad_s) < _SLOW[1]

    def _is_there(self, task: Mapping[str, np.ndarray], share: float = 1.0) -> bool:
        """Return whether the object is where it is wanted, to within a share of the tolerance."""
        assert self._thing is not None
        if self.joints is not None or self.is_tool:
            return False
        place, tolerance_m = self._wanted_at(task)
        return place is not None and math.dist(self._thing.pose[:2], place) < share * tolerance_m

    def _wanted_at(self, task: Mapping[str, np.ndarray]) -> tuple[tuple[float, float] | None, float]:
        tolerance_m = self.preferences.goal_tolerance_m
        if "task_reach_m" in task:
            tolerance_m = float(np.asarray(task["task_reach_m"]).reshape(-1)[0])
        if "task_dropoff_position" in task:
            x, y = (float(v) for v in np.asarray(task["task_dropoff_position"])[:2])
            return (x, y), tolerance_m
        return self._base, tolerance_m

    def _feel(self, now_s: float) -> None:
        """Believe in the joints by where the front went that was pulled."""
        assert self._own is not None
        assert self.joints is not None
        if self._look is not None and now_s - self._look[0] < _LOOK_S - 1e-6:
            return
        if self._look is not None and self._told:
            then_s, own, front = self._look
            wanted = torch.tensor(self._told)[None]
            _, places = pull(own, self.joints, front, wanted, (now_s - then_s) / wanted.shape[1])
            moved = torch.tensor(self.front) - torch.tensor(front)
            self.joints = self.joints.observe(moved, places[0, -1] - torch.tensor(front), NOISE_M)
        self._look = (now_s, self._own, self.front)
        self._told = []


def _from_the_stem(tool: _Thing, front_m: float) -> Approach:
    """Return where to stand before the end of a tool's stem."""
    heading = tool.stem_rad
    c, s = math.cos(heading), math.sin(heading)
    near = front_m + tool.half_along(heading) + _GAP_M
    x, y, _ = tool.pose
    far = near + _TOOL_STRETCH_M
    return Approach((x - near * c, y - near * s), wrapped(heading), (x - far * c, y - far * s))


def _held(outline: Float[np.ndarray, "H 4"], grip: tuple[float, float, float]) -> Float[Tensor, "H 4"]:
    """Return the rectangles (x, y, length, width) of what is held at a pose, as middles and half edges ahead of it.

    It is held square: what it is askew is left out of its edges, and not of its places.
    """
    c, s = math.cos(grip[2]), math.sin(grip[2])
    x, y = grip[0] + c * outline[:, 0] - s * outline[:, 1], grip[1] + s * outline[:, 0] + c * outline[:, 1]
    across = abs(s) > abs(c)
    edges = outline[:, 3:1:-1] if across else outline[:, 2:]
    return torch.from_numpy(np.column_stack([x, y, edges / 2.0])).float()


def _outline_of(thing: _Thing) -> Boxes:
    """Return a thing that stands, as an outline."""
    x, y, yaw = thing.pose
    direction = torch.tensor([[math.cos(yaw), math.sin(yaw)]])
    half_m = torch.tensor([thing.extent_m[:2]]) / 2.0
    return Boxes(torch.tensor([[[x, y]]]), direction, half_m, torch.full((1, 1), 0.02))


def _object_id(belief: WorldBelief, own_id: int | None, task: Mapping[str, np.ndarray]) -> int | None:
    """Return who the task's object is: by its size, by its place, or by both; None while it is not in the belief."""
    named = [name for name in (_PICKUP, "task_shut_position") if name in task]
    if _TOOL in task:
        found = find_objects(belief, own_id, task, _TOOL)
        return found[0] if found else None
    if "task_object_extent_m" in task:
        found = find_objects(belief, own_id, task)
    else:
        alive = belief.alive & (belief.existence > 0.5) & (belief.object_id != own_id)
        found = tuple(int(i) for i in belief.object_id[alive])
    if not named or not found:
        return found[0] if found else None
    place = torch.as_tensor(np.asarray(task[named[0]], dtype=np.float64))
    slots = [belief.slot_of(i) for i in found]
    away = torch.stack([(belief.position[slot].double() - place).norm() for slot in slots if slot is not None])
    nearest = int(away.argmin())
    return found[nearest] if float(away[nearest]) < _SAME_PLACE_M else None


def _seen_from(own: OwnBody, thing: _Thing) -> tuple[float, float, float]:
    """Return the pose of a thing in the own body's frame."""
    dx, dy = thing.pose[0] - own.position[0], thing.pose[1] - own.position[1]
    c, s = math.cos(own.heading_rad), math.sin(own.heading_rad)
    return c * dx + s * dy, c * dy - s * dx, wrapped(thing.pose[2] - own.heading_rad)


def _in_reach(own: OwnBody, thing: _Thing) -> bool:
    """Return whether the clamp, closed now, takes hold of a thing."""
    ahead, beside, _ = _seen_from(own, thing)
    gap = ahead - own.extent_m[0] / 2.0 - thing.half_along(own.heading_rad)
    least, largest, aside = _ZONE_M
    return least < gap < largest and abs(beside) < aside and abs(math.atan2(beside, ahead)) < 0.3


def _laden(belief: WorldBelief, object_id: int | None, thing: _Thing) -> bool:
    """Return whether something stands on a thing."""
    x, y, _ = thing.pose
    offset = belief.position[:, :2] - belief.position.new_tensor([x, y])
    over = offset.norm(dim=-1) < 0.5 * max(thing.extent_m[:2])
    above = belief.position[:, 2] > thing.z_m + 0.4 * thing.extent_m[2]
    others = belief.alive & (belief.existence > 0.5) & (belief.object_id != object_id)
    return bool((over & above & others).any())
