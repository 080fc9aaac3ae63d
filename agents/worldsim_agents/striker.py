"""A scripted expert of the game of `Billiards`: it chooses a shot, lines up behind the cue ball, strikes, and waits."""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from worldsim.contracts.agent import Agent
from worldsim.errors import ConfigurationError
from worldsim.types.observation import Observation
from worldsim.types.record import StepRecord
from worldsim_agents.driving import around, command, facing, pose_of, towards
from worldsim_agents.task_object import wrapped

_STAGE_M = 0.95  # from the cue ball's middle: from here it is driven at
_KEPT_M = 0.62  # from every ball on the way
_ARRIVED_M, _ALIGNED_RAD = 0.06, 0.012
_STRIKE_M_S, _NUDGE_M_S = 1.2, 0.4  # of a shot at a pocket, and of one to elsewhere
_NUDGED_M = 1.8  # the cue ball rolls about so far by the latter
_RUN_OUT_M = 0.5  # the robot stops within this of where it struck
_STRIKE_S, _BACK_S, _WAIT_S = 3.0, 0.7, 8.0
_STILL_M_S = 0.03
_GAIN, _RATE_GAIN = 0.35, 0.05  # of the alpha-beta filter of each ball
_SAME_M, _FORGET_S, _COLOUR = 0.35, 1.5, 0.15
_STEEPEST = math.radians(68.0)  # cut
_HEADINGS = 24  # among which to look for a shot that pots nothing
_ROBOT_M = 0.45  # half a diagonal of the robot: kept from the cushions


class Stage(enum.StrEnum):
    """What the striker is at."""

    WAIT = "wait"
    GO = "go"
    FACE = "face"
    STRIKE = "strike"
    BACK = "back"


@dataclass(slots=True)
class Ball:
    """What is believed of a ball: place, velocity, radius (m), colour, and when it was seen last (s)."""

    place: np.ndarray
    velocity: np.ndarray
    radius_m: float
    colour: np.ndarray
    seen_s: float


@dataclass(frozen=True, slots=True)
class Table:
    """What the task says: pockets [6, 2], their radius, half edges, and colour of the cue ball."""

    pockets: np.ndarray
    pocket_m: float
    half_m: np.ndarray
    cue_colour: np.ndarray


class Striker(Agent):
    """Of the shots with a clear way it takes the one whose faults grow least on the way to the pocket.

    Where there is none, it plays the cue ball to somewhere else.
    """

    def __init__(self) -> None:
        """Build the agent."""
        self.reset()

    def __repr__(self) -> str:
        """Return what the agent was built with."""
        return "Striker()"

    def reset(self) -> None:
        """Forget the last episode."""
        self.stage = Stage.WAIT
        self.balls: list[Ball] = []
        self._since_s = 0.0
        self._heading, self._strike_m_s = 0.0, _STRIKE_M_S

    def act(
        self, observation: Observation, record: StepRecord | None, rng: np.random.Generator
    ) -> Float[np.ndarray, "3"]:
        """Return the action for the coming frame.

        Raises:
            ConfigurationError: the observation is of another task.
        """
        del record, rng
        task, ego = observation.task or {}, observation.ego
        if ego is None or "task_pockets_m" not in task:
            raise ConfigurationError("Striker: the observation is not of the game of Billiards.")
        table = Table(
            np.asarray(task["task_pockets_m"], dtype=np.float64).reshape(-1, 2),
            float(np.asarray(task["task_pocket_radius_m"]).reshape(-1)[0]),
            np.asarray(task["task_floor_half_m"], dtype=np.float64),
            np.asarray(task["task_cue_colour"], dtype=np.float64),
        )
        self._look(observation, float(np.asarray(task["task_cue_extent_m"]).reshape(-1)[0]))
        cue = self._cue(table)
        if cue is None:
            return command(0.0, 0.0)
        here, before = pose_of(ego), self.stage
        speed, turn = self._go(here, float(ego.extent_m[0]) / 2.0, cue, table, observation.time_s)
        if self.stage is not before:
            self._since_s = observation.time_s
        return command(speed, turn)

    # ------------------------------------------------------------------ looking

    def _look(self, observation: Observation, diameter_m: float) -> None:
        """Follow the balls: detections that are as wide as long as high, each by an alpha-beta filter of its own."""
        seen, now = observation.detections, observation.time_s
        size = seen.extent_m.mean(axis=1)
        round_ = np.abs(seen.extent_m / np.maximum(size, 1e-6)[:, None] - 1.0).max(axis=1, initial=0.0) < 0.12
        for row in np.flatnonzero(round_ & (np.abs(size / diameter_m - 1.0) < 0.4)):
            place, colour = seen.position[row, :2].copy(), seen.colour[row]
            known = [b for b in self.balls if np.abs(b.colour - colour).max() < _COLOUR]
            ahead = [float(np.linalg.norm(b.place + (now - b.seen_s) * b.velocity - place)) for b in known]
            if ahead and min(ahead) < _SAME_M:
                _follow(known[int(np.argmin(ahead))], place, float(size[row]) / 2.0, now)
            else:
                self.balls.append(Ball(place, np.zeros(2), float(size[row]) / 2.0, colour.copy(), now))
        self.balls = [b for b in self.balls if now - b.seen_s < _FORGET_S]

    def _cue(self, table: Table) -> Ball | None:
        """Return the ball of the cue ball's colour."""
        off = [float(np.abs(ball.colour - table.cue_colour).max()) for ball in self.balls]
        return self.balls[int(np.argmin(off))] if off and min(off) < _COLOUR else None

    # ------------------------------------------------------------------ acting

    def _go(self, here: np.ndarray, front_m: float, cue: Ball, table: Table, now_s: float) -> tuple[float, float]:
        """Follow the stages; return the speed (m/s) and the yaw rate (rad/s) to drive."""
        waited = now_s - self._since_s
        if self.stage is Stage.BACK:
            if waited < _BACK_S:
                return -0.5, 0.0
            self.stage, waited = Stage.WAIT, 0.0
        if self.stage is Stage.WAIT:
            moving = max(float(np.linalg.norm(ball.velocity)) for ball in self.balls) > _STILL_M_S
            if now_s < 0.5 or (moving and waited < _WAIT_S):
                return 0.0, 0.0
            self.stage = Stage.GO
        along = _along(self._heading)
        if self.stage is not Stage.STRIKE:
            self._heading = self._shot(here, cue, table)
            along = _along(self._heading)
        start = cue.place - _STAGE_M * along
        if self.stage is Stage.GO:
            if float(np.linalg.norm(start - here[:2])) > _ARRIVED_M:
                places = [ball.place for ball in self.balls]
                return towards(here, _kept_inside(around(here[:2], start, places, _KEPT_M), table))
            self.stage = Stage.FACE
        if self.stage is Stage.FACE:
            if float(np.linalg.norm(start - here[:2])) > 3.0 * _ARRIVED_M:
                self.stage = Stage.GO
                return 0.0, 0.0
            if abs(wrapped(self._heading - here[2])) > _ALIGNED_RAD:
                return 0.0, facing(here, self._heading)
            self.stage, self._since_s = Stage.STRIKE, now_s
        return self._strike(here, front_m, cue, along, now_s)

    def _strike(
        self, here: np.ndarray, front_m: float, cue: Ball, along: np.ndarray, now_s: float
    ) -> tuple[float, float]:
        """Drive at the cue ball on the line of the shot, square to it at the end; brake once it is on its way."""
        gone = float(np.linalg.norm(cue.velocity)) > 0.35 * self._strike_m_s
        if gone or now_s - self._since_s > _STRIKE_S:
            self.stage = Stage.BACK
            return 0.0, 0.0
        offset = cue.place - here[:2]
        gap = float(offset @ along) - front_m - cue.radius_m
        beside = float(along[0] * offset[1] - along[1] * offset[0])
        steer = float(np.clip(1.5 * beside, -0.2, 0.2)) if gap > 0.25 else 0.0
        return self._strike_m_s, 6.0 * wrapped(self._heading + steer - here[2])

    # ------------------------------------------------------------------ choosing a shot

    def _shot(self, here: np.ndarray, cue: Ball, table: Table) -> float:
        """Return the heading of the shot whose faults are the smallest at the pocket, else of one to elsewhere."""
        best, heading = math.inf, None
        for ball in self.balls:
            if ball is cue:
                continue
            for pocket in table.pockets:
                cost, angle = self._cost(here, cue, ball, pocket, table)
                if cost < best:
                    best, heading = cost, angle
        self._strike_m_s = _NUDGE_M_S if heading is None else _STRIKE_M_S
        return heading if heading is not None else self._elsewhere(here, cue, table)

    def _elsewhere(self, here: np.ndarray, cue: Ball, table: Table) -> float:
        """Return the heading of a shot that brings the cue ball elsewhere, from a place that can be got to."""
        others = [ball for ball in self.balls if ball is not cue]

        def cost(heading: float) -> float:
            start, ahead = cue.place - _STAGE_M * _along(heading), cue.place + _NUDGED_M * _along(heading)
            outside = float(np.maximum(np.abs(start) - (table.half_m - _ROBOT_M), 0.0).sum())
            bounces = bool((np.abs(ahead) > table.half_m).any())
            crowded = sum(float(np.linalg.norm(start - ball.place)) < _KEPT_M for ball in others)
            far = float(np.linalg.norm(start - here[:2]))
            potted = any(
                not _clear(cue.place, ahead, cue, [Ball(pocket, np.zeros(2), table.pocket_m, cue.colour, 0.0)])
                for pocket in table.pockets
            )
            return 10.0 * (outside > 0.0) + outside + 2.0 * (crowded + potted) + bounces + 0.3 * far

        return min((2.0 * math.pi * k / _HEADINGS for k in range(_HEADINGS)), key=cost)

    def _cost(self, here: np.ndarray, cue: Ball, ball: Ball, pocket: np.ndarray, table: Table) -> tuple[float, float]:
        """Return how far off the ball comes to the pocket for an aim that is 1 rad off (m), and the heading."""
        way = pocket - ball.place
        far = float(np.linalg.norm(way))
        onwards = way / max(far, 1e-6)
        touch = cue.radius_m + ball.radius_m
        ghost = ball.place - touch * onwards  # where the cue ball is when they meet
        aim = ghost - cue.place
        near = float(np.linalg.norm(aim))
        heading = math.atan2(aim[1], aim[0])
        straight = float(aim @ onwards) / max(near, 1e-6)
        start = cue.place - _STAGE_M * _along(heading)
        if straight < math.cos(_STEEPEST) or near < _RUN_OUT_M or (np.abs(start) > table.half_m - _ROBOT_M).any():
            return math.inf, heading
        others = [b for b in self.balls if b is not cue and b is not ball]
        if not (_clear(cue.place, ghost, cue, others) and _clear(ball.place, pocket, ball, others)):
            return math.inf, heading
        round_m = float(np.linalg.norm(start - here[:2]))
        return near / (touch * straight) * max(far - table.pocket_m, 0.1) + 0.2 * round_m, heading


def _follow(ball: Ball, place: np.ndarray, radius_m: float, now_s: float) -> None:
    """Correct what is believed of a ball by one detection."""
    dt = max(now_s - ball.seen_s, 1e-3)
    off = place - (ball.place + dt * ball.velocity)
    if float(np.linalg.norm(off)) > 0.06:  # it was struck
        ball.velocity = (place - ball.place) / dt
        ball.place = place
    else:
        ball.place = ball.place + dt * ball.velocity + _GAIN * off
        ball.velocity = ball.velocity + _RATE_GAIN / dt * off
    ball.radius_m += 0.05 * (radius_m - ball.radius_m)
    ball.seen_s = now_s


def _clear(start: np.ndarray, end: np.ndarray, moving: Ball, others: list[Ball]) -> bool:
    """Return whether `moving` gets from one place to the other without touching any of the others."""
    way = end - start
    length = float(np.linalg.norm(way))
    along = way / max(length, 1e-6)
    for ball in others:
        offset = ball.place - start
        ahead, beside = float(offset @ along), float(along[0] * offset[1] - along[1] * offset[0])
        if -0.1 < ahead < length + 0.1 and abs(beside) < moving.radius_m + ball.radius_m + 0.03:
            return False
    return True


def _kept_inside(place: np.ndarray, table: Table) -> np.ndarray:
    """Return the place, far enough from the cushions for the robot to turn."""
    room = table.half_m - _ROBOT_M + 0.05
    return np.clip(place, -room, room)


def _along(heading_rad: float) -> np.ndarray:
    return np.array([math.cos(heading_rad), math.sin(heading_rad)])
