"""Turns the project's values into strict JSON."""

from __future__ import annotations

import dataclasses
import enum
import json
import math
from collections.abc import Mapping, Sequence, Set
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["dump_json", "to_jsonable"]


def to_jsonable(value: Any) -> Any:
    """Return `value` as dicts, lists, strings, finite numbers, booleans and None.

    Dataclasses become dicts, arrays and tensors nested lists, enums their value, sets sorted lists. NaN and the
    infinities become None, since strict JSON has no name for them. What has no natural form becomes its `repr`.

    >>> to_jsonable({"p": np.array([0.5, np.nan]), 3: Path("a/b")})
    {'p': [0.5, None], '3': 'a/b'}
    """
    match value:
        case None | bool() | int() if not isinstance(value, enum.Enum):
            return value
        case enum.Enum():
            return to_jsonable(value.value)
        case str():
            return str(value)
        case float():
            return value if math.isfinite(value) else None
        case np.generic():
            return to_jsonable(value.item())
        case np.ndarray():
            return to_jsonable(value.tolist())
        case Path():
            return str(value)
        case Mapping():
            return {str(to_jsonable(key)): to_jsonable(item) for key, item in value.items()}
        case range():
            return f"{value.start}:{value.stop}"
        case Set():
            return sorted((to_jsonable(item) for item in value), key=str)
        case Sequence():
            return [to_jsonable(item) for item in value]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: to_jsonable(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if hasattr(value, "detach") and hasattr(value, "numpy"):  # a torch tensor, without importing torch for the rest
        return to_jsonable(value.detach().cpu().numpy())
    return repr(value)


def dump_json(value: Any, *, indent: int | None = None) -> str:
    """Return `value` as one strict JSON text (see `to_jsonable`)."""
    return json.dumps(to_jsonable(value), indent=indent, ensure_ascii=False, allow_nan=False)
