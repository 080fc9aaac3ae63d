"""Reads ``.npz`` files that may come from anybody: whatever is wrong with one is an error that names it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from worldsim.errors import DataError
from worldsim.simulation.recordings.clip import check_shape, frame_rate

__all__ = ["check_arrays", "check_offsets", "read_arrays", "told_rate"]

_ZIP = b"PK"


def read_arrays(path: Path, what: str, names: Iterable[str] | None = None) -> dict[str, np.ndarray]:
    """Return arrays of an ``.npz`` file by name.

    Args:
        path: the file.
        what: it is expected to hold, for messages: ``tosses of the elbow``.
        names: of the arrays, all of the file where None.

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
                return {name: file[name] for name in wanted}
    except DataError:
        raise
    except FileNotFoundError as error:
        raise DataError(f"{path} cannot be read as {what}: there is no such file.") from error
    except Exception as error:  # zip, zlib, numpy and the system each have their own way to fail here
        raise DataError(f"{path} cannot be read as {what}: it is damaged ({type(error).__name__}: {error}).") from error


def check_arrays(path: Path, arrays: Mapping[str, np.ndarray], shapes: Mapping[str, tuple[int | None, ...]]) -> None:
    """Check the shapes of arrays of a file, and that floating-point ones are finite.

    Args:
        path: the file, for messages.
        arrays: by name.
        shapes: name -> expected shape, None for a free length.

    Raises:
        DataError: one has another shape, or holds a NaN or an infinity.
    """
    for name, shape in shapes.items():
        found = arrays[name]
        check_shape(path, name, found, shape)
        if np.issubdtype(found.dtype, np.floating) and not np.isfinite(found).all():
            at = np.argwhere(~np.isfinite(found))[0].tolist()
            raise DataError(f"{path}: array {name!r} has a value at {at} that is not finite; leave such items out.")


def told_rate(path: Path, arrays: Mapping[str, np.ndarray]) -> float:
    """Return the frames a second that the ``meta`` of a file tells.

    Raises:
        DataError: it is no JSON, or tells none.
    """
    try:
        meta = json.loads(str(arrays["meta"]))
    except ValueError as error:
        raise DataError(f"{path}: its meta is not JSON ({error}).") from error
    return frame_rate(path, meta)


def check_offsets(path: Path, offsets: np.ndarray, rows: int, items: int, least: int) -> None:
    """Check that `offsets` cuts so many rows into so many items of at least `least` rows each.

    Raises:
        DataError: it does not.
    """
    whole = offsets.ndim == 1 and np.issubdtype(offsets.dtype, np.integer) and len(offsets) == items + 1
    if not whole or (items and (offsets[0] != 0 or offsets[-1] != rows)):
        raise DataError(
            f"{path}: array 'offsets' has to hold {items + 1} whole numbers from 0 to {rows}, the first row of each "
            "item and the end."
        )
    short = np.flatnonzero(np.diff(offsets) < least)
    if len(short):
        raise DataError(f"{path}: item {int(short[0])} has fewer than {least} rows; leave it out.")
