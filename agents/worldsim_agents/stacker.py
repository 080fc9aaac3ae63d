"""A scripted expert of `StackAndSupport`: it clamps the box, lifts it, drives gently over the crate, and lets go."""

from __future__ import annotations

import enum
import math

import numpy as np
from jaxtyping import Float

from worldsim.contracts.agent import Agent
from worldsim.errors import ConfigurationError
from worldsim.types.observation import Observation
from worldsim.types.record import StepRecord
from worldsim_agents.driving import SPEED_M_S, YAW_RATE_RAD_S, around, command, facing, pose_of, towards
from worldsim_agents.task_object import wrapped, yaw_of

_STAGE_M = 0.95  # from the box's middle: from here it is driven up to
_OVER_M = 1.35  # the same of the crate, with the box in the clamp
_GAP_M = 0.08  # between the robot's front and the box, when the clamp is closed
_KEPT_M = 0.85  # from box and crate on the way
_ARRIVED_M, _ALIGNED_RAD = 0.06, 0.03
_SHORT_M = 0.03  # of the crate's middle: where the box is let go, so that the robot keeps clear of the crate
_LIFTING_S, _STEADY_S, _CLEAR_S, _GIVE_UP_S = 2.8, 0.6, 2.5, 8.0
_SLEW_M_S, _SLEW_RAD_S = 0.03, 0.06  # a frame, with a burden: what stands loose slides beyond some 1 m/s^2
_GENTLE_M_S, _GENTLE_RAD_S = 0.4, 0.6
_SAME_SIZE, _SAME_M, _GAIN = 0.2, 0.6, 0.3


class Stage(enum.StrEnum):
    """What the stacker is at."""

    FETCH = "fetch"
    FACE = "face"
    APPROACH = "approach"
    LIFT = "lift"
    CARRY = "carry"
    SQUARE = "square"
    OVER = "over"
    STEADY = "steady"
    RELEASE = "release"


class Stacker(Agent):
    """Comes square to a side of the box, and square to a long side of the crate."""

    def __init__(self) -> None:
        """Build the agent."""
        self.reset()

    def __repr__(self) -> str:
        """Return what the agent was built with."""
        return "Stacker()"

    def reset(self) -> None:
        """Forget the last episode."""
        self.stage = Stage.FETCH
        self._since_s = 0.0
        self._box: np.ndarray | None = None  # x, y, yaw
        self._crate: np.ndarray | None = None
        self._heading: float | None = None  # of the way up to what is approached
        self._last = np.zeros(2)  # speed and yaw rate commanded

    def act(
        self, observation: Observation, record: StepRecord | None, rng: np.random.Generator
    ) -> Float[np.ndarray, "3"]:
        """Return the action for the coming frame.

        Raises:
            ConfigurationError: the observation is of another task.
        """
        del record, rng
        task, ego = observation.task or {}, observation.ego
        if ego is None or "task_base_extent_m" not in task:
            raise ConfigurationError("Stacker: the observation is not of the scenario StackAndSupport.")
        self._box = _looked(observation, task["task_object_extent_m"], self._box)
        self._crate = _looked(observation, task["task_base_extent_m"], self._crate)
        if self._box is None or self._crate is None:
            return command(0.0, 0.0, -1.0)
        here, before = pose_of(ego), self.stage
        front_m, half_m = float(ego.extent_m[0]) / 2.0, float(task["task_object_extent_m"][0]) / 2.0
        waited = observation.time_s - self._since_s
        if self.stage in (Stage.FETCH, Stage.FACE, Stage.APPROACH):
            action = command(*self._fetch(here, front_m + half_m, waited))
        else:
            speed, turn = self._stack(here, front_m + half_m, waited)
            action = self._gently(speed, turn, -1.0 if self.stage is Stage.RELEASE else 1.0)
        if self.stage is not before:
            self._since_s = observation.time_s
        self._last = np.array([float(action[0]) * SPEED_M_S, float(action[1]) * YAW_RATE_RAD_S])
        return action

    def _gently(self, speed: float, turn: float, hold: float) -> Float[np.ndarray, "3"]:
        """Return the command, changed by no more than what stands loose bears."""
        bounded = np.clip([speed, turn], [-_GENTLE_M_S, -_GENTLE_RAD_S], [_GENTLE_M_S, _GENTLE_RAD_S])
        step = np.clip(bounded - self._last, [-_SLEW_M_S, -_SLEW_RAD_S], [_SLEW_M_S, _SLEW_RAD_S])
        gentle = self._last + step
        return command(float(gentle[0]), float(gentle[1]), hold)

    def _fetch(self, here: np.ndarray, contact_m: float, waited: float) -> tuple[float, float, float]:
        """Drive up to a side of the box, and close the clamp there; return speed, yaw rate and hold command."""
        assert self._box is not None
        assert self._crate is not None
        if self.stage is Stage.FETCH:
            sides = [wrapped(self._box[2] + k * math.pi / 2.0) for k in range(4)]
            self._heading = min(sides, key=lambda side: self._round_m(here, side))
            start = self._box[:2] - _STAGE_M * _along(self._heading)
            if float(np.linalg.norm(start - here[:2])) > _ARRIVED_M:
                return *towards(here, around(here[:2], start, [self._box[:2], self._crate[:2]], _KEPT_M)), -1.0
            self.stage = Stage.FACE
        assert self._heading is not None
        if self.stage is Stage.FACE:
            if abs(wrapped(self._heading - here[2])) > _ALIGNED_RAD:
                return 0.0, facing(here, self._heading), -1.0
            self.stage = Stage.APPROACH
            return 0.0, 0.0, -1.0
        offset = self._box[:2] - here[:2]
        gap = float(offset @ _along(self._heading)) - contact_m
        if gap > _GAP_M and waited < _GIVE_UP_S:
            wrong = wrapped(math.atan2(offset[1], offset[0]) - here[2])
            return min(0.4, 0.06 + 1.2 * (gap - _GAP_M)), 3.0 * wrong, -1.0
        self.stage = Stage.LIFT
        return 0.0, 0.0, 1.0

    def _round_m(self, here: np.ndarray, side: float) -> float:
        """Return the way to where a side of the box is faced; the crate is not to be in the way there."""
        assert self._box is not None
        assert self._crate is not None
        start = self._box[:2] - _STAGE_M * _along(side)
        blocked = float(np.linalg.norm(start - self._crate[:2])) < 0.75
        return float(np.linalg.norm(start - here[:2])) + 10.0 * blocked

    def _stack(self, here: np.ndarray, contact_m: float, waited: float) -> tuple[float, float]:
        """Carry the box over the crate and let go; return speed and yaw rate."""
        assert self._box is not None
        assert self._crate is not None
        if self.stage is Stage.LIFT:
            if waited < _LIFTING_S:
                return 0.0, 0.0
            self.stage = Stage.CARRY
        ahead = self._box[:2] - here[:2]
        if self.stage is not Stage.RELEASE and float(np.linalg.norm(ahead)) > contact_m + 0.4:
            self.stage = Stage.RELEASE  # it is not in the clamp
        if self.stage is Stage.CARRY:
            sides = [wrapped(self._crate[2] + sign * math.pi / 2.0) for sign in (-1.0, 1.0)]
            starts = [self._crate[:2] - _OVER_M * _along(side) for side in sides]
            nearest = min((0, 1), key=lambda k: float(np.linalg.norm(starts[k] - here[:2])))
            self._heading = sides[nearest]
            if float(np.linalg.norm(starts[nearest] - here[:2])) > _ARRIVED_M:
                return towards(here, around(here[:2], starts[nearest], [self._crate[:2]], _KEPT_M), _GENTLE_M_S)
            self.stage = Stage.SQUARE
        assert self._heading is not None
        along = _along(self._heading)
        if self.stage is Stage.SQUARE:
            if abs(wrapped(self._heading - here[2])) > _ALIGNED_RAD:
                return 0.0, facing(here, self._heading)
            self.stage = Stage.OVER
        if self.stage is Stage.OVER:
            left = float((self._crate[:2] - self._box[:2]) @ along) - _SHORT_M
            if left > 0.0 and waited < _GIVE_UP_S:
                goal = self._crate[:2] - here[:2]
                wrong = wrapped(math.atan2(goal[1], goal[0]) - math.atan2(ahead[1], ahead[0]))
                return min(0.3, 0.05 + 0.8 * left), 2.0 * wrong
            self.stage = Stage.STEADY
            return 0.0, 0.0
        if self.stage is Stage.STEADY:
            if waited < _STEADY_S:
                return 0.0, 0.0
            self.stage = Stage.RELEASE
            return 0.0, 0.0
        if waited < _STEADY_S:
            return 0.0, 0.0
        if waited < _CLEAR_S:
            return -0.3, 0.0
        self.stage = Stage.FETCH
        return 0.0, 0.0


def _looked(observation: Observation, extent_m: np.ndarray, last: np.ndarray | None) -> np.ndarray | None:
    """Return (x, y, yaw) of the thing of that size: the last pose, corrected by the detection that fits best."""
    seen = observation.detections
    misfit = np.abs(seen.extent_m / np.asarray(extent_m, dtype=np.float64) - 1.0).max(axis=1, initial=0.0)
    away = np.zeros(len(misfit)) if last is None else np.linalg.norm(seen.position[:, :2] - last[:2], axis=1)
    rows = np.flatnonzero((misfit < _SAME_SIZE) & (away < _SAME_M))
    if len(rows) == 0:
        return last
    row = int(rows[np.argmin(misfit[rows] + away[rows])])
    pose = np.array([*seen.position[row, :2], yaw_of(seen.orientation_xyzw[row])])
    if last is None:
        return pose
    turn = wrapped(pose[2] - last[2])
    return np.array([*(last[:2] + _GAIN * (pose[:2] - last[:2])), last[2] + _GAIN * turn])


def _along(heading_rad: float) -> np.ndarray:
    return np.array([math.cos(heading_rad), math.sin(heading_rad)])
