"""Driving the own body to places by hand-written rules: what the scripted experts share."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from worldsim.types.observation import EgoState
from worldsim_agents.task_object import wrapped, yaw_of

SPEED_M_S, YAW_RATE_RAD_S = 1.2, 1.5
"""What a full command stands for."""


def pose_of(ego: EgoState) -> Float[np.ndarray, "3"]:
    """Return (x, y, yaw) of the own body."""
    return np.array([*ego.position[:2], yaw_of(ego.orientation_xyzw)])


def forward_speed(ego: EgoState) -> float:
    """Return the measured speed along the heading, m/s."""
    yaw = yaw_of(ego.orientation_xyzw)
    return float(ego.linear_velocity[0] * math.cos(yaw) + ego.linear_velocity[1] * math.sin(yaw))


def command(speed_m_s: float, yaw_rate_rad_s: float, hold: float = 0.0) -> Float[np.ndarray, "3"]:
    """Return the action of a speed and a yaw rate, clipped to what the body can do."""
    return np.array(
        [np.clip(speed_m_s / SPEED_M_S, -1.0, 1.0), np.clip(yaw_rate_rad_s / YAW_RATE_RAD_S, -1.0, 1.0), hold],
        dtype=np.float32,
    )


def towards(
    here: Float[np.ndarray, "3"], place: Float[np.ndarray, "2"], fastest_m_s: float = 1.0
) -> tuple[float, float]:
    """Return speed (m/s) and yaw rate (rad/s) that lead to `place`: it turns on the spot first, then drives."""
    offset = place - here[:2]
    wrong = wrapped(math.atan2(offset[1], offset[0]) - here[2])
    if abs(wrong) > 0.7:
        return 0.0, 4.0 * wrong
    speed = min(fastest_m_s, 0.15 + 2.0 * float(np.linalg.norm(offset)))
    return speed * math.cos(wrong) ** 2, 4.0 * wrong


def facing(here: Float[np.ndarray, "3"], heading_rad: float) -> float:
    """Return the yaw rate (rad/s) that turns to a heading; it overcomes the wheels' own friction."""
    wrong = wrapped(heading_rad - here[2])
    return 4.0 * wrong + math.copysign(0.12, wrong)


def around(
    here: Float[np.ndarray, "2"],
    place: Float[np.ndarray, "2"],
    obstacles: Sequence[Float[np.ndarray, "2"]],
    gap_m: float,
) -> Float[np.ndarray, "2"]:
    """Return where to head for to get to `place` no nearer than `gap_m` to any obstacle: it, or a place beside one.

    Only the first obstacle in the way is gone round, on its nearer side; asked again on the way, that makes a path.
    """
    way = place - here
    length = float(np.linalg.norm(way))
    if length < 1e-6:
        return place
    along = way / length
    across = np.array([-along[1], along[0]])
    hit: tuple[float, np.ndarray] | None = None
    for obstacle in obstacles:
        offset = obstacle - here
        ahead, beside = float(offset @ along), float(offset @ across)
        if 0.0 < ahead < length and abs(beside) < gap_m - 0.02 and (hit is None or ahead < hit[0]):
            side = -math.copysign(1.0, beside)
            hit = (ahead, obstacle + side * gap_m * across)
    if hit is None:
        return place
    # already inside the circle: out of it first, sideways
    return np.asarray(hit[1])
