"""Trajectories on disk: one compressed NumPy archive an episode, with the key names of D4RL and Minari.

Why this format: ``.npz`` is read by NumPy alone (no HDF5 library, no pickle), and the key names are those that the
offline-data community already reads, so a conversion is a loop over keys. See ``docs/report.md`` for every key.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from worldsim.errors import DataError
from worldsim.evaluation.episode import EpisodeLog, Frame
from worldsim.evaluation.run_folder import atomic_write
from worldsim.types.observation import Detections, EgoState, Observation, Viewpoints
from worldsim.types.truth import WorldTruth

__all__ = ["FORMAT", "Trajectory", "read_trajectory", "write_trajectory"]

FORMAT = "worldsim-trajectory-1"

_VIEWPOINT_FIELDS = ("position", "range_m", "axis", "half_angle_rad")
_DETECTION_FIELDS = ("position", "orientation_xyzw", "extent_m", "colour", "appearance", "covariance")
_EGO_FIELDS = ("position", "orientation_xyzw", "linear_velocity", "angular_velocity", "extent_m", "covariance")


@dataclass(frozen=True, slots=True)
class Trajectory:
    """One episode as arrays of T frames, as `read_trajectory` gives it.

    Attributes:
        arrays: key -> array, first axis T (keys under ``metadata/`` excepted).
    """

    arrays: Mapping[str, np.ndarray]

    def __len__(self) -> int:
        """Return the number of frames T."""
        return len(self.arrays["observations/time_s"])

    @property
    def actions(self) -> Float[np.ndarray, "T U"]:
        """The action chosen in each frame."""
        return self.arrays["actions"]

    @property
    def rewards(self) -> Float[np.ndarray, " T"]:
        """What each action earned."""
        return self.arrays["rewards"]

    def observations(self) -> Iterator[Observation]:
        """Yield each frame's observation, equal bit for bit to the one that was recorded."""
        a = self.arrays
        task_keys = [key for key in a if key.startswith("observations/task_")]
        has_ego = "observations/ego_position" in a
        for t in range(len(self)):
            seen = a["observations/mask"][t].astype(bool)
            viewed = a["observations/viewpoint_mask"][t].astype(bool)
            detections = Detections(*(a[f"observations/{name}"][t][seen] for name in _DETECTION_FIELDS))
            fields = (a.get(f"observations/viewpoint_{name}") for name in _VIEWPOINT_FIELDS)
            viewpoints = Viewpoints(*(None if field is None else field[t][viewed] for field in fields))  # type: ignore[arg-type]
            ego = EgoState(*(a[f"observations/ego_{name}"][t] for name in _EGO_FIELDS)) if has_ego else None
            task = {key.removeprefix("observations/"): a[key][t] for key in task_keys} or None
            yield Observation(float(a["observations/time_s"][t]), detections, viewpoints, ego, task)


def write_trajectory(log: EpisodeLog, path: Path) -> Path:
    """Write the episode to `path` (``.npz``), whole or not at all.

    Raises:
        DataError: the log is empty, or was made without observations.
    """
    if not log.frames:
        raise DataError(f"cannot write {path}: the episode has no frames.")
    arrays = _observations(log.frames, path) | _outcome(log) | _truth(log.frames) | _belief(log.frames)
    arrays["metadata/format"] = np.array(FORMAT)
    arrays["metadata/seed"] = np.array(log.seed)
    arrays["metadata/dt_s"] = np.array(log.dt_s)
    arrays["metadata/scenario"] = np.array(log.scenario)
    with atomic_write(path) as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)
    return path


def read_trajectory(path: Path) -> Trajectory:
    """Read what `write_trajectory` wrote.

    Raises:
        DataError: the file is missing, corrupt, or of another format.
    """
    try:
        # Opened here: np.load leaves its own file open when the archive is damaged.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            arrays = {key: archive[key] for key in archive.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(
            f"{path} cannot be read as a trajectory: {error}. Expected an .npz that worldsim wrote."
        ) from error
    found = str(arrays.get("metadata/format", "nothing"))
    if found != FORMAT:
        raise DataError(f"{path}: metadata/format is {found!r}, expected {FORMAT!r}.")
    lengths = {key: len(value) for key, value in arrays.items() if not key.startswith("metadata/")}
    if len(set(lengths.values())) != 1:
        raise DataError(f"{path}: keys disagree on the number of frames: {lengths}.")
    return Trajectory(arrays)


def _observations(frames: Sequence[Frame], path: Path) -> dict[str, np.ndarray]:
    observed = [frame.observation for frame in frames if frame.observation is not None]
    if len(observed) < len(frames):
        raise DataError(f"cannot write {path}: the log left observations out; run with LogOptions(observations=True).")
    most = max(1, *(len(o.detections) for o in observed))
    arrays = {"observations/time_s": np.array([o.time_s for o in observed])}
    arrays["observations/mask"] = np.array([np.arange(most) < len(o.detections) for o in observed])
    for name in _DETECTION_FIELDS:
        arrays[f"observations/{name}"] = _padded([getattr(o.detections, name) for o in observed], most)
    views = max(1, *(len(o.viewpoints.position) for o in observed))
    arrays["observations/viewpoint_mask"] = np.array([np.arange(views) < len(o.viewpoints.position) for o in observed])
    eyes = [o.viewpoints for o in observed]
    some_narrow = any(eye.axis is not None for eye in eyes)
    if some_narrow:
        eyes = [eye if eye.axis is not None else _all_around(eye) for eye in eyes]
    for name in _VIEWPOINT_FIELDS if some_narrow else _VIEWPOINT_FIELDS[:2]:
        arrays[f"observations/viewpoint_{name}"] = _padded([getattr(eye, name) for eye in eyes], views)
    egos = [o.ego for o in observed if o.ego is not None]
    if len(egos) == len(observed):
        for name in _EGO_FIELDS:
            arrays[f"observations/ego_{name}"] = np.array([getattr(ego, name) for ego in egos])
    tasks = [o.task for o in observed if o.task]
    if len(tasks) == len(observed):
        arrays |= {f"observations/{key}": np.array([task[key] for task in tasks]) for key in tasks[0]}
    return arrays


def _outcome(log: EpisodeLog) -> dict[str, np.ndarray]:
    frames = log.frames
    last = np.arange(len(frames)) == len(frames) - 1
    return {
        "actions": np.array([frame.action for frame in frames]),
        "rewards": np.array([frame.reward for frame in frames]),
        "terminations": last & log.terminated,
        "truncations": last & log.truncated,
        "infos/physics_s": np.array([frame.physics_s for frame in frames]),
        "infos/model_s": np.array([frame.model_s for frame in frames]),
        "infos/plan_s": np.array([frame.plan_s for frame in frames]),
    }


def _truth(frames: Sequence[Frame]) -> dict[str, np.ndarray]:
    most = max(1, *(len(frame.truth.names) for frame in frames))
    truths = [frame.truth for frame in frames]
    arrays = {
        f"infos/truth/{name}": _padded([getattr(truth, name) for truth in truths], most)
        for name in ("position", "orientation_xyzw", "linear_velocity", "angular_velocity", "extent_m")
    }
    arrays["infos/truth/name"] = _texts([truth.names for truth in truths], most)
    arrays["infos/truth/kind"] = _texts([truth.kinds for truth in truths], most)
    arrays["infos/truth/present"] = _padded([_present(truth) for truth in truths], most)
    arrays["infos/truth/intruder"] = np.array([truth.intruder or "" for truth in truths])
    return arrays


def _belief(frames: Sequence[Frame]) -> dict[str, np.ndarray]:
    beliefs = [frame.belief for frame in frames if frame.belief is not None]
    if len(beliefs) < len(frames):
        return {}
    most = max(1, *(len(belief.object_id) for belief in beliefs))
    arrays = {
        f"infos/belief/{name}": _padded([getattr(belief, name) for belief in beliefs], most)
        for name in ("position", "position_covariance", "orientation_xyzw", "linear_velocity", "extent_m", "existence")
    }
    ids = np.full((len(frames), most), -1, dtype=np.int64)
    for row, belief in zip(ids, beliefs, strict=True):
        row[: len(belief.object_id)] = belief.object_id
    arrays["infos/belief/object_id"] = ids
    arrays["infos/belief/model_id"] = _texts([belief.model_id for belief in beliefs], most)
    return arrays


def _present(truth: WorldTruth) -> np.ndarray:
    return np.array([name not in truth.absent for name in truth.names], dtype=bool)


def _all_around(eyes: Viewpoints) -> Viewpoints:
    """Return the same with the cones written out that they are."""
    count = len(eyes.position)
    return Viewpoints(eyes.position, eyes.range_m, np.tile([1.0, 0.0, 0.0], (count, 1)), np.full(count, np.pi))


def _padded(rows: Sequence[np.ndarray], length: int) -> np.ndarray:
    """Return the rows as one [T, length, ...] array, padded with zeros at the end."""
    out = np.zeros((len(rows), length, *rows[0].shape[1:]), dtype=np.asarray(rows[0]).dtype)
    for target, row in zip(out, rows, strict=True):
        target[: len(row)] = row
    return out


def _texts(rows: Sequence[Sequence[str]], length: int) -> np.ndarray:
    """Return the rows as one [T, length] array of text, padded with empty texts."""
    return np.array([[*row, *[""] * (length - len(row))] for row in rows], dtype=np.str_)
