"""A scripted expert of `Crowd`: it tries a few speeds and headings against everybody going straight on."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float

from worldsim.contracts.agent import Agent
from worldsim.errors import ConfigurationError
from worldsim.types.observation import Observation
from worldsim.types.record import StepRecord
from worldsim_agents.driving import SPEED_M_S, YAW_RATE_RAD_S, command, forward_speed, pose_of

_TALL_M = (1.3, 2.1)  # people, by their height
_SAME_M, _FORGET_S = 0.5, 0.6
_GAIN, _RATE_GAIN = 0.6, 0.25  # of the alpha-beta filter
_ROOM_M = 0.95  # between the robot's middle and a person's
_HORIZON_S, _STEP_S = 3.0, 0.2
_SPEEDS, _TURNS = (1.0, 0.6, 0.25, 0.0, -0.5), (-1.0, -0.5, -0.2, 0.0, 0.2, 0.5, 1.0)


class Strider(Agent):
    """Rolls out 35 constant commands, drops those that come too near to anybody, and takes the one that leads nearest.

    Source: the dynamic window approach (Fox, Burgard & Thrun 1997) with moving obstacles; ours takes everybody to go
    straight on, as an alpha-beta filter sees them.
    """

    def __init__(self) -> None:
        """Build the agent."""
        self.reset()

    def __repr__(self) -> str:
        """Return what the agent was built with."""
        return "Strider()"

    def reset(self) -> None:
        """Forget the last episode."""
        self._place: np.ndarray = np.zeros((0, 2))
        self._velocity: np.ndarray = np.zeros((0, 2))
        self._seen_s: np.ndarray = np.zeros(0)
        self._last_s = 0.0

    def act(
        self, observation: Observation, record: StepRecord | None, rng: np.random.Generator
    ) -> Float[np.ndarray, "3"]:
        """Return the action for the coming frame.

        Raises:
            ConfigurationError: the observation has no own body or no goal.
        """
        del record, rng
        task, ego = observation.task or {}, observation.ego
        if ego is None or set(task) != {"task_goal_position"}:
            raise ConfigurationError("Strider: the observation is not of the scenario Crowd.")
        self._look(observation)
        goal = np.asarray(task["task_goal_position"], dtype=np.float64)[:2]
        speed, turn = self._choose(pose_of(ego), forward_speed(ego), goal)
        return command(speed * SPEED_M_S, turn * YAW_RATE_RAD_S)

    def _look(self, observation: Observation) -> None:
        """Track everybody of a person's height by nearest neighbours."""
        seen, now = observation.detections, observation.time_s
        tall = (seen.extent_m[:, 2] > _TALL_M[0]) & (seen.extent_m[:, 2] < _TALL_M[1])
        dt = now - self._last_s
        self._last_s = now
        self._place = self._place + dt * self._velocity
        for place in seen.position[tall][:, :2]:
            away = np.linalg.norm(self._place - place, axis=1) if len(self._place) else np.full(1, math.inf)
            at = int(np.argmin(away))
            if away[at] < _SAME_M:
                off = place - self._place[at]
                self._place[at] += _GAIN * off
                self._velocity[at] += _RATE_GAIN / max(dt, 1e-3) * off
                self._seen_s[at] = now
            else:
                self._place = np.vstack([self._place, place])
                self._velocity = np.vstack([self._velocity, np.zeros(2)])
                self._seen_s = np.append(self._seen_s, now)
        kept = now - self._seen_s < _FORGET_S
        self._place, self._velocity, self._seen_s = self._place[kept], self._velocity[kept], self._seen_s[kept]

    def _choose(self, here: np.ndarray, speed_m_s: float, goal: np.ndarray) -> tuple[float, float]:
        """Return the best (speed, yaw rate) in units of the limits."""
        times = np.arange(_STEP_S, _HORIZON_S + 1e-9, _STEP_S)
        people = self._place[None] + times[:, None, None] * self._velocity[None]  # [T, N, 2]
        best, chosen = math.inf, (0.0, 0.0)
        for speed in _SPEEDS:
            for turn in _TURNS:
                yaw = here[2] + turn * YAW_RATE_RAD_S * times
                # the speed follows its command within about 0.2 s
                pace = speed * SPEED_M_S + (speed_m_s - speed * SPEED_M_S) * np.exp(-5.0 * times)
                way = here[:2] + np.cumsum(_STEP_S * pace[:, None] * np.stack([np.cos(yaw), np.sin(yaw)], 1), axis=0)
                left = np.linalg.norm(way - goal, axis=1)
                arrived = left < 0.3
                until = int(np.argmax(arrived)) + 1 if arrived.any() else len(times)
                heading = abs(math.remainder(math.atan2(*(goal - way[-1])[::-1]) - yaw[-1], 2.0 * math.pi))
                cost = float(left[:until].min()) + (0.0 if arrived.any() else 0.25 * heading) + 0.02 * abs(turn)
                if people.shape[1]:
                    gap = np.linalg.norm(people[:until] - way[:until, None], axis=2).min(axis=1)
                    # who is near soon matters most
                    cost += float((np.maximum(_ROOM_M - gap, 0.0) / _ROOM_M * (8.0 / (0.3 + times[:until]))).max())
                if cost < best:
                    best, chosen = cost, (speed, turn)
        return chosen
