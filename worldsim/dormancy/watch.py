"""What sleepers are watched for: a detection that agrees or does not, a mover beside them, none where one is due."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from worldsim.dormancy.cells import cell, keys_about, keys_of
from worldsim.dormancy.store import (
    FOOTPRINT_SIDE_M,
    LEARNED,
    LOOK_FROM,
    PARTS,
    PLACE_REACH_M,
    PLACE_SIDE_M,
    Dormant,
    Signature,
)
from worldsim.filtering.blocks import side_by_side
from worldsim.types.observation import Detections, Viewpoints

_DISAGREES = 50.0  # chi-square with 6 degrees of freedom: once in 10^8 frames by chance
_STRAINED, _STRAIN_RATE = 12.0, 0.1  # of the faded mean of the same, 6 +- 0.8 by chance: twice a slight disagreement
_LOOKS_ELSE = 20.0  # squared distance of size and look, as in the association, where 60 is another thing
_ATTRIBUTE_STD = 0.12
_BLOCK = 8192
_SUSPECT_M = 0.6  # a detection that nothing claims may be of what lay so near
_ROUND = 2048  # sleepers looked at a step for being overdue
_ROUSED_AT_MOST = 256  # of the overdue a step: a camera that is switched off shall not wake the world in one
_PATIENCE = 3  # frames in a row that a sensor may miss a thing
_SIGHT_STEP_M = 0.5 * FOOTPRINT_SIDE_M  # spacing of the points at which a line of sight is looked up


CREEP = (*(1e-3**2,) * 3, *(3e-3**2,) * 3)
"""Variance (m^2, rad^2) by which a sleeper may creep in a frame without waking."""
AGREED = 6.0
"""Strain of a sleeper whose detections agree: the faded mean of six squared standard scores."""
SIZE_FLOOR_M2 = 1e-5
"""An estimate of a size is never surer than this variance: looks drift."""

SizeNoise = Callable[[Float[np.ndarray, "p 3"]], Float[np.ndarray, "p 3"]]


@dataclass(frozen=True, slots=True)
class Moment:
    """One frame.

    Attributes:
        frame: its number; time_s: its time.
        size_noise: gives the variance (m^2) of a detected size.
    """

    frame: int
    time_s: float
    size_noise: SizeNoise


@dataclass(frozen=True, slots=True)
class Sifted:
    """One frame's detections, sorted by whether they tell anything.

    Attributes:
        rows: [r] detections that no sleeper agrees with: the step is about these.
        disturbed: [n] rows of sleepers that a detection disagrees with.
    """

    rows: Int[np.ndarray, " r"]
    disturbed: Int[np.ndarray, " n"]


@dataclass(frozen=True, slots=True)
class _Compared:
    """p pairs of a detection and a sleeper, one a column: what is done to them runs along the columns.

    Attributes:
        sleepers: [W, p] the packed signatures; size: [3, p] detected, m.
        residual: [6, p] detected pose minus the believed one, m and rad; variance, noise: [6, p] of belief, detection.
        squared: [p] their squared distance along the axes of the pose; alike: [p] in size and look.
    """

    sleepers: Float[np.ndarray, "W p"]
    size: Float[np.ndarray, "3 p"]
    residual: Float[np.ndarray, "6 p"]
    variance: Float[np.ndarray, "6 p"]
    noise: Float[np.ndarray, "6 p"]
    squared: Float[np.ndarray, " p"]
    alike: Bool[np.ndarray, " p"]


def sift(dormant: Dormant, detections: Detections, now: Moment) -> Sifted:
    """Fold the detections that agree with a sleeper into it, one each, and return the others.

    A detection agrees where it lies where the sleeper does (squared distance along the axes of the pose below the
    limit at which a sleeper is startled), is as large and looks like it, and nothing else claims either.

    Args:
        dormant: the sleepers.
        detections: of the frame, as they came: what is not finite agrees with nobody.
        now: which frame it is.
    """
    count = len(detections)
    starts = range(0, count, _BLOCK)  # as many as a core's cache holds
    claims = side_by_side(
        lambda start: _claims(dormant, detections.rows(start, start + _BLOCK), start, now), list(starts)
    )
    told, scratch = np.ones(count, dtype=bool), np.zeros(count, dtype=np.int64)
    for claim in claims:
        told[_granted(dormant, claim, scratch)] = False
    for claim in claims:
        dormant.marks[claim.row] = False
    rows = np.flatnonzero(told)
    return Sifted(rows, _suspects(dormant, detections.position[rows], now.frame))


@dataclass(frozen=True, slots=True)
class _Claims:
    """p detections and the sleepers that they agree with.

    Attributes:
        which: [p] detections; row: [p] sleepers.
        learned: [p, W] the sleepers' signatures after the detections.
    """

    which: Int[np.ndarray, " p"]
    row: Int[np.ndarray, " p"]
    learned: Float[np.ndarray, "p W"]


def _claims(dormant: Dormant, detections: Detections, start: int, now: Moment) -> _Claims:
    """Return which sleepers the detections of a block agree with; nothing is written, so blocks go side by side."""
    which, row = dormant.places.find(keys_of(_cells(detections.position)))
    here = np.flatnonzero(dormant.here[row])
    which, row = which[here], row[here]
    assert dormant.signature is not None
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):  # what is not finite agrees with nobody
        pairs = _compared(dormant.signature, detections, which, row, now.frame)
        pairs.sleepers[LEARNED] = _corrected(pairs, now)
    calm = (pairs.squared < _DISAGREES) & pairs.alike & (pairs.sleepers[PARTS["strain"].start] < _STRAINED)
    fits = np.flatnonzero(calm)
    return _Claims(start + which[fits], row[fits], pairs.sleepers.T.take(fits, axis=0))


def _granted(dormant: Dormant, claims: _Claims, scratch: Int[np.ndarray, " D"]) -> Int[np.ndarray, " m"]:
    """Write what the claims that nothing contests teach of their sleepers; return their detections.

    Args:
        dormant: the sleepers; those that an earlier block has claimed are marked, and those of this one will be.
        claims: of a block.
        scratch: as long as there are detections.
    """
    alone = _once(claims.which, scratch) & _once(claims.row, dormant.scratch) & ~dormant.marks[claims.row]
    dormant.marks[claims.row] = True
    calm = np.flatnonzero(alone)
    learned = claims.learned if len(calm) == len(claims.row) else claims.learned.take(calm, axis=0)
    assert dormant.signature is not None
    dormant.signature.write(claims.row[calm], learned)
    return claims.which[calm]


def _corrected(pairs: _Compared, now: Moment) -> Float[np.ndarray, "21 p"]:
    """Return the sleepers' `LEARNED` columns after the detections: a Kalman filter of a constant along each axis.

    Where belief and noise have no correlations between axes it is what the belief's own correction does.
    """
    size, size_variance = pairs.sleepers[PARTS["extent_m"]], pairs.sleepers[PARTS["extent_variance_m2"]]
    gain = pairs.variance / (pairs.variance + pairs.noise)
    growth = size_variance / (size_variance + now.size_noise(size))
    strain = pairs.sleepers[PARTS["strain"]]
    when = np.array([[now.frame], [now.time_s]], dtype=strain.dtype)
    return np.concatenate(
        [
            size + growth * (pairs.size - size),
            np.maximum((1.0 - growth) * size_variance, SIZE_FLOOR_M2),
            (1.0 - gain) * pairs.variance,
            pairs.sleepers[PARTS["drift"]] + gain * pairs.residual,
            strain + _STRAIN_RATE * (pairs.squared - strain),
            np.repeat(when, strain.shape[1], axis=1),
        ]
    )


def _cells(position: Float[np.ndarray, "D 3"]) -> Int[np.ndarray, "D 3"]:
    with np.errstate(invalid="ignore"):  # what is not finite is in some cell, agrees with nobody, and is refused later
        return cell(position, PLACE_SIDE_M)


def _compared(
    signature: Signature,
    detections: Detections,
    which: Int[np.ndarray, " p"],
    row: Int[np.ndarray, " p"],
    frame: int,
) -> _Compared:
    """Compare p detections with as many sleepers."""
    dtype = signature.packed.dtype
    s = np.ascontiguousarray(signature.packed.take(row, axis=0).T)

    def columns(field: np.ndarray) -> np.ndarray:
        return field.take(which, axis=0).T.astype(dtype, order="C")

    noise = columns(detections.covariance.reshape(-1, 36)[:, ::7])
    variance = s[PARTS["variance"]] + (frame - s[PARTS["last_frame"]]) * np.array(CREEP, dtype=dtype)[:, None]
    away = detections.position.take(which, axis=0).T - s[PARTS["position"]]
    turn = _turn(columns(detections.orientation_xyzw), s[PARTS["orientation_xyzw"]])
    residual = np.concatenate([away.astype(dtype), turn]) - s[PARTS["drift"]]
    squared = (residual * residual / (variance + noise)).sum(axis=0)
    size = columns(detections.extent_m)
    unlike = ((size / s[PARTS["extent_m"]] - 1.0) ** 2).sum(axis=0)
    unlike += ((columns(detections.appearance) - s[LOOK_FROM:]) ** 2).sum(axis=0)
    return _Compared(s, size, residual, variance, noise, squared, unlike < _LOOKS_ELSE * _ATTRIBUTE_STD**2)


def _turn(target: Float[np.ndarray, "4 p"], source: Float[np.ndarray, "4 p"]) -> Float[np.ndarray, "3 p"]:
    """Return the rotation vector between unit quaternions, to third order in its angle."""
    x, y, z, w = target
    a, b, c, d = source
    twice = 2.0 * np.sign(x * a + y * b + z * c + w * d)
    return np.stack(
        [
            twice * (d * x - w * a - y * c + z * b),
            twice * (d * y - w * b - z * a + x * c),
            twice * (d * z - w * c - x * b + y * a),
        ]
    )


def _once(index: Int[np.ndarray, " p"], scratch: Int[np.ndarray, " n"]) -> Bool[np.ndarray, " p"]:
    """Return which entries of `index` occur once in it; `scratch` is as long as the largest index."""
    place = np.arange(len(index))
    scratch[index] = place
    last = scratch[index] == place
    return last if last.all() else last & ~np.isin(index, index[~last])


def _suspects(dormant: Dormant, position: Float[np.ndarray, "r 3"], frame: int) -> Int[np.ndarray, " n"]:
    """Return the rows of sleepers that were not seen where they lie, and that one of these detections may be of."""
    position = position[np.isfinite(position).all(axis=1)]
    which, key = keys_about(position, _SUSPECT_M - PLACE_REACH_M, PLACE_SIDE_M)
    found, row = dormant.places.find(key)
    which = which[found]
    assert dormant.signature is not None
    open_ = dormant.here[row] & (dormant.signature.last_frame[row] != frame)
    which, row = which[open_], row[open_]
    near = np.linalg.norm(position[which] - dormant.signature.position[row], axis=1) < _SUSPECT_M
    return np.unique(row[near])


def beside(
    dormant: Dormant, points: Float[np.ndarray, "n 3"], radius_m: Float[np.ndarray, " n"], reach_m: float
) -> Int[np.ndarray, " m"]:
    """Return the rows of sleepers whose upright box is within `reach_m` of one of n spheres."""
    s = dormant.signature
    if s is None or len(points) == 0 or len(dormant) == 0:
        return np.zeros(0, dtype=np.int64)
    rings = np.ceil((radius_m + reach_m) / FOOTPRINT_SIDE_M).astype(np.int64)
    centre = cell(points[:, :2], FOOTPRINT_SIDE_M)
    found = []
    for ring in np.unique(rings):
        mine = np.flatnonzero(rings == ring)
        steps = np.arange(-ring, ring + 1)
        offset = np.stack(np.meshgrid(steps, steps, indexing="ij"), axis=-1).reshape(-1, 2)
        key = keys_of((centre[mine][:, None] + offset).reshape(-1, 2))
        which, row = dormant.footprints.find(key)
        mover = mine[which // len(offset)]
        here = dormant.here[row]
        mover, row = mover[here], row[here]
        outside = (np.abs(points[mover] - s.position[row]) - s.half_m[row]).clip(0.0)
        found.append(row[np.linalg.norm(outside, axis=1) - radius_m[mover] < reach_m])
    return np.unique(np.concatenate(found))


def overdue(dormant: Dormant, viewpoints: Viewpoints, frame: int) -> Int[np.ndarray, " n"]:
    """Return the rows of sleepers that a sensor in range has not seen for some frames.

    A round: each step looks at the next few thousand rows, so that what it costs does not grow with what there is.
    Among a million sleepers, one that was taken away while nobody watched is missed within half a minute.
    """
    if dormant.signature is None or len(dormant) == 0:
        return np.zeros(0, dtype=np.int64)
    rows = (dormant.round_at + np.arange(min(_ROUND, dormant.rows))) % dormant.rows
    dormant.round_at = int(rows[-1] + 1) % dormant.rows
    late = (
        dormant.here[rows]
        & (frame - dormant.signature.last_frame[rows] > _PATIENCE)
        & (dormant.hidden_until[rows] < frame)
    )
    rows = rows[late]
    if len(viewpoints.position) and len(rows):
        away = np.linalg.norm(dormant.signature.position[rows][:, None] - viewpoints.position[None], axis=-1)
        rows = rows[(away <= viewpoints.range_m).any(axis=1)]
    return np.sort(rows[:_ROUSED_AT_MOST])


def between(
    dormant: Dormant, points: Float[np.ndarray, "n 3"], viewpoint: Float[np.ndarray, "K 3"], taller_than_m: float
) -> Int[np.ndarray, " m"]:
    """Return the rows of tall sleepers that may stand on a line of sight from a viewpoint to a point."""
    s = dormant.signature
    if s is None or len(dormant) == 0 or len(points) == 0 or len(viewpoint) == 0:
        return np.zeros(0, dtype=np.int64)
    here, there = np.broadcast_arrays(points[:, None, :2], viewpoint[None, :, :2])
    here, there = here.reshape(-1, 2), there.reshape(-1, 2)
    count = np.ceil(np.linalg.norm(there - here, axis=1) / _SIGHT_STEP_M).astype(np.int64) + 1
    line = np.repeat(np.arange(len(here)), count)
    number = np.arange(len(line)) - np.repeat(np.cumsum(count) - count, count)
    share = (number / np.maximum(count[line] - 1, 1))[:, None]
    cells = cell(here[line] + share * (there - here)[line], FOOTPRINT_SIDE_M)
    steps = np.array([-1, 0, 1])  # a line may cut a corner between two points that it is looked up at
    offset = np.stack(np.meshgrid(steps, steps, indexing="ij"), axis=-1).reshape(-1, 2)
    key = np.unique(keys_of((np.unique(cells, axis=0)[:, None] + offset).reshape(-1, 2)))
    _, row = dormant.footprints.find(key)
    row = np.unique(row[dormant.here[row]])
    return row[2.0 * s.half_m[row, 2] > taller_than_m]


def footprint_cells(half_m: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, " n"]:
    """Return about how many cells of the ground each box covers."""
    return np.asarray(np.prod(np.ceil(2.0 * half_m[:, :2] / FOOTPRINT_SIDE_M) + 1.0, axis=1))


def widest_std_m() -> float:
    """Return the standard deviation of a position beyond which a sleeper's detections fall outside its cells."""
    return PLACE_REACH_M / math.sqrt(_DISAGREES)
