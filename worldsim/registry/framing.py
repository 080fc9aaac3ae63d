"""How cards and parameters travel together in one body: a length, a JSON header, then the bytes it speaks of.

::

    8 bytes, little-endian: length H of the header | H bytes of JSON | the models' bytes, one after the other
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from worldsim.errors import CardError, IntegrityError
from worldsim.registry.artefact import MAX_MODEL_BYTES, sha256_of
from worldsim.registry.cards import MAX_CARD_BYTES, card_from_json, card_to_json, dump_card
from worldsim.types.card import ModelCard
from worldsim.types.query import Candidates

__all__ = ["MAX_PUBLISH_BYTES", "MEDIA_TYPE", "pack_candidates", "pack_model", "unpack_candidates", "unpack_model"]

MEDIA_TYPE = "application/vnd.worldsim.bundle"
MAX_PUBLISH_BYTES = 8 + MAX_CARD_BYTES + MAX_MODEL_BYTES
"""A published body is never longer."""


def pack_model(card: ModelCard, data: bytes) -> bytes:
    """Return one card and its safetensors bytes as one body."""
    header = card_to_json(card).encode()
    return len(header).to_bytes(8, "little") + header + data


def unpack_model(body: bytes) -> tuple[ModelCard, bytes]:
    """Return what `pack_model` packed.

    Raises:
        CardError: the body is not so made, or its card breaks the schema.
    """
    header, rest = _split(body, MAX_CARD_BYTES)
    return card_from_json(header), rest


def pack_candidates(found: Candidates, blobs: dict[str, bytes]) -> bytes:
    """Return the result of a search with the bytes of every model as one body."""
    data = {card.sha256: blobs[card.sha256] for card in found.cards}
    listed = ",".join(
        f'{{"distance":{distance!r},"card":{dump_card(card)}}}'
        for card, distance in zip(found.cards, found.distances, strict=True)
    )
    sizes = json.dumps([[key, len(value)] for key, value in data.items()])
    header = f'{{"candidates":[{listed}],"blobs":{sizes}}}'.encode()
    return b"".join([len(header).to_bytes(8, "little"), header, *data.values()])


def unpack_candidates(body: bytes) -> tuple[Candidates, dict[str, bytes]]:
    """Return the candidates and the models' bytes by sha256, each checked against it.

    Raises:
        CardError: the body is not so made, or a card breaks the schema.
        IntegrityError: bytes do not match their checksum.
    """
    header, rest = _split(body, len(body))
    try:
        listed: dict[str, Any] = json.loads(header)
        cards = tuple(card_from_json(json.dumps(item["card"])) for item in listed["candidates"])
        distances = tuple(float(item["distance"]) for item in listed["candidates"])
        sizes: Sequence[tuple[str, int]] = [(str(key), int(size)) for key, size in listed["blobs"]]
    except (ValueError, KeyError, TypeError) as error:
        raise CardError(f"a bundle's header cannot be read: {error}.") from error
    blobs, start = {}, 0
    for key, size in sizes:
        blobs[key] = rest[start : start + size]
        start += size
        if sha256_of(blobs[key]) != key:
            raise IntegrityError(f"blob {key[:12]}... of a bundle does not match its checksum; ask again.")
    return Candidates(cards, distances), blobs


def _split(body: bytes, longest: int) -> tuple[bytes, bytes]:
    length = int.from_bytes(body[:8], "little")
    if len(body) < 8 or length > min(longest, len(body) - 8):
        raise CardError(f"a body of {len(body)} bytes whose header claims {length}; it is truncated, or no bundle.")
    return body[8 : 8 + length], body[8 + length :]
