"""Protocol R: predict a recorded toss open loop from its first frame to its last, and score every frame.

Conventions of the recordings: the world is the board's frame (z up, board at z = 0), quaternions turn the body to
the world, velocities are backward differences (they belong half a frame before their pose), angular velocities
are in the body frame.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float, Int

from worldsim.dynamics import quaternion
from worldsim.errors import DataError, UnknownNameError
from worldsim.evaluation.archives import read_arrays, told_rate
from worldsim.inference.identification import Windows
from worldsim.inference.rigid_rollout import BoxStart
from worldsim.simulation.recordings.checks import check_arrays, check_offsets, check_unit

__all__ = ["SPLITS", "TossErrors", "Tosses", "load_tosses", "protocol_start", "score", "windows"]

SPLITS: dict[str, tuple[int, ...]] = {"train": (0,), "dev": (1,), "test": (2,), "held-out": (1, 2)}
"""Split name -> codes in the file; duplicates (-1) belong to none."""

_COLUMNS = ("pos", "quat_wxyz", "vel", "angvel_body", "offsets", "split")


@dataclass(frozen=True, slots=True)
class Tosses:
    """n recorded tosses of one body, padded to the longest with their last frame.

    Attributes:
        position: [T, n, 3] m; orientation_xyzw: [T, n, 4].
        linear_velocity: [T, n, 3] m/s world frame; angular_velocity: [T, n, 3] rad/s, BODY frame; both as recorded.
        frames: [n] real frames of each.
        rate_hz: frames a second.
    """

    position: Float[np.ndarray, "T n 3"]
    orientation_xyzw: Float[np.ndarray, "T n 4"]
    linear_velocity: Float[np.ndarray, "T n 3"]
    angular_velocity: Float[np.ndarray, "T n 3"]
    frames: Int[np.ndarray, " n"]
    rate_hz: float

    def __len__(self) -> int:
        """Return the number of tosses."""
        return len(self.frames)

    @property
    def scored(self) -> Bool[np.ndarray, "T n"]:
        """Frames 1 to the last of each toss."""
        index = np.arange(len(self.position))[:, None]
        return np.asarray((index >= 1) & (index < self.frames))

    def select(self, index: np.ndarray) -> Tosses:
        """Return the tosses at `index`, cut to the longest of them."""
        length = int(self.frames[index].max())
        return Tosses(
            self.position[:length, index],
            self.orientation_xyzw[:length, index],
            self.linear_velocity[:length, index],
            self.angular_velocity[:length, index],
            self.frames[index],
            self.rate_hz,
        )


def load_tosses(path: Path, split: str) -> Tosses:
    """Return the tosses of one split (a name in `SPLITS`) of a file in the cube's format.

    Raises:
        UnknownNameError: no such split.
        DataError: the file is missing, of another format, or has no toss in the split.
    """
    if split not in SPLITS:
        raise UnknownNameError("split", split, SPLITS)
    arrays = read_arrays(path, "recorded tosses in the format of cube_toss.npz", (*_COLUMNS, "meta"))
    rate_hz = told_rate(path, arrays)
    frames_in_all, items, offsets = len(arrays["pos"]), len(arrays["split"]), arrays["offsets"]
    rows = {
        name: (frames_in_all, width) for name, width in (("pos", 3), ("quat_wxyz", 4), ("vel", 3), ("angvel_body", 3))
    }
    check_arrays(path, arrays, {**rows, "split": (None,)})
    check_offsets(path, offsets, frames_in_all, items, least=2)
    check_unit(path, "quat_wxyz", arrays["quat_wxyz"])
    chosen = np.flatnonzero(np.isin(arrays["split"], SPLITS[split]))
    if len(chosen) == 0:
        raise DataError(f"{path}: no toss of the {split} split.")
    frames = np.diff(offsets)[chosen]
    index = offsets[chosen] + np.minimum(np.arange(frames.max())[:, None], frames - 1)
    order = [1, 2, 3, 0]
    return Tosses(
        arrays["pos"][index].astype(np.float64),
        arrays["quat_wxyz"][index][..., order].astype(np.float64),
        arrays["vel"][index].astype(np.float64),
        arrays["angvel_body"][index].astype(np.float64),
        frames,
        rate_hz,
    )


def protocol_start(tosses: Tosses, dtype: torch.dtype = torch.float32) -> BoxStart:
    """Return the starts that protocol R allows: frame 0, with its backward differences."""

    def tensor(array: np.ndarray) -> torch.Tensor:
        return torch.as_tensor(array[0], dtype=dtype)

    orientation = quaternion.normalise(tensor(tosses.orientation_xyzw))
    spin = quaternion.rotate(orientation, tensor(tosses.angular_velocity))
    return BoxStart(tensor(tosses.position), orientation, tensor(tosses.linear_velocity), spin, 0.5 / tosses.rate_hz)


def windows(tosses: Tosses, length: int, stride: int, most: int) -> Windows:
    """Return up to `most` windows a toss that start where the motion is smooth, until the body rests.

    The velocity at a start is the central difference; a start is smooth where the two one-sided differences agree
    up to gravity, so that no impact lies between them.
    """
    picked: list[tuple[int, int]] = []
    for toss, frames in enumerate(tosses.frames):
        velocity, spin = tosses.linear_velocity[:frames, toss], tosses.angular_velocity[:frames, toss]
        jump = np.diff(velocity, axis=0)
        falling = jump + np.array([0.0, 0.0, 9.81 / tosses.rate_hz])
        smooth = np.minimum(np.linalg.norm(jump, axis=1), np.linalg.norm(falling, axis=1)) < SMOOTH_M_S
        smooth &= np.linalg.norm(np.diff(spin, axis=0), axis=1) < SMOOTH_RAD_S
        moving = (np.linalg.norm(velocity[:-1], axis=1) > RESTING_M_S) | (np.linalg.norm(spin[:-1], axis=1) > 0.2)
        usable = np.flatnonzero(smooth & moving)
        usable = usable[usable < frames - length // 2]
        last, count = -stride, 0
        for frame in usable:
            if frame - last >= stride and count < most:
                picked.append((toss, int(frame)))
                last, count = int(frame), count + 1
    toss_index, frame_index = np.array(picked, dtype=np.int64).reshape(-1, 2).T
    span = frame_index + np.arange(length + 1)[:, None]
    present = span < tosses.frames[toss_index]
    span = np.minimum(span, len(tosses.position) - 1)

    def tensor(array: np.ndarray) -> torch.Tensor:
        return torch.as_tensor(array, dtype=torch.float32)

    orientation = tensor(tosses.orientation_xyzw[span, toss_index])
    following = frame_index + 1
    velocity = 0.5 * (tosses.linear_velocity[frame_index, toss_index] + tosses.linear_velocity[following, toss_index])
    spin = 0.5 * (tosses.angular_velocity[frame_index, toss_index] + tosses.angular_velocity[following, toss_index])
    position = tensor(tosses.position[span, toss_index])
    start_orientation = quaternion.normalise(orientation[0])
    start = BoxStart(
        position[0], start_orientation, tensor(velocity), quaternion.rotate(start_orientation, tensor(spin))
    )
    return Windows(start, position, orientation, torch.as_tensor(present), 1.0 / tosses.rate_hz)


SMOOTH_M_S, SMOOTH_RAD_S, RESTING_M_S = 0.06, 0.6, 0.03
"""Jumps of a velocity between frames that measurement noise alone can make, and the speed of a body at rest."""


@dataclass(frozen=True, slots=True)
class TossErrors:
    """Errors of n predicted tosses, each [n]: mean over frames 1 to the last, and at the last.

    Attributes:
        position_m, rotation_rad: means over the frames.
        end_position_m, end_rotation_rad: at the last frame.
        right_face: the side that ends up on top is the recorded one.
        by_frame_position_m, by_frame_rotation_rad: [T, n] at every frame.
    """

    position_m: Float[np.ndarray, " n"]
    rotation_rad: Float[np.ndarray, " n"]
    end_position_m: Float[np.ndarray, " n"]
    end_rotation_rad: Float[np.ndarray, " n"]
    right_face: Bool[np.ndarray, " n"]
    by_frame_position_m: Float[np.ndarray, "T n"]
    by_frame_rotation_rad: Float[np.ndarray, "T n"]


def score(
    tosses: Tosses, position: Float[np.ndarray, "T n 3"], orientation_xyzw: Float[np.ndarray, "T n 4"]
) -> TossErrors:
    """Return the errors of predicted poses by protocol R."""
    off = np.linalg.norm(position - tosses.position, axis=-1)
    predicted, recorded = torch.as_tensor(orientation_xyzw), torch.as_tensor(tosses.orientation_xyzw)
    angle = quaternion.geodesic_angle(predicted.double(), recorded.double()).numpy()
    scored, count = tosses.scored, tosses.frames - 1
    last, toss = tosses.frames - 1, np.arange(len(tosses))
    return TossErrors(
        np.where(scored, off, 0.0).sum(0) / count,
        np.where(scored, angle, 0.0).sum(0) / count,
        off[last, toss],
        angle[last, toss],
        _top_face(orientation_xyzw[last, toss]) == _top_face(tosses.orientation_xyzw[last, toss]),
        off,
        angle,
    )


def _top_face(orientation_xyzw: Float[np.ndarray, "n 4"]) -> Int[np.ndarray, " n"]:
    """Return which of the six sides looks up: +x 0, +y 1, +z 2, -x 3, -y 4, -z 5."""
    up = quaternion.to_matrix(torch.as_tensor(orientation_xyzw))[:, 2].numpy()
    axis = np.abs(up).argmax(-1)
    return np.asarray(axis + 3 * (up[np.arange(len(up)), axis] < 0.0))
