"""Reads ``.npz`` files that may come from anybody: whatever is wrong with one is an error that names it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from worldsim.errors import DataError
from worldsim.simulation.recordings.checks import frame_rate

__all__ = ["check_rate", "read_arrays", "told_rate"]

_ZIP = b"PK"


def read_arrays(
    path: Path, what: str, names: Iterable[str] | None = None, optional: Iterable[str] = ()
) -> dict[str, np.ndarray]:
    """Return arrays of an ``.npz`` file by name.

    Args:
        path: the file.
        what: it is expected to hold, for messages: ``tosses of the elbow``.
        names: of the arrays, all of the file where None.
        optional: names of arrays that come as well where the file has them.

    Raises:
        DataError: there is no such file, it is no ``.npz``, is damaged, or lacks an array.
    """
    try:
        # Opened here: np.load leaves its own file open when the archive is damaged.
        with path.open("rb") as stream:
            if stream.read(len(_ZIP)) != _ZIP:
                raise DataError(f"{path} cannot be read as {what}: it is no .npz file.")
            stream.seek(0)
            with np.load(stream, allow_pickle=False) as file:
                wanted = list(file.files if names is None else names)
                missing = [name for name in wanted if name not in file.files]
                if missing:
                    raise DataError(
                        f"{path} cannot be read as {what}: it lacks {missing}; it has {sorted(file.files)}."
                    )
                return {name: file[name] for name in (*wanted, *(each for each in optional if each in file.files))}
    except DataError:
        raise
    except FileNotFoundError as error:
        raise DataError(f"{path} cannot be read as {what}: there is no such file.") from error
    except Exception as error:  # zip, zlib, numpy and the system each have their own way to fail here
        raise DataError(f"{path} cannot be read as {what}: it is damaged ({type(error).__name__}: {error}).") from error


def told_rate(path: Path, arrays: Mapping[str, np.ndarray], usual_hz: float | None = None) -> float:
    """Return the frames a second that the ``meta`` of a file tells, or the usual ones where it tells none.

    Raises:
        DataError: it is no JSON, or tells none and none is usual.
    """
    try:
        meta = json.loads(str(arrays["meta"]))
    except ValueError as error:
        raise DataError(f"{path}: its meta is not JSON ({error}).") from error
    return frame_rate(path, meta, usual_hz)


def check_rate(path: Path, rate_hz: float, expected_hz: float) -> None:
    """Check that a file has the rate that its suite counts frames of.

    Raises:
        DataError: it has another.
    """
    if rate_hz != expected_hz:
        raise DataError(
            f"{path}: its meta has rate_hz {rate_hz:g}, expected {expected_hz:g}: horizons are counted in frames. "
            "Resample it, or `worldsim track` it, which goes by the times."
        )
