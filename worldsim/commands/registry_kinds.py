"""What ``worldsim registry`` says of kinds of interaction."""

from __future__ import annotations

from json import loads
from pathlib import Path
from typing import TYPE_CHECKING

from worldsim.commands.options import emit, print_table
from worldsim.errors import ConfigurationError, ModelNotFoundError

if TYPE_CHECKING:
    from worldsim.registry import HttpRegistry, StoredRegistry
    from worldsim.types import InteractionCandidates, InteractionQuery

__all__ = ["fetch_kind", "kind_query", "show_kinds"]


def kind_query(
    registry: StoredRegistry | HttpRegistry, like: str | None, between: str | None, kind: str | None
) -> InteractionQuery:
    """Return what the options of ``worldsim registry kinds`` ask for.

    Raises:
        ConfigurationError: `between` does not name two kinds.
        ModelNotFoundError: there is no interaction `like`.
    """
    from worldsim.types import InteractionQuery

    things = None if between is None else tuple(between.split(","))
    if things is not None and len(things) != 2:
        raise ConfigurationError(f"--between {between!r}: expected two kinds of things, A,B.")
    query = InteractionQuery(between=things, kind=kind)
    if like is None:
        return query
    card = registry.interactions.card(like)
    return InteractionQuery(card.terms, card.mean, card.covariance, things, kind, frozenset({like}))


def show_kinds(found: InteractionCandidates, *, as_json: bool, out: Path | None) -> None:
    """Print what a search found."""
    rows = [
        {"model_id": c.model_id, "version": c.version, "kind": c.kind, "family": c.family, "distance": d}
        for c, d in zip(found.cards, found.distances, strict=True)
    ]
    shown = [
        (c.model_id, c.version, ", ".join(f"{p.source}-{p.target}" for p in c.pairs), f"{d:.3f}")
        for c, d in zip(found.cards, found.distances, strict=True)
    ]
    columns = ("interaction", "version", "met between", "distance")
    emit({"candidates": rows}, as_json=as_json, out=out, show=lambda: print_table("interactions", columns, shown))


def fetch_kind(
    registry: StoredRegistry | HttpRegistry, model_id: str, version: int | None, *, as_json: bool, out: Path | None
) -> bool:
    """Fetch an interaction and show it; with `out`, write its files there. Return whether there is one of that id."""
    from worldsim.registry import save_interaction
    from worldsim.registry.interaction_cards import interaction_to_json

    try:
        kind = registry.interactions.fetch(model_id, version)
    except ModelNotFoundError:
        return False
    card = kind.card
    if out is not None:
        save_interaction(kind, out)
    result = {"card": loads(interaction_to_json(card))} | ({"folder": str(out)} if out is not None else {})
    rows = [
        (term, f"{value:.4g}", f"{card.covariance[place][place] ** 0.5:.3g}")
        for place, (term, value) in enumerate(zip(card.terms, card.mean, strict=True))
    ]
    title = f"{card.model_id}@{card.version}: {card.kind}, {card.family}"
    show = ("term", "coefficient", "spread")
    emit(result, as_json=as_json, out=None, show=lambda: print_table(title, show, rows))
    return True
