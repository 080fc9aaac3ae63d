"""Recorded drops of a square in a vertical plane: loading, starts, and errors a tenth of a second later."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float

from worldsim.errors import DataError, UnknownNameError
from worldsim.evaluation.archives import check_rate, read_arrays, told_rate
from worldsim.evaluation.protocol_r import SPLITS
from worldsim.inference.bounce_residual import PlanePath
from worldsim.inference.identification import Windows
from worldsim.inference.rigid_rollout import BoxStart
from worldsim.simulation.recordings.checks import check_arrays

__all__ = ["FRAMES", "Drops", "box_start", "load_drops", "plane_path", "recorded_path", "windows"]

RATE_HZ = 250.0
FRAMES = 26
"""Frames from the start to 0.1 s later, both counted."""


@dataclass(frozen=True, slots=True)
class Drops:
    """N drops, their first `FRAMES` frames.

    Attributes:
        pose: [T, N, 3] x and z in m, theta in rad about -y.
        velocity: [N, 3] of the same at frame 0, backward differences.
        rate_hz: frames a second.
    """

    pose: Float[np.ndarray, "T N 3"]
    velocity: Float[np.ndarray, "N 3"]
    rate_hz: float

    def __len__(self) -> int:
        """Return the number of drops."""
        return self.pose.shape[1]

    def select(self, index: np.ndarray) -> Drops:
        """Return the drops at `index`."""
        return Drops(self.pose[:, index], self.velocity[index], self.rate_hz)


def load_drops(path: Path, split: str) -> Drops:
    """Return the drops of one split (a name in `SPLITS`) of a file in the format of ``planar_drop.npz``.

    Raises:
        UnknownNameError: no such split.
        DataError: the file is missing, of another format or rate, or has no drop in the split.
    """
    if split not in SPLITS:
        raise UnknownNameError("split", split, SPLITS)
    arrays = read_arrays(path, "drops of a square", ("square", "split", "meta"))
    rate_hz = told_rate(path, arrays)
    check_rate(path, rate_hz, RATE_HZ)
    try:
        square, codes = arrays["square"].astype(np.float64), arrays["split"]
    except (ValueError, TypeError) as error:
        raise DataError(f"{path} cannot be read as drops of a square: {type(error).__name__}: {error}.") from error
    if square.ndim != 3 or square.shape[1] < FRAMES or square.shape[2] != 6:
        raise DataError(f"{path}: array 'square' has shape {square.shape}, expected [drops, at least {FRAMES}, 6].")
    check_arrays(path, {"square": square, "split": codes}, {"square": (None, None, 6), "split": (len(square),)})
    chosen = square[np.isin(codes, SPLITS[split])]
    if len(chosen) == 0:
        raise DataError(f"{path}: no drop of the {split} split.")
    return Drops(chosen[:, :FRAMES, :3].transpose(1, 0, 2), chosen[:, 0, 3:], rate_hz)


def box_start(drops: Drops) -> BoxStart:
    """Return the starts at frame 0 as those of boxes in the plane y = 0."""
    position, orientation = _spatial(drops.pose[0])
    zero = np.zeros(len(drops))
    vx, vz, spin = drops.velocity.T

    def tensor(part: np.ndarray) -> torch.Tensor:
        return torch.as_tensor(part, dtype=torch.float32)

    velocity, turning = np.stack([vx, zero, vz], axis=-1), np.stack([zero, -spin, zero], axis=-1)
    return BoxStart(tensor(position), tensor(orientation), tensor(velocity), tensor(turning), 0.5 / drops.rate_hz)


def windows(drops: Drops) -> Windows:
    """Return one window a drop, from its first frame on."""
    position, orientation = _spatial(drops.pose)
    return Windows(
        box_start(drops),
        torch.as_tensor(position, dtype=torch.float32),
        torch.as_tensor(orientation, dtype=torch.float32),
        torch.ones(drops.pose.shape[:2], dtype=torch.bool),
        1.0 / drops.rate_hz,
    )


def plane_path(position: torch.Tensor, orientation: torch.Tensor, dt_s: float) -> PlanePath:
    """Return predicted poses [T, N, 3] and [T, N, 4] in the plane's coordinates."""
    p, q = position.double().numpy(), orientation.double().numpy()
    theta = np.unwrap(-2.0 * np.arctan2(q[..., 1], q[..., 3]), axis=0)
    return PlanePath(p[..., 0], p[..., 2], theta, dt_s)


def recorded_path(drops: Drops) -> PlanePath:
    """Return what was recorded in the plane's coordinates."""
    return PlanePath(drops.pose[..., 0], drops.pose[..., 1], drops.pose[..., 2], 1.0 / drops.rate_hz)


def _spatial(pose: Float[np.ndarray, "... 3"]) -> tuple[Float[np.ndarray, "... 3"], Float[np.ndarray, "... 4"]]:
    x, z, theta = np.moveaxis(pose, -1, 0)
    zero = np.zeros_like(x)
    quaternion = np.stack([zero, -np.sin(0.5 * theta), zero, np.cos(0.5 * theta)], axis=-1)
    return np.stack([x, zero, z], axis=-1), quaternion
