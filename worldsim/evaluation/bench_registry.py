"""``worldsim bench registry``: how a registry of a million models answers, embedded and over HTTP.

``--quick`` builds 3,000 models instead, where every search is exact. ``--data FILE`` measures a registry that is there
already (made by ``worldsim registry init --synthetic N``), so that a million need not be built each time.
"""

from __future__ import annotations

import dataclasses
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import numpy as np
from jaxtyping import Float

from worldsim.errors import ConfigurationError, StorageError
from worldsim.evaluation.bench import BenchOptions, Figure
from worldsim.registry import HttpRegistry, StoredRegistry, open_stored
from worldsim.registry.builtin import shipped_models
from worldsim.registry.descriptor import query_vector
from worldsim.registry.growth import grow
from worldsim.registry.search_index import SearchIndex
from worldsim.types.card import ModelCard
from worldsim.types.query import Query

__all__ = ["bench_registry", "noisy_query"]

_FULL, _QUICK = 1_000_000, 3_000
_SMALL = 10_000
_K = 8
_FRAMES = 10  # half a second at 20 Hz
_DETECTOR_LOG_SIZE_STD = 0.05
_DETECTOR_APPEARANCE_STD = 0.04
_RATE_PER_S = 50.0


def bench_registry(options: BenchOptions) -> list[Figure]:
    """Return the figures: building, recall, latency embedded and over HTTP, growth of latency, retrieval."""
    rng = np.random.default_rng(options.seed)
    count = _QUICK if options.quick else _FULL
    folder = Path(tempfile.mkdtemp(prefix="worldsim-bench-registry-", dir=options.out))
    figures: list[Figure] = []
    try:
        address = f"sqlite:///{folder / 'large.db'}"
        if options.data is not None:
            address = f"sqlite:///{options.data}"
        with open_stored(address) as registry:
            if options.data is None:
                figures += _build(registry, count, options)
            queries = [noisy_query(card, rng) for card in _sample(registry, 200 if options.quick else 1000, rng)]
            figures += _recall(registry, queries[: 100 if options.quick else 200])
            figures += _embedded(registry, queries)
            figures += _growth(registry, folder, rng, _QUICK // 10 if options.quick else _SMALL)
        figures += _retrieval(rng, 1 if options.quick else 5)
        figures += _over_http(address, queries, options)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return figures


def noisy_query(card: ModelCard, rng: np.random.Generator) -> Query:
    """Return what a detector says of a new instance of `card` after half a second: its own size, look and motion.

    The instance differs from the card by the card's own spread; the detector averages `_FRAMES` noisy frames.
    """
    averaged = 1.0 / np.sqrt(_FRAMES)
    extent = np.asarray(card.shape.extent_m) + np.asarray(card.shape.extent_std_m) * rng.standard_normal(3)
    extent = np.maximum(extent, 0.02) * np.exp(_DETECTOR_LOG_SIZE_STD * averaged * rng.standard_normal(3))
    look = card.descriptor.appearance
    if look is not None:
        spread = np.asarray(card.descriptor.appearance_std or np.zeros(len(look)))
        own = np.asarray(look) + spread * rng.standard_normal(len(look))
        look = tuple(own + _DETECTOR_APPEARANCE_STD * averaged * rng.standard_normal(len(look)))
    # half a second says little of how a thing usually moves: a factor of two either way, and a noise floor
    motion = {
        name: abs(value * float(np.exp(0.7 * rng.standard_normal())) + 0.05 * rng.standard_normal())
        for name, value in card.descriptor.motion.items()
        if name not in ("still_share", "height")
    }
    motion["height"] = card.descriptor.motion.get("height", 0.0) + 0.02 * float(rng.standard_normal())
    x, y, z = (float(edge) for edge in extent)
    std = tuple(float(edge) * _DETECTOR_LOG_SIZE_STD * float(averaged) for edge in (x, y, z))
    return Query((x, y, z), (std[0], std[1], std[2]), look, None, motion, {"position": 0.7, "appearance": 0.3})


def _build(registry: StoredRegistry, count: int, options: BenchOptions) -> list[Figure]:
    registry.store_checked(list(shipped_models()))
    started = time.perf_counter()
    grow(registry, count, options.seed, lambda done, total: _tell_tenths(options, done, total))
    registry.index.build(options.tell)
    seconds = time.perf_counter() - started
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    told = Figure.told if options.quick else Figure.at_most
    seconds_bar = () if options.quick else (1800.0,)
    memory_bar = () if options.quick else (8e9,)
    return [
        told(f"time to build {count} models", seconds, *seconds_bar, unit="s", n=count),
        told(f"largest memory while building {count} models", float(memory), *memory_bar, unit="B", n=count),
    ]


def _recall(registry: StoredRegistry, queries: list[Query]) -> list[Figure]:
    exact = SearchIndex(registry.database, None)
    shares = []
    with registry.database.reading() as connection:
        for query in queries:
            vector = query_vector(query)
            found = registry.index.nearest(connection, vector, 512).row[:_K]
            truth = exact.nearest(connection, vector, 512).row[:_K]
            shares.append(len(np.intersect1d(found, truth)) / len(truth))
    name = f"recall@{_K} against exact over {len(registry)} models"
    return [Figure.at_least(name, float(np.mean(shares)), 0.99, n=len(shares), interval=_interval(np.array(shares)))]


def _embedded(registry: StoredRegistry, queries: list[Query]) -> list[Figure]:
    times = []
    for query in queries:
        started = time.perf_counter()
        registry.fetch_many(registry.search(query, _K).cards)
        times.append(1e3 * (time.perf_counter() - started))
    warm = np.array(times[len(times) // 10 :])  # the first calls read files and compile statements
    what = f"embedded search + {_K} cards + {_K} models"
    return [
        Figure.at_most(f"{what}, p50", float(np.median(warm)), 2.0, unit="ms", n=len(warm)),
        Figure.at_most(f"{what}, p99", float(np.percentile(warm, 99)), 10.0, unit="ms", n=len(warm)),
    ]


def _growth(large: StoredRegistry, folder: Path, rng: np.random.Generator, small_count: int) -> list[Figure]:
    """Compare the fetch of one model by id from the large registry with the same from a small one, in turn."""
    with open_stored(f"sqlite:///{folder / 'small.db'}") as small:
        grow(small, small_count)
        ids = {r: [c.model_id for c in _sample(r, 200, rng)] for r in (small, large)}
        times: dict[StoredRegistry, list[float]] = {small: [], large: []}
        for number in range(2000):
            for registry in (small, large):
                model_id = ids[registry][number % 200]
                started = time.perf_counter()
                registry.fetch(model_id)
                times[registry].append(time.perf_counter() - started)
        ratio = float(np.median(times[large][200:]) / np.median(times[small][200:]))
        exponent = np.log(ratio) / np.log(len(large) / len(small))
        name = f"exponent of fetch latency from {len(small)} to {len(large)} models"
    return [Figure.at_most(name, float(exponent), 0.05, n=1800)]


def _retrieval(rng: np.random.Generator, rounds: int) -> list[Figure]:
    """Ask the shipped registry for held-out instances: the card nearest to the instance is left out of the search."""
    right_kind, right_first = [], []
    with open_stored("builtin") as registry:
        starter = frozenset(card.model_id for card in registry.cards(tag="starter"))
        cards = [card for card in registry.cards() if card.model_id not in starter]
        for _ in range(rounds):
            for card in cards:
                query = dataclasses.replace(noisy_query(card, rng), exclude=starter | {card.model_id})
                found = registry.search(query, _K).cards
                right_kind.append(any(c.kind == card.kind for c in found))
                right_first.append(found[0].family == card.family and _size_class(found[0]) == _size_class(card))
    kind, first = np.array(right_kind, dtype=float), np.array(right_first, dtype=float)
    return [
        Figure.at_least(
            f"right kind among the {_K}, the instance's own card held out",
            float(kind.mean()),
            0.99,
            n=len(kind),
            interval=_interval(kind),
        ),
        Figure.at_least(
            "right family and size class first", float(first.mean()), 0.90, n=len(first), interval=_interval(first)
        ),
    ]


def _over_http(address: str, queries: list[Query], options: BenchOptions) -> list[Figure]:
    seconds = 4.0 if options.quick else 20.0
    with _served(address) as url:
        rest = _until_it_answers(url)
        rest.close()
        with HttpRegistry(url) as client:
            pings, bundles = [], []
            for query in queries[:200]:  # in turn, so that both meet the same machine
                started = time.perf_counter()
                client.ping()
                middle = time.perf_counter()
                client.search(query, _K)
                pings.append(1e3 * (middle - started))
                bundles.append(1e3 * (time.perf_counter() - middle))
            paced = []
            due = time.perf_counter()
            for number in range(int(seconds * _RATE_PER_S)):
                time.sleep(max(due - time.perf_counter(), 0.0))
                client.search(queries[number % len(queries)], _K)
                paced.append(1e3 * (time.perf_counter() - due))  # from when it was due: a late start counts
                due += 1.0 / _RATE_PER_S
    ping, bundle = float(np.median(pings[20:])), float(np.median(bundles[20:]))
    return [
        Figure.at_most("bundle over HTTP, p50 as a multiple of a ping", bundle / ping, 5.0, n=len(bundles) - 20,
                       baselines={"ping_ms": ping, "bundle_ms": bundle}),
        Figure.at_most(f"bundle over HTTP at {_RATE_PER_S:g} requests/s, p99", float(np.percentile(paced, 99)), 20.0,
                       unit="ms", n=len(paced)),
    ]  # fmt: skip


@contextmanager
def _served(address: str) -> Iterator[str]:
    """Serve `address` from a second process; give its URL."""
    command = [sys.executable, "-m", "worldsim", "registry", "serve", address, "--port", "0", "--rate", "100000"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        line = server.stdout.readline() if server.stdout is not None else ""
        if "http://" not in line:
            raise ConfigurationError("the service did not start; try 'worldsim registry serve' to see why.")
        yield line.split()[-1]
    finally:
        server.terminate()
        server.wait(30.0)
        if server.stdout is not None:
            server.stdout.close()


def _until_it_answers(url: str) -> httpx.Client:
    client = httpx.Client(base_url=url, trust_env=False)
    deadline = time.monotonic() + 60.0
    while time.monotonic() < deadline:
        try:
            if client.get("/health").status_code == 200:
                return client
        except httpx.TransportError:
            time.sleep(0.1)
    raise StorageError(f"the service at {url} did not answer for 60 s.")


def _sample(registry: StoredRegistry, count: int, rng: np.random.Generator) -> list[ModelCard]:
    """Return `count` cards from all over the registry."""
    newest = len(registry)
    found: list[ModelCard] = []
    while len(found) < count:
        rows = rng.integers(1, newest + 1, size=count)
        found += registry.cards_at([int(row) for row in rows])
    return [card for card in found if card.family != "generic"][:count]


def _size_class(card: ModelCard) -> int:
    """Return the class of the longest edge, in factors of two."""
    return int(np.floor(np.log2(max(card.shape.extent_m)) + 0.5))


def _interval(values: Float[np.ndarray, " n"]) -> tuple[float, float]:
    """Return the 95 % interval of a mean of shares in [0, 1] (Wilson 1927)."""
    n, p, z = len(values), float(values.mean()), 1.96
    middle = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z * np.sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return float(middle - half), float(middle + half)


def _tell_tenths(options: BenchOptions, done: int, total: int) -> None:
    if done * 10 // total != (done - 1000) * 10 // total:
        options.tell(f"{done} of {total} models")
