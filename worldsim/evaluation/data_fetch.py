"""Brings data sets to the data folder: downloads and converts, generates, or copies; always checks."""

from __future__ import annotations

import hashlib
import json
import time
import urllib.parse
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from worldsim.errors import DataError
from worldsim.evaluation.data_conversion import ORIGINALS, Originals, meta_json
from worldsim.evaluation.datasets import MIRROR, Dataset, data_folders, dataset, manifest, mismatches, write_folder
from worldsim.evaluation.nri_generator import GENERATED
from worldsim.evaluation.run_folder import atomic_write

__all__ = ["MIRROR", "DataState", "fetch", "states"]

_ATTEMPTS = 4
_FIRST_WAIT_S = 0.5
_TIMEOUT_S = 30.0

Progress = Callable[[str, int, int], None]
"""Called with (data set, files here, files in all)."""


@dataclass(frozen=True, slots=True)
class DataState:
    """What is here of one data set.

    Attributes:
        entry: the set.
        path: its file, None where it is nowhere.
        problems: what the checksums say is wrong; empty when all agree or there is no file.
        checksums: the published checksum of each array.
    """

    entry: Dataset
    path: Path | None
    problems: tuple[str, ...]
    checksums: Mapping[str, str]

    @property
    def fingerprint(self) -> str:
        """One checksum for the whole set: of its arrays' checksums, by name."""
        return hashlib.sha256(repr(sorted(self.checksums.items())).encode()).hexdigest()

    @property
    def status(self) -> str:
        """``verified``, ``differs`` or ``absent``."""
        if self.path is None:
            return "absent"
        return "differs" if self.problems else "verified"


def states(names: Sequence[str]) -> list[DataState]:
    """Return what is here of each named set, checksums verified."""
    found = []
    published = manifest()["datasets"]
    for name in names:
        entry = dataset(name)
        path = next((p for folder in data_folders() if (p := folder / entry.file).is_file()), None)
        problems: tuple[str, ...] = ()
        if path is not None:
            try:
                problems = mismatches(name, _arrays(path))
            except DataError as error:
                problems = (str(error),)
        checksums = {key: array["sha256"] for key, array in published[name]["arrays"].items()}
        found.append(DataState(entry, path, problems, checksums))
    return found


def fetch(
    name: str,
    *,
    source: Path | None = None,
    folder: Path | None = None,
    mirror: str = MIRROR,
    progress: Progress = lambda name, done, total: None,
) -> Path:
    """Bring one set to the data folder and return its path; nothing is done where it is already there and right.

    Downloaded originals are kept in ``.originals`` below the folder until the set is whole, so that a broken fetch
    goes on where it stopped.

    Args:
        name: the set.
        source: copy from this folder instead of downloading or generating.
        folder: the data folder, by default `write_folder`.
        mirror: where the originals are served.
        progress: told how far it is.

    Raises:
        UnknownNameError: no set of that name.
        DataError: no network, a file is not served, the checksums do not agree, or the folder cannot be written.
    """
    entry = dataset(name)
    folder = write_folder() if folder is None else folder
    target = folder / entry.file
    if _is_right(entry, target):
        return target
    if source is not None:
        arrays, meta = _copied(entry, source)
    elif name in ORIGINALS:
        arrays, meta = _downloaded(entry, folder, mirror, progress), _meta(entry)
    elif name in GENERATED:
        arrays, meta = GENERATED[name](lambda done, total: progress(name, done, total)), _meta(entry)
    else:
        raise DataError(
            f"data set {name!r} cannot be fetched: its original ({entry.source}) has no simple conversion. Copy it "
            f"with `worldsim data fetch {name} --from DIR`, DIR holding {entry.file}."
        )
    wrong = mismatches(name, arrays)
    if wrong:
        if source is None:
            _forget_originals(folder, name)
        raise DataError(
            f"data set {name!r} does not match its published checksums: {'; '.join(wrong)}. Nothing was written"
            + ("; fetch it again." if source is None else f" from {source}.")
        )
    contents: dict[str, Any] = {**arrays, "meta": meta}
    with _writing(target), atomic_write(target) as file:
        np.savez_compressed(file, **contents)
    _forget_originals(folder, name)
    return target


def _arrays(path: Path) -> dict[str, np.ndarray]:
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            return {key: file[key] for key in file.files if key != "meta"}
    except Exception as error:  # zip, zlib, numpy and the system each have their own way to fail here
        raise DataError(f"{path} is damaged or no .npz ({type(error).__name__}: {error}).") from error


def _is_right(entry: Dataset, target: Path) -> bool:
    """Return whether the set is there, whole, and tells its rate; what is damaged is fetched again."""
    try:
        if not target.is_file() or mismatches(entry.name, _arrays(target)):
            return False
    except DataError:
        return False
    if entry.rate_hz is None:
        return True
    with np.load(target, allow_pickle=False) as file:
        return "meta" in file.files and "rate_hz" in json.loads(str(file["meta"]))


def _meta(entry: Dataset) -> np.ndarray:
    rate = {} if entry.rate_hz is None else {"rate_hz": entry.rate_hz}
    return meta_json(summary=entry.summary, source=entry.source, licence=entry.licence, **rate)


def _copied(entry: Dataset, source: Path) -> tuple[dict[str, np.ndarray], np.ndarray]:
    places = (source / entry.file, source / Path(entry.file).name)
    path = next((place for place in places if place.is_file()), None)
    if path is None:
        raise DataError(f"--from {source}: neither {places[0]} nor {places[1]} is a file.")
    arrays = _arrays(path)
    with np.load(path, allow_pickle=False) as file:
        return arrays, file["meta"] if "meta" in file.files else _meta(entry)


def _downloaded(entry: Dataset, folder: Path, mirror: str, progress: Progress) -> dict[str, np.ndarray]:
    originals = ORIGINALS[entry.name]
    store = folder / ".originals" / entry.name
    paths = originals.paths()
    files: dict[str, Path] = {}
    with httpx.Client(timeout=_TIMEOUT_S, follow_redirects=True) as client:
        for done, path in enumerate(paths):
            progress(entry.name, done, len(paths))
            files[path] = _original(client, originals, path, store, mirror)
    progress(entry.name, len(paths), len(paths))
    try:
        return originals.convert(files)
    except DataError:
        _forget_originals(folder, entry.name)  # one of them is damaged, and would be so the next time
        raise


def _original(client: httpx.Client, originals: Originals, path: str, store: Path, mirror: str) -> Path:
    """Return one original on disk, downloaded where it was not there yet."""
    local = store / path
    if local.is_file():
        return local
    refused = []
    for ref in originals.refs:
        url = f"{mirror}/{originals.repository}/{ref}/{urllib.parse.quote(path)}"
        content = _get(client, url)
        if content is not None:
            with _writing(local), atomic_write(local) as file:
                file.write(content)
            return local
        refused.append(url)
    raise DataError(f"no original at {' nor '.join(refused)} (404). It may have moved; copy the set with --from DIR.")


def _get(client: httpx.Client, url: str) -> bytes | None:
    """Return the body, None where the server says that there is none.

    Raises:
        DataError: no connection, or an answer other than 200 and 404, after several attempts.
    """
    problem = ""
    for attempt in range(_ATTEMPTS):
        if attempt:
            time.sleep(_FIRST_WAIT_S * 2 ** (attempt - 1))
        try:
            answer = client.get(url)
        except httpx.HTTPError as error:
            problem = f"{type(error).__name__}: {error}"
            continue
        if answer.status_code == httpx.codes.OK:
            return answer.content
        if answer.status_code == httpx.codes.NOT_FOUND:
            return None
        problem = f"HTTP status {answer.status_code}"
    raise DataError(
        f"cannot download {url} ({problem}, {_ATTEMPTS} attempts). Without a network, copy the data with "
        "`worldsim data fetch --from DIR`, or set WORLDSIM_DATA to a folder that has them. What was downloaded so far "
        "is kept."
    )


@contextmanager
def _writing(target: Path) -> Iterator[None]:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise DataError(
            f"cannot write {target} ({error.strerror or error}); free space or set WORLDSIM_DATA to another folder."
        ) from error


def _forget_originals(folder: Path, name: str) -> None:
    store = folder / ".originals" / name
    if not store.is_dir():
        return
    for path in sorted(store.rglob("*"), reverse=True):  # files before the folders that hold them
        path.rmdir() if path.is_dir() else path.unlink()
    store.rmdir()
