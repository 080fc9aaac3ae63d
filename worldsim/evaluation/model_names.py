"""Reads what a person would call a thing from the id of the model that runs it."""

from __future__ import annotations

from worldsim.types.record import Event

__all__ = ["adopted_kind", "describe_kind", "kind_of", "short_name"]

_FAMILIES_OF_MANY_KINDS = ("static", "rigid_body", "hinge", "vehicle", "person")
_WORDS = {"agv": "automated vehicle", "generic": "unknown thing"}


def kind_of(model_id: str) -> str:
    """Return the kind in a model id.

    >>> kind_of("cat/tabby-small@2"), kind_of("rigid_body/crate"), kind_of("static/shelf-long")
    ('cat', 'crate', 'shelf')
    """
    family, _, name = model_id.partition("@")[0].rpartition("/")
    last = family.rpartition("/")[2]
    if last in _FAMILIES_OF_MANY_KINDS:
        last = name.partition("-")[0]
    return last or name


def describe_kind(kind: str) -> str:
    """Return `kind` with its article.

    >>> describe_kind("agv"), describe_kind("rolling_ball")
    ('an automated vehicle', 'a rolling ball')
    """
    words = _WORDS.get(kind, kind.replace("_", " "))
    return f"{'an' if words[:1] in 'aeiou' else 'a'} {words}"


def adopted_kind(event: Event) -> str:
    """Return the kind of the model that an adoption names."""
    return str(event.detail.get("kind") or kind_of(str(event.detail.get("model_id", ""))))


def short_name(model_id: str) -> str:
    """Return the last part of a model id, for labels in drawings.

    >>> short_name("cat/tabby-small@2")
    'tabby-small'
    """
    return model_id.partition("@")[0].rpartition("/")[2]
