"""The interactions of an archive: written after the models, checked with them, stored with them or not at all."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from worldsim.errors import ConfigurationError, IntegrityError
from worldsim.registry.archive import INTERACTIONS, MODEL_FILES
from worldsim.registry.artefact import check_sum, sha256_of
from worldsim.registry.database import interactions
from worldsim.registry.interaction_artefact import check_interaction_bytes, interaction_files
from worldsim.registry.interaction_cards import dump_interaction, interaction_from_json
from worldsim.registry.interaction_store import StoredInteractions
from worldsim.types.interaction_card import InteractionCard

__all__ = ["ArchivedInteractions", "exported_files", "known_ids", "store_archived"]

MOST_FILES = 300_000
"""An archive holds at most so many files of interactions, which are kept in memory until they are stored."""


def known_ids(connection: Connection) -> set[str]:
    """Return the ids of all interactions."""
    return set(connection.execute(sa.select(interactions.c.model_id).distinct()).scalars())


def exported_files(
    kinds: StoredInteractions, connection: Connection, only: Collection[str] | None
) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of the files of every version of every interaction (with these ids, where given).

    Raises:
        IntegrityError: the bytes of one are damaged or gone.
    """
    text = (interactions.c.model_id, interactions.c.body, interactions.c.body_sha256)
    query = sa.select(*text).order_by(interactions.c.model_id, interactions.c.version)
    for row in connection.execute(query).all():
        card = kinds.checked_card(*row)
        if only is not None and card.model_id not in only:
            continue
        data = kinds.bytes_within(connection, card)
        check_sum(card, data)  # what is damaged here must not travel
        check_interaction_bytes(card, data)
        for name, content in interaction_files(card, data).items():
            yield f"{INTERACTIONS}/{card.model_id}/{card.version}/{name}", content


@dataclass(slots=True)
class ArchivedInteractions:
    """Files of interactions, by folder, as they come out of an archive."""

    folders: dict[str, dict[str, bytes]] = field(default_factory=dict)

    def take(self, name: str, data: bytes) -> bool:
        """Keep a file if it is one of an interaction; return whether it was.

        Raises:
            IntegrityError: there are too many.
        """
        if not name.startswith(f"{INTERACTIONS}/"):
            return False
        folder, _, file = name.rpartition("/")
        self.folders.setdefault(folder, {})[file] = data
        if 3 * len(self.folders) > MOST_FILES:
            raise IntegrityError(f"an archive with more than {MOST_FILES} files of interactions. Nothing was imported.")
        return True

    def checked(self, kinds: StoredInteractions) -> list[tuple[InteractionCard, bytes]]:
        """Return cards and bytes, all of them checked.

        Raises:
            IntegrityError: a file is missing, damaged, or lies where another belongs.
            CardError, PluginError: an interaction breaks its schema, or no plug-in here runs it.
        """
        found = []
        for folder, files in self.folders.items():
            if set(files) != set(MODEL_FILES):
                raise IntegrityError(f"{folder} holds {sorted(files)} alone, expected {sorted(MODEL_FILES)}.")
            card = interaction_from_json(files["config.json"])
            if folder != f"{INTERACTIONS}/{card.model_id}/{card.version}":
                raise IntegrityError(f"{folder} holds {card.model_id}@{card.version}. Nothing was imported.")
            check_sum(card, files["model.safetensors"])
            found.append(kinds.checked(card, files["model.safetensors"]))
        return found


def store_archived(
    kinds: StoredInteractions,
    connection: Connection,
    items: list[tuple[InteractionCard, bytes]],
    *,
    renumber: bool,
) -> tuple[int, int, dict[str, str]]:
    """Store what an archive holds inside a transaction; return how many were stored, skipped, and renumbered.

    Raises:
        ConfigurationError: a version's number is taken by another, and `renumber` was not asked for.
    """
    rows = connection.execute(sa.select(interactions.c.model_id, interactions.c.version, interactions.c.body_sha256))
    here = {f"{model_id}@{version}": digest for model_id, version, digest in rows}
    fresh, taken = [], []
    for card, data in items:
        digest = here.get(f"{card.model_id}@{card.version}")
        if digest is None:
            fresh.append((card, data))
        elif digest != sha256_of(dump_interaction(card).encode()):
            taken.append((card, data))
    if taken and not renumber:
        named = f"{taken[0][0].model_id}@{taken[0][0].version}"
        raise ConfigurationError(
            f"the archive holds the interaction {named}, and another has that name and version here. Nothing was "
            "imported; import with --renumber to store such versions as the next ones."
        )
    kinds.store_within(connection, fresh, keep_versions=True)
    names = kinds.store_within(connection, taken)
    renumbered = {f"{card.model_id}@{card.version}": name for (card, _), name in zip(taken, names, strict=True)}
    return len(fresh) + len(taken), len(items) - len(fresh) - len(taken), renumbered
