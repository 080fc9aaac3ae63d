"""Which pairs could interact at all: neighbours by their hulls, found in cells."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Int

from worldsim.dynamics.machine_code import compiled
from worldsim.dynamics.neighbours import all_pairs_within, pairs_within


def candidate_pairs(
    position: Float[np.ndarray, "N 3"],
    orientation_xyzw: Float[np.ndarray, "N 4"],
    extent_m: Float[np.ndarray, "N 3"],
    movable: Bool[np.ndarray, " N"],
    reach_m: float,
) -> tuple[Int[np.ndarray, "E 2"], Float[np.ndarray, " E"]]:
    """Return pairs (i < j) whose boxes are within `reach_m`, at least one of them movable, and their gaps in m.

    The gap is the largest separation over the six face normals of the two boxes (Gottschalk, Lin and Manocha 1996;
    without the nine edge axes, so that two boxes edge to edge count as a little nearer than they are).
    """
    rows = np.flatnonzero(movable)
    if len(rows) == 0 or len(position) < 2:
        return np.zeros((0, 2), dtype=np.int64), np.zeros(0)
    pairs = _near_spheres(position, 0.5 * np.linalg.norm(extent_m, axis=1), rows, reach_m)
    gap = box_gap(position, orientation_xyzw, extent_m, pairs)
    near = gap < reach_m
    return pairs[near], gap[near]


def _near_spheres(
    position: Float[np.ndarray, "N 3"], radius: Float[np.ndarray, " N"], rows: Int[np.ndarray, " n"], reach_m: float
) -> Int[np.ndarray, "E 2"]:
    """Return the pairs (i < j), one of them in `rows`, whose bounding spheres are within `reach_m` of each other.

    One search for each octave of radii: a few long fixtures (walls) would make every search in a common tree as wide as
    they are long. What it costs follows the pairs that are found, not the pairs that there are.
    """
    octave = np.floor(np.log2(np.maximum(radius, 1e-6))).astype(np.int64)
    if 2 * len(rows) > len(position) and (octave == octave[0]).all():  # one crowd: each pair is found once
        a, b, distance = all_pairs_within(position, 2.0 * float(radius.max()) + reach_m)
        movable = np.zeros(len(position), dtype=bool)
        movable[rows] = True
        kept = (distance - radius[a] - radius[b] < reach_m) & (movable[a] | movable[b])
        return np.stack([a[kept], b[kept]], axis=1)
    found: list[Int[np.ndarray, "E 2"]] = []
    for size in np.unique(octave):
        members = np.flatnonzero(octave == size)
        i, j, distance = pairs_within(position[rows], radius[rows] + radius[members].max() + reach_m, position[members])
        a, b = rows[i], members[j]
        apart = distance - radius[a] - radius[b]
        kept = (apart < reach_m) & (a != b)
        found.append(np.stack([np.minimum(a, b), np.maximum(a, b)], axis=1)[kept])
    pairs = np.concatenate(found)
    key = np.unique(pairs[:, 0] * len(position) + pairs[:, 1])  # a pair of two movable things is found from both sides
    return np.stack(np.divmod(key, len(position)), axis=1)


def box_gap(
    position: Float[np.ndarray, "N 3"],
    orientation_xyzw: Float[np.ndarray, "N 4"],
    extent_m: Float[np.ndarray, "N 3"],
    pairs: Int[np.ndarray, "E 2"],
) -> Float[np.ndarray, " E"]:
    """Return the separation of each pair of boxes along the best of their face normals, m (negative: overlap)."""
    if len(pairs) == 0:
        return np.zeros(0)
    place, turn, half = (
        np.ascontiguousarray(values, dtype=np.float64) for values in (position, orientation_xyzw, 0.5 * extent_m)
    )
    return _gaps(place, turn, half, np.ascontiguousarray(pairs))


@compiled
def _gaps(
    position: Float[np.ndarray, "N 3"],
    orientation_xyzw: Float[np.ndarray, "N 4"],
    half: Float[np.ndarray, "N 3"],
    pairs: Int[np.ndarray, "E 2"],
) -> Float[np.ndarray, " E"]:
    """Return `box_gap` of boxes of these half edges."""
    gap, axes, away = np.empty(len(pairs)), np.empty((2, 3, 3)), np.empty(3)
    for e in range(len(pairs)):
        for side in range(2):
            x, y, z, w = orientation_xyzw[pairs[e, side]]
            s = 2.0 / (x * x + y * y + z * z + w * w)
            axes[side, 0, 0], axes[side, 0, 1] = 1.0 - s * (y * y + z * z), s * (x * y - w * z)
            axes[side, 0, 2], axes[side, 1, 0] = s * (x * z + w * y), s * (x * y + w * z)
            axes[side, 1, 1], axes[side, 1, 2] = 1.0 - s * (x * x + z * z), s * (y * z - w * x)
            axes[side, 2, 0], axes[side, 2, 1] = s * (x * z - w * y), s * (y * z + w * x)
            axes[side, 2, 2] = 1.0 - s * (x * x + y * y)
        i, j = pairs[e, 0], pairs[e, 1]
        for k in range(3):
            away[k] = position[j, k] - position[i, k]
        best = -np.inf
        for side in range(2):
            mine, other = (i, j) if side == 0 else (j, i)
            for a in range(3):  # along the a-th axis of one of the two
                apart, reach = 0.0, half[mine, a]
                for k in range(3):
                    apart += away[k] * axes[side, k, a]
                for b in range(3):
                    shared = 0.0
                    for k in range(3):
                        shared += axes[side, k, a] * axes[1 - side, k, b]
                    reach += abs(shared) * half[other, b]
                best = max(best, abs(apart) - reach)
        gap[e] = best
    return gap
