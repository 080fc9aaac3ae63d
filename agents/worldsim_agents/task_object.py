"""Finding the thing that a task is about among unordered detections."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from worldsim.types.observation import Observation

_SAME_SIZE = 0.2  # relative error of an edge: ten times a detector's noise
_JUMP_M = 0.6  # nothing that these tasks are about moves so far between two looks
_FORGET_S = 0.5


@dataclass(frozen=True, slots=True)
class Sighting:
    """Where the thing was seen: time (s), position [3] (m), yaw (rad)."""

    time_s: float
    position: np.ndarray
    yaw_rad: float


def find_task_object(observation: Observation, last: Sighting | None) -> Sighting | None:
    """Return the detection of the size that ``task_object_extent_m`` names, near where it was last; None if missed."""
    task, seen = observation.task or {}, observation.detections
    extent = np.asarray(task["task_object_extent_m"], dtype=np.float64)
    misfit = np.abs(seen.extent_m / extent - 1.0).max(axis=1, initial=0.0)
    fits = misfit < _SAME_SIZE
    if last is not None and observation.time_s - last.time_s < _FORGET_S:
        fits &= np.linalg.norm(seen.position - last.position, axis=1) < _JUMP_M
    if not fits.any():
        return None
    row = int(np.flatnonzero(fits)[np.argmin(misfit[fits])])
    return Sighting(observation.time_s, seen.position[row].copy(), yaw_of(seen.orientation_xyzw[row]))


def yaw_of(orientation_xyzw: np.ndarray) -> float:
    """Return the heading of a body, rad."""
    x, y, z, w = (float(v) for v in orientation_xyzw)
    return math.atan2(2.0 * (w * z + x * y), 1.0 - 2.0 * (y * y + z * z))


def wrapped(angle_rad: float) -> float:
    """Return an angle in [-pi, pi]."""
    return math.remainder(angle_rad, 2.0 * math.pi)
