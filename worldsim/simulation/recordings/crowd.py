"""Pedestrians seen from above: three scenes of the UCY crowds, annotated by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import Float
from scipy.optimize import minimize

from worldsim.errors import DataError
from worldsim.simulation.recordings.checks import check_arrays
from worldsim.simulation.recordings.clip import Clip, backward_velocity, pose_covariance, read_arrays

__all__ = ["CALIBRATION_SHARE", "annotation_noise", "load_crowd"]

CALIBRATION_SHARE = 0.1
"""The annotator's noise is measured on this first share of a scene's time; scores leave these frames out."""

_VIDEO_HZ = 25.0  # the frame column counts frames of a 25 Hz video
_EXTENT_M = (0.45, 0.45, 1.75)  # shoulders of a standing adult and a mean height; annotators mark a point
_HEIGHT_STD_M = 0.01  # heights are ours, not measured; they never vary
_UPRIGHT_STD_RAD = 0.01  # a walker is upright
_HEADING_STD_RAD = np.pi / np.sqrt(3.0)  # nobody annotated where people face: any direction alike
_UNMEASURED = (False, False, True, True, True, True)
_OFF_GRID = 1e-3  # of a keyframe: float32 tells frames to within that
_LEAST_NOISE_M = 2e-3  # half a pixel of the source video is about 1 cm; splines hide most of it


def load_crowd(path: Path) -> tuple[Clip, ...]:
    """Return the scenes of a crowd file, one clip a scene, each pedestrian a body.

    Source: UCY Crowds-by-Example (Lerner, Chrysanthou and Lischinski 2007), metres by OpenTraj. Every array of the
    file with six columns (frame at 25 Hz, pedestrian, x m, y m, vx, vy m/s) is a scene. Keyframes come every ten
    frames (2.5 Hz); keyframes without anybody are kept, empty. A pedestrian who is away for more than one keyframe
    comes back as another body, since nobody could know him again.

    Raises:
        DataError: the file is missing or holds no scene, or a row lies between keyframes.
    """
    arrays, _ = read_arrays(path, {})
    scenes = {name: table for name, table in arrays.items() if table.ndim == 2 and table.shape[1] == 6}
    if not scenes:
        raise DataError(f"recording {path} holds no scene: expected arrays of six columns, got {sorted(arrays)}.")
    for name, table in scenes.items():
        check_arrays(path, {name: table[:, :4]}, {name: (None, 4)})
    return tuple(_scene(name, table.astype(np.float64)) for name, table in scenes.items())


def _scene(name: str, table: Float[np.ndarray, "R 6"]) -> Clip:
    step = _keyframe_step(name, table)
    exact = (table[:, 0] - table[:, 0].min()) / step
    keyframe = np.rint(exact).astype(np.int64)
    between = np.abs(exact - keyframe) > _OFF_GRID
    if between.any():
        frame, who = table[int(between.argmax()), :2]
        raise DataError(
            f"crowd scene {name!r}: pedestrian {who:g} has a row at frame {frame:g}, between the keyframes, which come "
            f"every {step:g} frames ({int(between.sum())} such rows). Give all rows at even distances in time."
        )
    track = _tracks(table[:, 1], keyframe)
    frames, count = int(keyframe.max()) + 1, int(track.max()) + 1
    time_s = np.arange(frames) * step / _VIDEO_HZ
    position = np.full((frames, count, 3), np.nan)
    position[keyframe, track, :2] = table[:, 2:4]
    position[keyframe, track, 2] = 0.5 * _EXTENT_M[2]
    orientation = np.full((frames, count, 4), np.nan)
    orientation[keyframe, track] = (0.0, 0.0, 0.0, 1.0)
    spin = np.where(np.isfinite(position), 0.0, np.nan)
    noise, _ = annotation_noise(position[: max(int(CALIBRATION_SHARE * frames), 3), :, :2], step / _VIDEO_HZ)
    covariance = pose_covariance((noise, noise, _HEIGHT_STD_M), (_UPRIGHT_STD_RAD, _UPRIGHT_STD_RAD, _HEADING_STD_RAD))
    first_row = np.unique(track, return_index=True)[1]
    return Clip(
        name=name,
        split="all",
        time_s=time_s,
        bodies=tuple(f"pedestrian-{int(table[row, 1])}-{int(table[row, 0])}" for row in first_row),
        kinds=("pedestrian",) * count,
        position=position,
        orientation_xyzw=orientation,
        linear_velocity=backward_velocity(position, time_s),
        angular_velocity=spin,
        extent_m=np.tile(_EXTENT_M, (count, 1)),
        covariance=np.tile(covariance, (count, 1, 1)),
        unmeasured=_UNMEASURED,
    )


def _keyframe_step(name: str, table: Float[np.ndarray, "R 6"]) -> float:
    """Return the commonest distance between a pedestrian's rows, in video frames."""
    order = np.lexsort((table[:, 0], table[:, 1]))
    same = np.diff(table[order, 1]) == 0
    gaps = np.diff(table[order, 0])[same]
    if len(gaps) == 0 or not (gaps > 0).all():
        raise DataError(f"crowd scene {name!r}: no pedestrian has two rows, or one has two rows at the same frame.")
    values, counts = np.unique(gaps, return_counts=True)
    return float(values[counts.argmax()])


def _tracks(pedestrian: Float[np.ndarray, " R"], keyframe: np.ndarray) -> np.ndarray:
    """Return the row's track: a pedestrian's rows, cut where more than one keyframe is missing."""
    order = np.lexsort((keyframe, pedestrian))
    new = np.ones(len(order), dtype=bool)
    new[1:] = (np.diff(pedestrian[order]) != 0) | (np.diff(keyframe[order]) > 2)
    track = np.empty(len(order), dtype=np.int64)
    track[order] = np.cumsum(new) - 1
    return track


def annotation_noise(position: Float[np.ndarray, "T N 2"], dt_s: float) -> tuple[float, float]:
    """Return how far annotations jump about a smooth walk (std, m), and how much walks change (PSD, (m/s^2)^2 s).

    Maximum likelihood of a constant-velocity Kalman filter with white acceleration (Bar-Shalom et al. 2001, section
    11.7, estimates the same pair): noise shows as anticorrelated second differences, changing walks do not.
    """
    if np.isfinite(position[..., 0]).sum(0).max(initial=0) < 3:  # nobody walks for three frames: nothing to learn
        return _LEAST_NOISE_M, 0.03
    found = minimize(
        lambda logs: _walk_deviance(position, dt_s, float(np.exp(logs[0])), float(np.exp(logs[1]))),
        np.log([0.01, 0.03]),
        method="Nelder-Mead",
        options={"xatol": 0.02, "fatol": 1e-4},
    )
    noise, density = np.exp(found.x)
    return max(float(noise), _LEAST_NOISE_M), float(density)


def _walk_deviance(position: Float[np.ndarray, "T N 2"], dt_s: float, noise_m: float, density: float) -> float:
    """Return the mean negative log likelihood of the walks under one filter a pedestrian, nats a coordinate."""
    count = position.shape[1]
    step = np.array([[1.0, dt_s], [0.0, 1.0]])
    drift = density * np.array([[dt_s**3 / 3, dt_s**2 / 2], [dt_s**2 / 2, dt_s]])
    mean = np.zeros((count, 2, 2))  # [pedestrian, (place, velocity), (x, y)]
    covariance = np.zeros((count, 2, 2))
    age = np.zeros(count, dtype=np.int64)
    total, terms = 0.0, 0
    for now in position:
        seen = np.isfinite(now[:, 0])
        born = seen & (age == 0)
        known = age > 0
        mean[known] = step @ mean[known]
        covariance[known] = step @ covariance[known] @ step.T + drift
        corrected = seen & known
        innovation = now[corrected] - mean[corrected, 0]
        variance = covariance[corrected, 0, 0] + noise_m**2
        if (scored := age[corrected] >= 2).any():
            terms += 2 * int(scored.sum())
            per_walker = (innovation**2).sum(1) / variance + 2 * np.log(2 * np.pi * variance)
            total += 0.5 * float(per_walker[scored].sum())
        gain = covariance[corrected, :, 0] / variance[:, None]
        mean[corrected] += gain[:, :, None] * innovation[:, None, :]
        covariance[corrected] -= gain[:, :, None] * covariance[corrected][:, :1, :]
        mean[born, 0], mean[born, 1] = now[born], 0.0
        covariance[born] = np.diag([noise_m**2, 1.0])
        age[seen] += 1
    return total / max(terms, 1)
