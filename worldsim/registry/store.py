"""The registry on this machine: cards, parameters and descriptors in a database, found, fetched and published."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Self

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from worldsim.contracts.object_model import ObjectModel
from worldsim.contracts.registry import Registry
from worldsim.errors import CardError, ConfigurationError, IntegrityError, ModelNotFoundError
from worldsim.registry.artefact import TestStream, check_model_bytes, check_sum, model_bytes, open_model, sha256_of
from worldsim.registry.blobs import BlobStore, looked_up
from worldsim.registry.card_reads import CardReads, StoredCard, checked_card
from worldsim.registry.card_rows import insert_cards, newest_alike
from worldsim.registry.cards import card_to_json, check_model_id, model_class
from worldsim.registry.database import NEWEST, Database, aliases, cards, models, pairs, tags
from worldsim.registry.descriptor import query_vector
from worldsim.registry.filters import RowFilters
from worldsim.registry.framing import Bundle
from worldsim.registry.index import select_diverse
from worldsim.registry.interaction_store import StoredInteractions
from worldsim.registry.search_index import SearchIndex
from worldsim.types.card import ModelCard
from worldsim.types.query import Candidates, Query

__all__ = ["MAX_CANDIDATES", "StoredRegistry", "check_alias"]

MAX_CANDIDATES = 64
"""A search never returns more."""

_POOL = 512  # nearest cards among which the diverse ones are chosen

# built once: SQLAlchemy keeps what it works out about a statement with the statement
_ID: sa.BindParameter[str] = sa.bindparam("id")
_TEXT = (cards.c.body, cards.c.body_sha256)
_CARD_OF_VERSION = sa.select(*_TEXT).where(cards.c.model_id == _ID, cards.c.version == sa.bindparam("version"))
_NEWEST_CARD = (  # by the pointer's own key, which both databases find directly
    sa.select(*_TEXT).join_from(models, cards, models.c.row == cards.c.row).where(models.c.model_id == _ID)
)


class StoredRegistry(Registry):
    """A registry in a database and a blob store. Safe to use from several threads; close it when done.

    Attributes:
        interactions: the kinds of interaction that lie beside the object models.
    """

    def __init__(self, database: Database, blobs: BlobStore, index_folder: Path | None = None) -> None:
        """Use `database` for cards, `blobs` for parameters, and `index_folder` for the index of a large registry."""
        self.database, self.blobs = database, blobs
        self.remote = database.url.get_backend_name() != "sqlite"
        self.index = SearchIndex(database, index_folder)
        self.filters = RowFilters()
        self.interactions = StoredInteractions(database, blobs)
        self._reads = CardReads(blobs, database.name)
        self._classes: dict[str, type[ObjectModel]] = {}

    def __repr__(self) -> str:
        """Return where the registry lies."""
        return f"{type(self).__name__}({self.database.name!r})"

    def __enter__(self) -> Self:
        """Use the registry in a ``with`` block."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()

    def close(self) -> None:
        """Let go of files and connections."""
        self.blobs.close()
        self.database.close()

    # -- finding ------------------------------------------------------------------------------------------------

    def search(self, query: Query, k: int = 8, *, tag: str | None = None, licence: str | None = None) -> Candidates:
        """Return at most `k` cards, nearest first, near-twins thinned out; of one `tag` or `licence` where asked.

        Raises:
            ConfigurationError: `k` is not between 1 and 64, or the query has numbers that cannot be.
        """
        with self.database.reading() as connection:
            stored, distances = self._find(connection, query, k, tag, licence)
        return Candidates(tuple(one.card() for one in stored), distances)

    def search_models(
        self, query: Query, k: int = 8, *, tag: str | None = None, licence: str | None = None
    ) -> tuple[Candidates, list[ObjectModel]]:
        """Return what `search` does and the models of it, in one look at the store. Raises as it and `fetch` do."""
        stored, distances, data = looked_up(lambda: self._find_whole(query, k, tag, licence))
        found = tuple(one.card() for one in stored)
        return Candidates(found, distances), [self._model(card, data[card.sha256]) for card in found]

    def bundle(self, query: Query, k: int = 8, *, tag: str | None = None, licence: str | None = None) -> Bundle:
        """Return what `search_models` does as it is stored, in one look at the store, for another machine to open.

        Raises:
            ConfigurationError: as `search`.
            IntegrityError: a card's text does not match its checksum, or a model's bytes are gone.
        """
        stored, distances, data = looked_up(lambda: self._find_whole(query, k, tag, licence))
        return Bundle(tuple(one.body for one in stored), distances, data)

    def _find_whole(
        self, query: Query, k: int, tag: str | None, licence: str | None
    ) -> tuple[list[StoredCard], tuple[float, ...], dict[str, bytes]]:
        """Return cards, distances, and bytes by sha256 of what a search gives."""
        with self.database.reading() as connection:
            stored, distances = self._find(connection, query, k, tag, licence)
        return stored, distances, self._reads.blobs_of(stored)

    def _find(
        self, connection: Connection, query: Query, k: int, tag: str | None, licence: str | None
    ) -> tuple[list[StoredCard], tuple[float, ...]]:
        """Return cards and distances of what a search gives, but for what was cleared away since it was indexed."""
        if not 1 <= k <= MAX_CANDIDATES:
            raise ConfigurationError(f"search: k = {k}, expected 1 to {MAX_CANDIDATES}.")
        # what `connection` sees is settled by its first look: within the turn, or the index may be ahead of it
        with self.index.turn:
            exclude = self._rows_of(connection, query.exclude)
            only = self.filters.rows(connection, tag, licence)
            found = self.index.nearest(connection, query_vector(query), _POOL, query.kind, exclude, only)
        chosen = select_diverse(found, k)
        away = dict(zip(found.row[chosen].tolist(), found.distance[chosen].tolist(), strict=True))
        stored = self._reads.at(connection, list(away))
        return stored, tuple(away[one.row] for one in stored)

    def cards(self, tag: str | None = None) -> list[ModelCard]:
        """Return the newest version of every card (with `tag`, where given), ordered by id."""
        return self._newest(sa.select(*_TEXT).join(models, NEWEST), tag)

    def card(self, model_id: str, version: int | None = None) -> ModelCard:
        """Return one card (its newest version where `version` is None).

        Raises:
            ModelNotFoundError: no such model.
        """
        with self.database.reading() as connection:
            return self._card(connection, model_id, version)

    def versions(self, model_id: str) -> list[int]:
        """Return the versions there are of `model_id`, ascending; empty where there is no such model."""
        query = sa.select(cards.c.version).where(cards.c.model_id == model_id).order_by(cards.c.version)
        with self.database.reading() as connection:
            return list(connection.execute(query).scalars())

    def cards_at(self, rows: Sequence[int]) -> list[ModelCard]:
        """Return the cards that lie at `rows` of the table, without those that do not exist."""
        with self.database.reading() as connection:
            return [one.card() for one in self._reads.at(connection, rows)]

    def card_page(self, after: str = "", limit: int = 200, tag: str | None = None) -> list[ModelCard]:
        """Return at most `limit` newest cards with ids beyond `after`, ordered by id."""
        query = sa.select(*_TEXT).join(models, NEWEST).where(models.c.model_id > after).limit(limit)
        return self._newest(query, tag)

    # -- names for versions -------------------------------------------------------------------------------------

    def set_alias(self, model_id: str, alias: str, version: int) -> None:
        """Let `alias` (for example ``champion``) name a version of `model_id` from now on.

        Raises:
            ModelNotFoundError: no such version.
            CardError: `alias` is not of small letters, digits and ``. _ -``, beginning with a letter.
        """
        check_alias(alias)
        with self.database.writing() as connection:
            self._card(connection, model_id, version)
            mine = (aliases.c.model_id == model_id) & (aliases.c.alias == alias)
            connection.execute(aliases.delete().where(mine))
            connection.execute(aliases.insert(), {"model_id": model_id, "alias": alias, "version": version})

    def aliases(self, model_id: str) -> dict[str, int]:
        """Return the aliases of `model_id` and the versions they name."""
        query = sa.select(aliases.c.alias, aliases.c.version).where(aliases.c.model_id == model_id)
        with self.database.reading() as connection:
            return dict(pairs(connection.execute(query.order_by(aliases.c.alias))))

    def resolve_alias(self, model_id: str, alias: str) -> int:
        """Return the version that `alias` names.

        Raises:
            ModelNotFoundError: `model_id` has no such alias.
        """
        known = self.aliases(model_id)
        if alias not in known:
            raise ModelNotFoundError(f"model {model_id!r} has no alias {alias!r}; it has {sorted(known)}.")
        return known[alias]

    def __len__(self) -> int:
        """Return the number of models (not of versions)."""
        with self.database.reading() as connection:
            return int(connection.execute(sa.select(sa.func.count()).select_from(models)).scalar_one())

    # -- fetching -----------------------------------------------------------------------------------------------

    def fetch(self, model_id: str, version: int | None = None) -> ObjectModel:
        """Return the model (its newest version where `version` is None), checksum verified.

        Raises:
            ModelNotFoundError: no such model.
            IntegrityError: its bytes do not match their checksum, or are truncated.
            PluginError: its family has no class in the plug-in table.
        """
        return self._model(*self.fetch_bytes(model_id, version))

    def fetch_with_stream(self, model_id: str, version: int | None = None) -> tuple[ObjectModel, TestStream | None]:
        """Return the model as `fetch` does, and the short recording that its publisher tested it on."""
        card, data = self.fetch_bytes(model_id, version)
        return open_model(card, data, self.class_of(card))

    def fetch_bytes(self, model_id: str, version: int | None = None) -> tuple[ModelCard, bytes]:
        """Return the card and the safetensors bytes, not yet checked against each other.

        Raises:
            ModelNotFoundError: no such model.
            IntegrityError: the bytes are gone or truncated.
        """

        def look() -> tuple[ModelCard, bytes]:
            with self.database.reading() as connection:
                card = self._card(connection, model_id, version)
                return card, self._blobs_of(connection, [card])[card.sha256]

        return looked_up(look)

    # -- publishing ---------------------------------------------------------------------------------------------

    def publish(self, model: ObjectModel, stream: TestStream | None = None) -> str:
        """Store the model as the next version of its id, whole or not at all; return ``model_id@version``.

        One that is the newest version already, the same to the last byte, is not stored again: who was not told whether
        a publish was stored may repeat it.

        Args:
            model: the model; its card's version and sha256 are given by the registry, whatever they say.
            stream: a short recording with the model's log evidence on it, stored beside the parameters.

        Raises:
            CardError: the card or the stream breaks the schema.
            PluginError: the card's family has no class in the plug-in table.
            StorageError: the disk or the database refused; the registry is as it was.
        """
        return self.publish_bytes([(model.card, model_bytes(model.card, stream))])[0]

    def publish_bytes(self, items: Iterable[tuple[ModelCard, bytes]]) -> list[str]:
        """Store cards with their safetensors bytes in one transaction, each as the next version of its id.

        Returns:
            ``model_id@version`` of each; where every one is the newest version already, nothing is stored. Raises as
            `publish` does; then none of them is stored.
        """
        prepared: list[tuple[ModelCard, bytes]] = []
        for card, data in items:
            check_model_id(card.model_id)
            self.class_of(card)(card)  # the class says whether the parameters are its own
            check_model_bytes(card, data)
            prepared.append((card.replace(sha256=sha256_of(data)), data))
        for card, _ in prepared:
            card_to_json(card)  # a broken card is refused before the writer's lock is taken
        with self.database.writing() as connection:
            there = newest_alike(connection, [card for card, _ in prepared])
            if there is None:
                return self.store_within(connection, prepared)
            self.blobs.put(connection, {card.sha256: data for card, data in prepared})  # mends what is damaged here
            return there

    def store_checked(self, items: Sequence[tuple[ModelCard, bytes]]) -> list[str]:
        """Store cards with their bytes as `publish_bytes` does, where the caller made or checked them himself.

        Raises:
            StorageError: the disk or the database refused; none of them is stored.
        """
        with self.database.writing() as connection:
            return self.store_within(connection, items)

    def store_missing(self, items: Sequence[tuple[ModelCard, bytes]]) -> int:
        """Store those of these cards whose id is not here yet, checked by the caller; return how many.

        Several processes may do so at once. Raises as `store_checked` does.
        """
        with self.database.writing() as connection:
            asked = cards.c.model_id.in_([card.model_id for card, _ in items])
            here = set(connection.execute(sa.select(cards.c.model_id).where(asked)).scalars())
            missing = [(card, data) for card, data in items if card.model_id not in here]
            return len(self.store_within(connection, missing)) if missing else 0

    def store_within(
        self, connection: Connection, items: Sequence[tuple[ModelCard, bytes]], *, keep_versions: bool = False
    ) -> list[str]:
        """Store as `store_checked` does, inside a writing transaction that the caller commits.

        Args:
            connection: of `Database.writing`.
            items: cards and their bytes.
            keep_versions: store each under its own version, which must be free, instead of the next one.
        """
        self.blobs.put(connection, {card.sha256: data for card, data in items})
        return insert_cards(connection, [card for card, _ in items], keep_versions)

    # -- reading rows -------------------------------------------------------------------------------------------

    def class_of(self, card: ModelCard) -> type[ObjectModel]:
        """Return the class that runs `card`; raises PluginError as `fetch` does."""
        return self.class_of_family(card.family, card.model_id)

    def class_of_family(self, family: str, model_id: str = "") -> type[ObjectModel]:
        """Return the class of `family`; `model_id` is for the message of a PluginError."""
        found = self._classes.get(family)
        if found is None:
            found = self._classes[family] = model_class(family, model_id)
        return found

    def _model(self, card: ModelCard, data: bytes) -> ObjectModel:
        """Return the model of a stored card: the tensors were compared with it when they came in, the sum is now."""
        check_sum(card, data)
        return self.class_of(card)(card)

    def _card(self, connection: Connection, model_id: str, version: int | None) -> ModelCard:
        if version is None:
            text = connection.execute(_NEWEST_CARD, {"id": model_id}).first()
        else:
            text = connection.execute(_CARD_OF_VERSION, {"id": model_id, "version": version}).first()
        if text is None:
            wanted = model_id if version is None else f"{model_id}@{version}"
            there = list(connection.execute(sa.select(cards.c.version).where(cards.c.model_id == model_id)).scalars())
            known = f" There are versions {sorted(there)} of it." if there else ""
            is_empty = connection.execute(sa.select(cards.c.row).limit(1)).first() is None
            name = self.database.name
            hint = (
                f"It is empty; 'worldsim registry init {name}' fills it with the shipped cards."
                if is_empty
                else "'worldsim registry search' finds models."
            )
            raise ModelNotFoundError(f"no model {ascii(wanted)[:140]} in registry {name}.{known} {hint}")
        body, body_sha256 = text
        return checked_card(body, body_sha256, self.database.name)

    def _newest(self, query: sa.Select[tuple[str, str]], tag: str | None) -> list[ModelCard]:
        if tag is not None:
            query = query.join(tags, tags.c.row == cards.c.row).where(tags.c.tag == tag)
        with self.database.reading() as connection:
            texts = pairs(connection.execute(query.order_by(models.c.model_id)))
        return [checked_card(body, body_sha256, self.database.name) for body, body_sha256 in texts]

    def _blobs_of(self, connection: Connection, wanted: Sequence[ModelCard]) -> dict[str, bytes]:
        found = self.blobs.get(connection, list(dict.fromkeys(card.sha256 for card in wanted)))
        for card in wanted:
            if card.sha256 not in found:
                raise IntegrityError(
                    f"model {card.model_id}@{card.version}: its parameters (sha256 {card.sha256[:12]}...) are gone "
                    f"from {self.database.name}; restore them from a copy."
                )
        return found

    def _rows_of(self, connection: Connection, model_ids: frozenset[str]) -> set[int]:
        if not model_ids:
            return set()
        query = sa.select(models.c.row).where(models.c.model_id.in_(sorted(model_ids)))
        return set(connection.execute(query).scalars())


def check_alias(alias: str) -> str:
    """Return `alias` if it is well formed.

    Raises:
        CardError: it is not.
    """
    if re.fullmatch(r"[a-z][a-z0-9_.-]{0,63}", alias) is None or alias == "main":
        raise CardError(f"alias {alias[:80]!r}, expected small letters, digits, . _ -, a letter first, not 'main'.")
    return alias
