"""The interactions of a registry over HTTP: search, card, bytes, publish."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, HTTPException, Path, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from worldsim.registry.cards import MAX_CARD_BYTES, Word
from worldsim.registry.framing import split_body
from worldsim.registry.gateway import Writers
from worldsim.registry.interaction_cards import (
    Covariance,
    InteractionDocument,
    Mean,
    Terms,
    dump_interaction,
    interaction_from_json,
)
from worldsim.registry.interaction_store import MAX_CANDIDATES, StoredInteractions
from worldsim.types.interaction_card import InteractionCard, InteractionQuery

__all__ = ["MAX_INTERACTION_BYTES", "add_interaction_reading", "add_interaction_writing"]

MAX_INTERACTION_BYTES = 8 + 2 * MAX_CARD_BYTES
"""A published body is never longer: a card, and at most a few hundred numbers."""

_SEGMENT = r"^[a-z0-9](?:[._-]?[a-z0-9])*$"
Namespace = Annotated[str, Path(pattern=_SEGMENT, max_length=64)]
KindName = Annotated[str, Path(pattern=_SEGMENT, max_length=94)]
Version = Annotated[int | None, Query(ge=1, le=999_999_999)]


class KindSearchDocument(BaseModel):
    """JSON form of `worldsim.types.InteractionQuery`, with number and tag beside it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    k: Annotated[int, Field(ge=1, le=MAX_CANDIDATES)] = 8
    terms: Terms | None = None
    mean: Mean | None = None
    covariance: Covariance | None = None
    between: tuple[Word, Word] | None = None
    kind: Word | None = None
    exclude: Annotated[list[Annotated[str, Field(max_length=96, pattern=r"^[ -~]*$")]], Field(max_length=1000)] = []
    tag: Word | None = None

    def query(self) -> InteractionQuery:
        """Return the query without number and tag."""
        fields = ("terms", "mean", "covariance", "between", "kind")
        return InteractionQuery(**{f: getattr(self, f) for f in fields}, exclude=frozenset(self.exclude))


def add_interaction_reading(app: APIRouter, kinds: StoredInteractions) -> None:
    """Add the routes that read."""

    @app.post("/v1/interactions/search", tags=["interactions"])
    def search_interactions(wanted: KindSearchDocument) -> dict[str, Any]:
        """Return the nearest kinds of interaction."""
        found = kinds.search(wanted.query(), wanted.k, tag=wanted.tag)
        pairs = zip(found.cards, found.distances, strict=True)
        return {"candidates": [{"distance": distance, "card": document(card)} for card, distance in pairs]}

    @app.get("/v1/interactions", tags=["interactions"])
    def list_interactions(
        tag: Annotated[Word | None, Query()] = None,
        after: Annotated[str, Query(max_length=96, pattern=r"^[a-z0-9._/-]*$")] = "",
        limit: Annotated[int, Query(ge=1, le=1000)] = 200,
    ) -> dict[str, Any]:
        """Return the newest cards ordered by id, a page at a time: pass the last id as `after` for the next."""
        rest = [card for card in kinds.cards(tag) if card.model_id > after]
        return {"cards": [document(card) for card in rest[:limit]]}

    @app.get("/v1/interactions/{namespace}/{name}", tags=["interactions"])
    def interaction_card(namespace: Namespace, name: KindName, version: Version = None) -> InteractionDocument:
        """Return one card."""
        return document(kinds.card(f"{namespace}/{name}", version))

    @app.get("/v1/interactions/{namespace}/{name}/versions", tags=["interactions"])
    def interaction_versions(namespace: Namespace, name: KindName) -> dict[str, Any]:
        """Return the versions there are."""
        return {"versions": kinds.versions(f"{namespace}/{name}")}

    @app.get("/v1/interactions/{namespace}/{name}/model", tags=["interactions"], response_class=Response)
    def interaction_model(namespace: Namespace, name: KindName, version: Version = None) -> Response:
        """Return the safetensors bytes."""
        card, data = kinds.fetch_bytes(f"{namespace}/{name}", version)
        headers = {"ETag": f'"{card.sha256}"', "X-Model-Version": str(card.version)}
        return Response(data, 200, headers, "application/octet-stream")


def add_interaction_writing(
    app: FastAPI, kinds: StoredInteractions, writer: Callable[[Request], None], writers: Writers
) -> None:
    """Add the route that writes."""
    body = {
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
        "required": True,
    }

    @app.post(
        "/v1/interactions", tags=["interactions"], status_code=201, dependencies=[Depends(writer)],
        openapi_extra={"requestBody": body},
    )  # fmt: skip
    async def publish_interaction(request: Request) -> dict[str, str]:
        """Store a kind as the next version of its id (body: length of the card, the card, the safetensors bytes)."""
        received = bytearray()
        async for piece in request.stream():
            received += piece
            if len(received) > MAX_INTERACTION_BYTES:
                raise HTTPException(413, f"an interaction takes at most {MAX_INTERACTION_BYTES} bytes")

        def stored() -> str:
            header, data = split_body(bytes(received), MAX_CARD_BYTES)
            return kinds.publish_bytes(interaction_from_json(header), data)

        return {"published": await writers.run(stored)}


def document(card: InteractionCard) -> InteractionDocument:
    """Return the card as the service's schema shows it."""
    return InteractionDocument.model_validate_json(dump_interaction(card))
