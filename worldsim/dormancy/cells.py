"""Cells of space as integer keys: where a thing is filed, and where one looks for it."""

from __future__ import annotations

import itertools

import numpy as np
from jaxtyping import Float, Int

BITS = 21  # a coordinate's share of a key: two million cells along an axis
_MASK = np.int64((1 << BITS) - 1)
_CORNERS = np.array(list(itertools.product((-1.0, 1.0), repeat=3)))


def cell(points: Float[np.ndarray, "n d"], side_m: float) -> Int[np.ndarray, "n d"]:
    """Return the integer coordinates of the cell that each point lies in."""
    return np.floor(points * (1.0 / side_m)).astype(np.int64)


def keys_of(cells: Int[np.ndarray, "n d"]) -> Int[np.ndarray, " n"]:
    """Return one key a cell (in a plane or in space)."""
    wrapped = cells & _MASK
    key = wrapped[:, 0]
    for axis in range(1, cells.shape[1]):
        key = (key << BITS) | wrapped[:, axis]
    return key


def keys_about(
    points: Float[np.ndarray, "n 3"], radius_m: float, side_m: float
) -> tuple[Int[np.ndarray, " p"], Int[np.ndarray, " p"]]:
    """Return (row, key) of every cell within `radius_m` of each point along every axis; no more than half a side."""
    corners = points[:, None] + radius_m * _CORNERS
    keys = keys_of(cell(corners.reshape(-1, 3), side_m)).reshape(len(points), 8)
    keys.sort(axis=1)
    new = np.ones_like(keys, dtype=bool)
    new[:, 1:] = keys[:, 1:] != keys[:, :-1]
    return np.nonzero(new)[0], keys[new]


def keys_under(
    lower: Float[np.ndarray, "n 2"], upper: Float[np.ndarray, "n 2"], side_m: float
) -> tuple[Int[np.ndarray, " p"], Int[np.ndarray, " p"]]:
    """Return (row, key) of every cell of the plane that each rectangle covers."""
    first, last = cell(lower, side_m), cell(upper, side_m)
    wide = last - first + 1
    count = wide.prod(axis=1)
    row = np.repeat(np.arange(len(lower)), count)
    number = np.arange(len(row)) - np.repeat(np.cumsum(count) - count, count)
    across = number % wide[row, 0]
    along = number // wide[row, 0]
    return row, keys_of(first[row] + np.stack([across, along], axis=1))
