"""How much of one planar outline another one covers."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float
from scipy.spatial import ConvexHull, QhullError

Box = tuple[float, float, float, float]
Pose = tuple[float, float, float]

_ON_THE_LINE_M = 1e-9
_FIRST, _SECOND = np.triu_indices(8, 1)  # the pairs of the eight sides of two boxes


def overlap_share(outline: tuple[Box, ...], first: Pose, second: Pose) -> float:
    """Return the share of an outline's area that it has in common with itself at another pose.

    Args:
        outline: boxes that do not overlap, (x, y, length, width) in the frame of the body, m.
        first, second: poses (x, y, yaw) of the body, m and rad.

    >>> round(overlap_share(((0.0, 0.0, 2.0, 1.0),), (0.0, 0.0, 0.0), (0.5, 0.0, 0.0)), 9)
    0.75
    """
    area = sum(length * width for _, _, length, width in outline)
    shared = sum(_shared_m2(_sides(a, first), _sides(b, second)) for a in outline for b in outline)
    return min(1.0, shared / area)


def _sides(box: Box, pose: Pose) -> Float[np.ndarray, "4 3"]:
    """Return the half planes of a box, (a, b, c) with a x + b y <= c inside."""
    x, y, length, width = box
    c, s = math.cos(pose[2]), math.sin(pose[2])
    at = np.array([pose[0] + c * x - s * y, pose[1] + s * x + c * y])
    normals = np.array([[c, s], [-s, c], [-c, -s], [s, -c]])
    reach = normals @ at + np.array([length, width, length, width]) / 2.0
    return np.concatenate([normals, reach[:, None]], axis=1)


def _shared_m2(first: Float[np.ndarray, "4 3"], second: Float[np.ndarray, "4 3"]) -> float:
    """Return the area inside all half planes: the hull of those crossings of sides that lie inside."""
    sides = np.concatenate([first, second])
    (a, b, c), (d, e, f) = sides[_FIRST].T, sides[_SECOND].T
    turn = a * e - b * d
    cross = np.abs(turn) > 1e-12  # parallel sides do not
    crossings = np.stack([c * e - b * f, a * f - c * d], axis=1)[cross] / turn[cross, None]
    inside = (crossings @ sides[:, :2].T <= sides[:, 2] + _ON_THE_LINE_M).all(axis=1)
    if np.count_nonzero(inside) < 3:
        return 0.0
    try:
        return float(ConvexHull(crossings[inside]).volume)
    except QhullError:  # they touch along a line
        return 0.0
