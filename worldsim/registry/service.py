"""The registry over HTTP: search, bundle, publish, and the routes that the stock Hugging Face client downloads by.

Everything that comes in is data and is checked as such; a class is looked up in the plug-in table and nowhere else.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, HTTPException, Path, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from worldsim import types
from worldsim.errors import (
    CardError,
    ConfigurationError,
    IntegrityError,
    ModelNotFoundError,
    PluginError,
    RegistryError,
    WorldsimError,
)
from worldsim.registry.access import check_token
from worldsim.registry.artefact import model_files, sha256_of
from worldsim.registry.cards import (
    Appearance,
    AppearanceStd,
    CardDocument,
    Length,
    Licence,
    Name,
    Number,
    Spread,
    Word,
    dump_card,
)
from worldsim.registry.framing import MAX_PUBLISH_BYTES, MEDIA_TYPE, pack_bundle, unpack_model
from worldsim.registry.gateway import Counted, Gateway, Limits, Writers
from worldsim.registry.interaction_routes import add_interaction_reading, add_interaction_writing
from worldsim.registry.maintenance import statistics
from worldsim.registry.store import MAX_CANDIDATES, StoredRegistry
from worldsim.types.card import ModelCard

__all__ = ["create_app"]

_SEGMENT = r"^[a-z0-9](?:[._-]?[a-z0-9])*$"
Namespace = Annotated[str, Path(pattern=_SEGMENT, max_length=64)]
ModelName = Annotated[str, Path(pattern=_SEGMENT, max_length=94)]
Revision = Annotated[
    str, Path(pattern=r"^[a-z0-9][a-z0-9_.-]{0,63}$", description="main, a version, an alias, a commit")
]
_RANGE = re.compile(r"bytes=([0-9]{1,12})-([0-9]{0,12})")
Alias = Annotated[str, Path(pattern=r"^[a-z][a-z0-9_.-]{0,63}$")]
Version = Annotated[int | None, Query(ge=1, le=999_999_999)]
_STATUS: tuple[tuple[type[Exception], int], ...] = (
    (ModelNotFoundError, 404),
    (CardError, 422),
    (PluginError, 422),
    (ConfigurationError, 422),
    (IntegrityError, 500),
    (RegistryError, 503),
)


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SearchDocument(_Strict):
    """JSON form of `worldsim.types.Query`, with the filters beside it."""

    k: Annotated[int, Field(ge=1, le=MAX_CANDIDATES)] = 8
    extent_m: tuple[Length, Length, Length] | None = None
    extent_std_m: tuple[Spread, Spread, Spread] | None = None
    appearance: Appearance | None = None
    appearance_std: AppearanceStd | None = None
    motion: Annotated[dict[Name, Number], Field(max_length=32)] = {}
    channel_share: Annotated[dict[Name, Number], Field(max_length=16)] = {}
    kind: Word | None = None
    exclude: Annotated[list[Annotated[str, Field(max_length=96, pattern=r"^[ -~]*$")]], Field(max_length=1000)] = []
    tag: Word | None = None
    licence: Licence | None = None

    def query(self) -> types.Query:
        """Return the query without the filters."""
        fields = ("extent_m", "extent_std_m", "appearance", "appearance_std", "motion", "channel_share", "kind")
        return types.Query(**{f: getattr(self, f) for f in fields}, exclude=frozenset(self.exclude))


class AliasDocument(_Strict):
    """Which version an alias names."""

    version: Annotated[int, Field(ge=1, le=999_999_999)]


class Failure(BaseModel):
    """What every refusal says."""

    error: str
    detail: str


def create_app(
    registry: StoredRegistry,
    *,
    token: str | None = None,
    limits: Limits | None = None,
    readers_need_token: bool = False,
) -> FastAPI:
    """Return the service over `registry` as an ASGI application.

    Args:
        registry: what to serve; a write into it waits for the writer's lock for no more than 2.5 s from now on.
        token: what a writer must send as ``Authorization: Bearer ...``; None refuses every write.
        limits: sizes and rates; `Limits` says the defaults.
        readers_need_token: refuse to be read without the token as well (health and metrics stay open).

    Raises:
        ConfigurationError: the token is empty, or cannot travel in a header.
    """
    if token is not None:
        check_token(token)
    refusals: dict[int | str, dict[str, Any]] = {s: {"model": Failure} for s in (401, 403, 404, 413, 422, 429, 503)}
    app = FastAPI(title="worldsim registry", version="1", responses=refusals, docs_url="/docs", redoc_url=None)
    gateway = Gateway(limits or Limits(), registry)
    app.add_middleware(Counted, gateway=gateway)

    @app.exception_handler(WorldsimError)
    async def refuse(_: Request, error: WorldsimError) -> JSONResponse:
        status = next((code for kind, code in _STATUS if isinstance(error, kind)), 500)
        return JSONResponse({"error": type(error).__name__, "detail": str(error)}, status)

    @app.exception_handler(RequestValidationError)
    async def refuse_form(_: Request, error: RequestValidationError) -> JSONResponse:
        # the input is not repeated: it may be long, and it may be what JSON cannot hold
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])[:200]
        detail = f"{field}: {first['msg'][:300]}".encode("ascii", "backslashreplace").decode()
        return JSONResponse({"error": "Refused", "detail": detail}, 422)

    @app.exception_handler(HTTPException)
    async def refuse_plainly(_: Request, error: HTTPException) -> JSONResponse:
        return JSONResponse({"error": "Refused", "detail": str(error.detail)}, error.status_code, error.headers)

    _add_health(app, registry, gateway)
    reading = APIRouter(dependencies=[Depends(_bearer(token))] if readers_need_token else [])
    _add_reading(reading, registry)
    add_interaction_reading(reading, registry.interactions)
    writers = Writers(registry)
    _add_writing(app, registry, _bearer(token), writers)
    add_interaction_writing(app, registry.interactions, _bearer(token), writers)
    _add_hub(reading, registry)
    app.include_router(reading)
    return app


def _bearer(token: str | None) -> Callable[[Request], None]:
    def check(request: Request) -> None:
        if token is None:
            raise HTTPException(403, "this registry was started without a token; nobody may write")
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not secrets.compare_digest(given.encode(), token.encode()):
            raise HTTPException(401, "this needs the registry's token", {"WWW-Authenticate": "Bearer"})

    return check


def _add_health(app: FastAPI, registry: StoredRegistry, gateway: Gateway) -> None:
    @app.get("/health", tags=["health"])
    async def health() -> dict[str, str]:
        """Say that the process answers."""
        return {"status": "alive"}

    @app.get("/ready", tags=["health"])
    def ready() -> dict[str, Any]:
        """Say that the database answers too."""
        return {"status": "ready", "models": len(registry)}

    @app.get("/metrics", tags=["health"], response_class=Response)
    def metrics() -> Response:
        """Return the counters for Prometheus."""
        return Response(gateway.metrics(), media_type="text/plain; version=0.0.4")


def _add_reading(app: APIRouter, registry: StoredRegistry) -> None:
    @app.get("/v1/stats", tags=["registry"])
    def stats() -> dict[str, Any]:
        """Say what is in the registry."""
        return statistics(registry)

    @app.post("/v1/search", tags=["registry"])
    def search(wanted: SearchDocument) -> dict[str, Any]:
        """Return the nearest cards, near-twins thinned out."""
        found = registry.search(wanted.query(), wanted.k, tag=wanted.tag, licence=wanted.licence)
        pairs = zip(found.cards, found.distances, strict=True)
        return {"candidates": [{"distance": distance, "card": document(card)} for card, distance in pairs]}

    @app.post("/v1/bundle", tags=["registry"], response_class=Response)
    def bundle(wanted: SearchDocument) -> Response:
        """Return the nearest cards and their models in one body (see worldsim.registry.framing)."""
        found = registry.bundle(wanted.query(), wanted.k, tag=wanted.tag, licence=wanted.licence)
        return Response(pack_bundle(found), media_type=MEDIA_TYPE)

    @app.get("/v1/models", tags=["registry"])
    def listed(
        tag: Annotated[Word | None, Query()] = None,
        after: Annotated[str, Query(max_length=96, pattern=r"^[a-z0-9._/-]*$")] = "",
        limit: Annotated[int, Query(ge=1, le=1000)] = 200,
    ) -> dict[str, Any]:
        """Return the newest cards ordered by id, a page at a time: pass the last id as `after` for the next."""
        return {"cards": [document(card) for card in registry.card_page(after, limit, tag)]}

    @app.get("/v1/models/{namespace}/{name}", tags=["registry"])
    def card(namespace: Namespace, name: ModelName, version: Version = None) -> CardDocument:
        """Return one card."""
        return document(registry.card(f"{namespace}/{name}", version))

    @app.get("/v1/models/{namespace}/{name}/versions", tags=["registry"])
    def versions(namespace: Namespace, name: ModelName) -> dict[str, Any]:
        """Return the versions there are, and the aliases."""
        model_id = f"{namespace}/{name}"
        return {"versions": registry.versions(model_id), "aliases": registry.aliases(model_id)}

    @app.get("/v1/models/{namespace}/{name}/model", tags=["registry"], response_class=Response)
    def model(namespace: Namespace, name: ModelName, request: Request, version: Version = None) -> Response:
        """Return the safetensors bytes, or a part of them by ``Range``."""
        found, data = registry.fetch_bytes(f"{namespace}/{name}", version)
        headers = {"ETag": f'"{found.sha256}"', "X-Model-Version": str(found.version), "Accept-Ranges": "bytes"}
        return _ranged(request, data, headers)


def _add_writing(app: FastAPI, registry: StoredRegistry, writer: Callable[[Request], None], writers: Writers) -> None:
    body = {
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
        "required": True,
    }

    @app.post(
        "/v1/models", tags=["registry"], status_code=201, dependencies=[Depends(writer)],
        openapi_extra={"requestBody": body},
    )  # fmt: skip
    async def publish(request: Request) -> dict[str, str]:
        """Store a model as the next version of its id (body as in worldsim.registry.framing.pack_model)."""
        received = bytearray()
        async for piece in request.stream():
            received += piece
            if len(received) > MAX_PUBLISH_BYTES:
                raise HTTPException(413, f"a model takes at most {MAX_PUBLISH_BYTES} bytes")
        name = await writers.run(lambda: registry.publish_bytes([unpack_model(bytes(received))])[0])
        return {"published": name}

    @app.put("/v1/models/{namespace}/{name}/aliases/{alias}", tags=["registry"], dependencies=[Depends(writer)])
    async def alias(namespace: Namespace, name: ModelName, alias: Alias, named: AliasDocument) -> dict[str, Any]:
        """Let `alias` name a version."""
        await writers.run(lambda: registry.set_alias(f"{namespace}/{name}", alias, named.version))
        return {"model_id": f"{namespace}/{name}", "alias": alias, "version": named.version}


def _add_hub(app: APIRouter, registry: StoredRegistry) -> None:
    """Add the four routes by which ``huggingface_hub`` finds and downloads a model."""

    def found(namespace: str, name: str, revision: str) -> tuple[ModelCard, dict[str, bytes], str]:
        card, data = registry.fetch_bytes(f"{namespace}/{name}", _version_of(registry, f"{namespace}/{name}", revision))
        return card, model_files(card, data), _commit(card)

    def described(namespace: str, name: str, revision: str) -> dict[str, Any]:
        card, files, commit = found(namespace, name, revision)
        return {
            "id": card.model_id,
            "modelId": card.model_id,
            "sha": commit,
            "private": False,
            "tags": ["worldsim", card.family, *card.tags],
            "library_name": "worldsim",
            "siblings": [{"rfilename": file} for file in files],
        }

    @app.get("/api/models/{namespace}/{name}", tags=["hub"])
    def info(namespace: Namespace, name: ModelName) -> dict[str, Any]:
        """Describe the newest version."""
        return described(namespace, name, "main")

    @app.get("/api/models/{namespace}/{name}/revision/{revision}", tags=["hub"])
    def info_at(namespace: Namespace, name: ModelName, revision: Revision) -> dict[str, Any]:
        """Describe one revision."""
        return described(namespace, name, revision)

    @app.get("/api/models/{namespace}/{name}/tree/{revision}", tags=["hub"])
    def tree(namespace: Namespace, name: ModelName, revision: Revision) -> list[dict[str, Any]]:
        """List the files of one revision."""
        _, files, _ = found(namespace, name, revision)
        return [{"type": "file", "path": f, "size": len(d), "oid": sha256_of(d)[:40]} for f, d in files.items()]

    @app.head("/{namespace}/{name}/resolve/{revision}/{file}", tags=["hub"], include_in_schema=False)
    @app.get("/{namespace}/{name}/resolve/{revision}/{file}", tags=["hub"], response_class=Response)
    def resolve(namespace: Namespace, name: ModelName, revision: Revision, file: str, request: Request) -> Response:
        """Return one file, or a part of it by ``Range``."""
        _, files, commit = found(namespace, name, revision)
        if file not in files:
            raise HTTPException(404, f"no such file; there are {sorted(files)}", {"X-Error-Code": "EntryNotFound"})
        headers = {"ETag": f'"{sha256_of(files[file])}"', "X-Repo-Commit": commit, "Accept-Ranges": "bytes"}
        return _ranged(request, files[file], headers)


def document(card: ModelCard) -> CardDocument:
    """Return the card as the service's schema shows it."""
    return CardDocument.model_validate_json(dump_card(card))


def _ranged(request: Request, data: bytes, headers: dict[str, str]) -> Response:
    asked = _RANGE.fullmatch(request.headers.get("range", ""))
    if request.method == "GET" and asked is not None:  # other forms may be ignored (RFC 9110, 14.2)
        first, last = int(asked[1]), min(int(asked[2] or len(data)), len(data) - 1)
        if first > last:
            return Response(status_code=416, headers={"Content-Range": f"bytes */{len(data)}"})
        headers["Content-Range"] = f"bytes {first}-{last}/{len(data)}"
        return Response(data[first : last + 1], 206, headers, "application/octet-stream")
    if request.method == "HEAD":
        headers["Content-Length"] = str(len(data))
        return Response(b"", 200, headers, "application/octet-stream")
    return Response(data, 200, headers, "application/octet-stream")


def _commit(card: ModelCard) -> str:
    """Return 40 hexadecimal digits that name one version: the version in eight of them, then its checksum."""
    return f"{card.version:08x}{card.sha256[:32]}"


def _version_of(registry: StoredRegistry, model_id: str, revision: str) -> int | None:
    if revision == "main":
        return None
    if revision.isdecimal() and len(revision) <= 9:
        return int(revision)
    if len(revision) == 40 and all(digit in "0123456789abcdef" for digit in revision):
        version = int(revision[:8], 16)
        card = registry.card(model_id, min(version, 999_999_999))
        if _commit(card) == revision:
            return version
    return registry.resolve_alias(model_id, revision)
