"""Pictures of the true scene for people, and the robot's own camera."""

from __future__ import annotations

import math

from worldsim.simulation.engine import PinholeCamera
from worldsim.simulation.geometry import floats3, floats4, turned
from worldsim.simulation.scene import Quaternion, Vector
from worldsim.types.truth import WorldTruth

OVERVIEW = PinholeCamera((0.0, -9.0, 19.5), (0.0, -0.2, 0.0), (0.0, 0.0, 1.0), 0.73, 800, 500, 1.0, 60.0)
"""The whole hall from above its south wall."""

PLAN = PinholeCamera((0.0, 0.0, 24.0), (0.0, 0.0, 0.0), (0.0, 1.0, 0.0), 0.66, 800, 560, 10.0, 30.0)
"""Straight down; one metre is the same everywhere on the floor, so drawings can be laid over it."""

EYE_SIZE = 64
EYE_FIELD_RAD = 1.4
_EYE_FORWARD_M = 0.10  # out of the housing at the top of the mast


def following(truth: WorldTruth) -> PinholeCamera:
    """Return a camera above and behind the commanded body; the overview where there is none."""
    if truth.ego is None:
        return OVERVIEW
    row = truth.names.index(truth.ego)
    x, y, z = floats3(truth.position[row])
    forward = turned(floats4(truth.orientation_xyzw[row]), (1.0, 0.0, 0.0))
    back = math.hypot(forward[0], forward[1]) or 1.0
    ux, uy = forward[0] / back, forward[1] / back
    position = (x - 1.6 * ux, y - 1.6 * uy, z + 4.2)
    return PinholeCamera(position, (x + 1.0 * ux, y + 1.0 * uy, z), (0.0, 0.0, 1.0), 1.0, 800, 500, 0.2, 40.0)


def eye(mast: Vector, orientation_xyzw: Quaternion) -> PinholeCamera:
    """Return the robot's own camera: just before the top of the mast, looking forward and a little down."""
    forward = turned(orientation_xyzw, (1.0, 0.0, 0.0))
    ahead = turned(orientation_xyzw, (1.0, 0.0, -0.35))
    up = turned(orientation_xyzw, (0.35, 0.0, 1.0))
    x, y, z = (m + _EYE_FORWARD_M * f for m, f in zip(mast, forward, strict=True))
    target = (x + ahead[0], y + ahead[1], z + ahead[2])
    return PinholeCamera((x, y, z), target, up, EYE_FIELD_RAD, EYE_SIZE, EYE_SIZE, 0.05, 16.0)
