"""Reads what a person would call a thing from the id of the model that runs it."""

from __future__ import annotations

from collections.abc import Mapping

from worldsim.types.record import Event

__all__ = ["adopted_kind", "by_kind", "describe_kind", "kind_of"]

_FAMILIES_OF_MANY_KINDS = frozenset(
    {"static", "rigid-body", "rigid_body", "hinge", "vehicle", "person", "rolling-ball", "rolling_ball", "trolley"}
)
_KINDS_OF_TWO_WORDS = ("door-frame", "flight-case", "gas-bottle", "robot-vacuum", "traffic-cone")
_WORDS = {"agv": "automated vehicle", "generic": "something new"}


def kind_of(model_id: str) -> str:
    """Return the kind in a model id.

    >>> kind_of("cat/cat-tabby-small-07@2"), kind_of("rigid-body/crate-plastic-01"), kind_of("static/door-frame-steel")
    ('cat', 'crate', 'door_frame')
    """
    family, _, name = model_id.partition("@")[0].rpartition("/")
    last = family.rpartition("/")[2]
    if last in _FAMILIES_OF_MANY_KINDS:
        two = [kind for kind in _KINDS_OF_TWO_WORDS if name.startswith(kind)]
        last = two[0].replace("-", "_") if two else name.partition("-")[0]
    return last or name


def describe_kind(kind: str) -> str:
    """Return `kind` with its article.

    >>> describe_kind("agv"), describe_kind("rolling_ball")
    ('an automated vehicle', 'a rolling ball')
    """
    words = _WORDS.get(kind, kind.replace("_", " "))
    if kind == "generic" or kind.startswith("unnamed"):
        return "something new"
    return f"{'an' if words[:1] in 'aeiou' else 'a'} {words}"


def adopted_kind(event: Event) -> str:
    """Return the kind of the model that an adoption names."""
    return str(event.detail.get("kind") or kind_of(str(event.detail.get("model_id", ""))))


def by_kind(posterior: Mapping[str, float]) -> dict[str, float]:
    """Return kind -> probability of a posterior over models, likeliest first; the broad model is "something new".

    >>> by_kind({"cat/cat-grey-01": 0.5, "cat/cat-tabby-02": 0.25, "generic/unknown": 0.25})
    {'cat': 0.75, 'something new': 0.25}
    """
    sums: dict[str, float] = {}
    for model, p in posterior.items():
        kind = kind_of(model)
        name = _WORDS.get(kind, kind.replace("_", " "))
        sums[name] = sums.get(name, 0.0) + p
    return dict(sorted(sums.items(), key=lambda item: -item[1]))
