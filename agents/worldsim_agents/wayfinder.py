"""How scripted experts find their way: a map of what stands, tracks of who moves, and a try of a few commands."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float

from worldsim.planning.boxes import Boxes
from worldsim.planning.route import Obstacles, Route, find_route
from worldsim.types.observation import Detections, EgoState
from worldsim_agents.driving import SPEED_M_S, YAW_RATE_RAD_S, forward_speed, pose_of
from worldsim_agents.task_object import yaw_of

__all__ = ["ALIVE", "BODY_M", "Mover", "Wayfinder"]

_SAME_M, _FORGET_S = 0.45, 0.6
_GAIN, _RATE_GAIN = 0.6, 0.25  # of the alpha-beta filter
_BALL_M, _ROUND = 0.5, 0.85  # smaller than that, and as wide as long: a ball, which may be rolled over
_AT_REST_M_S, _PARKED_S, _NO_ROOM_M = 0.15, 1.5, 1e-3  # slower for so long is parked
_LEAST_HEIGHT_M = 0.05  # what is lower is driven over
_SEEN_TIMES = 3  # of what stands, before it is believed
BODY_M = 0.40
"""Half the robot's width and a margin, for what stands."""
_LOAD_M = 0.30  # the same of what is carried
_CORE_M = 0.20  # less than half the robot's width: its middle gets no nearer to what stands, whatever is commanded
_REPLAN_S = 1.0
_HORIZON_S, _STEP_S = 2.0, 0.2
_SPEEDS, _TURNS = (1.0, 0.6, 0.25, 0.0, -0.5), (-1.0, -0.5, -0.2, 0.0, 0.2, 0.5, 1.0)


class Mover(NamedTuple):
    """The looks of something that moves, and how far to keep from it.

    Attributes:
        longest_m, height_m: range of the longer edge and of the height.
        slender: range of the shorter edge over the longer one.
        room_m: between the robot's middle and its own.
        parks: whether it may stand for long: at rest it is an obstacle like another, and has no room of its own.
    """

    longest_m: tuple[float, float]
    height_m: tuple[float, float]
    slender: tuple[float, float]
    room_m: float = 0.9
    parks: bool = False

    def is_seen(self, seen: Detections) -> Bool[np.ndarray, " M"]:
        """Return which detections look so."""
        longest = seen.extent_m[:, :2].max(axis=1, initial=0.0)
        slender = seen.extent_m[:, :2].min(axis=1, initial=math.inf) / np.maximum(longest, 1e-6)
        found = np.ones(len(seen), dtype=bool)
        for measured, (low, high) in (
            (longest, self.longest_m), (seen.extent_m[:, 2], self.height_m), (slender, self.slender),
        ):  # fmt: skip
            found &= (measured > low) & (measured < high)
        return found


ALIVE = (
    Mover((0.35, 0.70), (1.3, 2.1), (0.6, 1.0)),
    Mover((0.65, 1.00), (0.45, 0.75), (0.2, 0.5)),
    Mover((0.35, 0.60), (0.20, 0.40), (0.2, 0.5)),
)
"""People, dogs and cats."""


class _Tracks(NamedTuple):
    """Who moves: place [K, 2] m, velocity [K, 2] m/s, room [K] m, when it was seen and when it last moved [K] s."""

    place: Float[np.ndarray, "K 2"]
    velocity: Float[np.ndarray, "K 2"]
    room_m: Float[np.ndarray, " K"]
    seen_s: Float[np.ndarray, " K"]
    moved_s: Float[np.ndarray, " K"]


class Wayfinder:
    """Maps what stands from detections, tracks who moves, and gives the command that leads on along the route.

    Source: the dynamic window approach (Fox, Burgard & Thrun 1997) with moving obstacles, over the distance field of a
    grid route (Brock & Khatib 1999, "global dynamic window"); ours takes everybody to go straight on.
    """

    def __init__(
        self, movers: tuple[Mover, ...] = ALIVE, forget_s: float = math.inf, overhead_m: float = math.inf
    ) -> None:
        """Begin with an empty map.

        Args:
            movers: looks of what is tracked; whatever else is seen is taken to stand.
            forget_s: what stands is forgotten when it was not seen for so long.
            overhead_m: what begins higher than that stands in nobody's way.
        """
        self.movers, self.forget_s, self.overhead_m = movers, forget_s, overhead_m
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        self._tracks = _Tracks(np.zeros((0, 2)), np.zeros((0, 2)), np.zeros(0), np.zeros(0), np.zeros(0))
        self._standing: np.ndarray = np.zeros((0, 7))  # x, y, yaw, length, width, times seen, last seen at (s)
        self._route: Route | None = None
        self._routed_s = -math.inf
        self._last_s = 0.0

    # ------------------------------------------------------------------ what is where

    def look(self, seen: Detections, now: float, left_out: Float[np.ndarray, "2"] | None = None) -> None:
        """Take in what is seen at time `now`, s.

        Args:
            seen: detections.
            now: s.
            left_out: place of something that is no obstacle, since it is carried.
        """
        ball, moves, room = _is_a_ball(seen), np.zeros(len(seen), dtype=bool), np.zeros(len(seen))
        parked = _near(seen.position[:, :2], self._tracks.place[now - self._tracks.moved_s > _PARKED_S])
        for mover in self.movers:
            found = mover.is_seen(seen)
            moves |= found
            parked &= ~found | mover.parks
            room[found] = mover.room_m
        room[parked] = _NO_ROOM_M
        self._track(seen.position[moves & ~ball][:, :2], room[moves & ~ball], now)
        stands = (~moves | parked) & ~ball & (seen.extent_m[:, 2] > _LEAST_HEIGHT_M)
        stands &= seen.position[:, 2] - seen.extent_m[:, 2] / 2.0 < self.overhead_m
        if left_out is not None:
            stands &= np.linalg.norm(seen.position[:, :2] - left_out, axis=1) > _SAME_M
            self._standing = self._standing[np.linalg.norm(self._standing[:, :2] - left_out, axis=1) > _SAME_M]
        self._map(seen, stands, now)

    def _track(self, places: np.ndarray, rooms: np.ndarray, now: float) -> None:
        """Follow everybody by nearest neighbours."""
        dt, self._last_s = now - self._last_s, now
        known = self._tracks
        place, velocity, room_m = known.place + dt * known.velocity, known.velocity, known.room_m
        seen_s, moved_s = known.seen_s, known.moved_s
        for found, room in zip(places, rooms, strict=True):
            away = np.linalg.norm(place - found, axis=1) if len(place) else np.full(1, math.inf)
            at = int(np.argmin(away))
            if away[at] < _SAME_M:
                off = found - place[at]
                place[at] += _GAIN * off
                velocity[at] += _RATE_GAIN / max(dt, 1e-3) * off
                seen_s[at], room_m[at] = now, room
            else:
                place, velocity = np.vstack([place, found]), np.vstack([velocity, np.zeros(2)])
                seen_s, room_m, moved_s = np.append(seen_s, now), np.append(room_m, room), np.append(moved_s, now)
        moved_s = np.where(np.linalg.norm(velocity, axis=1) > _AT_REST_M_S, now, moved_s)
        kept = now - seen_s < _FORGET_S
        self._tracks = _Tracks(*(column[kept] for column in (place, velocity, room_m, seen_s, moved_s)))

    def _map(self, seen: Detections, rows: np.ndarray, now: float) -> None:
        """Keep what stands: a detection near an entry of its size moves it a little, any other begins one."""
        for row in np.flatnonzero(rows):
            found = np.array([*seen.position[row, :2], yaw_of(seen.orientation_xyzw[row]), *seen.extent_m[row, :2]])
            near = np.linalg.norm(self._standing[:, :2] - found[:2], axis=1) < _SAME_M
            near &= np.abs(self._standing[:, 3:5] - found[3:5]).max(axis=1, initial=0.0) < _SAME_M
            if near.any():
                at = int(np.flatnonzero(near)[0])
                self._standing[at, :5] = found
                self._standing[at, 5:] = self._standing[at, 5] + 1.0, now
            else:
                self._standing = np.vstack([self._standing, [*found, 1.0, now]])
        self._standing = self._standing[now - self._standing[:, 6] < self.forget_s]

    def outlines(self, left_out: Float[np.ndarray, "2"] | None = None) -> Boxes:
        """Return what stands, but for what is at `left_out`."""
        known = self._standing[self._standing[:, 5] >= _SEEN_TIMES]
        if left_out is not None:
            known = known[np.linalg.norm(known[:, :2] - left_out, axis=1) > _SAME_M]
        table = torch.from_numpy(known).float()
        direction = torch.stack([torch.cos(table[:, 2]), torch.sin(table[:, 2])], dim=-1)
        return Boxes(table[None, :, :2], direction, table[:, 3:5] / 2.0, torch.zeros(1, len(known)))

    def comes_near(self, here: Float[np.ndarray, "3"], within_s: float) -> bool:
        """Return whether somebody comes nearer than their room to who stays `here`, if all go straight on."""
        times = np.arange(0.0, within_s + 1e-9, _STEP_S)[:, None, None]
        gap = np.linalg.norm(self._tracks.place + times * self._tracks.velocity - here[:2], axis=-1)
        return bool((gap < self._tracks.room_m).any())

    # ------------------------------------------------------------------ where to go

    def lead(
        self, ego: EgoState, goal: Float[np.ndarray, "2"], load_ahead_m: float | None = None
    ) -> tuple[float, float]:
        """Return the speed (m/s) and the yaw rate (rad/s) that lead on to a place.

        Args:
            ego: the own body.
            goal: (x, y) m.
            load_ahead_m: distance to the middle of what is carried in front, None where nothing is.
        """
        here, now = pose_of(ego), self._last_s
        stale = self._route is None or not self._route.leads_to((float(goal[0]), float(goal[1])))
        if stale or now - self._routed_s > _REPLAN_S:
            standing = self.outlines()
            none = standing.select(torch.zeros(0, dtype=torch.int64))
            start, end = (float(here[0]), float(here[1])), (float(goal[0]), float(goal[1]))
            self._route = find_route(Obstacles(standing, none), start, end, BODY_M)
            self._routed_s = now
        assert self._route is not None
        speed, turn = self._choose(self._route, here, forward_speed(ego), goal, load_ahead_m)
        return speed * SPEED_M_S, turn * YAW_RATE_RAD_S

    def _choose(
        self, route: Route, here: np.ndarray, speed_m_s: float, goal: np.ndarray, load_ahead_m: float | None
    ) -> tuple[float, float]:
        """Return the best (speed, yaw rate) in units of the limits."""
        times = np.arange(_STEP_S, _HORIZON_S + 1e-9, _STEP_S)
        pairs = np.array([(speed, turn) for speed in _SPEEDS for turn in _TURNS])
        yaw = here[2] + pairs[:, 1:] * YAW_RATE_RAD_S * times
        asked = pairs[:, :1] * SPEED_M_S
        pace = asked + (speed_m_s - asked) * np.exp(-5.0 * times)  # the speed follows its command within about 0.2 s
        ahead = np.stack([np.cos(yaw), np.sin(yaw)], axis=-1)
        steps = _STEP_S * pace[..., None] * ahead
        way = here[:2] + np.cumsum(steps, axis=1)  # [S, T, 2]
        points = torch.from_numpy(way).float()
        left = route.distance_to_go(points).numpy()
        left = np.where(np.linalg.norm(way - goal, axis=-1) < 0.3, 0.0, left)
        blocking = route.obstacles.blocking
        gap = np.full(left.shape, math.inf)
        if len(blocking):
            gap = blocking.signed_distance(points).amin(dim=-1).numpy()
            if load_ahead_m is not None:
                load = torch.from_numpy(way + load_ahead_m * ahead).float()
                gap = np.minimum(gap, blocking.signed_distance(load).amin(dim=-1).numpy() + (BODY_M - _LOAD_M))
        left = _until_blocked(left, gap)
        cost = left.min(axis=1) + 0.3 * left[:, -1] + 0.3 * _off_course(route, way[:, -1], yaw[:, -1])
        cost += 0.02 * np.abs(pairs[:, 1]) + 0.4 * (pairs[:, 0] < 0.0)
        if len(blocking):
            cost += (np.maximum(BODY_M - gap, 0.0) / BODY_M * (6.0 / (0.5 + times))).max(axis=1)
        if len(self._tracks.place):
            people = self._tracks.place[None] + times[:, None, None] * self._tracks.velocity[None]  # [T, N, 2]
            gap = np.linalg.norm(people[None] - way[:, :, None], axis=-1)
            near = (np.maximum(self._tracks.room_m - gap, 0.0) / self._tracks.room_m).max(axis=2)
            cost += (near * (8.0 / (0.3 + times))).max(axis=1)  # who is near soon matters most
        speed, turn = pairs[int(np.argmin(cost))]
        return float(speed), float(turn)


def _off_course(route: Route, place: np.ndarray, yaw: np.ndarray) -> np.ndarray:
    """Return how far, in [0, 2], headings at places are from where the route goes on: [S]."""
    reach = 0.4
    ahead = np.stack([np.cos(yaw), np.sin(yaw)], axis=-1)
    points = torch.from_numpy(np.stack([place, place + reach * ahead])).float()
    there, on = route.distance_to_go(points).numpy()
    return np.asarray(np.clip(1.0 - (there - on) / reach, 0.0, 2.0))


def _until_blocked(left: Float[np.ndarray, "S T"], gap: Float[np.ndarray, "S T"]) -> Float[np.ndarray, "S T"]:
    """Return the distance to go, m, as it stays from where a way comes to stand before something: no way is through it.

    A way that begins there, by an error of the map, is taken as it is.
    """
    through = np.maximum.accumulate((gap < _CORE_M) & (gap[:, :1] >= _CORE_M), axis=1)
    last = np.maximum(np.argmax(through, axis=1) - 1, 0)
    return np.where(through, np.take_along_axis(left, last[:, None], axis=1), left)


def _is_a_ball(seen: Detections) -> Bool[np.ndarray, " M"]:
    """Return which detections are small and as wide as long and high."""
    longest = seen.extent_m.max(axis=1, initial=0.0)
    return np.asarray((longest < _BALL_M) & (seen.extent_m.min(axis=1, initial=math.inf) > _ROUND * longest))


def _near(places: Float[np.ndarray, "M 2"], others: Float[np.ndarray, "K 2"]) -> Bool[np.ndarray, " M"]:
    """Return which places are those of one of the others."""
    away = np.linalg.norm(places[:, None] - others[None], axis=2)
    return np.asarray(away.min(axis=1, initial=math.inf) < _SAME_M)
