"""A scripted expert of `DoorsAndDrawers`: it takes hold of the front and tries what gives way."""

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
from worldsim_agents.task_object import wrapped

_STAGE_M = 0.95  # south of the front: from here it is driven at
_ARRIVED_M, _ALIGNED_RAD = 0.08, 0.05
_TAKEN_M = 0.50  # of the front's middle from the robot's: the clamp is closed here
_CLAMPING_S, _TRIED_S, _GONE_ON_S = 0.3, 1.5, 6.0
_GIVES_M = 0.06  # what has moved so far gives way
_SAME_M, _SAME_SIZE = 0.8, 0.3
_GAIN = 0.5
_WAYS = ((-0.35, 0.0), (0.12, 0.9), (0.12, -0.9))
"""Speed (m/s) and yaw rate (rad/s) of what is tried, in this order: pull, and turn the clamp to either side."""


class Stage(enum.StrEnum):
    """What the opener is at."""

    GO = "go"
    ALIGN = "align"
    APPROACH = "approach"
    CLAMP = "clamp"
    TRY = "try"


class Opener(Agent):
    """It pulls, and turns the clamp to either side; what moves the front is gone on with."""

    def __init__(self) -> None:
        """Build the agent."""
        self.reset()

    def __repr__(self) -> str:
        """Return what the agent was built with."""
        return "Opener()"

    def reset(self) -> None:
        """Forget the last episode."""
        self.stage = Stage.GO
        self.way = 0
        self._front: np.ndarray | None = None
        self._since_s = 0.0
        self._start: np.ndarray = np.zeros(2)
        self._gives = False

    def act(
        self, observation: Observation, record: StepRecord | None, rng: np.random.Generator
    ) -> Float[np.ndarray, "3"]:
        """Return the action for the coming frame.

        Raises:
            ConfigurationError: the observation is of another task.
        """
        del record, rng
        task, ego = observation.task or {}, observation.ego
        if ego is None or "task_shut_position" not in task:
            raise ConfigurationError("Opener: the observation is not of the scenario DoorsAndDrawers.")
        shut = np.asarray(task["task_shut_position"], dtype=np.float64)[:2]
        front = self._look(observation, shut)
        return command(*self._go(pose_of(ego), shut, front, observation.time_s))

    def _enter(self, stage: Stage, now_s: float) -> None:
        self.stage, self._since_s = stage, now_s

    def _look(self, observation: Observation, shut: np.ndarray) -> np.ndarray:
        """Return where the front is: the detection of its size that is nearest to where it was."""
        extent = np.asarray((observation.task or {})["task_object_extent_m"], dtype=np.float64)
        if self._front is None:
            self._front = shut.copy()
        seen = observation.detections
        fits = np.abs(seen.extent_m / extent - 1.0).max(axis=1, initial=0.0) < _SAME_SIZE
        fits &= np.linalg.norm(seen.position[:, :2] - shut, axis=1) < _SAME_M
        places = seen.position[fits][:, :2]
        if len(places):
            nearest = places[int(np.argmin(np.linalg.norm(places - self._front, axis=1)))]
            self._front = self._front + _GAIN * (nearest - self._front)
        return self._front

    def _go(self, here: np.ndarray, shut: np.ndarray, front: np.ndarray, now_s: float) -> tuple[float, float, float]:
        """Follow the stages; return speed (m/s), yaw rate (rad/s) and hold command to drive."""
        north = math.pi / 2.0
        start = shut - (0.0, _STAGE_M)
        if self.stage is Stage.GO:
            if float(np.linalg.norm(start - here[:2])) > _ARRIVED_M:
                return *towards(here, start), -1.0
            self._enter(Stage.ALIGN, now_s)
        if self.stage is Stage.ALIGN:
            if abs(wrapped(north - here[2])) > _ALIGNED_RAD:
                return 0.0, facing(here, north), -1.0
            self._enter(Stage.APPROACH, now_s)
        if self.stage is Stage.APPROACH:
            away = shut[1] - here[1]
            if away > _TAKEN_M and now_s - self._since_s < 4.0:
                wrong = wrapped(math.atan2(away, shut[0] - here[0]) - here[2])
                return min(0.3, 0.08 + 1.5 * (away - _TAKEN_M)), 3.0 * wrong, -1.0
            self._enter(Stage.CLAMP, now_s)
        if self.stage is Stage.CLAMP:
            if now_s - self._since_s < _CLAMPING_S:
                return 0.0, 0.0, 1.0
            self._enter(Stage.TRY, now_s)
            self._start, self._gives = front.copy(), False
        return self._try(here, front, now_s)

    def _try(self, here: np.ndarray, front: np.ndarray, now_s: float) -> tuple[float, float, float]:
        """Try one way after the other, and go on with what moves the front; come back where the hold is lost."""
        moved = float(np.linalg.norm(front - self._start))
        self._gives = self._gives or moved > _GIVES_M
        tried_s = now_s - self._since_s
        if float(np.linalg.norm(front - here[:2])) > _TAKEN_M + 0.35 or tried_s > _GONE_ON_S:
            self.way = (self.way + 1) % len(_WAYS)
            self._enter(Stage.GO, now_s)
            return -0.3, 0.0, -1.0
        if tried_s > _TRIED_S and not self._gives:
            self.way, self._start = (self.way + 1) % len(_WAYS), front.copy()
            self._enter(Stage.TRY, now_s)
        speed, turn = _WAYS[self.way]
        return speed, turn, 1.0
