"""Which pairs could interact at all: neighbours by their hulls, found by a k-d tree."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation


def candidate_pairs(
    position: Float[np.ndarray, "N 3"],
    orientation_xyzw: Float[np.ndarray, "N 4"],
    extent_m: Float[np.ndarray, "N 3"],
    movable: Bool[np.ndarray, " N"],
    reach_m: float,
) -> tuple[Int[np.ndarray, "E 2"], Float[np.ndarray, " E"]]:
    """Return pairs (i < j) whose boxes are within `reach_m`, at least one of them movable, and their gaps in m.

    Each movable box is looked up among all others within its own bounding radius plus the largest one that is near;
    the gap is the largest separation over the six face normals of the two boxes (Gottschalk, Lin and Manocha 1996;
    without the nine edge axes, so that two boxes edge to edge count as a little nearer than they are).
    """
    rows = np.flatnonzero(movable)
    if len(rows) == 0 or len(position) < 2:
        return np.zeros((0, 2), dtype=np.int64), np.zeros(0)
    radius = 0.5 * np.linalg.norm(extent_m, axis=1)
    # a few long fixtures (walls) would make every search as wide as they are long: they are tried against all movers
    large = radius > np.quantile(radius, 0.9) + 1e-9
    common = float(radius[~large].max()) if (~large).any() else 0.0
    small_index = np.flatnonzero(~large)
    first: list[np.ndarray] = []
    second: list[np.ndarray] = []
    if len(small_index):
        hits = cKDTree(position[small_index]).query_ball_point(position[rows], radius[rows] + common + reach_m)
        first.append(np.repeat(rows, [len(h) for h in hits]))
        second.append(small_index[np.concatenate([np.asarray(h, dtype=np.int64) for h in hits])])
    big = np.flatnonzero(large)
    first.append(np.repeat(rows, len(big)))
    second.append(np.tile(big, len(rows)))
    a, b = np.concatenate(first), np.concatenate(second)
    pairs = np.unique(np.stack([np.minimum(a, b), np.maximum(a, b)], axis=1)[a != b], axis=0)
    gap = box_gap(position, orientation_xyzw, extent_m, pairs)
    near = gap < reach_m
    return pairs[near], gap[near]


def box_gap(
    position: Float[np.ndarray, "N 3"],
    orientation_xyzw: Float[np.ndarray, "N 4"],
    extent_m: Float[np.ndarray, "N 3"],
    pairs: Int[np.ndarray, "E 2"],
) -> Float[np.ndarray, " E"]:
    """Return the separation of each pair of boxes along the best of their face normals, m (negative: overlap)."""
    if len(pairs) == 0:
        return np.zeros(0)
    axes = Rotation.from_quat(orientation_xyzw).as_matrix()
    i, j = pairs[:, 0], pairs[:, 1]
    normals = np.concatenate([axes[i], axes[j]], axis=2)  # [E, 3, 6], columns are face normals
    centre = np.abs(np.einsum("ea,eak->ek", position[j] - position[i], normals))
    reach_i = np.einsum("eab,eak,eb->ekb", axes[i], normals, 0.5 * extent_m[i])
    reach_j = np.einsum("eab,eak,eb->ekb", axes[j], normals, 0.5 * extent_m[j])
    return (centre - np.abs(reach_i).sum(-1) - np.abs(reach_j).sum(-1)).max(axis=1)
