"""A scripted expert of `ToolReach`: it takes the hook, lays its bar behind the thing, and pulls."""

from __future__ import annotations

import enum
import math

import numpy as np
from jaxtyping import Float

from worldsim.contracts.agent import Agent
from worldsim.errors import ConfigurationError
from worldsim.types.observation import Observation
from worldsim.types.record import StepRecord
from worldsim_agents.driving import command, facing, pose_of, towards
from worldsim_agents.task_object import wrapped, yaw_of

_STAGE_M = 1.25  # from the hook's middle, beyond the end of its stem
_GAP_M = 0.09  # between the robot's front and the stem, when the clamp is closed
_ARRIVED_M, _ALIGNED_RAD = 0.08, 0.04
_SAME_SIZE, _SAME_M, _GAIN = 0.25, 0.6, 0.4
_CLAMPING_S, _GIVE_UP_S = 0.8, 5.0
_LINE_UP_M = 1.7  # west of the line: room to turn with the hook
_FRONT_SHORT_M = 0.16  # of the line's beam, where the robot's front stops
_SIDE_M = 0.07  # between the bar's end and the thing, on the way in
_SWEPT_RAD = 0.32  # the bar's end is behind the thing then
_NORTH = math.pi / 2.0


class Stage(enum.StrEnum):
    """What the raker is at."""

    FETCH = "fetch"
    FACE = "face"
    APPROACH = "approach"
    CLAMP = "clamp"
    LINE_UP = "line up"
    TURN = "turn"
    REACH = "reach"
    SWEEP = "sweep"
    PULL = "pull"
    BACK = "back"


class Raker(Agent):
    """Goes in beside the thing, turns on the spot until the bar is behind it, and reverses."""

    def __init__(self) -> None:
        """Build the agent."""
        self.reset()

    def __repr__(self) -> str:
        """Return what the agent was built with."""
        return "Raker()"

    def reset(self) -> None:
        """Forget the last episode."""
        self.stage = Stage.FETCH
        self._since_s = 0.0
        self._hook: np.ndarray | None = None  # x, y, heading from the stem's end to the bar
        self._thing: np.ndarray | None = None
        self._side = 1.0  # the robot passes the thing on its south side (1) or its north side (-1)

    def act(
        self, observation: Observation, record: StepRecord | None, rng: np.random.Generator
    ) -> Float[np.ndarray, "3"]:
        """Return the action for the coming frame.

        Raises:
            ConfigurationError: the observation is of another task.
        """
        del record, rng
        task, ego = observation.task or {}, observation.ego
        if ego is None or "task_tool_extent_m" not in task:
            raise ConfigurationError("Raker: the observation is not of the scenario ToolReach.")
        self._look(observation)
        if self._hook is None or self._thing is None:
            return command(0.0, 0.0, -1.0)
        here, now = pose_of(ego), observation.time_s
        front_m, tool = float(ego.extent_m[0]) / 2.0, np.asarray(task["task_tool_extent_m"], dtype=np.float64)
        if self.stage in (Stage.FETCH, Stage.FACE, Stage.APPROACH, Stage.CLAMP):
            return command(*self._take(here, front_m, tool, now))
        return command(*self._rake(here, front_m, tool, float(np.asarray(task["task_line_x_m"]).reshape(-1)[0]), now))

    def _enter(self, stage: Stage, now_s: float) -> None:
        self.stage, self._since_s = stage, now_s

    def _look(self, observation: Observation) -> None:
        """Keep hook and thing: the detections of their sizes nearest to where they were."""
        task, seen = observation.task or {}, observation.detections
        hook = self._nearest(observation, task["task_tool_extent_m"], self._hook)
        if hook is not None:
            pose = np.array([*seen.position[hook, :2], yaw_of(seen.orientation_xyzw[hook]) + _NORTH])
            if self._hook is None:
                self._hook = pose
            self._hook[:2] += _GAIN * (pose[:2] - self._hook[:2])
            self._hook[2] += _GAIN * wrapped(pose[2] - self._hook[2])
        thing = self._nearest(observation, task["task_object_extent_m"], self._thing)
        if thing is not None:
            place = seen.position[thing, :2]
            self._thing = place.copy() if self._thing is None else self._thing + _GAIN * (place - self._thing)

    @staticmethod
    def _nearest(observation: Observation, extent_m: np.ndarray, last: np.ndarray | None) -> int | None:
        seen = observation.detections
        misfit = np.abs(seen.extent_m / np.asarray(extent_m, dtype=np.float64) - 1.0).max(axis=1, initial=0.0)
        away = np.zeros(len(misfit)) if last is None else np.linalg.norm(seen.position[:, :2] - last[:2], axis=1)
        rows = np.flatnonzero((misfit < _SAME_SIZE) & (away < _SAME_M))
        return int(rows[np.argmin(misfit[rows] + away[rows])]) if len(rows) else None

    def _take(self, here: np.ndarray, front_m: float, tool: np.ndarray, now_s: float) -> tuple[float, float, float]:
        """Drive up to the end of the stem, and close the clamp; return speed, yaw rate and hold command."""
        assert self._hook is not None
        heading = float(self._hook[2])
        along = np.array([math.cos(heading), math.sin(heading)])
        start = self._hook[:2] - _STAGE_M * along
        if self.stage is Stage.FETCH:
            if float(np.linalg.norm(start - here[:2])) > _ARRIVED_M:
                return *towards(here, self._round_the_hook(here, start)), -1.0
            self._enter(Stage.FACE, now_s)
        if self.stage is Stage.FACE:
            if abs(wrapped(heading - here[2])) > _ALIGNED_RAD:
                return 0.0, facing(here, heading), -1.0
            self._enter(Stage.APPROACH, now_s)
        gap = float((self._hook[:2] - here[:2]) @ along) - front_m - tool[1] / 2.0
        if self.stage is Stage.APPROACH:
            if gap > _GAP_M and now_s - self._since_s < _GIVE_UP_S:
                wrong = wrapped(math.atan2(*(self._hook[:2] - here[:2])[::-1]) - here[2])
                return min(0.4, 0.1 + 1.5 * (gap - _GAP_M)), 3.0 * wrong, -1.0
            self._enter(Stage.CLAMP, now_s)
        if now_s - self._since_s < _CLAMPING_S:
            return 0.0, 0.0, 1.0
        self._enter(Stage.LINE_UP, now_s)
        return 0.0, 0.0, 1.0

    def _round_the_hook(self, here: np.ndarray, start: np.ndarray) -> np.ndarray:
        """Return where to head for to get to `start` without running into the hook."""
        assert self._hook is not None
        way, offset = start - here[:2], self._hook[:2] - here[:2]
        length = float(np.linalg.norm(way))
        along = way / max(length, 1e-6)
        ahead, beside = float(offset @ along), float(along[0] * offset[1] - along[1] * offset[0])
        if 0.0 < ahead < length and abs(beside) < 0.95:
            across = np.array([-along[1], along[0]])
            return np.asarray(self._hook[:2] - math.copysign(1.1, beside) * across)
        return start

    def _rake(
        self, here: np.ndarray, front_m: float, tool: np.ndarray, line_x_m: float, now_s: float
    ) -> tuple[float, float, float]:
        """Go in beside the thing, sweep the bar behind it, and pull; return speed, yaw rate and hold command."""
        assert self._hook is not None
        assert self._thing is not None
        offset = self._hook[:2] - here[:2]
        lost = float(np.linalg.norm(offset)) > front_m + tool[1] / 2.0 + 0.35
        if self.stage is Stage.BACK or lost:
            if self.stage is not Stage.BACK:
                self._enter(Stage.BACK, now_s)
            if now_s - self._since_s < 1.0:
                return -0.5, 0.0, -1.0
            self._enter(Stage.FETCH, now_s)
            return 0.0, 0.0, -1.0
        start_x = line_x_m - _LINE_UP_M
        if self.stage is Stage.LINE_UP:
            self._side = 1.0 if self._thing[1] > 0.0 else -1.0  # the middle has more room than the fence's side
            start = np.array([start_x, self._in_y(tool)])
            if float(np.linalg.norm(start - here[:2])) > _ARRIVED_M:
                speed, turn = towards(here, start, 0.6)
                return speed, float(np.clip(turn, -0.9, 0.9)), 1.0
            self._enter(Stage.TURN, now_s)
        if self.stage is Stage.TURN:
            if abs(wrapped(here[2])) > _ALIGNED_RAD:
                return 0.0, float(np.clip(facing(here, 0.0), -0.9, 0.9)), 1.0
            self._enter(Stage.REACH, now_s)
        deepest = line_x_m + 0.25 - _FRONT_SHORT_M + 0.10 - front_m
        if self.stage is Stage.REACH:
            if here[0] < deepest - 0.01 and now_s - self._since_s < 2.0 * _GIVE_UP_S:
                aim = math.atan2(self._in_y(tool) - here[1], 0.6)
                return min(0.4, 0.08 + 1.5 * (deepest - here[0])), 3.0 * wrapped(aim - here[2]), 1.0
            self._enter(Stage.SWEEP, now_s)
        if self.stage is Stage.SWEEP:
            if abs(wrapped(here[2])) < _SWEPT_RAD and now_s - self._since_s < _GIVE_UP_S:
                return 0.0, 0.6 * self._side, 1.0
            self._enter(Stage.PULL, now_s)
        if now_s - self._since_s > 4.0:
            self._enter(Stage.LINE_UP, now_s)
        return -0.25, 0.0, 1.0

    def _in_y(self, tool: np.ndarray) -> float:
        """Return the y on which the robot goes in."""
        assert self._thing is not None
        return float(self._thing[1]) - self._side * (tool[0] / 2.0 + 0.08 + _SIDE_M)
