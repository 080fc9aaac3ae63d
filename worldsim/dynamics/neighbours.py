"""Neighbour search: which points lie within reach of which, as arrays, at a cost that follows what is found."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float, Int

from worldsim.dynamics.machine_code import compiled

_FEW_PAIRS = 20_000  # below it, comparing all takes less time than filing anything
_RINGS = 4  # of cells about a point, out to its reach, when only the nearest is wanted
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)  # 2^64 over the golden ratio: neighbouring cells end up far apart
_PRIME_X, _PRIME_Y = 73856093, 19349663


def pairs_within(
    points: Float[np.ndarray, "N 3"], reach_m: Float[np.ndarray, " N"], others: Float[np.ndarray, "M 3"]
) -> tuple[Int[np.ndarray, " p"], Int[np.ndarray, " p"], Float[np.ndarray, " p"]]:
    """Return (i, j, distance in m) of every pair with ``|points[i] - others[j]| <= reach_m[i]``, sorted by (i, j).

    A few points are compared with all; many are looked up in cells, an octave of reaches at a time, so that one that
    reaches far widens nobody else's search.
    """
    if len(points) * len(others) <= _FEW_PAIRS:
        away = points[:, None] - others[None]
        table = np.sqrt(np.einsum("nmk,nmk->nm", away, away))
        i, j = np.nonzero(table <= reach_m[:, None])
        return i, j, table[i, j]
    octave = np.floor(np.log2(np.maximum(reach_m, 1e-9)))
    sizes = np.unique(octave)
    if len(sizes) == 1:
        return _search(points, reach_m, others, float(reach_m.max()), False)
    found = []
    for size in sizes:
        rows = np.flatnonzero(octave == size)
        i, j, distance = _search(points[rows], reach_m[rows], others, float(reach_m[rows].max()), False)
        found.append((rows[i], j, distance))
    i, j, distance = (np.concatenate(column) for column in zip(*found, strict=True))
    order = np.argsort(i, kind="stable")
    return i[order], j[order], distance[order]


def all_pairs_within(
    points: Float[np.ndarray, "N 3"], reach_m: float
) -> tuple[Int[np.ndarray, " p"], Int[np.ndarray, " p"], Float[np.ndarray, " p"]]:
    """Return (i, j, distance in m) of every pair of points, i < j, that is within `reach_m`, sorted by (i, j)."""
    if len(points) ** 2 <= _FEW_PAIRS:
        i, j, distance = pairs_within(points, np.full(len(points), reach_m), points)
        return i[i < j], j[i < j], distance[i < j]
    return _search(points, np.full(len(points), reach_m), points, reach_m, True)


def nearest_other(
    points: Float[np.ndarray, "N 2"], others: Float[np.ndarray, "M 2"], self_row: Int[np.ndarray, " N"], reach_m: float
) -> Int[np.ndarray, " N"]:
    """Return the row of the one of `others` that is nearest to each point on the ground, -1 where none is in reach.

    Args:
        points, others: m.
        self_row: [N] the row of `others` that is the point itself and does not count, -1 where none is.
        reach_m: nearer than this.
    """
    if len(points) * len(others) <= _FEW_PAIRS:
        away = points[:, None] - others[None]
        table = np.sqrt(np.einsum("nmk,nmk->nm", away, away))
        mine = np.flatnonzero(self_row >= 0)
        table[mine, self_row[mine]] = np.inf
        if len(others) == 0:
            return np.full(len(points), -1)
        nearest = table.argmin(axis=1)
        return np.where(table[np.arange(len(points)), nearest] < reach_m, nearest, -1)
    side = reach_m / _RINGS
    spatial = np.column_stack([others, np.zeros(len(others))])
    here = np.ascontiguousarray(points, dtype=np.float64)
    return _nearest(here, spatial, self_row, reach_m, side, _filed(spatial, side))


def _search(
    points: Float[np.ndarray, "N 3"],
    reach_m: Float[np.ndarray, " N"],
    others: Float[np.ndarray, "M 3"],
    side_m: float,
    later: bool,
) -> tuple[Int[np.ndarray, " p"], Int[np.ndarray, " p"], Float[np.ndarray, " p"]]:
    """Return `pairs_within` from cells as wide as the longest reach; `later` keeps those with i < j."""
    if len(points) == 0 or len(others) == 0:
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64), np.zeros(0)
    here, there, reach = (np.ascontiguousarray(values, dtype=np.float64) for values in (points, others, reach_m))
    return _within(here, reach, there, side_m, later, _filed(there, side_m))


@compiled
def _filed(
    points: Float[np.ndarray, "M 3"], side_m: float
) -> tuple[Int[np.ndarray, "M 3"], Int[np.ndarray, " M"], Int[np.ndarray, " m"], np.uint64]:
    """Return points sorted by the hash of their cell: cells, rows, where each bucket begins, and the hash's shift."""
    bits = 1
    while (1 << bits) < 2 * len(points):
        bits += 1
    shift = np.uint64(64 - bits)
    cells, bucket = np.empty((len(points), 3), dtype=np.int64), np.empty(len(points), dtype=np.int64)
    first = np.zeros((1 << bits) + 1, dtype=np.int64)
    for i in range(len(points)):
        for axis in range(3):
            cells[i, axis] = np.int64(math.floor(points[i, axis] / side_m))
        mixed = (cells[i, 0] * _PRIME_X) ^ (cells[i, 1] * _PRIME_Y) ^ cells[i, 2]
        bucket[i] = np.int64((np.uint64(mixed) * _GOLDEN) >> shift)
        first[bucket[i] + 1] += 1
    for k in range(1, len(first)):
        first[k] += first[k - 1]
    at, rows, sorted_cells = first[:-1].copy(), np.empty(len(points), dtype=np.int64), np.empty_like(cells)
    for i in range(len(points)):
        place = at[bucket[i]]
        at[bucket[i]] += 1
        rows[place] = i
        for axis in range(3):
            sorted_cells[place, axis] = cells[i, axis]
    return sorted_cells, rows, first, shift


@compiled
def _within(
    points: Float[np.ndarray, "N 3"],
    reach_m: Float[np.ndarray, " N"],
    others: Float[np.ndarray, "M 3"],
    side_m: float,
    later: bool,
    filed: tuple[Int[np.ndarray, "M 3"], Int[np.ndarray, " M"], Int[np.ndarray, " m"], np.uint64],
) -> tuple[Int[np.ndarray, " p"], Int[np.ndarray, " p"], Float[np.ndarray, " p"]]:
    """Return (i, j, distance), sorted by (i, j), from the 27 cells about each point."""
    cells, rows, first, shift = filed
    lowest, highest = cells[:, 2].min(), cells[:, 2].max()
    room, found = 8 * len(points) + 64, 0
    one, other, apart = np.empty(room, dtype=np.int64), np.empty(room, dtype=np.int64), np.empty(room)
    for i in range(len(points)):
        px, py, pz, begin = points[i, 0], points[i, 1], points[i, 2], found
        x, y = np.int64(math.floor(px / side_m)), np.int64(math.floor(py / side_m))
        z = np.int64(math.floor(pz / side_m))
        for step in range(27):
            cx, cy, cz = x + step // 9 - 1, y + step // 3 % 3 - 1, z + step % 3 - 1
            if cz < lowest or cz > highest:  # most worlds are flat
                continue
            mixed = (cx * _PRIME_X) ^ (cy * _PRIME_Y) ^ cz
            bucket = np.int64((np.uint64(mixed) * _GOLDEN) >> shift)
            for entry in range(first[bucket], first[bucket + 1]):
                j = rows[entry]
                if (later and j <= i) or cells[entry, 0] != cx or cells[entry, 1] != cy or cells[entry, 2] != cz:
                    continue  # several cells may share a bucket
                dx, dy, dz = px - others[j, 0], py - others[j, 1], pz - others[j, 2]
                distance = math.sqrt(dx * dx + dy * dy + dz * dz)
                if not distance <= reach_m[i]:
                    continue
                if found == room:
                    room *= 2
                    wider, longer, farther = (
                        np.empty(room, dtype=np.int64),
                        np.empty(room, dtype=np.int64),
                        np.empty(room),
                    )
                    wider[:found], longer[:found], farther[:found] = one, other, apart
                    one, other, apart = wider, longer, farther
                place = found
                while place > begin and other[place - 1] > j:
                    other[place], apart[place] = other[place - 1], apart[place - 1]
                    place -= 1
                one[found], other[place], apart[place] = i, j, distance
                found += 1
    return one[:found].copy(), other[:found].copy(), apart[:found].copy()


@compiled
def _nearest(
    points: Float[np.ndarray, "N 2"],
    others: Float[np.ndarray, "M 3"],
    self_row: Int[np.ndarray, " N"],
    reach_m: float,
    side_m: float,
    filed: tuple[Int[np.ndarray, "M 3"], Int[np.ndarray, " M"], Int[np.ndarray, " m"], np.uint64],
) -> Int[np.ndarray, " N"]:
    """Return the nearest other of each point, -1 where none is in reach: ring by ring of cells, while any may be."""
    cells, rows, first, shift = filed
    nearest = np.empty(len(points), dtype=np.int64)
    for i in range(len(points)):
        px, py, best, least = points[i, 0], points[i, 1], -1, reach_m
        x, y, ring = np.int64(math.floor(px / side_m)), np.int64(math.floor(py / side_m)), 0
        while ring <= _RINGS and (ring - 1) * side_m < least:
            for cx in range(x - ring, x + ring + 1):
                stride = 1 if abs(cx - x) == ring else 2 * ring
                for cy in range(y - ring, y + ring + 1, stride):
                    mixed = (cx * _PRIME_X) ^ (cy * _PRIME_Y)
                    bucket = np.int64((np.uint64(mixed) * _GOLDEN) >> shift)
                    for entry in range(first[bucket], first[bucket + 1]):
                        j = rows[entry]
                        if j == self_row[i] or cells[entry, 0] != cx or cells[entry, 1] != cy:
                            continue
                        distance = math.sqrt((px - others[j, 0]) ** 2 + (py - others[j, 1]) ** 2)
                        if distance < least or (distance == least and best >= 0 and j < best):
                            best, least = j, distance
            ring += 1
        nearest[i] = best
    return nearest
