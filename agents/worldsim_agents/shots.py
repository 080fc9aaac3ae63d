"""Shots on a table with pockets: which ball into which pocket, and from where to strike the cue ball."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np

from worldsim_agents.task_object import wrapped

STAGE_M = 0.95
"""From the cue ball's middle: from here it is driven at."""
KEPT_M = 0.62
"""From every ball on the way."""
STRIKE_M_S, NUDGE_M_S = 1.2, 0.4
"""Of a shot at a pocket, and of one to elsewhere."""
ROBOT_M = 0.45
"""Half a diagonal of the robot: kept from the cushions."""
_NUDGED_M = 1.8  # the cue ball rolls about so far by a shot to elsewhere
_RUN_OUT_M = 0.5  # the robot stops within this of where it struck
_STEEPEST = math.radians(68.0)  # cut
_HEADINGS = 24  # among which to look for a shot that pots nothing


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

    @classmethod
    def of(cls, task: Mapping[str, np.ndarray]) -> Self:
        """Return the table that a task tells of."""
        return cls(
            np.asarray(task["task_pockets_m"], dtype=np.float64).reshape(-1, 2),
            float(np.asarray(task["task_pocket_radius_m"]).reshape(-1)[0]),
            np.asarray(task["task_floor_half_m"], dtype=np.float64),
            np.asarray(task["task_cue_colour"], dtype=np.float64),
        )


def choose_shot(here: np.ndarray, cue: Ball, balls: list[Ball], table: Table) -> tuple[float, float]:
    """Return heading and speed of the shot whose faults are the smallest at the pocket, else of one to elsewhere."""
    best, heading = math.inf, None
    for ball in balls:
        if ball is cue:
            continue
        for pocket in table.pockets:
            cost, angle = _cost(here, cue, ball, balls, pocket, table)
            if cost < best:
                best, heading = cost, angle
    return (_elsewhere(here, cue, balls, table), NUDGE_M_S) if heading is None else (heading, STRIKE_M_S)


def _elsewhere(here: np.ndarray, cue: Ball, balls: list[Ball], table: Table) -> float:
    """Return the heading of a shot that brings the cue ball elsewhere, from a place that can be got to."""
    others = [ball for ball in balls if ball is not cue]

    def cost(heading: float) -> float:
        start, ahead = cue.place - STAGE_M * along_heading(heading), cue.place + _NUDGED_M * along_heading(heading)
        outside = float(np.maximum(np.abs(start) - (table.half_m - ROBOT_M), 0.0).sum())
        bounces = bool((np.abs(ahead) > table.half_m).any())
        crowded = sum(float(np.linalg.norm(start - ball.place)) < KEPT_M for ball in others)
        far = float(np.linalg.norm(start - here[:2]))
        potted = any(
            not _clear(cue.place, ahead, cue, [Ball(pocket, np.zeros(2), table.pocket_m, cue.colour, 0.0)])
            for pocket in table.pockets
        )
        return 10.0 * (outside > 0.0) + outside + 2.0 * (crowded + potted) + bounces + 0.3 * far

    return min((2.0 * math.pi * k / _HEADINGS for k in range(_HEADINGS)), key=cost)


def _cost(
    here: np.ndarray, cue: Ball, ball: Ball, balls: list[Ball], pocket: np.ndarray, table: Table
) -> tuple[float, float]:
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
    start = cue.place - STAGE_M * along_heading(heading)
    if straight < math.cos(_STEEPEST) or near < _RUN_OUT_M or (np.abs(start) > table.half_m - ROBOT_M).any():
        return math.inf, heading
    others = [b for b in balls if b is not cue and b is not ball]
    if not (_clear(cue.place, ghost, cue, others) and _clear(ball.place, pocket, ball, others)):
        return math.inf, heading
    round_m = float(np.linalg.norm(start - here[:2]))
    return near / (touch * straight) * max(far - table.pocket_m, 0.1) + 0.2 * round_m, heading


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


def along_heading(heading_rad: float) -> np.ndarray:
    """Return the unit vector of a heading."""
    return np.array([math.cos(heading_rad), math.sin(heading_rad)])


def strike(here: np.ndarray, front_m: float, cue: Ball, heading_rad: float, speed_m_s: float) -> tuple[float, float]:
    """Return speed (m/s) and yaw rate (rad/s) at the cue ball on the line of a shot, square to it at the end.

    Args:
        here: x, y and heading of the own body.
        front_m: from its middle to its front.
        cue: what is struck.
        heading_rad: of the shot.
        speed_m_s: of the strike.
    """
    along, offset = along_heading(heading_rad), cue.place - here[:2]
    gap = float(offset @ along) - front_m - cue.radius_m
    beside = float(along[0] * offset[1] - along[1] * offset[0])
    steer = float(np.clip(1.5 * beside, -0.2, 0.2)) if gap > 0.25 else 0.0
    return speed_m_s, 6.0 * wrapped(heading_rad + steer - here[2])


def kept_inside(place: np.ndarray, table: Table) -> np.ndarray:
    """Return the place, far enough from the cushions for the robot to turn."""
    room = table.half_m - ROBOT_M + 0.05
    return np.clip(place, -room, room)
