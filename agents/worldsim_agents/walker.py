"""A scripted expert of errands: a route round what stands, and a try of a few commands against who walks."""

from __future__ import annotations

import math

import numpy as np
import torch
from jaxtyping import Float

from worldsim.contracts.agent import Agent
from worldsim.errors import ConfigurationError
from worldsim.planning.boxes import Boxes
from worldsim.planning.route import Obstacles, Route, find_route
from worldsim.types.observation import Detections, Observation
from worldsim.types.record import StepRecord
from worldsim_agents.driving import SPEED_M_S, YAW_RATE_RAD_S, command, forward_speed, pose_of
from worldsim_agents.task_object import yaw_of

_SAME_M, _FORGET_S = 0.45, 0.6
_GAIN, _RATE_GAIN = 0.6, 0.25  # of the alpha-beta filter
_ALIVE = ((0.35, 0.70, 1.3, 2.1, 0.6, 1.0), (0.65, 1.00, 0.45, 0.75, 0.2, 0.5), (0.35, 0.60, 0.20, 0.40, 0.2, 0.5))
"""Longer edge and height (m), and shorter over longer edge, each from and to, of people, dogs and cats."""
_BALL_M, _ROUND = 0.5, 0.85  # smaller than that, and as wide as long: a ball, which may be rolled over
_SEEN_TIMES = 3  # of what stands, before it is believed
_BODY_M = 0.40  # half the robot's width and a margin, for what stands
_CORE_M = 0.20  # less than half the robot's width: its middle gets no nearer to what stands, whatever is commanded
_ROOM_M = 0.90  # between the robot's middle and that of who walks
_REPLAN_S = 1.0
_HORIZON_S, _STEP_S = 2.0, 0.2
_SPEEDS, _TURNS = (1.0, 0.6, 0.25, 0.0, -0.5), (-1.0, -0.5, -0.2, 0.0, 0.2, 0.5, 1.0)


class Walker(Agent):
    """Maps what stands from its detections, tracks who moves, and takes the command that leads on along the route.

    Source: the dynamic window approach (Fox, Burgard & Thrun 1997) with moving obstacles, over the distance field of a
    grid route (Brock & Khatib 1999, "global dynamic window"); ours takes everybody to go straight on.
    """

    def __init__(self) -> None:
        """Build the agent."""
        self.reset()

    def __repr__(self) -> str:
        """Return what the agent was built with."""
        return "Walker()"

    def reset(self) -> None:
        """Forget the last episode."""
        self._place: np.ndarray = np.zeros((0, 2))
        self._velocity: np.ndarray = np.zeros((0, 2))
        self._seen_s: np.ndarray = np.zeros(0)
        self._standing: np.ndarray = np.zeros((0, 6))  # x, y, yaw, length, width, times seen
        self._route: Route | None = None
        self._routed_s = -math.inf
        self._last_s = 0.0

    def act(
        self, observation: Observation, record: StepRecord | None, rng: np.random.Generator
    ) -> Float[np.ndarray, "3"]:
        """Return the action for the coming frame.

        Raises:
            ConfigurationError: the observation has no own body, or is of another task.
        """
        del record, rng
        task, ego = observation.task or {}, observation.ego
        if ego is None or "task_goals_left" not in task:
            raise ConfigurationError("Walker: the observation is of no errand (House, Park, HousePark).")
        seen, now = observation.detections, observation.time_s
        alive, ball = _alive(seen), _is_a_ball(seen)
        self._track(seen.position[alive & ~ball][:, :2], now)
        self._map(seen, ~alive & ~ball & (seen.extent_m[:, 2] > 0.05))
        here, goal = pose_of(ego), np.asarray(task["task_goal_position"], dtype=np.float64)[:2]
        stale = self._route is None or not self._route.leads_to((float(goal[0]), float(goal[1])))
        if stale or now - self._routed_s > _REPLAN_S:
            self._route = self._find(here, goal)
            self._routed_s = now
        speed, turn = self._choose(here, forward_speed(ego), goal)
        return command(speed * SPEED_M_S, turn * YAW_RATE_RAD_S)

    def _track(self, places: np.ndarray, now: float) -> None:
        """Follow everybody by nearest neighbours."""
        dt, self._last_s = now - self._last_s, now
        self._place = self._place + dt * self._velocity
        for place in places:
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

    def _map(self, seen: Detections, rows: np.ndarray) -> None:
        """Keep what stands: a detection near an entry of its size moves it a little, any other begins one."""
        for row in np.flatnonzero(rows):
            found = np.array([*seen.position[row, :2], yaw_of(seen.orientation_xyzw[row]), *seen.extent_m[row, :2]])
            near = np.linalg.norm(self._standing[:, :2] - found[:2], axis=1) < _SAME_M
            near &= np.abs(self._standing[:, 3:5] - found[3:5]).max(axis=1, initial=0.0) < _SAME_M
            if near.any():
                at = int(np.flatnonzero(near)[0])
                self._standing[at, :5] = found
                self._standing[at, 5] += 1.0
            else:
                self._standing = np.vstack([self._standing, [*found, 1.0]])

    def _find(self, here: np.ndarray, goal: np.ndarray) -> Route:
        known = self._standing[self._standing[:, 5] >= _SEEN_TIMES]
        table = torch.from_numpy(known).float()
        direction = torch.stack([torch.cos(table[:, 2]), torch.sin(table[:, 2])], dim=-1)
        boxes = Boxes(table[None, :, :2], direction, table[:, 3:5] / 2.0, torch.zeros(1, len(known)))
        none = boxes.select(torch.zeros(0, dtype=torch.int64))
        start, end = (float(here[0]), float(here[1])), (float(goal[0]), float(goal[1]))
        return find_route(Obstacles(boxes, none), start, end, _BODY_M)

    def _choose(self, here: np.ndarray, speed_m_s: float, goal: np.ndarray) -> tuple[float, float]:
        """Return the best (speed, yaw rate) in units of the limits."""
        assert self._route is not None
        times = np.arange(_STEP_S, _HORIZON_S + 1e-9, _STEP_S)
        pairs = np.array([(speed, turn) for speed in _SPEEDS for turn in _TURNS])
        yaw = here[2] + pairs[:, 1:] * YAW_RATE_RAD_S * times
        asked = pairs[:, :1] * SPEED_M_S
        pace = asked + (speed_m_s - asked) * np.exp(-5.0 * times)  # the speed follows its command within about 0.2 s
        steps = _STEP_S * pace[..., None] * np.stack([np.cos(yaw), np.sin(yaw)], axis=-1)
        way = here[:2] + np.cumsum(steps, axis=1)  # [S, T, 2]
        points = torch.from_numpy(way).float()
        left = self._route.distance_to_go(points).numpy()
        left = np.where(np.linalg.norm(way - goal, axis=-1) < 0.3, 0.0, left)
        blocking = self._route.obstacles.blocking
        gap = np.full(left.shape, math.inf)
        if len(blocking):
            gap = blocking.signed_distance(points).amin(dim=-1).numpy()
        left = _until_blocked(left, gap)
        cost = left.min(axis=1) + 0.3 * left[:, -1] + 0.3 * self._off_course(way[:, -1], yaw[:, -1])
        cost += 0.02 * np.abs(pairs[:, 1]) + 0.4 * (pairs[:, 0] < 0.0)
        if len(blocking):
            cost += (np.maximum(_BODY_M - gap, 0.0) / _BODY_M * (6.0 / (0.5 + times))).max(axis=1)
        if len(self._place):
            people = self._place[None] + times[:, None, None] * self._velocity[None]  # [T, N, 2]
            gap = np.linalg.norm(people[None] - way[:, :, None], axis=-1).min(axis=2)
            # who is near soon matters most
            cost += (np.maximum(_ROOM_M - gap, 0.0) / _ROOM_M * (8.0 / (0.3 + times))).max(axis=1)
        speed, turn = pairs[int(np.argmin(cost))]
        return float(speed), float(turn)

    def _off_course(self, place: np.ndarray, yaw: np.ndarray) -> np.ndarray:
        """Return how far, in [0, 2], headings at places are from where the route goes on: [S]."""
        assert self._route is not None
        reach = 0.4
        ahead = np.stack([np.cos(yaw), np.sin(yaw)], axis=-1)
        points = torch.from_numpy(np.stack([place, place + reach * ahead])).float()
        there, on = self._route.distance_to_go(points).numpy()
        return np.asarray(np.clip(1.0 - (there - on) / reach, 0.0, 2.0))


def _until_blocked(left: Float[np.ndarray, "S T"], gap: Float[np.ndarray, "S T"]) -> Float[np.ndarray, "S T"]:
    """Return the distance to go, m, as it stays from where a way comes to stand before something: no way is through it.

    A way that begins there, by an error of the map, is taken as it is.
    """
    through = np.maximum.accumulate((gap < _CORE_M) & (gap[:, :1] >= _CORE_M), axis=1)
    last = np.maximum(np.argmax(through, axis=1) - 1, 0)
    return np.where(through, np.take_along_axis(left, last[:, None], axis=1), left)


def _alive(seen: Detections) -> np.ndarray:
    """Return which detections have the size of somebody alive."""
    longest = seen.extent_m[:, :2].max(axis=1, initial=0.0)
    slender = seen.extent_m[:, :2].min(axis=1, initial=math.inf) / np.maximum(longest, 1e-6)
    measured = np.stack([longest, seen.extent_m[:, 2], slender], axis=1)
    found = np.zeros(len(seen), dtype=bool)
    for limits in _ALIVE:
        low, high = np.array(limits[::2]), np.array(limits[1::2])
        found |= ((measured > low) & (measured < high)).all(axis=1)
    return found


def _is_a_ball(seen: Detections) -> np.ndarray:
    """Return which detections are small and as wide as long and high."""
    longest = seen.extent_m.max(axis=1, initial=0.0)
    return np.asarray((longest < _BALL_M) & (seen.extent_m.min(axis=1, initial=math.inf) > _ROUND * longest))
