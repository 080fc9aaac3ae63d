"""Pictures of the true scene for people, and the robot's own camera."""

from __future__ import annotations

import math

from worldsim.simulation.engine import PinholeCamera
from worldsim.simulation.geometry import floats3, floats4, turned
from worldsim.simulation.scene import Quaternion, Vector
from worldsim.types.truth import WorldTruth

OVERVIEW = PinholeCamera((0.5, -12.5, 15.5), (0.2, -0.6, 0.0), (0.0, 0.0, 1.0), 0.78, 800, 500, 1.0, 60.0)
"""The whole hall from above its south wall."""

PLAN = PinholeCamera((0.0, 0.0, 24.0), (0.0, 0.0, 0.0), (0.0, 1.0, 0.0), 0.66, 800, 560, 10.0, 30.0)
"""Straight down; one metre is the same everywhere on the floor, so drawings can be laid over it."""

EYE_SIZE = 64
EYE_FIELD_RAD = 1.4


def following(truth: WorldTruth) -> PinholeCamera:
    """Return a camera above and behind the commanded body; the overview where there is none."""
    if truth.ego is None:
        return OVERVIEW
    row = truth.names.index(truth.ego)
    x, y, z = floats3(truth.position[row])
    forward = turned(floats4(truth.orientation_xyzw[row]), (1.0, 0.0, 0.0))
    back = math.hypot(forward[0], forward[1]) or 1.0
    ux, uy = forward[0] / back, forward[1] / back
    position = (x - 3.2 * ux, y - 3.2 * uy, z + 2.8)
    return PinholeCamera(position, (x + 1.2 * ux, y + 1.2 * uy, z), (0.0, 0.0, 1.0), 1.0, 800, 500, 0.2, 40.0)


def eye(position: Vector, orientation_xyzw: Quaternion) -> PinholeCamera:
    """Return the robot's own camera: at the top of the mast, looking forward and a little down."""
    ahead = turned(orientation_xyzw, (1.0, 0.0, -0.35))
    up = turned(orientation_xyzw, (0.35, 0.0, 1.0))
    target = (position[0] + ahead[0], position[1] + ahead[1], position[2] + ahead[2])
    return PinholeCamera(position, target, up, EYE_FIELD_RAD, EYE_SIZE, EYE_SIZE, 0.05, 16.0)
