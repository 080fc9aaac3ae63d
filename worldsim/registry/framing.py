"""How cards and parameters travel together in one body: a length, a JSON header, then the bytes it speaks of.

::

    8 bytes, little-endian: length H of the header | H bytes of JSON | the models' bytes, one after the other
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from pydantic import BaseModel, Field, ValidationError

from worldsim.errors import CardError, IntegrityError
from worldsim.registry.artefact import MAX_MODEL_BYTES, sha256_of
from worldsim.registry.cards import MAX_CARD_BYTES, CardDocument, Number, card_from_json, card_to_json, explain
from worldsim.types.card import ModelCard
from worldsim.types.query import Candidates

__all__ = [
    "MAX_PUBLISH_BYTES",
    "MEDIA_TYPE",
    "Bundle",
    "pack_bundle",
    "pack_model",
    "split_body",
    "unpack_bundle",
    "unpack_model",
]

MEDIA_TYPE = "application/vnd.worldsim.bundle"
MAX_PUBLISH_BYTES = 8 + MAX_CARD_BYTES + MAX_MODEL_BYTES
"""A published body is never longer."""


@dataclass(frozen=True, slots=True)
class Bundle:
    """The result of a search with the bytes of every model, as they lie in a store.

    Attributes:
        texts: cards as JSON, nearest first; distances: theirs.
        blobs: sha256 -> safetensors bytes.
    """

    texts: tuple[str, ...]
    distances: tuple[float, ...]
    blobs: Mapping[str, bytes]


class _CandidateDocument(BaseModel):
    distance: Number
    card: CardDocument


class _HeaderDocument(BaseModel):
    """JSON header of a bundle."""

    candidates: list[_CandidateDocument]
    blobs: list[tuple[str, Annotated[int, Field(ge=0)]]]


def pack_model(card: ModelCard, data: bytes) -> bytes:
    """Return one card and its safetensors bytes as one body."""
    header = card_to_json(card).encode()
    return len(header).to_bytes(8, "little") + header + data


def unpack_model(body: bytes) -> tuple[ModelCard, bytes]:
    """Return what `pack_model` packed.

    Raises:
        CardError: the body is not so made, or its card breaks the schema.
    """
    header, rest = split_body(body, MAX_CARD_BYTES)
    return card_from_json(header), rest


def pack_bundle(bundle: Bundle) -> bytes:
    """Return the result of a search with the bytes of every model as one body."""
    listed = ",".join(
        f'{{"distance":{distance!r},"card":{text}}}'
        for text, distance in zip(bundle.texts, bundle.distances, strict=True)
    )
    sizes = json.dumps([[key, len(value)] for key, value in bundle.blobs.items()])
    header = f'{{"candidates":[{listed}],"blobs":{sizes}}}'.encode()
    return b"".join([len(header).to_bytes(8, "little"), header, *bundle.blobs.values()])


def unpack_bundle(body: bytes) -> tuple[Candidates, dict[str, bytes]]:
    """Return the candidates and the models' bytes by sha256, each checked against it.

    Raises:
        CardError: the body is not so made, or a card breaks the schema.
        IntegrityError: bytes do not match their checksum.
    """
    header, rest = split_body(body, len(body))
    try:
        read = _HeaderDocument.model_validate_json(header)
    except ValidationError as error:
        raise CardError(f"a bundle's header cannot be read: {explain(error, '(in a bundle)')}") from error
    blobs, start = {}, 0
    for key, size in read.blobs:
        blobs[key] = rest[start : start + size]
        start += size
        if sha256_of(blobs[key]) != key:
            raise IntegrityError(f"blob {key[:12]}... of a bundle does not match its checksum; ask again.")
    cards = tuple(item.card.card() for item in read.candidates)
    return Candidates(cards, tuple(item.distance for item in read.candidates)), blobs


def split_body(body: bytes, longest: int) -> tuple[bytes, bytes]:
    """Return the header, of at most `longest` bytes, and the rest of a body.

    Raises:
        CardError: the body is truncated, or its header is longer.
    """
    length = int.from_bytes(body[:8], "little")
    if len(body) < 8 or length > min(longest, len(body) - 8):
        raise CardError(f"a body of {len(body)} bytes whose header claims {length}; it is truncated, or no bundle.")
    return body[8 : 8 + length], body[8 + length :]
