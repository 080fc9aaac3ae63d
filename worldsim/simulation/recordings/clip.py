"""One recorded item: who was where at every frame, and how well it was measured."""

from __future__ import annotations

import dataclasses
import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from worldsim.errors import DataError
from worldsim.simulation.recordings.checks import check_shape

__all__ = [
    "TRAIN_DEV",
    "Clip",
    "backward_spin",
    "backward_velocity",
    "pose_covariance",
    "read_arrays",
    "side_by_side",
    "split_names",
]

TRAIN_DEV = ("train", "dev")
"""Names of the splits, in the order of their numbers in the files."""


@dataclass(frozen=True, slots=True)
class Clip:
    """One item of a recording: T frames of N bodies, NaN where a body was not in view.

    Attributes:
        name: unique in its recording.
        split: ``train``, ``dev``, or ``all`` where the recording has no splits.
        time_s: [T] s, strictly increasing, 0 at the first frame.
        bodies: names of the bodies; kinds: what each is, in the words of the model cards.
        position: [T, N, 3] m, world frame, floor at z = 0; orientation_xyzw: [T, N, 4].
        linear_velocity: [T, N, 3] m/s; angular_velocity: [T, N, 3] rad/s; both in the world frame, as the source
            gives them or backward differences. Scoring only: a detector gives no velocities.
        extent_m: [N, 3] full edge lengths.
        covariance: [N, 6, 6] of the measured pose (position m, rotation vector rad).
        unmeasured: [6] coordinates of the pose (x, y, z, rotation vector) that nobody measured. A detection's error in
            them is drawn from `covariance`, so that the covariance is truthful about what it says.
        signals: named recorded inputs over the frames, for example ``torque_n_m`` [T, 2].
    """

    name: str
    split: str
    time_s: Float[np.ndarray, " T"]
    bodies: tuple[str, ...]
    kinds: tuple[str, ...]
    position: Float[np.ndarray, "T N 3"]
    orientation_xyzw: Float[np.ndarray, "T N 4"]
    linear_velocity: Float[np.ndarray, "T N 3"]
    angular_velocity: Float[np.ndarray, "T N 3"]
    extent_m: Float[np.ndarray, "N 3"]
    covariance: Float[np.ndarray, "N 6 6"]
    unmeasured: tuple[bool, ...] = (False,) * 6
    signals: Mapping[str, np.ndarray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check the shapes, so that a loader's mistake shows where it was made.

        Raises:
            DataError: a shape disagrees, time does not increase, or a pose is half there.
        """
        frames, count = len(self.time_s), len(self.bodies)
        expected = {
            "position": (frames, count, 3),
            "orientation_xyzw": (frames, count, 4),
            "linear_velocity": (frames, count, 3),
            "angular_velocity": (frames, count, 3),
            "extent_m": (count, 3),
            "covariance": (count, 6, 6),
        }
        for name, shape in expected.items():
            if getattr(self, name).shape != shape:
                raise DataError(f"clip {self.name!r}: {name} has shape {getattr(self, name).shape}, expected {shape}.")
        if frames == 0 or not (np.diff(self.time_s) > 0.0).all():
            raise DataError(f"clip {self.name!r}: the times of its {frames} frames do not increase strictly.")
        seen = np.isfinite(self.position).all(-1)
        if not (seen == np.isfinite(self.orientation_xyzw).all(-1)).all():
            raise DataError(f"clip {self.name!r}: a body has a position without an orientation, or the reverse.")

    def __len__(self) -> int:
        """Return the number of frames T."""
        return len(self.time_s)

    @property
    def present(self) -> np.ndarray:
        """[T, N] whether the body was in view."""
        return np.isfinite(self.position[..., 0])

    def first(self, frames: int) -> Clip:
        """Return the first `frames` frames, without the bodies that come later."""
        seen = np.isfinite(self.position[:frames, :, 0]).any(axis=0)
        rows = np.flatnonzero(seen).tolist()
        return dataclasses.replace(
            self,
            time_s=self.time_s[:frames],
            bodies=tuple(self.bodies[row] for row in rows),
            kinds=tuple(self.kinds[row] for row in rows),
            position=self.position[:frames, seen],
            orientation_xyzw=self.orientation_xyzw[:frames, seen],
            linear_velocity=self.linear_velocity[:frames, seen],
            angular_velocity=self.angular_velocity[:frames, seen],
            extent_m=self.extent_m[seen],
            covariance=self.covariance[seen],
            signals={name: values[:frames] for name, values in self.signals.items()},
        )

    @property
    def duration_s(self) -> float:
        """Time of the last frame, s."""
        return float(self.time_s[-1])


def side_by_side(clips: Sequence[Clip], spacing_m: float, name: str = "side-by-side") -> Clip:
    """Return one clip in which several are played at once, each `spacing_m` further along y than the one before.

    A recording that ends early leaves the others alone. Signals are left out.

    Raises:
        DataError: the clips do not share their frame times.
    """
    longest = max(clips, key=len)
    for clip in clips:
        if not np.array_equal(clip.time_s, longest.time_s[: len(clip)]):
            raise DataError(f"clips {clip.name!r} and {longest.name!r} do not share their frame times.")

    def padded(values: np.ndarray) -> np.ndarray:
        gap = np.full((len(longest) - len(values), *values.shape[1:]), np.nan)
        return np.concatenate([values, gap])

    offsets = [np.array([0.0, spacing_m * index, 0.0]) for index in range(len(clips))]
    return Clip(
        name=name,
        split=longest.split,
        time_s=longest.time_s,
        bodies=tuple(f"{clip.name}/{body}" for clip in clips for body in clip.bodies),
        kinds=tuple(kind for clip in clips for kind in clip.kinds),
        position=np.concatenate([padded(c.position + o) for c, o in zip(clips, offsets, strict=True)], axis=1),
        orientation_xyzw=np.concatenate([padded(clip.orientation_xyzw) for clip in clips], axis=1),
        linear_velocity=np.concatenate([padded(clip.linear_velocity) for clip in clips], axis=1),
        angular_velocity=np.concatenate([padded(clip.angular_velocity) for clip in clips], axis=1),
        extent_m=np.concatenate([clip.extent_m for clip in clips]),
        covariance=np.concatenate([clip.covariance for clip in clips]),
        unmeasured=longest.unmeasured,
    )


def read_arrays(
    path: Path, shapes: Mapping[str, tuple[int | None, ...]]
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Return the named arrays of an ``.npz`` file, and its ``meta``.

    Args:
        path: the file.
        shapes: name -> expected shape, None for a free length.

    Raises:
        DataError: the file is missing, no npz, holds pickled objects, or lacks an array of that shape.
    """
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except OSError as error:
        raise DataError(
            f"recording {path} cannot be read ({error.strerror or error}). Get it with `worldsim data fetch`, or set "
            "WORLDSIM_DATA to the folder that holds it."
        ) from error
    except (ValueError, EOFError, zipfile.BadZipFile) as error:
        why = str(error).partition(". ")[0]  # numpy goes on with how to load pickles, which nobody should
        raise DataError(
            f"recording {path} is damaged or no .npz archive of numbers ({why}). Fetch it again."
        ) from error
    for name, shape in shapes.items():
        if name not in arrays:
            raise DataError(f"recording {path} lacks the array {name!r}; it has {sorted(arrays)}.")
        check_shape(path, name, arrays[name], shape)
    try:
        meta = json.loads(str(arrays.pop("meta"))) if "meta" in arrays else {}
    except ValueError as error:
        raise DataError(f"recording {path}: its meta is not JSON ({error}).") from error
    return arrays, meta


def split_names(numbers: np.ndarray) -> tuple[str, ...]:
    """Return the split's name of each item (0 train, 1 dev, others by their number)."""
    return tuple(TRAIN_DEV[n] if 0 <= n < len(TRAIN_DEV) else f"split{n}" for n in numbers.tolist())


def pose_covariance(position_std_m: Any, rotation_std_rad: Any) -> Float[np.ndarray, "6 6"]:
    """Return the diagonal covariance of a pose; each argument is one number or three."""
    std = np.concatenate([np.broadcast_to(position_std_m, 3), np.broadcast_to(rotation_std_rad, 3)]).astype(np.float64)
    return np.diag(std**2)


def backward_velocity(position: Float[np.ndarray, "T N 3"], time_s: Float[np.ndarray, " T"]) -> np.ndarray:
    """Return backward differences over the frames, m/s; the first frame in view gets the second's value."""
    velocity = np.full_like(position, np.nan)
    velocity[1:] = np.diff(position, axis=0) / np.diff(time_s)[:, None, None]
    return _fill_first(velocity, np.isfinite(position[..., 0]))


def backward_spin(orientation_xyzw: Float[np.ndarray, "T N 4"], time_s: Float[np.ndarray, " T"]) -> np.ndarray:
    """Return the world-frame angular velocity by backward differences, rad/s; the first frame as the second."""
    frames, count, _ = orientation_xyzw.shape
    spin = np.full((frames, count, 3), np.nan)
    known = np.isfinite(orientation_xyzw[..., 0])
    both = known[1:] & known[:-1]
    if both.any():
        turn = Rotation.from_quat(orientation_xyzw[1:][both]) * Rotation.from_quat(orientation_xyzw[:-1][both]).inv()
        dt_s = np.broadcast_to(np.diff(time_s)[:, None], both.shape)[both]
        spin[1:][both] = turn.as_rotvec() / dt_s[:, None]
    return _fill_first(spin, known)


def _fill_first(rate: np.ndarray, known: np.ndarray) -> np.ndarray:
    following = np.concatenate([rate[1:], np.full_like(rate[:1], np.nan)])
    missing = known & ~np.isfinite(rate[..., 0])
    rate[missing] = np.nan_to_num(following[missing])  # a body seen in one frame alone stands still
    return rate
