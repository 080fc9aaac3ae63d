"""What the arrays of a recording have to be before anything is made of them: shapes, numbers, offsets, rates."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from worldsim.errors import DataError

__all__ = ["check_arrays", "check_offsets", "check_shape", "check_unit", "frame_rate"]


def check_shape(path: Path, name: str, array: np.ndarray, shape: tuple[int | None, ...]) -> None:
    """Check the shape of an array of a file, None for a free length.

    Raises:
        DataError: it has another.
    """
    found = array.shape
    if len(found) != len(shape) or any(s is not None and s != f for f, s in zip(found, shape, strict=True)):
        free = " (None = any)" if None in shape else ""
        raise DataError(f"recording {path}: array {name!r} has shape {found}, expected {shape}{free}.")


def check_arrays(path: Path, arrays: Mapping[str, np.ndarray], shapes: Mapping[str, tuple[int | None, ...]]) -> None:
    """Check that arrays of a file have their shapes, and hold numbers that are finite.

    Args:
        path: the file, for messages.
        arrays: by name.
        shapes: name -> expected shape, None for a free length.

    Raises:
        DataError: one has another shape, or holds something else.
    """
    for name, shape in shapes.items():
        found = arrays[name]
        check_shape(path, name, found, shape)
        if found.dtype.kind not in "fiub":
            raise DataError(f"{path}: array {name!r} holds {found.dtype}, expected numbers.")
        if found.dtype.kind == "f" and not np.isfinite(found).all():
            at = np.argwhere(~np.isfinite(found))[0].tolist()
            raise DataError(f"{path}: array {name!r} has a value at {at} that is not finite; leave such items out.")


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


def check_unit(path: Path, name: str, quaternions: np.ndarray) -> None:
    """Check that quaternions have unit length, to a hundredth.

    Raises:
        DataError: one has not.
    """
    wrong = np.argwhere(np.abs(np.linalg.norm(quaternions, axis=-1) - 1.0) > _OFF_UNIT)
    if len(wrong):
        length = float(np.linalg.norm(quaternions[tuple(wrong[0])]))
        raise DataError(f"{path}: array {name!r} has length {length:.3g} at {wrong[0].tolist()}, expected 1.")


_OFF_UNIT = 0.01  # what a table printed with three decimals leaves


def frame_rate(path: Path, meta: Any, usual_hz: float | None = None) -> float:
    """Return how many frames a second a recording has: its meta's ``rate_hz``, or the usual one where it tells none.

    Raises:
        DataError: what it tells is no positive number, or it tells none and none is usual.
    """
    told = meta.get("rate_hz", usual_hz) if isinstance(meta, Mapping) else usual_hz
    if isinstance(told, bool) or not isinstance(told, int | float) or not 0.0 < told < np.inf:
        raise DataError(f"recording {path}: its meta has rate_hz {told!r}, expected a number of frames a second.")
    return float(told)
