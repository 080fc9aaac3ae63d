"""Neighbour search: which points lie within reach of which, as arrays, at a cost that follows what is found."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int
from scipy.spatial import cKDTree

_FEW_PAIRS = 20_000  # below it, comparing all takes less time than growing two trees
_MANY = 4096  # points that are worth waking threads for


def pairs_within(
    points: Float[np.ndarray, "N 3"], reach_m: Float[np.ndarray, " N"], others: Float[np.ndarray, "M 3"]
) -> tuple[Int[np.ndarray, " p"], Int[np.ndarray, " p"], Float[np.ndarray, " p"]]:
    """Return (i, j, distance in m) of every pair with ``|points[i] - others[j]| <= reach_m[i]``, sorted by (i, j).

    A few points are compared with all; many are looked up in a tree, an octave of reaches at a time, so that one that
    reaches far widens nobody else's search.
    """
    if len(points) * len(others) <= _FEW_PAIRS:
        away = points[:, None] - others[None]
        table = np.sqrt(np.einsum("nmk,nmk->nm", away, away))
        i, j = np.nonzero(table <= reach_m[:, None])
        return i, j, table[i, j]
    tree = _tree(others)
    octave = np.floor(np.log2(np.maximum(reach_m, 1e-9)))
    first, second, apart = [], [], []
    for size in np.unique(octave):
        rows = np.flatnonzero(octave == size)
        near = _tree(points[rows]).sparse_distance_matrix(tree, float(reach_m[rows].max()), output_type="ndarray")
        i = rows[near["i"]]
        kept = near["v"] <= reach_m[i]
        first.append(i[kept])
        second.append(near["j"][kept])
        apart.append(near["v"][kept])
    i, j, distance = np.concatenate(first), np.concatenate(second), np.concatenate(apart)
    order = np.argsort(i * len(others) + j)
    return i[order], j[order], distance[order]


def all_pairs_within(
    points: Float[np.ndarray, "N 3"], reach_m: float
) -> tuple[Int[np.ndarray, " p"], Int[np.ndarray, " p"], Float[np.ndarray, " p"]]:
    """Return (i, j, distance in m) of every pair of points, i < j, that is within `reach_m`, in no order."""
    i, j = _tree(points).query_pairs(reach_m, output_type="ndarray").T
    return i, j, np.linalg.norm(points[i] - points[j], axis=1)


def nearest_two(
    points: Float[np.ndarray, "N d"], others: Float[np.ndarray, "M d"]
) -> tuple[Float[np.ndarray, "N 2"], Int[np.ndarray, "N 2"]]:
    """Return the distances (m) and rows of the two of `others` that are nearest to each point; M is at least 2."""
    distance, row = _tree(others).query(points, k=2, workers=-1 if len(points) > _MANY else 1)
    return distance, row


def _tree(points: Float[np.ndarray, "N d"]) -> cKDTree:
    """Return a tree that is quickly grown: it is asked once, so that a balanced one would not pay."""
    return cKDTree(points, balanced_tree=False, compact_nodes=False)
