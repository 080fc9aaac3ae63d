"""What the shipped worlds are built of: URDFs, meshes, textures and model cards, as package data."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

from worldsim.errors import DataError, UnknownNameError

__all__ = ["appearance", "asset_names", "urdf_path"]

_FOLDER = Path(__file__).parent


def asset_names() -> tuple[str, ...]:
    """Return the names of the shipped assets, sorted.

    >>> "cat" in asset_names()
    True
    """
    return tuple(sorted(path.stem for path in (_FOLDER / "urdf").glob("*.urdf")))


def urdf_path(name: str) -> str:
    """Return the path of the URDF of asset `name`.

    Raises:
        UnknownNameError: no asset of that name is shipped.
    """
    path = _FOLDER / "urdf" / f"{name}.urdf"
    if not path.is_file():
        raise UnknownNameError("asset", name, asset_names())
    return str(path)


def appearance(name: str) -> tuple[float, ...]:
    """Return the [A] appearance descriptor of the look `name`, as measured from renderings of it.

    The numbers are written by ``python -m worldsim_assets.describe``; a look is an asset, or a plain coloured box
    that a scenario builds (``wall``, ``door_frame``).

    Raises:
        UnknownNameError: the look was never described.
    """
    table = _appearances()
    if name not in table:
        raise UnknownNameError("look", name, table)
    return table[name]


@cache
def _appearances() -> dict[str, tuple[float, ...]]:
    path = _FOLDER / "appearance.json"
    try:
        looks = json.loads(path.read_text(encoding="utf-8"))["looks"]
        return {str(name): tuple(float(v) for v in values) for name, values in looks.items()}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{path}: cannot read the appearance table ({error}). Write it anew with "
            "'python -m worldsim_assets.describe'."
        ) from error
