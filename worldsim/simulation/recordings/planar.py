"""Things that move in a vertical plane: the dropped square and the double pendulum."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import Float

from worldsim.simulation.recordings.checks import check_arrays, check_offsets, frame_rate
from worldsim.simulation.recordings.clip import (
    Clip,
    backward_spin,
    backward_velocity,
    pose_covariance,
    read_arrays,
    split_names,
)

__all__ = ["load_double_pendulum", "load_planar_drops"]

_DROP_RATE_HZ = 250.0
_SQUARE_EDGE_M = 0.06  # the recording's 60 mm "die"; taken as a cube, since its depth never matters in the plane

# Third differences on the train split (median |d3| / 0.6745 / sqrt(20)): x 0.012 mm, z 0.034 mm, theta 0.69 mrad. y and
# the two other rotations are not measured: the rig holds them, so they get the same figures.
_DROP_COVARIANCE = pose_covariance((1.2e-5, 1.2e-5, 3.4e-5), 6.9e-4)

_UPPER_M, _LOWER_M = 0.2, 0.3  # link lengths l1, l2 of design C
_THICKNESS_M = 0.04  # not in the recording; drawn and collided with by nobody
_PIVOT_HEIGHT_M = 1.0  # the recording has angles alone; this keeps both links above the floor
_ENCODER_STEP_RAD = 3.8147e-4  # the smallest step in the logged angles; uniform rounding gives step / sqrt(12)


def load_planar_drops(path: Path) -> tuple[Clip, ...]:
    """Return the drops of a square in a vertical plane (world x-z, y = 0), one clip a drop.

    Source: data of N. Fazeli (MCube Lab), in github.com/DAIRLab/ImpactModeling. Theta turns about -y.

    Raises:
        DataError: the file is missing or of another format.
    """
    arrays, meta = read_arrays(path, {"square": (None, None, 6), "split": (None,)})
    check_arrays(path, arrays, {"square": (None, None, 6), "split": (len(arrays["square"]),)})
    rate_hz, clips = frame_rate(path, meta, _DROP_RATE_HZ), []
    for item, (drop, split) in enumerate(zip(arrays["square"], split_names(arrays["split"]), strict=True)):
        x, z, theta, vx, vz, vtheta = drop.astype(np.float64).T
        frames = len(x)
        clips.append(
            Clip(
                name=f"drop-{item}",
                split=split,
                time_s=np.arange(frames) / rate_hz,
                bodies=("square",),
                kinds=("square",),
                position=_in_plane(x, z)[:, None],
                orientation_xyzw=_about_minus_y(theta)[:, None],
                linear_velocity=_in_plane(vx, vz)[:, None],
                angular_velocity=np.stack([np.zeros(frames), -vtheta, np.zeros(frames)], axis=-1)[:, None],
                extent_m=np.full((1, 3), _SQUARE_EDGE_M),
                covariance=_DROP_COVARIANCE[None].copy(),
            )
        )
    return tuple(clips)


def load_double_pendulum(path: Path) -> tuple[Clip, ...]:
    """Return the runs of the actuated double pendulum as two rods, with torques and angles as signals.

    Source: github.com/dfki-ric-underactuated-lab/double_pendulum (Wiebe et al. 2023). q1 counts from hanging down, q2
    is relative to the upper link; both turn about -y here, in the world's x-z plane. Frames come about every 2 ms,
    not evenly; a frame whose time does not advance is left out.

    Raises:
        DataError: the file is missing or of another format.
    """
    arrays, _ = read_arrays(path, {"data": (None, 9), "offsets": (None,), "names": (None,)})
    check_offsets(path, arrays["offsets"], len(arrays["data"]), len(arrays["names"]), least=1)
    rotation_std = _ENCODER_STEP_RAD / np.sqrt(12.0)
    covariance = np.stack(
        [
            pose_covariance(0.5 * _UPPER_M * rotation_std, rotation_std),
            pose_covariance((_UPPER_M + _LOWER_M) * rotation_std, np.sqrt(2.0) * rotation_std),
        ]
    )
    extent = np.array([[_THICKNESS_M, _THICKNESS_M, _UPPER_M], [_THICKNESS_M, _THICKNESS_M, _LOWER_M]])
    clips = []
    for item, name in enumerate(arrays["names"].tolist()):
        run = arrays["data"][arrays["offsets"][item] : arrays["offsets"][item + 1]].astype(np.float64)
        run = run[np.concatenate([[True], np.diff(run[:, 0]) > 0.0])]
        time_s = run[:, 0] - run[0, 0]
        upper, lower = run[:, 1], run[:, 1] + run[:, 2]
        elbow = _hanging(upper, _UPPER_M)
        pivot = np.array([0.0, 0.0, _PIVOT_HEIGHT_M])
        position = np.stack([pivot + 0.5 * elbow, pivot + elbow + 0.5 * _hanging(lower, _LOWER_M)], axis=1)
        orientation = np.stack([_about_minus_y(upper), _about_minus_y(lower)], axis=1)
        clips.append(
            Clip(
                name=name,
                split="all",
                time_s=time_s,
                bodies=("upper_link", "lower_link"),
                kinds=("pendulum_link", "pendulum_link"),
                position=position,
                orientation_xyzw=orientation,
                linear_velocity=backward_velocity(position, time_s),
                angular_velocity=backward_spin(orientation, time_s),
                extent_m=extent.copy(),
                covariance=covariance.copy(),
                signals={
                    "joint_rad": run[:, 1:3],
                    "joint_velocity_rad_s": run[:, 3:5],
                    "torque_commanded_n_m": run[:, 5:7],
                    "torque_measured_n_m": run[:, 7:9],
                },
            )
        )
    return tuple(clips)


def _in_plane(x: Float[np.ndarray, " T"], z: Float[np.ndarray, " T"]) -> Float[np.ndarray, "T 3"]:
    return np.stack([x, np.zeros_like(x), z], axis=-1)


def _hanging(angle_rad: Float[np.ndarray, " T"], length_m: float) -> Float[np.ndarray, "T 3"]:
    return length_m * _in_plane(np.sin(angle_rad), -np.cos(angle_rad))


def _about_minus_y(angle_rad: Float[np.ndarray, " T"]) -> Float[np.ndarray, "T 4"]:
    zero = np.zeros_like(angle_rad)
    return np.stack([zero, -np.sin(0.5 * angle_rad), zero, np.cos(0.5 * angle_rad)], axis=-1)
