"""How quickly a registry answers: embedded, over HTTP, as it grows, and beside a world model's step."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import torch

from worldsim.evaluation.bench import Figure
from worldsim.evaluation.registry_queries import cards_from_all_over
from worldsim.evaluation.registry_serving import served
from worldsim.evaluation.statistics import bootstrap
from worldsim.loop import WorldModel
from worldsim.registry import HttpRegistry, StoredRegistry, open_stored
from worldsim.registry.blob_cache import BlobCache
from worldsim.simulation.gym_env import WorldsimEnv
from worldsim.types.observation import Observation
from worldsim.types.query import Query

__all__ = ["embedded", "growth", "over_http", "step_time"]

_K = 8
_RATE_PER_S = 50.0
_FETCHED = 200  # different models in the comparison of fetches


def embedded(registry: StoredRegistry, queries: list[Query]) -> list[Figure]:
    """Measure a search and the fetch of all that it brings, in this process.

    Each query is asked twice, all of them once before any a second time. The first time, cards and models may have to
    come from the disk, and how long that takes is the disk's; nothing of ours remembers a query or its answer.
    """
    times = np.zeros((2, len(queries)))
    for turn in times:
        for number, query in enumerate(queries):
            started = time.perf_counter()
            registry.search_models(query, _K)
            turn[number] = 1e3 * (time.perf_counter() - started)
    first, again = times[0, len(queries) // 10 :], times[1]  # the very first calls compile statements
    what = f"embedded search + {_K} cards + {_K} models"
    return [
        Figure.at_most(f"{what}, p50", float(np.median(again)), 2.0, unit="ms", n=len(again)),
        Figure.at_most(f"{what}, p99", float(np.percentile(again, 99)), 10.0, unit="ms", n=len(again)),
        Figure.told(f"{what} that were not asked for before, p50", float(np.median(first)), unit="ms", n=len(first)),
    ]


def growth(large: StoredRegistry, small: StoredRegistry, rng: np.random.Generator, fetches: int) -> list[Figure]:
    """Compare the fetch of one model by id from the large registry with the same from a small one, in turn.

    The first time that a model is asked for is told apart: its bytes may have to come from the disk.
    """
    both = (small, large)
    ids = [[c.model_id for c in cards_from_all_over(registry, _FETCHED, rng)] for registry in both]
    times = np.zeros((fetches, 2))
    for number in range(fetches):
        for which, registry in enumerate(both):
            started = time.perf_counter()
            registry.fetch(ids[which][number % _FETCHED])
            times[number, which] = time.perf_counter() - started
    first, warm = times[:_FETCHED], times[_FETCHED:]
    counts = [len(registry) for registry in both]
    scale = np.log(counts[1] / counts[0])
    found = bootstrap([np.log(warm[:, 1] / warm[:, 0])], lambda v: float(np.median(v)), rng)
    name = f"exponent of fetch latency from {counts[0]} to {counts[1]} models"
    interval = (found.interval[0] / scale, found.interval[1] / scale)
    baselines = {"small_ms": 1e3 * float(np.median(warm[:, 0])), "large_ms": 1e3 * float(np.median(warm[:, 1]))}
    return [
        Figure.at_most(name, found.value / scale, 0.05, n=len(warm), interval=interval, baselines=baselines),
        Figure.told(
            "fetch of a model that was not asked for before, p50",
            1e3 * float(np.median(first[:, 1])),
            unit="ms",
            n=len(first),
            baselines={f"of {counts[0]} models": 1e3 * float(np.median(first[:, 0]))},
        ),
    ]


def over_http(address: str, queries: list[Query], folder: Path, seconds: float) -> list[Figure]:
    """Measure a bundle against a ping, in turn, and then bundles at a steady rate, from a process of the service's own.

    What is asked was asked before, of another process, so that it is in this machine's memory (as in `embedded`).

    Args:
        address: of the registry to be served.
        queries: what is asked.
        folder: for the client's cache.
        seconds: how long the steady rate is kept.
    """
    pings, bundles, paced = [], [], []
    with open_stored(address) as registry:
        for query in queries:
            registry.search_models(query, _K)
    with served(address) as service, HttpRegistry(service.url, cache=BlobCache(folder)) as client:
        for query in queries[:200]:  # in turn, so that both meet the same machine
            client.settle()  # what the last bundle brought is on disk: the ping does not compete with it
            started = time.perf_counter()
            client.ping()
            middle = time.perf_counter()
            client.search(query, _K)
            pings.append(1e3 * (middle - started))
            bundles.append(1e3 * (time.perf_counter() - middle))
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


def step_time(large: StoredRegistry, frames: int, rng: np.random.Generator, seed: int) -> list[Figure]:
    """Measure a world model's step with `large` behind it against one with the shipped cards alone.

    Both see the same observations of one episode, step by step in turn, in an order drawn anew each time.
    """
    observations = _observations(frames, seed)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # the tensors are small; a second thread only waits
    try:
        with open_stored("builtin") as small:
            models = [WorldModel(registry=registry, device="cpu") for registry in (large, small)]
            count = len(small)
            for model in models:
                model.reset(observations[0])
            times = np.zeros((len(observations) - 1, 2))
            still = np.zeros(3)
            for number, observation in enumerate(observations[1:]):
                for which in rng.permutation(2):
                    started = time.perf_counter()
                    models[which].step(observation, still)
                    times[number, which] = time.perf_counter() - started
    finally:
        torch.set_num_threads(threads)
    warm = times[len(times) // 10 :]
    found = bootstrap([np.log(warm[:, 0] / warm[:, 1])], lambda v: float(np.median(v)), rng)
    low, high = (float(np.exp(v)) for v in found.interval)
    name = f"world model's step with {len(large)} models behind it, as a multiple of that with {count}"
    baselines = {"large_ms": 1e3 * float(np.median(warm[:, 0])), "small_ms": 1e3 * float(np.median(warm[:, 1]))}
    return [
        Figure.at_most(name, float(np.exp(found.value)), 1.02, n=len(warm), interval=(low, high), baselines=baselines)
    ]


def _observations(frames: int, seed: int) -> list[Observation]:
    env = WorldsimEnv(scenario="Warehouse", observation="detections")
    try:
        raw, _ = env.reset(seed=seed)
        found = [Observation.from_gym(raw)]
        while len(found) < frames:
            raw, _, terminated, truncated, _ = env.step(np.zeros(3, dtype=np.float32))
            found.append(Observation.from_gym(raw))
            if terminated or truncated:
                break
        return found
    finally:
        env.close()
