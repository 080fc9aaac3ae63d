"""Hostile input for a registry's service, made from a seed: bodies, cards, model files, paths, headers and queries.

None of it is what the service takes, so every answer must be a refusal (4xx); a 5xx, a 2xx, or a model that was
stored is a fault.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import numpy as np
from safetensors.numpy import save

from worldsim.registry.artefact import card_tensors, model_bytes
from worldsim.registry.cards import card_to_json
from worldsim.registry.framing import MEDIA_TYPE
from worldsim.types.card import ModelCard

__all__ = ["HostileTally", "attack", "hostile_requests"]

PICKLE = b"\x80\x04\x8c\x05posix\x94\x8c\x06system\x94\x93\x94\x8c\x04true\x94\x85\x94R\x94."
_LONG = 10**6
_CLIMBING = (
    *("../../etc/passwd", "..%2f..%2fetc%2fpasswd", "%2e%2e/%2e%2e", "....//....//etc/passwd", "a/b/../../../etc"),
    *("C:\\windows", "a%00b/c", "\u202eevil/name", "-/-", "a//b", ".git/config"),
)


@dataclass(frozen=True, slots=True)
class HostileRequest:
    """One request that must be refused: what is wrong with it, and what is sent."""

    what: str
    method: str
    path: str
    content: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class HostileTally:
    """How the requests were answered.

    Attributes:
        sent: how many.
        refused: answered 4xx, or refused by the client's own library as no HTTP at all.
        faults: what was wrong -> the status, of those that were answered otherwise.
    """

    sent: int = 0
    refused: int = 0
    faults: dict[str, int] = field(default_factory=dict)


def attack(http: httpx.Client, card: ModelCard, rng: np.random.Generator, rounds: int) -> HostileTally:
    """Send every kind of hostile request `rounds` times, varied, and tally the answers.

    Args:
        http: a client of the service that sends the writer's token.
        card: a sound card, not stored there, to spoil.
        rng: varies them.
        rounds: how often.
    """
    tally = HostileTally()
    for _ in range(rounds):
        for request in hostile_requests(card, rng):
            tally.sent += 1
            try:
                answer = http.request(request.method, request.path, content=request.content, headers=request.headers)
            except httpx.InvalidURL:
                tally.refused += 1
                continue
            except httpx.TransportError:  # the server ended the connection: a refusal, if it still answers
                http.get("/health").raise_for_status()
                tally.refused += 1
                continue
            if 400 <= answer.status_code < 500:
                tally.refused += 1
            else:
                tally.faults[request.what] = answer.status_code
    return tally


def hostile_requests(card: ModelCard, rng: np.random.Generator) -> Iterator[HostileRequest]:
    """Yield one of every kind."""
    for what, body in _bodies(card, rng):
        yield HostileRequest(what, "POST", "/v1/models", body, {"Content-Type": MEDIA_TYPE})
    for what, text in _queries(rng):
        for path in ("/v1/search", "/v1/bundle"):
            yield HostileRequest(f"{path}: {what}", "POST", path, text, {"Content-Type": "application/json"})
    for name in _CLIMBING:
        for path in (f"/v1/models/{name}", f"/v1/models/{name}/model", f"/api/models/{name}",
                     f"/cat/x/resolve/main/{name}", f"/{name}/resolve/main/config.json"):  # fmt: skip
            yield HostileRequest(f"path {path!r}", "GET", path)
    yield from _odd_requests()


def _odd_requests() -> Iterator[HostileRequest]:
    long = "9" * 5000
    yield HostileRequest("a version of 5000 digits", "GET", f"/v1/models/a/b?version={long}")
    yield HostileRequest("a revision of 5000 digits", "GET", f"/api/models/a/b/revision/{long}")
    yield HostileRequest("a page of a billion", "GET", "/v1/models?limit=1000000000")
    yield HostileRequest("a page after NUL", "GET", "/v1/models?after=%00")
    yield HostileRequest("a tag that is no word", "GET", "/v1/models?tag=%00%ff")
    yield HostileRequest("a method that nobody knows", "PROPFIND", "/v1/models")
    yield HostileRequest("a range of a model that is not there", "GET", "/v1/models/a/b/model", b"",
                         {"Range": f"bytes={long}-{long}"})  # fmt: skip
    yield HostileRequest("an alias that climbs", "PUT", "/v1/models/a/b/aliases/..%2fx", b'{"version": 1}')
    yield HostileRequest("an alias of nothing", "PUT", "/v1/models/a/b/aliases/champion", b'{"version": 1}')
    yield HostileRequest("an alias of a number that is none", "PUT", "/v1/models/a/b/aliases/x", b'{"version": 1e400}')


def _queries(rng: np.random.Generator) -> Iterator[tuple[str, bytes]]:
    yield "not JSON", bytes(rng.integers(0, 256, 200, dtype=np.uint8))
    yield "NaN", b'{"extent_m": [NaN, 1, 1]}'
    yield "infinity", b'{"motion": {"speed_mean": 1e999}}'
    yield "a lone surrogate", b'{"exclude": ["\\ud800"]}'
    yield "a lone surrogate as a name", b'{"motion": {"\\udfff": 1.0}}'
    yield "NUL", b'{"kind": "a\\u0000b"}'
    yield "a deep nest", b"[" * 100_000
    yield "a deep nest of objects", b'{"a":' * 50_000
    yield "an endless integer", b'{"k": ' + b"9" * 100_000 + b"}"
    yield "a long string", json.dumps({"kind": "x" * _LONG}).encode()
    yield "a long list", json.dumps({"exclude": ["a/b"] * 100_000}).encode()
    yield "many fields", json.dumps({f"f{i}": 0 for i in range(10_000)}).encode()
    yield "an unknown field", b'{"__class__": "os.system"}'
    yield "too many candidates", json.dumps({"k": int(rng.integers(65, 10**9))}).encode()
    yield "a negative size", json.dumps({"extent_m": [-float(rng.uniform()), 1.0, 1.0]}).encode()
    yield "a licence that is none", b'{"licence": "\\u0007"}'


def _bodies(card: ModelCard, rng: np.random.Generator) -> Iterator[tuple[str, bytes]]:
    good = model_bytes(card)
    header = card_to_json(card).encode()
    yield "nothing", b""
    yield "noise", bytes(rng.integers(0, 256, int(rng.integers(1, 4000)), dtype=np.uint8))
    yield "a pickle", PICKLE
    yield "a header that claims an exabyte", struct.pack("<Q", 2**60) + header
    yield "a header of a million letters", struct.pack("<Q", _LONG) + b"x" * _LONG
    yield "a card without a model", _framed(header, b"")
    yield "a pickle for a model", _framed(header, PICKLE)
    yield "a bomb header", _framed(header, struct.pack("<Q", 2**40) + b"{}")
    yield "a header of 100 MB to be", _framed(header, struct.pack("<Q", 10**8) + b"{" * 1000)
    yield "a model that is cut off", _framed(header, good[: int(rng.integers(0, len(good)))])
    flipped = bytearray(good)
    flipped[-1 - 8 * int(rng.integers(5))] ^= 0x40  # in an exponent: a number that no rounding explains
    yield "a model with a flipped bit", _framed(header, bytes(flipped))
    for what, tensors in _tensors(card, rng):
        yield what, _framed(header, save(tensors, metadata={"format": "np"}))
    overlap = json.dumps({"prior_mean": {"dtype": "F64", "shape": [2**40], "data_offsets": [0, 2**43]}}).encode()
    yield "a tensor beyond the file", _framed(header, struct.pack("<Q", len(overlap)) + overlap)
    for what, document in _documents(json.loads(header), rng):
        yield f"a card with {what}", _framed(json.dumps(document).encode(), good)


def _framed(header: bytes, data: bytes) -> bytes:
    return struct.pack("<Q", len(header)) + header + data


def _tensors(card: ModelCard, rng: np.random.Generator) -> Iterator[tuple[str, dict[str, np.ndarray]]]:
    good = card_tensors(card)
    count = len(card.parameters)
    for what, change in (
        ("too many numbers", {"prior_mean": np.zeros(count + 1 + int(rng.integers(50)))}),
        ("a tensor of another rank", {"extent_m": np.zeros((3, 1))}),
        ("integers", {"prior_std": np.zeros(count, dtype=np.int64)}),
        ("NaN", {"prior_mean": np.full(count, np.nan)}),
        ("infinity", {"extent_std_m": np.full(3, np.inf)}),
        ("other numbers than the card", {"prior_mean": rng.standard_normal(count) + 50.0}),
        ("a tensor that nobody asked for", {f"weights{rng.integers(9)}": np.zeros(3)}),
        ("half a test stream", {"test_stream.time_s": np.zeros(5, dtype=np.float32)}),
    ):
        yield f"a model with {what}", {**good, **change}


def _documents(good: dict[str, Any], rng: np.random.Generator) -> Iterator[tuple[str, dict[str, Any]]]:
    prior = good["parameters"][0]
    for what, change in (
        ("a climbing id", {"model_id": str(rng.choice(_CLIMBING))}),
        ("a long id", {"model_id": "a/" + "b" * _LONG}),
        ("a class outside the plug-in table", {"family": "os.system"}),
        ("a class that is code", {"family": "__import__('os').system('true')"}),
        ("a family of a million letters", {"family": "x" * _LONG}),
        ("a provenance of a million letters", {"provenance": "x" * _LONG}),
        ("many tags", {"tags": ["t"] * 10_000}),
        ("a field that nobody knows", {"entry_point": "os:system"}),
        ("a number that is a string", {"version": "1"}),
        ("a prior of NaN", {"parameters": [prior | {"mean": float("nan")}]}),
        ("a huge prior", {"parameters": [prior | {"mean": 1e300}]}),
        ("another's parameters", {"parameters": [prior | {"name": "trust_me"}]}),
        ("many parameters", {"parameters": [prior | {"name": f"p{i}"} for i in range(1000)]}),
        ("a shape that is none", {"shape": good["shape"] | {"kind": "torus"}}),
        ("a negative size", {"shape": good["shape"] | {"extent_m": [-1.0, 1.0, 1.0]}}),
        ("a control character", {"provenance": "\x00\x1b[2J"}),
        ("nothing in it", dict.fromkeys(good)),
    ):
        yield what, good | change
