"""The tossed cube and the tossed elbow, 148 Hz motion capture over a board."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from worldsim.simulation.recordings.checks import check_arrays, check_offsets, check_shape, check_unit, frame_rate
from worldsim.simulation.recordings.clip import (
    Clip,
    backward_spin,
    backward_velocity,
    pose_covariance,
    read_arrays,
    split_names,
)

__all__ = ["CUBE_EDGE_M", "TOSS_RATE_HZ", "load_cube_tosses", "load_elbow_tosses"]

TOSS_RATE_HZ = 148.0
"""Both sets (Pfrommer et al. 2020, "ContactNets"; Bianchini et al. 2023)."""

CUBE_EDGE_M = 2 * 0.05125
"""Twice the height of the centre at rest on a face: the cube's 104.8 mm edge in the recording's own length scale,
which is about 2 % short. A detector that reported the calliper's value would see the cube sink into the board."""

_CUBE_COVARIANCE = pose_covariance(3e-5, np.radians(0.015))  # noise at rest: 0.03 mm, 0.015 degrees

# Elbow, from third differences on the train split (median |d3| / 0.6745 / sqrt(20)): position 0.05 mm a axis, rotation
# 0.9 mrad, joint angle 1.4 mrad.
_ELBOW_POSITION_STD_M = 5e-5
_ELBOW_ROTATION_STD_RAD = 9e-4
_ELBOW_JOINT_STD_RAD = 1.4e-3
_ELBOW_BOX_M = (0.1, 0.05, 0.05)  # elbow.urdf, both links
_HINGE_IN_LINK_1_M = np.array([-0.035, 0.06, 0.0])  # elbow.urdf, joint hinge_1_to_2, axis y
_BOX_2_IN_LINK_2_M = np.array([0.035, 0.0, 0.0])  # elbow.urdf, collision origin of elbow_2


def load_cube_tosses(path: Path) -> tuple[Clip, ...]:
    """Return the cube tosses, one clip a toss, in the file's order.

    Source: Pfrommer, Halm and Posa (2020), data of github.com/DAIRLab/contact-nets. World = board frame, z up, board
    top at z = 0. The recorded velocities are backward differences over a frame (1/148 s), so they belong half a frame
    before their pose; the angular velocity, in the body frame there, is turned to the world here.

    Raises:
        DataError: the file is missing or of another format.
    """
    arrays, meta = read_arrays(
        path,
        {"pos": (None, 3), "quat_wxyz": (None, 4), "vel": (None, 3), "angvel_body": (None, 3), "offsets": (None,),
         "toss_id": (None,), "split": (None,)},
    )  # fmt: skip
    rate_hz = frame_rate(path, meta, TOSS_RATE_HZ)
    rows, items = len(arrays["pos"]), len(arrays["split"])
    shapes = {"pos": (rows, 3), "quat_wxyz": (rows, 4), "vel": (rows, 3), "angvel_body": (rows, 3), "split": (items,)}
    check_arrays(path, arrays, shapes)
    check_shape(path, "toss_id", arrays["toss_id"], (items,))
    check_offsets(path, arrays["offsets"], rows, items, least=1)
    check_unit(path, "quat_wxyz", arrays["quat_wxyz"])
    quat = _unit_xyzw(arrays["quat_wxyz"])
    spin = Rotation.from_quat(quat).apply(arrays["angvel_body"].astype(np.float64))
    position, velocity = arrays["pos"].astype(np.float64), arrays["vel"].astype(np.float64)
    clips = []
    splits = split_names(arrays["split"])
    for item, toss in enumerate(arrays["toss_id"].tolist()):
        part = slice(arrays["offsets"][item], arrays["offsets"][item + 1])
        frames = part.stop - part.start
        clips.append(
            Clip(
                name=f"toss-{toss}",
                split=splits[item],
                time_s=np.arange(frames) / rate_hz,
                bodies=("cube",),
                kinds=("cube",),
                position=position[part, None],
                orientation_xyzw=quat[part, None],
                linear_velocity=velocity[part, None],
                angular_velocity=spin[part, None],
                extent_m=np.full((1, 3), CUBE_EDGE_M),
                covariance=_CUBE_COVARIANCE[None].copy(),
            )
        )
    return tuple(clips)


def load_elbow_tosses(path: Path) -> tuple[Clip, ...]:
    """Return the elbow tosses: two boxes on a hinge about link 1's y axis, one clip a toss.

    Source: data of github.com/DAIRLab/dair_pll (contactnets_elbow). Link 1 is as recorded; link 2 follows from the
    joint angle and the geometry of elbow.urdf.

    Raises:
        DataError: the file is missing or of another format.
    """
    arrays, meta = read_arrays(
        path,
        {"pos": (None, None, 3), "quat_wxyz": (None, None, 4), "joint": (None, None), "vel": (None, None, 3),
         "split": (None,)},
    )  # fmt: skip
    items, frames, _ = arrays["pos"].shape
    shapes = {"pos": (items, frames, 3), "quat_wxyz": (items, frames, 4), "joint": (items, frames),
              "vel": (items, frames, 3), "split": (items,)}  # fmt: skip
    check_arrays(path, arrays, shapes)
    check_unit(path, "quat_wxyz", arrays["quat_wxyz"])
    splits = split_names(arrays["split"])
    lever = float(np.linalg.norm(_HINGE_IN_LINK_1_M)) + float(np.linalg.norm(_BOX_2_IN_LINK_2_M))
    rotation_2 = np.hypot(_ELBOW_ROTATION_STD_RAD, _ELBOW_JOINT_STD_RAD)
    covariance = np.stack(
        [
            pose_covariance(_ELBOW_POSITION_STD_M, _ELBOW_ROTATION_STD_RAD),
            pose_covariance(np.hypot(_ELBOW_POSITION_STD_M, rotation_2 * lever), rotation_2),
        ]
    )
    clips = []
    time_s = np.arange(frames) / frame_rate(path, meta, TOSS_RATE_HZ)
    for item, split in enumerate(splits):
        position, orientation = elbow_links(
            arrays["pos"][item].astype(np.float64), _unit_xyzw(arrays["quat_wxyz"][item]), arrays["joint"][item]
        )
        velocity = backward_velocity(position, time_s)
        velocity[:, 0] = arrays["vel"][item]
        clips.append(
            Clip(
                name=f"elbow-{item}",
                split=split,
                time_s=time_s,
                bodies=("link_1", "link_2"),
                kinds=("elbow_link", "elbow_link"),
                position=position,
                orientation_xyzw=orientation,
                linear_velocity=velocity,
                angular_velocity=backward_spin(orientation, time_s),
                extent_m=np.tile(_ELBOW_BOX_M, (2, 1)),
                covariance=covariance.copy(),
                signals={"joint_rad": arrays["joint"][item].astype(np.float64)},
            )
        )
    return tuple(clips)


def elbow_links(
    position: Float[np.ndarray, "T 3"], orientation_xyzw: Float[np.ndarray, "T 4"], joint_rad: Float[np.ndarray, " T"]
) -> tuple[Float[np.ndarray, "T 2 3"], Float[np.ndarray, "T 2 4"]]:
    """Return the centres and orientations of both boxes from link 1's pose and the joint angle."""
    link_1 = Rotation.from_quat(orientation_xyzw)
    turn = np.zeros((len(joint_rad), 3))
    turn[:, 1] = joint_rad
    link_2 = link_1 * Rotation.from_rotvec(turn)
    centre_2 = position + link_1.apply(_HINGE_IN_LINK_1_M) + link_2.apply(_BOX_2_IN_LINK_2_M)
    return np.stack([position, centre_2], axis=1), np.stack([orientation_xyzw, link_2.as_quat()], axis=1)


def _unit_xyzw(quat_wxyz: np.ndarray) -> Float[np.ndarray, "*B 4"]:
    quat = np.roll(quat_wxyz.astype(np.float64), -1, axis=-1)
    return quat / np.linalg.norm(quat, axis=-1, keepdims=True)
