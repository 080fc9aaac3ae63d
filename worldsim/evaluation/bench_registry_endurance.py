"""What a registry endures: kills, hostile input, and hours of requests."""

from __future__ import annotations

import time
from pathlib import Path

import httpx
import numpy as np

from worldsim.contracts.object_model import ObjectModel
from worldsim.errors import RegistryError
from worldsim.evaluation.bench import BenchOptions, Figure
from worldsim.evaluation.registry_hostile import attack
from worldsim.evaluation.registry_kills import kill_publishers, kill_servers
from worldsim.evaluation.registry_serving import served
from worldsim.registry import HttpRegistry, open_registry, open_stored
from worldsim.registry.blob_cache import BlobCache
from worldsim.registry.maintenance import verify
from worldsim.types.query import Query

__all__ = ["hostile", "kills", "soak"]

_RATE_PER_S = 50.0
_PUBLISH_EVERY = 25  # requests
_SPREAD = 0.05


def kills(count: int, folder: Path, rng: np.random.Generator, options: BenchOptions) -> list[Figure]:
    """Kill `count` processes in mid-publish, half of them publishers and half of them servers."""
    model = _cat()
    embedded = kill_publishers(f"sqlite:///{folder / 'killed.db'}", model, count - count // 2, rng, options.tell)
    address = f"sqlite:///{folder / 'killed-served.db'}"
    by_server = kill_servers(address, model, count // 2, rng, folder / "cache", options.tell)
    both = (embedded, by_server)
    acknowledged = sum(t.acknowledged for t in both)
    killed = sum(t.kills for t in both)
    for problem in [p for t in both for p in (*t.lost, *t.half, *t.errors)][:10]:
        options.tell(problem)
    return [
        Figure.told("publishers and servers killed in mid-publish", float(killed), n=killed),
        Figure.at_most(
            "acknowledged models lost by a kill", float(sum(len(t.lost) for t in both)), 0.0, n=acknowledged
        ),
        Figure.at_most("half models visible after a kill", float(sum(len(t.half) for t in both)), 0.0, n=killed),
        Figure.at_most(
            "kills after which the last model was not found", float(sum(t.unhealed for t in both)), 0.0, n=killed
        ),
        Figure.at_most(
            "errors shown to the writer that was not killed", float(sum(len(t.errors) for t in both)), 0.0, n=killed
        ),
    ]


def hostile(address: str, rounds: int, rng: np.random.Generator, options: BenchOptions) -> list[Figure]:
    """Send hostile requests to a service of the registry at `address`; look at its answers, its store and its memory.

    The first round warms it up: what it allocates once for each route is no growth.
    """
    card = _cat().card.replace(model_id="cat/hostile")
    with open_stored(address) as registry:
        before = registry.database.name, len(registry)
    with served(address) as service:
        headers = {"Authorization": f"Bearer {service.token}"}
        with httpx.Client(base_url=service.url, headers=headers, timeout=30.0, trust_env=False) as http:
            first = attack(http, card, rng, 1)
            start = service.resident_bytes
            tally = attack(http, card, rng, rounds)
            growth = service.resident_bytes / start - 1.0
    with open_stored(address) as registry:
        stored = len(registry) - before[1]
        sound = verify(registry).sound
    for what, status in (first.faults | tally.faults).items():
        options.tell(f"hostile input answered with {status}: {what}")
    sent, refused = first.sent + tally.sent, first.refused + tally.refused
    return [
        Figure.at_least("share of hostile requests refused with a 4xx", refused / sent, 1.0, n=sent),
        Figure.at_most("models stored by hostile input", float(stored + (not sound)), 0.0, n=sent),
        Figure.at_most("growth of the service's memory over hostile input", growth, _SPREAD, n=tally.sent),
    ]


def soak(
    address: str, queries: list[Query], minutes: float, folder: Path, options: BenchOptions, short: bool
) -> list[Figure]:
    """Ask a service for bundles at a steady rate, publishes mixed in; count errors and watch its memory.

    Args:
        address: of a registry that may be written to.
        queries: what is asked.
        minutes: for how long.
        folder: for the client's cache.
        options: whom to tell.
        short: too short for the memory to settle: its spread promises nothing.
    """
    model = _cat()
    mine = model.card.replace(model_id="cat/soaked")
    failures: list[str] = []
    late: list[float] = []
    resident: list[int] = []
    total = max(int(60.0 * minutes * _RATE_PER_S), 1)
    with served(address) as service:
        cache = BlobCache(folder / "soak-cache", max_bytes=1 << 26)
        with HttpRegistry(service.url, token=service.token, cache=cache) as client:
            due = time.perf_counter()
            for number in range(total):
                time.sleep(max(due - time.perf_counter(), 0.0))
                try:
                    if number % _PUBLISH_EVERY == 0:
                        client.publish(type(model)(mine.replace(provenance=f"Request {number}.")))
                    else:
                        client.search(queries[number % len(queries)], 8)
                except RegistryError as error:
                    failures.append(str(error))
                late.append(1e3 * (time.perf_counter() - due))
                due += 1.0 / _RATE_PER_S
                if number % int(_RATE_PER_S) == 0:
                    resident.append(service.resident_bytes)
                if number % (total // 10 or 1) == 0:
                    options.tell(f"soak: {number} of {total} requests, {len(failures)} failures")
    settled = np.array(resident[len(resident) // 5 :], dtype=float)  # after the caches have filled
    spread = float(settled.max() / settled.min() - 1.0)
    told = Figure.told if short else Figure.at_most
    bar = () if short else (_SPREAD,)
    return [
        Figure.at_most(f"failures in {minutes:g} minutes at {_RATE_PER_S:g} requests/s", float(len(failures)), 0.0,
                       n=total),
        told("spread of the service's memory meanwhile", spread, *bar, n=len(settled),
             baselines={"first_bytes": settled[0], "last_bytes": settled[-1]}),
        Figure.told("time to answer meanwhile, p99", float(np.percentile(late, 99)), unit="ms", n=total),
    ]  # fmt: skip


def _cat() -> ObjectModel:
    """Return a model to publish."""
    with open_registry("builtin") as registry:
        return registry.fetch(registry.search(Query(kind="cat"), 1).cards[0].model_id)
