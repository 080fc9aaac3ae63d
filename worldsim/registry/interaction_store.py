"""Kinds of interaction in a registry on this machine, beside its models and with the same promises."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from worldsim.contracts.interaction_library import InteractionLibrary
from worldsim.contracts.learned_interaction import LearnedInteraction
from worldsim.errors import ConfigurationError, IntegrityError, ModelNotFoundError
from worldsim.registry.artefact import sha256_of
from worldsim.registry.blobs import BlobStore, looked_up
from worldsim.registry.cards import check_model_id
from worldsim.registry.database import Database, interactions
from worldsim.registry.interaction_artefact import check_interaction_bytes, interaction_bytes, open_interaction
from worldsim.registry.interaction_cards import (
    dump_interaction,
    interaction_from_json,
    interaction_to_json,
    law_class,
)
from worldsim.registry.interaction_search import nearest
from worldsim.types.interaction_card import InteractionCandidates, InteractionCard, InteractionQuery

__all__ = ["MAX_CANDIDATES", "StoredInteractions"]

MAX_CANDIDATES = 64
"""A search never returns more."""

_newest = (
    sa.select(interactions.c.model_id, sa.func.max(interactions.c.version).label("version"))
    .group_by(interactions.c.model_id)
    .subquery()
)
_NEWEST = (interactions.c.model_id == _newest.c.model_id) & (interactions.c.version == _newest.c.version)


class StoredInteractions(InteractionLibrary):
    """The interactions of one database and blob store.

    A search compares every kind: there are thousands of them at most, where there are millions of object models.
    """

    def __init__(self, database: Database, blobs: BlobStore) -> None:
        """Use `database` for cards and `blobs` for their numbers."""
        self._database, self._blobs = database, blobs

    def __repr__(self) -> str:
        """Return where they lie."""
        return f"{type(self).__name__}({self._database.name!r})"

    def __len__(self) -> int:
        """Return the number of interactions (not of versions)."""
        query = sa.select(sa.func.count(sa.distinct(interactions.c.model_id)))
        with self._database.reading() as connection:
            return int(connection.execute(query).scalar_one())

    def search(self, query: InteractionQuery, k: int = 8, *, tag: str | None = None) -> InteractionCandidates:
        """Return at most `k` cards nearest to the query, nearest first; of one `tag` where asked.

        Raises:
            ConfigurationError: `k` is not between 1 and 64.
            CardError: the query's law is not one.
        """
        if not 1 <= k <= MAX_CANDIDATES:
            raise ConfigurationError(f"search: k = {k}, expected 1 to {MAX_CANDIDATES}.")
        return nearest(self._cards(query.kind, tag), query, k)

    def cards(self, tag: str | None = None) -> list[InteractionCard]:
        """Return the newest version of every card (with `tag`, where given), ordered by id."""
        return self._cards(None, tag)

    def card(self, model_id: str, version: int | None = None) -> InteractionCard:
        """Return one card (its newest version where `version` is None).

        Raises:
            ModelNotFoundError: no such interaction.
        """
        with self._database.reading() as connection:
            return self._card(connection, model_id, version)

    def versions(self, model_id: str) -> list[int]:
        """Return the versions there are of `model_id`, ascending; empty where there is no such interaction."""
        query = sa.select(interactions.c.version).where(interactions.c.model_id == model_id)
        with self._database.reading() as connection:
            return sorted(connection.execute(query).scalars())

    def fetch(self, model_id: str, version: int | None = None) -> LearnedInteraction:
        """Return the kind, checksum verified; raises as `InteractionLibrary.fetch` does."""
        return open_interaction(*self.fetch_bytes(model_id, version))

    def fetch_bytes(self, model_id: str, version: int | None = None) -> tuple[InteractionCard, bytes]:
        """Return the card and the safetensors bytes, not yet checked against each other.

        Raises:
            ModelNotFoundError: no such interaction.
            IntegrityError: the bytes are gone or truncated.
        """

        def look() -> tuple[InteractionCard, bytes]:
            with self._database.reading() as connection:
                card = self._card(connection, model_id, version)
                return card, self.bytes_within(connection, card)

        return looked_up(look)

    def bytes_within(self, connection: Connection, card: InteractionCard) -> bytes:
        """Return the bytes of `card`; raises IntegrityError where they are gone."""
        data = self._blobs.get(connection, [card.sha256]).get(card.sha256)
        if data is None:
            raise IntegrityError(
                f"interaction {card.model_id}@{card.version}: its numbers (sha256 {card.sha256[:12]}...) are gone from "
                f"{self._database.name}; restore them from a copy."
            )
        return data

    def publish(self, kind: LearnedInteraction) -> str:
        """Store the kind as the next version of its id; raises as `InteractionLibrary.publish` does."""
        return self.publish_bytes(kind.card, interaction_bytes(kind.card))

    def publish_bytes(self, card: InteractionCard, data: bytes) -> str:
        """Store a card with its safetensors bytes as the next version of its id, both checked.

        One that is the newest version already is not stored again, as in `StoredRegistry.publish`.
        """
        card, data = self.checked(card, data)
        query = sa.select(interactions.c.body, interactions.c.version).where(interactions.c.model_id == card.model_id)
        with self._database.writing() as connection:
            newest = connection.execute(query.order_by(interactions.c.version.desc()).limit(1)).first()
            if newest is not None and newest.body == dump_interaction(card.replace(version=newest.version)):
                return f"{card.model_id}@{newest.version}"
            return self.store_within(connection, [(card, data)])[0]

    def checked(self, card: InteractionCard, data: bytes) -> tuple[InteractionCard, bytes]:
        """Return what may be stored: the card with the checksum of `data`.

        Raises:
            CardError: the card or the bytes break their schema, or do not belong together.
            PluginError: the card's family has no class in the plug-in table.
        """
        check_model_id(card.model_id)
        interaction_to_json(card)
        law_class(card.family, card.model_id)(card)  # the class says whether the terms are its own
        check_interaction_bytes(card, data)
        return card.replace(sha256=sha256_of(data)), data

    def store_within(
        self,
        connection: Connection,
        items: Sequence[tuple[InteractionCard, bytes]],
        *,
        keep_versions: bool = False,
    ) -> list[str]:
        """Store checked cards and bytes inside a writing transaction that the caller commits.

        Args:
            connection: of `Database.writing`.
            items: cards and their bytes.
            keep_versions: store each under its own version, which must be free, instead of the next one.

        Returns:
            ``model_id@version`` of each.
        """
        self._blobs.put(connection, {card.sha256: data for card, data in items})
        row = connection.execute(sa.select(sa.func.coalesce(sa.func.max(interactions.c.row), 0))).scalar_one()
        names = []
        for offset, (card, _) in enumerate(items, start=1):
            last = sa.select(sa.func.max(interactions.c.version)).where(interactions.c.model_id == card.model_id)
            version = card.version if keep_versions else (connection.execute(last).scalar() or 0) + 1
            stored = card.replace(version=version)
            connection.execute(interactions.insert(), _row(row + offset, stored))
            names.append(f"{stored.model_id}@{version}")
        return names

    def _cards(self, kind: str | None, tag: str | None) -> list[InteractionCard]:
        text = (interactions.c.model_id, interactions.c.body, interactions.c.body_sha256)
        query = sa.select(*text).join(_newest, _NEWEST).order_by(interactions.c.model_id)
        if kind is not None:
            query = query.where(interactions.c.kind == kind)
        with self._database.reading() as connection:
            found = [self.checked_card(*row) for row in connection.execute(query)]
        return [card for card in found if tag is None or tag in card.tags]

    def _card(self, connection: Connection, model_id: str, version: int | None) -> InteractionCard:
        query = sa.select(interactions.c.body, interactions.c.body_sha256).where(interactions.c.model_id == model_id)
        if version is not None:
            query = query.where(interactions.c.version == version)
        found = connection.execute(query.order_by(interactions.c.version.desc()).limit(1)).first()
        if found is None:
            wanted = ascii(model_id if version is None else f"{model_id}@{version}")[:140]
            raise ModelNotFoundError(
                f"no interaction {wanted} in registry {self._database.name}. 'worldsim registry kinds' lists them."
            )
        return self.checked_card(model_id, found.body, found.body_sha256)

    def checked_card(self, model_id: str, body: str, body_sha256: str) -> InteractionCard:
        """Return the card that a row of the table holds.

        Raises:
            IntegrityError: its text is not what was stored.
        """
        if sha256_of(body.encode()) != body_sha256:
            raise IntegrityError(f"the card of interaction {model_id} in {self._database.name} is damaged.")
        return interaction_from_json(body)


def _row(row: int, card: InteractionCard) -> dict[str, Any]:
    body = dump_interaction(card)
    return {
        "row": row,
        "model_id": card.model_id,
        "version": card.version,
        "kind": card.kind,
        "family": card.family,
        "body": body,
        "body_sha256": sha256_of(body.encode()),
        "blob": card.sha256,
        "published_s": time.time(),
    }
