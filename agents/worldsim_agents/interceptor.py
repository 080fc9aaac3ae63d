"""A scripted expert of `Intercept`: it foresees the ball's way off the walls and drives to where it can be first."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float

from worldsim.contracts.agent import Agent
from worldsim.errors import ConfigurationError
from worldsim.types.observation import Observation
from worldsim.types.record import StepRecord
from worldsim_agents.task_object import Sighting, find_task_object, wrapped, yaw_of

_SPEED_M_S, _YAW_RATE_RAD_S = 1.2, 1.5  # of a full command
_GAIN, _RATE_GAIN = 0.5, 0.12  # of the alpha-beta filter
_HORIZON_S, _STEP_S = 8.0, 0.1
_NEAR_M = 1.1  # from here on it faces the ball and drives at it
_LEAD_S = 0.15


class Interceptor(Agent):
    """Tracks the ball by an alpha-beta filter, meets it at the first place it can reach in time, and faces it there."""

    def __init__(self) -> None:
        """Build the agent."""
        self.reset()

    def __repr__(self) -> str:
        """Return what the agent was built with."""
        return "Interceptor()"

    def reset(self) -> None:
        """Forget the last episode."""
        self._last: Sighting | None = None
        self._position = np.zeros(2)
        self._velocity = np.zeros(2)

    def act(
        self, observation: Observation, record: StepRecord | None, rng: np.random.Generator
    ) -> Float[np.ndarray, "3"]:
        """Return the action for the coming frame.

        Raises:
            ConfigurationError: the observation is of another task.
        """
        del record, rng
        task, ego = observation.task or {}, observation.ego
        if ego is None or "task_floor_half_m" not in task:
            raise ConfigurationError("Interceptor: the observation is not of the scenario Intercept.")
        half_y = float(task["task_floor_half_m"][1]) - float(task["task_object_extent_m"][0]) / 2.0
        self._track(observation, half_y)
        if self._last is None:
            return np.zeros(3, dtype=np.float32)
        here, yaw = ego.position[:2], yaw_of(ego.orientation_xyzw)
        front = here + float(ego.extent_m[0]) / 2.0 * np.array([math.cos(yaw), math.sin(yaw)])
        if float(np.linalg.norm(self._position - front)) < _NEAR_M:
            aim = self._ahead(np.array([_LEAD_S]), half_y)[0]
        else:
            aim = self._meeting(here, yaw, half_y, float(task["task_floor_half_m"][0]))
        return self._drive(here, yaw, aim)

    def _track(self, observation: Observation, half_y: float) -> None:
        found, last = find_task_object(observation, self._last), self._last
        if found is None or (last is not None and found.time_s <= last.time_s):  # a frame is learned from once
            return
        if last is None:
            self._position = found.position[:2]
        else:
            dt = found.time_s - last.time_s
            expected = self._ahead(np.array([dt]), half_y)[0]
            if abs(self._position[1] + dt * self._velocity[1]) > half_y:
                self._velocity[1] *= -1.0
            off = found.position[:2] - expected
            self._position = expected + _GAIN * off
            self._velocity = self._velocity + _RATE_GAIN / dt * off
        self._last = found

    def _ahead(self, after_s: Float[np.ndarray, " T"], half_y: float) -> Float[np.ndarray, "T 2"]:
        """Return where the ball is after each time: straight on, mirrored by the side walls."""
        straight = self._position + after_s[:, None] * self._velocity
        folded = np.abs((straight[:, 1] + half_y) % (4.0 * half_y) - 2.0 * half_y)
        return np.stack([straight[:, 0], half_y - folded], axis=1)

    def _meeting(self, here: np.ndarray, yaw: float, half_y: float, half_x: float) -> np.ndarray:
        """Return the first place of the ball's way that the robot reaches in time; else the last one on the floor."""
        after = np.arange(_STEP_S, _HORIZON_S, _STEP_S)
        way = self._ahead(after, half_y)
        offset = way - here
        turn = np.abs((np.arctan2(offset[:, 1], offset[:, 0]) - yaw + math.pi) % (2.0 * math.pi) - math.pi)
        needed = turn / (0.8 * _YAW_RATE_RAD_S) + np.maximum(np.hypot(*offset.T) - 0.4, 0.0) / (0.85 * _SPEED_M_S) + 0.3
        inside = way[:, 0] < half_x - 0.2
        feasible = np.flatnonzero(inside & (needed <= after))
        if len(feasible):
            return np.asarray(way[feasible[0]])
        return np.asarray(way[np.flatnonzero(inside)[-1]] if inside.any() else self._position)

    def _drive(self, here: np.ndarray, yaw: float, aim: np.ndarray) -> Float[np.ndarray, "3"]:
        wrong = wrapped(math.atan2(aim[1] - here[1], aim[0] - here[0]) - yaw)
        distance = math.hypot(aim[0] - here[0], aim[1] - here[1])
        speed = max(0.0, math.cos(wrong)) ** 2 if abs(wrong) < 1.0 else 0.0
        speed *= min(1.0, max(0.0, 2.0 * (distance - 0.2)))
        return np.array([speed, np.clip(4.0 * wrong / _YAW_RATE_RAD_S, -1.0, 1.0), 0.0], dtype=np.float32)
