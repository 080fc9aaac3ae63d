"""The sleepers' watch in machine code: what every detection of a frame goes through, nearly all of them for nothing.

Of a hundred thousand detections each is compared with what lies there, and agrees. In arrays that takes dozens of
passes through memory; here it is one look at one row a detection.

Machine code is kept until *this* file changes. Constants of other files are therefore written out here, and compared.
"""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Bool, Float, Int

from worldsim.dormancy import cells, postings, store
from worldsim.dynamics.machine_code import compiled

DISAGREES = 50.0
"""Squared distance of a pose beyond which a detection disagrees: chi-square with 6 degrees of freedom, once in 10^8."""
CREEP = (*(1e-3**2,) * 3, *(3e-3**2,) * 3)
"""Variance (m^2, rad^2) by which a sleeper may creep in a frame without waking."""
SIZE_FLOOR_M2 = 1e-5
"""An estimate of a size is never surer than this variance: looks drift."""
NOBODY = -1
"""In place of a row."""

_STRAINED, _STRAIN_RATE = 12.0, 0.1  # of the faded mean of the same, 6 +- 0.8 by chance: twice a slight disagreement
_UNLIKE = 20.0 * 0.12**2  # squared distance of size and look, as in the association, where 60 is another thing

# as in other files: the layout of a signature, the cells and their hash
_POSITION, _ORIENTATION, _SIZE, _SIZE_VARIANCE, _VARIANCE = 0, 3, 7, 10, 13
_DRIFT, _STRAIN, _FRAME, _SEEN, _LOOK = 19, 25, 26, 27, 31
_FROM, _COUNT = 7, 21
_AHEAD = 16  # pairs whose memory is asked for together
_LINE = 16  # float32 to a line of the processor's cache
_PER_SIDE, _BITS = 1.0, 21
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


@compiled
def beside(
    position: Float[np.ndarray, "D 3"],
    table: tuple[np.ndarray, np.ndarray, np.ndarray, np.uint64],
    here: Bool[np.ndarray, " M"],
    part: tuple[int, int],
) -> tuple[Int[np.ndarray, " p"], Int[np.ndarray, " p"]]:
    """Return (detection, sleeper) of each sleeper that is looked for in the cell of a detection of a part.

    Args:
        position: of all detections, m.
        table: keys, values, first of each bucket, and shift of the cells' table.
        here: who is in deep sleep.
        part: first detection, and the one after the last.
    """
    keys, values, first, shift = table
    mask, found, parts = np.int64((1 << _BITS) - 1), 0, part[1] - part[0]
    sought, start, end = np.empty(parts, np.int64), np.zeros(parts, np.int32), np.zeros(parts, np.int32)
    for j in range(parts):
        x, y, z = position[part[0] + j, 0], position[part[0] + j, 1], position[part[0] + j, 2]
        if math.isfinite(x) and math.isfinite(y) and math.isfinite(z):
            key = np.int64(math.floor(x * _PER_SIDE)) & mask
            key = (key << _BITS) | (np.int64(math.floor(y * _PER_SIDE)) & mask)
            key = (key << _BITS) | (np.int64(math.floor(z * _PER_SIDE)) & mask)
            sought[j] = key
            bucket = np.int64((np.uint64(key) * _GOLDEN) >> shift)
            start[j], end[j] = first[bucket], first[bucket + 1]
            found += end[j] - start[j]
    # each loop has one look at memory that lies anywhere, and no branch that hangs on it: the looks overlap
    which, row = np.empty(found, dtype=np.int64), np.empty(found, dtype=np.int64)
    found = 0
    for j in range(parts):
        for entry in range(start[j], end[j]):
            which[found], row[found] = part[0] + j, values[entry]
            found += keys[entry] == sought[j]
    filed, found = found, 0
    for p in range(filed):
        which[found], row[found] = which[p], row[p]
        found += here[row[p]]
    return which[:found], row[:found]


@compiled
def claim(
    looked: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray],
    packed: Float[np.ndarray, "M W"],
    pairs: tuple[Int[np.ndarray, " p"], Int[np.ndarray, " p"]],
    moment: tuple[int, float],
    size_noise: tuple[float, float],
    claimed: Int[np.ndarray, "D 2"],
    learned: Float[np.ndarray, "D 21"],
    contested: Int[np.ndarray, " M"],
) -> float:
    """Write which sleepers detections agree with, and what that would teach of the first.

    It is a Kalman filter of a constant along each axis: the belief's own correction, where belief and noise have no
    correlations between axes. What is not finite agrees with nobody, since no comparison with it holds (but for a look
    that is NaN: it is unknown), and what has no noise is not usable.

    Sleepers lie all over the memory, and waiting for it took half of the time here: rows of some pairs are therefore
    touched together, so that the processor fetches them side by side, and then compared one by one. What was touched
    is summed up and returned, or the compiler would leave it out.

    Args:
        looked: position, orientation, size, look and covariance of D detections.
        packed: the sleepers' signatures.
        pairs: detections and sleepers to compare.
        moment: number of the frame, and its time since the store's origin, s.
        size_noise: of a detected size: its share of the size, and m.
        claimed: [D, 2] rows of the first and of the last sleeper, `NOBODY` where there is none or no other; as it was
            left by other tables.
        learned: [D, 21] the learned columns of the first after the detection.
        contested: [M] one more than the frame in which a detection last agreed with this sleeper and another before it.
    """
    position, orientation, size, look, covariance = looked
    which, rows = pairs
    share, least, frame, time_s = size_noise[0], size_noise[1], moment[0], moment[1]
    residual, variance, touched = np.zeros(6), np.zeros(6), 0.0
    for p in range(len(which)):
        if p % _AHEAD == 0:
            for ahead in range(p, min(p + _AHEAD, len(which))):
                i, row = which[ahead], rows[ahead]
                touched += position[i, 0] + orientation[i, 0] + look[i, 0]
                touched += covariance[i, 0, 0] + covariance[i, 1, 1] + covariance[i, 3, 3] + covariance[i, 4, 4]
                for column in range(0, packed.shape[1], _LINE):
                    touched += packed[row, column]
                touched += packed[row, packed.shape[1] - 1]  # rows do not begin where lines do
        i, row = which[p], rows[p]
        x, y, z, w = orientation[i, 0], orientation[i, 1], orientation[i, 2], orientation[i, 3]
        a, b = packed[row, _ORIENTATION], packed[row, _ORIENTATION + 1]
        c, d = packed[row, _ORIENTATION + 2], packed[row, _ORIENTATION + 3]
        # the rotation vector between unit quaternions, to third order in its angle
        twice = math.copysign(2.0, x * a + y * b + z * c + w * d)
        residual[3] = twice * (d * x - w * a - y * c + z * b)
        residual[4] = twice * (d * y - w * b - z * a + x * c)
        residual[5] = twice * (d * z - w * c - x * b + y * a)
        squared, unseen = 0.0, frame - packed[row, _FRAME]
        for axis in range(6):
            if axis < 3:
                residual[axis] = position[i, axis] - packed[row, _POSITION + axis]
            residual[axis] -= packed[row, _DRIFT + axis]
            variance[axis] = packed[row, _VARIANCE + axis] + unseen * CREEP[axis]
            squared += residual[axis] ** 2 / (variance[axis] + covariance[i, axis, axis])
        least_noise = min(covariance[i, 0, 0], covariance[i, 1, 1], covariance[i, 2, 2])
        least_noise = min(least_noise, covariance[i, 3, 3], covariance[i, 4, 4], covariance[i, 5, 5])
        if not (squared < DISAGREES and least_noise > 0.0):
            continue
        unlike = 0.0
        for axis in range(3):
            unlike += (size[i, axis] / packed[row, _SIZE + axis] - 1.0) ** 2
        for k in range(look.shape[1]):
            gap = look[i, k] - packed[row, _LOOK + k]
            unlike += gap**2 if gap == gap else 0.0  # NaN is unknown, and like everything
        strain = packed[row, _STRAIN] + _STRAIN_RATE * (squared - packed[row, _STRAIN])
        if not (unlike < _UNLIKE and strain < _STRAINED):
            continue
        if claimed[i, 0] != NOBODY:
            claimed[i, 1], contested[row] = row, frame + 1  # all that mark a row in a frame write the same
            continue
        claimed[i, 0] = row
        for axis in range(3):
            extent, doubt = packed[row, _SIZE + axis], packed[row, _SIZE_VARIANCE + axis]
            growth = doubt / (doubt + (share * extent) ** 2 + least**2)
            learned[i, _SIZE - _FROM + axis] = extent + growth * (size[i, axis] - extent)
            learned[i, _SIZE_VARIANCE - _FROM + axis] = max((1.0 - growth) * doubt, SIZE_FLOOR_M2)
        for axis in range(6):
            gain = variance[axis] / (variance[axis] + covariance[i, axis, axis])
            learned[i, _VARIANCE - _FROM + axis] = (1.0 - gain) * variance[axis]
            learned[i, _DRIFT - _FROM + axis] = packed[row, _DRIFT + axis] + gain * residual[axis]
        learned[i, _STRAIN - _FROM], learned[i, _FRAME - _FROM], learned[i, _SEEN - _FROM] = strain, frame, time_s
    return touched


@compiled
def count(claimed: Int[np.ndarray, "D 2"], claimants: Int[np.ndarray, " M"], back: bool) -> None:
    """Add each claim to its sleepers' counts, or take it `back`."""
    for i in range(len(claimed)):
        for k in range(2):
            if claimed[i, k] != NOBODY:
                claimants[claimed[i, k]] += -1 if back else 1


@compiled
def grant(
    claimed: Int[np.ndarray, "D 2"],
    claimants: Int[np.ndarray, " M"],
    contested: Int[np.ndarray, " M"],
    frame: int,
    learned: Float[np.ndarray, "D 21"],
    packed: Float[np.ndarray, "M W"],
    part: tuple[int, int],
    granted: Bool[np.ndarray, " D"],
) -> None:
    """Fold each detection of a part into the sleeper that it claims, where nothing else claims either; say which."""
    for i in range(part[0], part[1]):
        row = claimed[i, 0]
        alone = row != NOBODY and claimed[i, 1] == NOBODY
        granted[i] = alone and claimants[row] == 1 and contested[row] != frame + 1
        if granted[i]:
            for k in range(_COUNT):
                packed[row, _FROM + k] = learned[i, k]


def _as_in_other_files() -> bool:
    """Return whether what is written out here is what the other files say."""
    starts = [part.start for part in store.PARTS.values()] + [store.LOOK_FROM]
    mine = [_POSITION, _ORIENTATION, _SIZE, _SIZE_VARIANCE, _VARIANCE, _DRIFT, _STRAIN, _FRAME, _SEEN, 28, _LOOK]
    return (
        starts == mine
        and slice(_FROM, _FROM + _COUNT) == store.LEARNED
        and (_PER_SIDE * store.PLACE_SIDE_M, _BITS, _GOLDEN) == (1.0, cells.BITS, postings.GOLDEN)
    )


if not _as_in_other_files():
    raise ImportError("worldsim.dormancy.kernels repeats constants of store, cells and postings, which have changed.")
