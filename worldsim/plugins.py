"""The plug-in table: built-ins and third parties come in by the same door, Python entry points.

Groups: ``worldsim.object_models``, ``worldsim.interactions``, ``worldsim.laws``, ``worldsim.scenarios``,
``worldsim.planners``, ``worldsim.sensors``, ``worldsim.agents``.
"""

from __future__ import annotations

import ast
import inspect
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import TypeVar

from worldsim.errors import PluginError, UnknownNameError

T = TypeVar("T")

_ONE = {
    "worldsim.object_models": "family of object models",
    "worldsim.interactions": "interaction",
    "worldsim.laws": "family of interactions",
    "worldsim.scenarios": "scenario",
    "worldsim.planners": "planner",
    "worldsim.sensors": "sensor",
    "worldsim.agents": "agent",
}
"""Group -> what one of it is called in a message."""


def plugin_names(group: str) -> dict[str, EntryPoint]:
    """Return name -> entry point of every plug-in of `group`, without importing any.

    Raises:
        PluginError: two distributions claim one name.
    """
    table: dict[str, EntryPoint] = {}
    for point in entry_points(group=group):
        other = table.get(point.name)
        if other is not None and other.value != point.value:
            raise PluginError(
                f"plug-in {point.name!r} of group {group!r} is claimed twice: by {_owner(other)} ({other.value}) and "
                f"by {_owner(point)} ({point.value}). Uninstall one, or rename its entry point."
            )
        table[point.name] = point
    return table


def find_plugin(group: str, name: str) -> EntryPoint:
    """Return the entry point of `name`, without importing it: quick enough to be asked before anything else is done.

    Raises:
        UnknownNameError: no plug-in of that name.
        PluginError: two distributions claim one name.
    """
    table = plugin_names(group)
    if name not in table:
        raise UnknownNameError(_ONE.get(group, f"plug-in of group {group}"), name, table)
    return table[name]


def plugin_summary(point: EntryPoint) -> str:
    """Return the first line of the docstring of the class behind `point`, read from its source.

    It is empty where there is no source, no such class, or no docstring. The module is not imported, but the packages
    that it lies in are: whatever those raise, the summary is empty then.
    """
    try:
        found = find_spec(point.module)
        if found is None or found.origin is None:
            return ""
        tree = ast.parse(Path(found.origin).read_text(encoding="utf-8"))
    except Exception:  # noqa: BLE001 - a package of somebody else's runs here, and may fail in any way
        return ""
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and node.name == point.attr:
            return (ast.get_docstring(node) or "").partition("\n")[0]
    return ""


def load_plugin(group: str, name: str, base: type[T]) -> type[T]:
    """Return the class behind `name`, checked against its contract.

    Raises:
        UnknownNameError: no plug-in of that name.
        PluginError: it does not import, is no subclass of `base`, or leaves an abstract method unwritten.
    """
    point = find_plugin(group, name)
    where = f"plug-in {name!r} of {_owner(point)} ({group}: {point.value})"
    try:
        found = point.load()
    except Exception as error:  # a plug-in may fail in any way; the message must name it
        raise PluginError(f"{where} failed to import: {type(error).__name__}: {error}") from error
    if not (inspect.isclass(found) and issubclass(found, base)):
        raise PluginError(f"{where} is {found!r}, expected a subclass of {base.__module__}.{base.__qualname__}.")
    missing = sorted(getattr(found, "__abstractmethods__", ()))
    if missing:
        raise PluginError(
            f"{where}: class {found.__qualname__} does not define {missing}; {base.__qualname__} needs them."
        )
    return found


def _owner(point: EntryPoint) -> str:
    return f"distribution {point.dist.name!r}" if point.dist is not None else "an unnamed distribution"
