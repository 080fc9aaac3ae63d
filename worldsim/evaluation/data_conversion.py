"""From the public originals to worldsim's ``.npz`` files: which originals, and how to read them."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from worldsim.errors import DataError
from worldsim.evaluation.datasets import manifest

__all__ = ["ORIGINALS", "Originals", "item_sha256"]

_HALF_WIDTH_M = 0.0524  # contact-nets stores lengths in half widths of its block
_ELBOW_TOSSES = 541  # files 0.pt to 540.pt
_PLANAR_DROPS = 500  # files traj_1.csv to traj_500.csv
_CROWD_SCENES = ("zara01", "zara02", "students03")


@dataclass(frozen=True, slots=True)
class Originals:
    """The public files behind one data set.

    Attributes:
        repository: ``owner/name`` on GitHub.
        refs: commits to ask for, in turn, should one not be served; the result's checksum settles what is right.
        paths: the files' paths in the repository.
        convert: reads the downloaded files, by path, into the set's arrays.
    """

    repository: str
    refs: tuple[str, ...]
    paths: Callable[[], Sequence[str]]
    convert: Callable[[Mapping[str, Path]], dict[str, np.ndarray]]


def item_sha256(*arrays: np.ndarray) -> str:
    """Return the checksum of one item's float32 values, by which it is known among the originals."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(np.ascontiguousarray(array, dtype="<f4").tobytes())
    return digest.hexdigest()


def _cube_paths() -> list[str]:
    return [f"data/tosses_processed/{toss}.pt" for toss in _items("cube-toss")["toss_id"]]


def _convert_cube(files: Mapping[str, Path]) -> dict[str, np.ndarray]:
    """Read ``[1, T, >= 13]`` tensors: position, quaternion wxyz, velocity, body rates; lengths in half widths."""
    items = _items("cube-toss")
    states = []
    for path in _cube_paths():
        state = _tensor(files[path], columns=13)
        state[:, 0:3] *= _HALF_WIDTH_M
        state[:, 7:10] *= _HALF_WIDTH_M
        states.append(state)
    rows = np.concatenate(states).astype(np.float32)
    return {
        "pos": rows[:, 0:3],
        "quat_wxyz": rows[:, 3:7],
        "vel": rows[:, 7:10],
        "angvel_body": rows[:, 10:13],
        "offsets": np.cumsum([0, *(len(s) for s in states)]).astype(np.int32),
        "toss_id": np.array(items["toss_id"], dtype=np.int16),
        "split": np.array(items["split"], dtype=np.int8),
    }


def _elbow_paths() -> list[str]:
    return [f"assets/contactnets_elbow/{toss}.pt" for toss in range(_ELBOW_TOSSES)]


def _convert_elbow(files: Mapping[str, Path]) -> dict[str, np.ndarray]:
    """Read ``[T, 15]`` tensors: quaternion wxyz, position, joint, body rates, velocity, joint rate."""
    columns: dict[str, slice | int] = {
        "quat_wxyz": slice(0, 4),
        "pos": slice(4, 7),
        "joint": 7,
        "angvel_body": slice(8, 11),
        "vel": slice(11, 14),
        "joint_vel": 14,
    }
    found = {}
    for path in _elbow_paths():
        toss = _tensor(files[path], columns=15).astype(np.float32)
        found[item_sha256(*(toss[:, c] for c in columns.values()))] = toss
    chosen = np.stack(_chosen("elbow-toss", found))
    arrays = {name: chosen[:, :, column] for name, column in columns.items()}
    return arrays | {"split": np.array(_items("elbow-toss")["split"], dtype=np.int8)}


def _planar_paths() -> list[str]:
    folder = "Wang/Wang-Mason Square/dice-data-processed"
    return [f"{folder}/traj_{drop}.csv" for drop in range(1, _PLANAR_DROPS + 1)]


def _convert_planar(files: Mapping[str, Path]) -> dict[str, np.ndarray]:
    found = {}
    for path in _planar_paths():
        drop = _table(files[path], ("x", "z", "th", "vx", "vz", "vth")).astype(np.float32)
        found[item_sha256(drop)] = drop
    chosen = _chosen("planar-drop", found)
    return {"square": np.stack(chosen), "split": np.array(_items("planar-drop")["split"], dtype=np.int8)}


def _pendulum_paths() -> list[str]:
    return list(_items("double-pendulum")["names"])


def _convert_pendulum(files: Mapping[str, Path]) -> dict[str, np.ndarray]:
    names = _pendulum_paths()
    signals = ("pos_meas1", "pos_meas2", "vel_meas1", "vel_meas2", "tau_con1", "tau_con2", "tau_meas1", "tau_meas2")
    runs = [_table(files[name], ("time", *signals)) for name in names]
    return {
        "data": np.concatenate(runs).astype(np.float32),
        "offsets": np.cumsum([0, *(len(run) for run in runs)]).astype(np.int32),
        "names": np.array(names, dtype="<U99"),
    }


def _crowd_paths() -> list[str]:
    return [f"datasets/UCY/{scene}/obsmat.txt" for scene in _CROWD_SCENES]


def _convert_crowd(files: Mapping[str, Path]) -> dict[str, np.ndarray]:
    """Read rows of frame, pedestrian, x, height, y, vx, vertical speed, vy; leave the vertical out."""
    scenes = {}
    for scene, path in zip(_CROWD_SCENES, _crowd_paths(), strict=True):
        try:
            table = np.loadtxt(files[path], ndmin=2)
        except ValueError as error:
            raise DataError(f"{files[path]} is no table of numbers ({error}); delete it and fetch again.") from error
        if table.shape[1] != 8:
            raise DataError(f"{files[path]} has {table.shape[1]} columns, expected the 8 of an obsmat file.")
        scenes[scene] = table[:, [0, 1, 2, 4, 5, 7]].astype(np.float32)
    return scenes


def _items(name: str) -> dict[str, Any]:
    items: dict[str, Any] = manifest()["datasets"][name]["items"]
    return items


def _chosen(name: str, found: Mapping[str, np.ndarray]) -> list[np.ndarray]:
    """Return the items of the set's train and dev splits, in its order, known by their checksums.

    Raises:
        DataError: an item is not among the originals.
    """
    wanted: list[str] = _items(name)["sha256"]
    lost = [sha for sha in wanted if sha not in found]
    if lost:
        raise DataError(
            f"data set {name!r}: {len(lost)} of its {len(wanted)} items are not among the {len(found)} downloaded "
            "originals. The repository's files have changed; copy the set with `worldsim data fetch --from DIR`."
        )
    return [found[sha] for sha in wanted]


def _tensor(path: Path, columns: int) -> np.ndarray:
    """Return a stored tensor as float64 ``[T, >= columns]``; nothing but tensors is unpickled."""
    try:
        tensor = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises a dozen kinds here; all mean the same to the reader
        raise DataError(f"{path} is no tensor file ({type(error).__name__}: {error}); fetch it again.") from error
    if not isinstance(tensor, torch.Tensor):
        raise DataError(f"{path} holds {type(tensor).__name__}, expected a tensor.")
    if tensor.ndim == 3 and tensor.shape[0] == 1:
        tensor = tensor[0]
    if tensor.ndim != 2 or tensor.shape[1] < columns:
        raise DataError(f"{path} has shape {tuple(tensor.shape)}, expected [T, {columns}] or more columns.")
    return tensor.to(torch.float64).numpy().copy()


def _table(path: Path, columns: Sequence[str]) -> np.ndarray:
    """Return the named columns of a CSV file as float64, NaN where a cell is empty."""
    rows = csv.DictReader(io.StringIO(path.read_text(encoding="utf-8")))
    lacking = sorted(set(columns) - set(rows.fieldnames or ()))
    if lacking:
        raise DataError(f"{path} lacks the columns {lacking}; it has {rows.fieldnames}.")
    try:
        return np.array([[float(row[c]) if row[c] else np.nan for c in columns] for row in rows])
    except (TypeError, ValueError) as error:
        raise DataError(f"{path} has a cell that is no number ({error}); delete it and fetch again.") from error


def meta_json(**entries: Any) -> np.ndarray:
    """Return the ``meta`` entry of a set's file."""
    return np.array(json.dumps(entries))


ORIGINALS: Mapping[str, Originals] = {
    "cube-toss": Originals(
        "DAIRLab/contact-nets",
        ("3357ba1300b91f27a7d7077d161b05ad54f10dec", "c3dc21c", "main"),
        _cube_paths,
        _convert_cube,
    ),
    "elbow-toss": Originals(
        "DAIRLab/dair_pll", ("b5783254fede96e75bf679a7af753fee483bc055",), _elbow_paths, _convert_elbow
    ),
    "planar-drop": Originals(
        "DAIRLab/ImpactModeling",
        ("f6c28898845da6d48efdd6c1c696db2fb3716edf", "master"),
        _planar_paths,
        _convert_planar,
    ),
    "double-pendulum": Originals(
        "dfki-ric-underactuated-lab/double_pendulum",
        ("1e8544e6", "63f9f00d91dce0798de2753f1ba6dd52a95534ab", "main"),
        _pendulum_paths,
        _convert_pendulum,
    ),
    "crowd": Originals(
        "crowdbotp/OpenTraj",
        ("8434e5e461a63da7330b77e899d5b19ee4f79efd", "97ec1d5", "master"),
        _crowd_paths,
        _convert_crowd,
    ),
}
"""Name of a data set -> its public originals."""
