"""Where data lie, what they are, and whether they are what they should be."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import platformdirs

from worldsim.errors import DataError, UnknownNameError

__all__ = [
    "DATASETS",
    "DATA_VARIABLE",
    "MIRROR",
    "RECORDINGS",
    "Dataset",
    "array_sha256",
    "data_folders",
    "dataset",
    "find_data",
    "manifest",
    "mismatches",
    "write_folder",
]

MIRROR = "https://raw.githubusercontent.com"
"""Where the originals are served: ``MIRROR/owner/repository/ref/path``."""
DATA_VARIABLE = "WORLDSIM_DATA"
"""Environment variable that names the data folder, before every other place."""


@dataclass(frozen=True, slots=True)
class Dataset:
    """One set of recorded or simulated data.

    Attributes:
        name: as the command line calls it.
        file: path below the data folder.
        summary: what it is, in one line.
        licence: SPDX identifier, or the terms in words.
        source: where the original is.
        recording: name of its loader (see `worldsim.simulation.recordings.LOADERS`), None where it is no recording.
        original: how `worldsim data fetch` gets it: ``download``, ``generate``, or ``copy`` where only a copy helps.
        rate_hz: frames a second, None where a set has times of its own.
    """

    name: str
    file: str
    summary: str
    licence: str
    source: str
    recording: str | None = None
    original: str = "download"
    rate_hz: float | None = None


_NRI = partial(
    Dataset,
    licence="MIT",
    source="simulated after Kipf et al. (2018), appendix B",
    original="generate",
)

DATASETS: Mapping[str, Dataset] = {
    entry.name: entry
    for entry in (
        Dataset(
            "cube-toss",
            "cube_toss/cube_toss.npz",
            "a cube tossed on a board, 148 Hz: 260 train and 164 dev tosses",
            "BSD-3-Clause",
            "github.com/DAIRLab/contact-nets c3dc21c, data/tosses_processed",
            "cube-toss",
            rate_hz=148.0,
        ),
        Dataset(
            "elbow-toss",
            "elbow_toss/elbow_toss.npz",
            "two blocks on a hinge, tossed, 148 Hz: 270 train and 162 dev tosses",
            "BSD-3-Clause",
            "github.com/DAIRLab/dair_pll b5783254, assets/contactnets_elbow",
            "elbow-toss",
            rate_hz=148.0,
        ),
        Dataset(
            "planar-drop",
            "planar_drop/planar_drop.npz",
            "a 60 mm square dropped in a vertical plane, 250 Hz: 250 train and 150 dev drops",
            "BSD-3-Clause",
            "github.com/DAIRLab/ImpactModeling f6c2889, Wang/Wang-Mason Square/dice-data-processed",
            "planar-drop",
            rate_hz=250.0,
        ),
        Dataset(
            "double-pendulum",
            "double_pendulum/double_pendulum_dfki.npz",
            "an actuated double pendulum, about 500 Hz: 24 runs on three builds",
            "BSD-3-Clause",
            "github.com/dfki-ric-underactuated-lab/double_pendulum 1e8544e",
            "double-pendulum",
        ),
        Dataset(
            "crowd",
            "agents/ucy_crowds.npz",
            "pedestrians in three scenes (zara01, zara02, students03), keyframes at 2.5 Hz",
            "free to use with credit to Lerner, Chrysanthou and Lischinski (2007)",
            "github.com/crowdbotp/OpenTraj 97ec1d5, datasets/UCY",
            "crowd",
        ),
        Dataset(
            "cats",
            "agents/cats_uk.npz",
            "GPS tracks of 101 pet cats, a fix about every 4 minutes",
            "CC0-1.0 (Movebank policy); cite 10.5441/001/1.pf315732",
            "tidytuesday 2023-01-31, from the Movebank Data Repository",
            original="copy",
        ),
        _NRI("nri-springs5", "nri/springs5.npz", "5 balls, springs between some"),
        _NRI("nri-charged5", "nri/charged5.npz", "5 balls, charges"),
        _NRI("nri-springs10", "nri/springs10.npz", "10 balls, springs between some"),
        _NRI("nri-charged10", "nri/charged10.npz", "10 balls, charges"),
        _NRI("nri-springcharge5", "nri/springcharge5.npz", "5 balls, springs and charges", original="copy"),
        _NRI("nri-springs5-switch", "nri/springs5_switch.npz", "5 balls, the springs change midway", original="copy"),
    )
}
"""Every set that worldsim knows, by name."""

RECORDINGS = tuple(dict.fromkeys(entry.recording for entry in DATASETS.values() if entry.recording is not None))
"""What can be tracked: the names of the loaders in `worldsim.simulation.recordings`."""


def dataset(name: str) -> Dataset:
    """Return the set of that name.

    Raises:
        UnknownNameError: there is none.
    """
    if name not in DATASETS:
        raise UnknownNameError("data set", name, DATASETS)
    return DATASETS[name]


def data_folders() -> tuple[Path, ...]:
    """Return where data are looked for, in order.

    ``WORLDSIM_DATA`` where it is set (and then nowhere else); otherwise ``../shared/data`` beside the source tree,
    then the user's cache.
    """
    named = os.environ.get(DATA_VARIABLE)
    if named:
        return (Path(named).expanduser(),)
    beside = Path(__file__).resolve().parents[2].parent / "shared" / "data"
    return (beside, Path(platformdirs.user_cache_dir("worldsim")) / "data")


def write_folder() -> Path:
    """Return the folder that `worldsim data fetch` writes to: the last one that is looked in."""
    return data_folders()[-1]


def find_data(name: str) -> Path:
    """Return the path of a set's file.

    Raises:
        UnknownNameError: no set of that name.
        DataError: it is in none of the data folders.
    """
    entry = dataset(name)
    places = [folder / entry.file for folder in data_folders()]
    for place in places:
        if place.is_file():
            return place
    looked = ", ".join(str(place) for place in places)
    raise DataError(
        f"data set {name!r} is not here (looked for {looked}). Get it with `worldsim data fetch {name}`, or set "
        f"{DATA_VARIABLE} to a folder that holds {entry.file}."
    )


def manifest() -> dict[str, Any]:
    """Return the table of contents and checksums that is shipped with the package."""
    text = resources.files("worldsim.evaluation").joinpath("data_manifest.json").read_text(encoding="utf-8")
    table: dict[str, Any] = json.loads(text)
    return table


def array_sha256(array: np.ndarray) -> str:
    """Return the checksum of an array's kind, shape and values, whatever the file's compression or byte order.

    >>> array_sha256(np.zeros(2, dtype=">f4")) == array_sha256(np.zeros(2, dtype="<f4"))
    True
    """
    plain = np.ascontiguousarray(array)
    plain = plain.astype(plain.dtype.newbyteorder("<"), copy=False)
    digest = hashlib.sha256(f"{plain.dtype.kind}{plain.dtype.itemsize}{plain.shape}".encode())
    digest.update(plain.tobytes())
    return digest.hexdigest()


def mismatches(name: str, arrays: Mapping[str, np.ndarray]) -> tuple[str, ...]:
    """Return what is wrong with a set's arrays, one line an array; empty when all checksums agree."""
    expected = manifest()["datasets"][name]["arrays"]
    wrong = [f"array {key!r} is missing" for key in sorted(expected.keys() - arrays.keys())]
    for key in sorted(expected.keys() & arrays.keys()):
        if list(arrays[key].shape) != expected[key]["shape"]:
            wrong.append(f"array {key!r} has shape {list(arrays[key].shape)}, expected {expected[key]['shape']}")
        elif array_sha256(arrays[key]) != expected[key]["sha256"]:
            wrong.append(f"array {key!r} has other values than the published ones")
    return tuple(wrong)
