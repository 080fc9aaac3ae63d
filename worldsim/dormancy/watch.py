"""What sleepers are watched for: a detection that agrees or does not, a mover beside them, none where one is due."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from worldsim.dormancy import kernels
from worldsim.dormancy.cells import cell, keys_about, keys_of
from worldsim.dormancy.store import (
    FOOTPRINT_SIDE_M,
    LEARNED,
    PLACE_REACH_M,
    PLACE_SIDE_M,
    Dormant,
)
from worldsim.filtering.blocks import side_by_side
from worldsim.types.observation import Detections, Viewpoints

_SUSPECT_M = 0.6  # a detection that nothing claims may be of what lay so near
_ROUND = 2048  # sleepers looked at a step for being overdue
_ROUSED_AT_MOST = 256  # of the overdue a step: a camera that is switched off shall not wake the world in one
_PATIENCE = 3  # frames in a row that a sensor may miss a thing
_FEW_CELLS = 1024  # looking into so many costs next to nothing, however few lie there
_SIGHT_STEP_M = 0.5 * FOOTPRINT_SIDE_M  # spacing of the points at which a line of sight is looked up


AGREED = 6.0
"""Strain of a sleeper whose detections agree: the faded mean of six squared standard scores."""


@dataclass(frozen=True, slots=True)
class Moment:
    """One frame.

    Attributes:
        frame: its number; time_s: its time.
        size_noise_share, size_noise_m: standard deviation of a detected size: as a share of it, and besides.
    """

    frame: int
    time_s: float
    size_noise_share: float
    size_noise_m: float


@dataclass(frozen=True, slots=True)
class Sifted:
    """One frame's detections, sorted by whether they tell anything.

    Attributes:
        rows: [r] detections that no sleeper agrees with: the step is about these.
        disturbed: [n] rows of sleepers that a detection disagrees with.
    """

    rows: Int[np.ndarray, " r"]
    disturbed: Int[np.ndarray, " n"]


def sift(dormant: Dormant, detections: Detections, now: Moment) -> Sifted:
    """Fold the detections that agree with a sleeper into it, one each, and return the others.

    A detection agrees where it lies where the sleeper does (squared distance along the axes of the pose below the
    limit at which a sleeper is startled), is as large and looks like it, and nothing else claims either.

    Args:
        dormant: the sleepers.
        detections: of the frame, as they came: what is not finite agrees with nobody.
        now: which frame it is.
    """
    if dormant.signature is None or len(detections) == 0:
        return Sifted(np.arange(len(detections)), np.zeros(0, dtype=np.int64))
    d, packed, found = detections, dormant.signature.packed, len(detections)
    position, orientation, size, look, covariance = (
        np.ascontiguousarray(field, dtype=np.float64)
        for field in (d.position, d.orientation_xyzw, d.extent_m, d.appearance, d.covariance)
    )
    looked = position, orientation, size, look, covariance
    moment, noise = (now.frame, now.time_s - dormant.origin_s), (now.size_noise_share, now.size_noise_m)
    claimed, granted = np.full((found, 2), kernels.NOBODY), np.empty(found, dtype=bool)
    learned = np.empty((found, LEARNED.stop - LEARNED.start), dtype=packed.dtype)

    def claim(part: tuple[int, int]) -> None:
        for table in dormant.places.tables:
            pairs = kernels.beside(position, table, dormant.here, part)
            kernels.claim(looked, packed, pairs, moment, noise, claimed, learned, dormant.contested)

    halves = [(0, found // 2), (found // 2, found)]
    side_by_side(claim, halves)
    kernels.count(claimed, dormant.claimants, False)
    others = dormant.claimants, dormant.contested, now.frame
    side_by_side(lambda part: kernels.grant(claimed, *others, learned, packed, part, granted), halves)
    kernels.count(claimed, dormant.claimants, True)
    rows = np.flatnonzero(~granted)
    return Sifted(rows, _suspects(dormant, detections.position[rows], now.frame))


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

    def touched(mover: Int[np.ndarray, " p"], row: Int[np.ndarray, " p"]) -> Int[np.ndarray, " q"]:
        outside = (np.abs(points[mover] - s.position[row]) - s.half_m[row]).clip(0.0)
        return np.asarray(row[np.linalg.norm(outside, axis=1) - radius_m[mover] < reach_m])

    rings = np.ceil((radius_m + reach_m) / FOOTPRINT_SIDE_M).astype(np.int64)
    centre = cell(points[:, :2], FOOTPRINT_SIDE_M)
    found = []
    for ring in np.unique(rings):
        mine = np.flatnonzero(rings == ring)
        if (2.0 * ring + 1.0) ** 2 > dormant.rows + _FEW_CELLS:  # as after a pause: more cells than there are sleepers
            everybody = dormant.present()
            found += [touched(np.full(len(everybody), mover), everybody) for mover in mine]
            continue
        steps = np.arange(-ring, ring + 1)
        offset = np.stack(np.meshgrid(steps, steps, indexing="ij"), axis=-1).reshape(-1, 2)
        key = keys_of((centre[mine][:, None] + offset).reshape(-1, 2))
        which, row = dormant.footprints.find(key)
        here = dormant.here[row]
        found.append(touched(mine[which // len(offset)][here], row[here]))
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
        rows = rows[viewpoints.reach(dormant.signature.position[rows]).any(axis=1)]
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
    return PLACE_REACH_M / math.sqrt(kernels.DISAGREES)
