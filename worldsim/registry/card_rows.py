"""The rows that a publish adds: cards, the pointer to each model's newest, its descriptor, its tags."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from worldsim.registry.artefact import sha256_of
from worldsim.registry.cards import dump_card
from worldsim.registry.database import cards, descriptors, models, tags
from worldsim.registry.descriptor import card_vector
from worldsim.registry.index import pack_vector
from worldsim.types.card import ModelCard

__all__ = ["insert_cards", "newest_alike"]


def insert_cards(connection: Connection, new: Sequence[ModelCard], keep_versions: bool) -> list[str]:
    """Insert `new` and point each id at its newest version.

    Rows count up under the writer's lock. The last row is never deleted, so no number is used for two cards and readers
    can ask for what came after a row.

    Args:
        connection: of `Database.writing`.
        new: checked cards, their sha256 given.
        keep_versions: store each under its own version, which must be free, instead of the next one.

    Returns:
        ``model_id@version`` of each.
    """
    newest = _newest(connection, {card.model_id for card in new})
    before = {model_id: row for model_id, (row, _) in newest.items()}
    row = connection.execute(sa.select(sa.func.coalesce(sa.func.max(cards.c.row), 0))).scalar_one()
    published_s = time.time()
    card_rows, tag_rows, pointed = [], [], {}
    for card in new:
        row += 1
        last = newest[card.model_id][1] if card.model_id in newest else 0
        if not keep_versions and card.version != last + 1:
            card = card.replace(version=last + 1)  # noqa: PLW2901
        if card.version > last:
            newest[card.model_id] = (row, card.version)
            pointed[card.model_id] = (row, card)
        card_rows.append(_card_row(row, card, published_s))
        tag_rows += [{"tag": tag, "row": row} for tag in dict.fromkeys(card.tags)]
    if not card_rows:
        return []
    connection.execute(cards.insert(), card_rows)
    if pointed:
        _point(connection, pointed, before)
    if tag_rows:
        connection.execute(tags.insert(), tag_rows)
    return [f"{r['model_id']}@{r['version']}" for r in card_rows]


def newest_alike(connection: Connection, new: Sequence[ModelCard]) -> list[str] | None:
    """Return ``model_id@version`` of each of `new` if all are the newest of their models already, but for the version.

    So it is where a publish is repeated whose acknowledgement was lost.

    Args:
        connection: of `Database.writing`: nobody publishes between this look and what follows from it.
        new: checked cards, their sha256 given.
    """
    newest = _newest(connection, {card.model_id for card in new})
    names = []
    for card in new:
        row, version = newest.get(card.model_id, (0, 0))
        body = connection.execute(sa.select(cards.c.body).where(cards.c.row == row)).scalar()
        if body != dump_card(card.replace(version=version)):
            return None
        names.append(f"{card.model_id}@{version}")
    return names


def _point(connection: Connection, pointed: Mapping[str, tuple[int, ModelCard]], before: Mapping[str, int]) -> None:
    """Make the `pointed` rows the newest versions of their models, findable by descriptor."""
    fresh = [{"model_id": m, "row": row} for m, (row, _) in pointed.items() if m not in before]
    moved = [{"id": m, "to": row} for m, (row, _) in pointed.items() if m in before]
    if fresh:
        connection.execute(models.insert(), fresh)
    if moved:
        at: sa.BindParameter[str] = sa.bindparam("id")
        to: sa.BindParameter[int] = sa.bindparam("to")
        connection.execute(models.update().where(models.c.model_id == at).values(row=to), moved)
        old = [{"old": before[m]} for m in pointed if m in before]
        connection.execute(descriptors.delete().where(descriptors.c.row == sa.bindparam("old")), old)
    connection.execute(
        descriptors.insert(),
        [
            {
                "row": row,
                "replaces": before.get(model_id),
                "model_id": model_id,
                "kind": card.kind,
                "vector": pack_vector(*card_vector(card)),
            }
            for model_id, (row, card) in pointed.items()
        ],
    )


def _newest(connection: Connection, model_ids: set[str]) -> dict[str, tuple[int, int]]:
    """Return model id -> (row, version) of the newest version of those that exist."""
    found: dict[str, tuple[int, int]] = {}
    ids = sorted(model_ids)
    for start in range(0, len(ids), 500):
        query = (
            sa.select(models.c.model_id, models.c.row, cards.c.version)
            .join(cards, cards.c.row == models.c.row)
            .where(models.c.model_id.in_(ids[start : start + 500]))
        )
        found.update((model_id, (row, version)) for model_id, row, version in connection.execute(query))
    return found


def _card_row(row: int, card: ModelCard, published_s: float) -> dict[str, Any]:
    body = dump_card(card)
    return {
        "row": row,
        "model_id": card.model_id,
        "version": card.version,
        "kind": card.kind,
        "family": card.family,
        "licence": card.licence,
        "body": body,
        "body_sha256": sha256_of(body.encode()),
        "blob": card.sha256,
        "published_s": published_s,
    }
