"""What every request passes: a size limit, a rate limit, a counter, a line in the log; answers say whose they are."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from worldsim.errors import StorageError
from worldsim.registry.framing import MAX_PUBLISH_BYTES
from worldsim.registry.identity import IDENTITY_HEADER
from worldsim.registry.store import StoredRegistry

__all__ = ["Counted", "Gateway", "Limits", "Writers"]

_log = logging.getLogger("worldsim.registry.service")
_CLIENTS = 10_000  # remembered at once; the one seen longest ago is forgotten first
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"})
_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 1.0, 5.0)

# together less than the 5 s that a client waits, so that it is told what became of its request
_TURN_WAIT_S, _LOCK_WAIT_S = 1.5, 2.5
_WRITERS = 4  # far fewer than threads and pooled connections: who only reads finds one free
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Limits:
    """What one client may ask for.

    Attributes:
        body_bytes: longest body.
        requests_per_s: sustained rate of one client address; burst: requests it may send at once.
    """

    body_bytes: int = MAX_PUBLISH_BYTES
    requests_per_s: float = 500.0
    burst: int = 1000


class Gateway:
    """Counts and limits requests."""

    def __init__(self, limits: Limits, registry: StoredRegistry) -> None:
        """Keep `limits` for the service over `registry`."""
        self.limits, self.registry = limits, registry
        self._identity = (IDENTITY_HEADER.lower().encode(), registry.database.registry_id.encode())
        self._collected = CollectorRegistry()
        labels = ("method", "route", "status")
        self._requests = Counter("worldsim_registry_requests", "Requests", labels, registry=self._collected)
        self._seconds = Histogram(
            "worldsim_registry_seconds", "Time to answer", ("route",), buckets=_SECONDS, registry=self._collected
        )
        self._models = Gauge("worldsim_registry_models", "Models stored", registry=self._collected)
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def metrics(self) -> bytes:
        """Return the counters in Prometheus' text format."""
        self._models.set(len(self.registry))
        return generate_latest(self._collected)

    async def pass_through(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or refuse it."""
        started = time.perf_counter()
        status = 500
        received = 0

        async def counted_send(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), self._identity]
            await send(message)

        async def limited_receive() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > self.limits.body_bytes:
                raise _TooLongError
            return message

        refusal = self._refusal(scope)
        try:
            if refusal is not None:
                await refusal(scope, receive, counted_send)
            else:
                await app(scope, limited_receive, counted_send)
        except _TooLongError:
            await _refuse(413, f"a body takes at most {self.limits.body_bytes} bytes")(scope, receive, counted_send)
        finally:
            self._note(scope, status, time.perf_counter() - started)

    def _refusal(self, scope: Scope) -> JSONResponse | None:
        headers = dict(scope["headers"])
        length = headers.get(b"content-length", b"0")
        if not length.isdigit() or len(length) > 12 or int(length) > self.limits.body_bytes:
            return _refuse(413, f"a body takes at most {self.limits.body_bytes} bytes")
        if not self._admitted((scope.get("client") or ("unknown", 0))[0], time.monotonic()):
            return _refuse(429, f"more than {self.limits.requests_per_s:g} requests a second", {"Retry-After": "1"})
        return None

    def _admitted(self, client: str, now_s: float) -> bool:
        """Take one token from the client's bucket, which fills at the sustained rate."""
        tokens, filled_s = self._buckets.pop(client, (float(self.limits.burst), now_s))
        tokens = min(tokens + (now_s - filled_s) * self.limits.requests_per_s, float(self.limits.burst))
        self._buckets[client] = (max(tokens - 1.0, 0.0), now_s)
        while len(self._buckets) > _CLIENTS:
            self._buckets.popitem(last=False)
        return tokens >= 1.0

    def _note(self, scope: Scope, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", "(none)")  # the pattern: a label must not grow with the models
        method = scope["method"] if scope["method"] in _METHODS else "(other)"
        self._requests.labels(method, route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)
        if _log.isEnabledFor(logging.INFO):
            client = (scope.get("client") or ("unknown", 0))[0]
            line = {"method": scope["method"], "path": scope["path"][:200], "status": status, "client": client}
            _log.info(json.dumps(line | {"ms": round(1e3 * seconds, 2)}))


class Writers:
    """Lets few requests write at once and none wait for long, whatever holds the writer's lock."""

    def __init__(self, registry: StoredRegistry) -> None:
        """Let write into `registry`, whose own wait for the lock becomes shorter than a client's for its answer."""
        registry.database.lock_wait_s = min(registry.database.lock_wait_s, _LOCK_WAIT_S)
        self._turns = asyncio.Semaphore(_WRITERS)

    async def run(self, write: Callable[[], T]) -> T:
        """Return what `write` returns, called in a thread when it is its turn.

        Raises:
            StorageError: too many are writing, or another process holds the lock; nothing was stored.
        """
        try:
            async with asyncio.timeout(_TURN_WAIT_S):
                await self._turns.acquire()
        except TimeoutError:
            raise StorageError(
                f"{_WRITERS} others have been writing for {_TURN_WAIT_S:g} s; nothing was stored. Try again later."
            ) from None
        try:
            return await run_in_threadpool(write)
        finally:
            self._turns.release()


class Counted:
    """The ASGI middleware that sends every HTTP request through a gateway."""

    def __init__(self, app: ASGIApp, gateway: Gateway) -> None:
        """Wrap `app`."""
        self.app, self.gateway = app, gateway

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, by the gateway where it is a request."""
        if scope["type"] == "http":
            await self.gateway.pass_through(self.app, scope, receive, send)
        else:
            await self.app(scope, receive, send)


class _TooLongError(Exception):
    """A body is longer than it may be."""


def _refuse(status: int, detail: str, headers: dict[str, str] | None = None) -> JSONResponse:
    return JSONResponse({"error": "Refused", "detail": detail}, status, headers)
