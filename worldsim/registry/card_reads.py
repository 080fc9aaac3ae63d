"""Cards by their rows, and where their parameters lie, in one statement."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from pydantic_core import from_json
from sqlalchemy.engine import Connection

from worldsim.errors import IntegrityError
from worldsim.registry.artefact import sha256_of
from worldsim.registry.blobs import BlobStore
from worldsim.registry.cards import card_from_json
from worldsim.registry.database import cards
from worldsim.types.card import Descriptor, Evidence, ModelCard, ParameterPrior, Shape

__all__ = ["CardReads", "StoredCard", "checked_card"]


@dataclass(frozen=True, slots=True)
class StoredCard:
    """One row of the cards table, its text as it was stored.

    Attributes:
        row: of the cards table.
        body: the card's JSON, its sum checked.
        place: (sha256, where the blob store keeps it); None where the parameters are gone.
    """

    row: int
    body: str
    place: tuple[Any, ...] | None

    def card(self) -> ModelCard:
        """Return the card. Its text was checked against the schema before it was stored, and is what was stored."""
        said = from_json(self.body)
        shape, descriptor, evidence = said["shape"], said["descriptor"], said["evidence"]
        return ModelCard(
            said["model_id"],
            said["version"],
            said["kind"],
            said["family"],
            tuple(
                ParameterPrior(p["name"], float(p["mean"]), float(p["std"]), p["unit"], p["transform"])
                for p in said["parameters"]
            ),
            Shape(shape["kind"], _numbers(shape["extent_m"]), _numbers(shape["extent_std_m"])),
            Descriptor(
                None if descriptor["appearance"] is None else _numbers(descriptor["appearance"]),
                None if descriptor["appearance_std"] is None else _numbers(descriptor["appearance_std"]),
                {name: float(value) for name, value in descriptor["motion"].items()},
            ),
            said["licence"],
            said["provenance"],
            tuple(said["tags"]),
            Evidence(evidence["frames"], float(evidence["log_evidence_gain_nats"]), evidence["source"]),
            tuple(said["parents"]),
            said["sha256"],
        )


class CardReads:
    """Reads rows of the cards table together with the places of their parameters in one blob store."""

    def __init__(self, blobs: BlobStore, name: str) -> None:
        """Read beside `blobs`; `name` is the registry's, for messages."""
        self._blobs, self._name = blobs, name
        self._statements: dict[int, sa.Select[Any]] = {}

    def at(self, connection: Connection, rows: Sequence[int]) -> list[StoredCard]:
        """Return those of `rows` that exist, in the order of `rows`.

        Raises:
            IntegrityError: a card's text is not what was stored.
        """
        if not rows:
            return []
        asked = connection.execute(self._statement(len(rows)), {f"row{i}": row for i, row in enumerate(rows)})
        found = {}
        for row, body, body_sha256, key, *where in asked:
            _check_text(body, body_sha256, self._name)
            found[row] = StoredCard(row, body, None if key is None else (key, *where))
        return [found[row] for row in rows if row in found]

    def blobs_of(self, found: Sequence[StoredCard]) -> dict[str, bytes]:
        """Return the bytes of what was `found`, by sha256, not yet checked.

        Raises:
            IntegrityError: some are gone, or a pack is too short.
        """
        places = {stored.place[0]: stored.place for stored in found if stored.place is not None}
        lost = [stored.card() for stored in found if stored.place is None]
        if lost:
            raise IntegrityError(
                f"model {lost[0].model_id}@{lost[0].version}: its parameters (sha256 {lost[0].sha256[:12]}...) are "
                f"gone from {self._name}; restore them from a copy. 'worldsim registry verify' lists what is lost."
            )
        return self._blobs.bytes_at(list(places.values()))

    def _statement(self, count: int) -> sa.Select[Any]:
        """Return the statement for so many rows: with a fixed list it is compiled once, not at each call."""
        made = self._statements.get(count)
        if made is None:
            table = self._blobs.table
            made = self._statements[count] = (
                sa.select(cards.c.row, cards.c.body, cards.c.body_sha256, table.c.sha256, *self._blobs.place_columns)
                .join_from(cards, table, table.c.sha256 == cards.c.blob, isouter=True)
                .where(cards.c.row.in_([sa.bindparam(f"row{i}", type_=cards.c.row.type) for i in range(count)]))
            )
        return made


def checked_card(body: str, body_sha256: str, name: str) -> ModelCard:
    """Return the card that a row of the cards table holds.

    Args:
        body: its text.
        body_sha256: what its text had when it was stored.
        name: of the registry, for messages.

    Raises:
        IntegrityError: the text is not what was stored.
        CardError: it breaks the schema.
    """
    _check_text(body, body_sha256, name)
    return card_from_json(body)


def _check_text(body: str, body_sha256: str, name: str) -> None:
    if sha256_of(body.encode()) != body_sha256:
        raise IntegrityError(f"a card of {name} is damaged; 'worldsim registry verify' says which, and what is lost.")


def _numbers(values: list[float]) -> tuple[Any, ...]:
    return tuple(map(float, values))
