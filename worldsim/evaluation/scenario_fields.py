"""Fields of a scenario as a person writes them on the command line: ``people=4``, ``reward=sparse``."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from typing import Any

from worldsim.contracts.scenario import Scenario
from worldsim.errors import ConfigurationError, UnknownNameError
from worldsim.plugins import load_plugin

__all__ = ["read_fields", "with_fields", "written_fields"]

_WORDS = {"none": None, "true": True, "false": False}
_NEEDED = {bool: "true or false", int: "a whole number", float: "a number"}


def read_fields(scenario: str, written: Sequence[str]) -> tuple[tuple[str, Any], ...]:
    """Return (field, value) of each ``FIELD=VALUE`` in `written`; the scenario has been made with them once.

    A value is read as JSON (``4``, ``true``, ``["spring", "weld"]``); ``none`` is None, and what is no JSON is text.

    Raises:
        UnknownNameError: no scenario of that name, or no such field of it.
        ConfigurationError: no ``=``, a value of another type than the field's own, or one that the scenario refuses.
        PluginError: the scenario does not import.
    """
    made = load_plugin("worldsim.scenarios", scenario, Scenario)  # type: ignore[type-abstract]
    defaults = {field.name: field.default for field in dataclasses.fields(made)}  # type: ignore[arg-type]
    found: dict[str, Any] = {}
    for item in written:
        name, equals, text = item.partition("=")
        if not equals:
            raise ConfigurationError(f"--set {item!r}: expected FIELD=VALUE, for example duration_s=10.")
        if name not in defaults:
            raise UnknownNameError(f"field of scenario {scenario}", name, defaults)
        found[name] = _value(item, text, defaults[name])
    with_fields(scenario, tuple(found.items()))
    return tuple(found.items())


def written_fields(fields: Sequence[tuple[str, Any]]) -> tuple[str, ...]:
    """Return each (field, value) as it is written for `read_fields`.

    >>> written_fields((("reward", "dense"), ("walls", False), ("kinds", ("spring", "weld"))))
    ('reward=dense', 'walls=false', 'kinds=["spring", "weld"]')
    """
    return tuple(f"{name}={value if isinstance(value, str) else json.dumps(value)}" for name, value in fields)


def with_fields(scenario: str, fields: Sequence[tuple[str, Any]]) -> Scenario:
    """Return the scenario with these fields.

    Raises:
        UnknownNameError, PluginError: as `read_fields`.
        ConfigurationError: it refuses them.
    """
    made: type[Any] = load_plugin("worldsim.scenarios", scenario, Scenario)
    try:
        result: Scenario = made(**dict(fields))
    except (TypeError, ValueError) as error:
        if isinstance(error, ConfigurationError):
            raise
        told = ", ".join(f"{name}={value!r}" for name, value in fields) or "no fields"
        raise ConfigurationError(f"scenario {scenario} refuses {told}: {error}.") from error
    return result


def _value(item: str, text: str, default: Any) -> Any:
    """Return `text` as a value of the type that `default` has."""
    wanted = type(default)
    if wanted is str:
        return text
    if text.lower() in _WORDS:
        value: Any = _WORDS[text.lower()]
    else:
        try:
            value = json.loads(text)
        except ValueError:
            value = text
    if isinstance(value, list):
        return tuple(value)
    if wanted is float and type(value) is int:
        return float(value)
    if wanted in _NEEDED and type(value) is not wanted:
        raise ConfigurationError(f"--set {item!r}: expected {_NEEDED[wanted]}; it is {default!r} unless set.")
    return value
