"""A scripted expert of `Sorting`: it nudges crates until one slows it as a heavy one does, and pushes that one home."""

from __future__ import annotations

import enum
import math

import numpy as np
from jaxtyping import Float

from worldsim.contracts.agent import Agent
from worldsim.errors import ConfigurationError
from worldsim.types.observation import Observation
from worldsim.types.record import StepRecord
from worldsim_agents.driving import around, command, facing, forward_speed, pose_of, towards
from worldsim_agents.task_object import wrapped

_STAGE_M = 0.95  # from a crate's middle: from here it is driven at
_GAP_M = 0.85  # kept from every crate on the way
_ARRIVED_M, _ALIGNED_RAD = 0.08, 0.04
_PROBE_M_S, _PUSH_M_S = 0.6, 0.7
_PROBED_S = 0.9  # of steady pushing tell a crate's weight
_LOST_M = 0.30  # beside the robot's middle line: the crate has slipped off
_SAME_M, _SAME_SIZE = 0.4, 0.2
_GAIN = 0.4


class Stage(enum.StrEnum):
    """What the sorter is at."""

    GO = "go"
    ALIGN = "align"
    PUSH = "push"
    BACK = "back"


class Sorter(Agent):
    """Every push goes towards the mark, so that a crate that turns out to be the heavy one is on its way already."""

    def __init__(self) -> None:
        """Build the agent."""
        self.reset()

    def __repr__(self) -> str:
        """Return what the agent was built with."""
        return "Sorter()"

    def reset(self) -> None:
        """Forget the last episode."""
        self.stage = Stage.GO
        self.crates: list[np.ndarray] = []
        self.light: set[int] = set()
        self.heavy: int | None = None
        self.target: int | None = None
        self._felt: list[float] = []
        self._since_s = 0.0
        self._speed = 0.0

    def act(
        self, observation: Observation, record: StepRecord | None, rng: np.random.Generator
    ) -> Float[np.ndarray, "3"]:
        """Return the action for the coming frame.

        Raises:
            ConfigurationError: the observation is of another task.
        """
        del record, rng
        task, ego = observation.task or {}, observation.ego
        if ego is None or "task_push_loss_m_s" not in task:
            raise ConfigurationError("Sorter: the observation is not of the scenario Sorting.")
        self._look(observation)
        if not self.crates:
            return command(0.0, 0.0)
        here, mark = pose_of(ego), np.asarray(task["task_goal_position"], dtype=np.float64)[:2]
        front_m = float(ego.extent_m[0]) / 2.0
        threshold = float(np.mean(task["task_push_loss_m_s"]))
        before = self.stage
        speed, turn = self._go(here, mark, front_m, forward_speed(ego), threshold, observation.time_s)
        if self.stage is not before:
            self._since_s = observation.time_s
        self._speed = speed
        return command(speed, turn)

    def _look(self, observation: Observation) -> None:
        """Keep the crates' places: the nearest one is moved along, unless nothing is near; then it is a new one."""
        extent = np.asarray((observation.task or {})["task_object_extent_m"], dtype=np.float64)
        seen = observation.detections
        fits = np.abs(seen.extent_m / extent - 1.0).max(axis=1, initial=0.0) < _SAME_SIZE
        for place in seen.position[fits][:, :2]:
            away = [float(np.linalg.norm(place - crate)) for crate in self.crates]
            if away and min(away) < _SAME_M:
                at = int(np.argmin(away))
                self.crates[at] = self.crates[at] + _GAIN * (place - self.crates[at])
            elif observation.time_s < 1.0:  # later, what is new is clutter
                self.crates.append(place.copy())

    def _go(
        self, here: np.ndarray, mark: np.ndarray, front_m: float, speed: float, threshold: float, now_s: float
    ) -> tuple[float, float]:
        """Follow the stages; return the speed (m/s) and the yaw rate (rad/s) to drive."""
        if self.stage is Stage.BACK:
            if now_s - self._since_s < 0.9:
                return -0.7, 0.0
            self.stage = Stage.GO
        if self.target is None:
            self.target, self.stage = self._next(here, mark), Stage.GO
        crate = self.crates[self.target]
        way = mark - crate
        heading = math.atan2(way[1], way[0])
        along = np.array([math.cos(heading), math.sin(heading)])
        start = crate - _STAGE_M * along
        if self.stage is Stage.GO:
            if float(np.linalg.norm(start - here[:2])) > _ARRIVED_M:
                return towards(here, around(here[:2], start, self.crates, _GAP_M))
            self.stage = Stage.ALIGN
        if self.stage is Stage.ALIGN:
            if abs(wrapped(heading - here[2])) > _ALIGNED_RAD:
                return 0.0, facing(here, heading)
            self.stage, self._felt, self._since_s = Stage.PUSH, [], now_s
        return self._push(here, crate, mark, front_m, speed, threshold, now_s)

    def _push(
        self,
        here: np.ndarray,
        crate: np.ndarray,
        mark: np.ndarray,
        front_m: float,
        speed: float,
        threshold: float,
        now_s: float,
    ) -> tuple[float, float]:
        """Push on towards the mark; give a crate up that is light, or that has slipped off the front."""
        nose = np.array([math.cos(here[2]), math.sin(here[2])])
        offset = crate - here[:2]
        ahead, beside = float(offset @ nose), float(nose[0] * offset[1] - nose[1] * offset[0])
        if abs(beside) > _LOST_M or now_s - self._since_s > 12.0:
            self.stage = Stage.BACK
            return 0.0, 0.0
        touching = ahead < front_m + 0.32
        if touching and self.heavy is None:
            self._felt.append(self._speed - speed)
            if len(self._felt) > 20 * _PROBED_S:
                if float(np.median(self._felt[-10:])) < threshold:
                    self.light.add(int(self.target or 0))
                    self.stage, self.target = Stage.BACK, None
                    return 0.0, 0.0
                self.heavy = self.target
        wanted = math.atan2(*(mark - here[:2])[::-1])
        # steering to the mark, and a little towards the side that the crate drifts to, keeps it before the front
        wrong = wrapped(wanted - here[2]) + 1.2 * beside
        return (_PROBE_M_S if self.heavy is None else _PUSH_M_S), 3.0 * wrong

    def _next(self, here: np.ndarray, mark: np.ndarray) -> int:
        """Return the crate to try: the heavy one if known, else the nearest that is not known to be light."""
        if self.heavy is not None:
            return self.heavy
        open_ = [i for i in range(len(self.crates)) if i not in self.light] or list(range(len(self.crates)))
        self.light &= set(range(len(self.crates))) if len(open_) < len(self.crates) else set()
        return min(open_, key=lambda i: float(np.linalg.norm(self.crates[i] - here[:2])))
