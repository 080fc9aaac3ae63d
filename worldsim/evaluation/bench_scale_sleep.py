"""What sleepers cost: a step as what exists grows, and a warehouse of which nearly everything sleeps.

Worlds that are compared run side by side in one loop, on the same frames, so that what slows the machine slows both.
"""

from __future__ import annotations

import dataclasses
import itertools
import time
from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Float, Int

from worldsim.contracts.object_model import ObjectModel
from worldsim.engine.settings import LoopSettings, WorldModelSettings
from worldsim.evaluation.bench import BenchOptions, Figure
from worldsim.evaluation.scale_worlds import Plain
from worldsim.evaluation.statistics import bootstrap
from worldsim.loop import WorldModel
from worldsim.types.graph import InteractionGraph
from worldsim.types.observation import Observation
from worldsim.types.record import StepRecord

__all__ = ["laid_down_elsewhere", "sleep_figures"]

_SETTLING = 20  # frames until everything is recognised and what lies still is in deep sleep
_RANGE_M, _FAR_M = 500.0, 1000.0  # of the sensors, and from one copy of the plain to the next: out of their range
_WALKER = "worker"


@dataclasses.dataclass(frozen=True, slots=True)
class SleepBudget:
    """How much is run.

    Attributes:
        seen, walking: things in view of the sensors, of which so many walk, in the world whose memory grows.
        alive: things in all, most of them far away.
        warehouse, moving: things of the warehouse, all in view, and those that move.
        steps: timed.
    """

    seen: int
    walking: int
    alive: int
    warehouse: int
    moving: int
    steps: int


FULL = SleepBudget(10_000, 1000, 1_000_000, 100_000, 500, 20)
QUICK = SleepBudget(300, 30, 3000, 400, 20, 5)


def sleep_figures(
    options: BenchOptions, settings: LoopSettings, models: Sequence[ObjectModel], rng: np.random.Generator
) -> list[Figure]:
    """Return the figures of sleepers.

    Args:
        options: of the benchmark.
        settings: of the loop.
        models: known to the world models.
        rng: of the worlds.
    """
    budget = QUICK if options.quick else FULL
    return [
        *_growing_memory(budget, options, settings, models, rng),
        *_warehouse(budget, options, settings, models, rng),
    ]


def _growing_memory(
    budget: SleepBudget,
    options: BenchOptions,
    settings: LoopSettings,
    models: Sequence[ObjectModel],
    rng: np.random.Generator,
) -> list[Figure]:
    frames = map(_near_only, Plain(budget.walking, budget.seen - budget.walking, models, rng).frames())
    few, many = _world_model(models, settings), _world_model(models, settings)
    for wm in (few, many):
        wm.reset(first := next(frames)) if wm is few else wm.reset(first)
    for observation in itertools.islice(frames, _SETTLING):
        few.step(observation)
        many.step(observation)
    laid_down_elsewhere(many, budget.alive - budget.seen)
    taken = _side_by_side([few, many], itertools.islice(frames, budget.steps))
    ratio = bootstrap([taken[:, 1] / taken[:, 0]], lambda sample: float(np.median(sample)), rng)
    ms = np.median(taken, axis=0)
    options.tell(f"scale: {budget.seen} alive {ms[0]:.1f} ms, {budget.alive} alive {ms[1]:.1f} ms a step")
    return [
        Figure.at_most(
            f"a step with {budget.alive} alive over one with {budget.seen}, {budget.walking} awake in both",
            ratio.value,
            1.1,
            n=len(taken),
            interval=ratio.interval,
            baselines={f"{budget.seen} alive (ms)": float(ms[0]), f"{budget.alive} alive (ms)": float(ms[1])},
        )
    ]


def laid_down_elsewhere(wm: WorldModel, count: int) -> None:
    """Let a world model remember `count` more things in deep sleep, kilometres away from all that it sees.

    They are copies of the sleepers that it has, laid down as it lays down its own: what it would hold had it walked
    through as many halls, without the hours of walking.
    """
    state = wm._state
    store, rows = state.dormant, np.resize(state.dormant.present(), count)
    assert store.signature is not None
    away = np.zeros((count, 3))
    away[:, 0] = _FAR_M * (1 + np.arange(count) // max(len(store), 1))
    columns = {name: values[rows] for name, values in store.columns.items()}
    ids: Int[np.ndarray, " n"] = state.next_id + np.arange(count)
    columns["belief.object_id"] = ids
    columns["belief.position"] += away.astype(columns["belief.position"].dtype)
    signature = store.signature.select(rows)
    signature.position[:] += away.astype(signature.packed.dtype)
    none = np.zeros(count, dtype=np.int64)
    store.put(ids, columns, signature, none)
    state.next_id += count


def _warehouse(
    budget: SleepBudget,
    options: BenchOptions,
    settings: LoopSettings,
    models: Sequence[ObjectModel],
    rng: np.random.Generator,
) -> list[Figure]:
    frames = Plain(budget.moving, budget.warehouse - budget.moving, models, rng).frames()
    wm = _world_model(models, settings)
    at_hand = _world_model(models, dataclasses.replace(settings, dormant_above=None))
    first = next(frames)
    wm.reset(first)
    at_hand.reset(first)
    nats = odds = 0.0
    compared = 0
    for number, observation in enumerate(itertools.islice(frames, _SETTLING + budget.steps)):
        reference = at_hand.step(observation)
        record = wm.step(observation)
        if number >= _SETTLING:
            movers = _movers(record, wm, reference, at_hand)
            compared += len(movers)
            nats = max(nats, _surprise_apart(record, reference, movers))
            odds = max(odds, _edges_apart(record.graph, reference.graph, movers))
    del at_hand, reference  # timed as it is used: alone, and not just after a model twenty times as large
    steps = np.array([_seconds(wm, observation) for observation in itertools.islice(frames, budget.steps)])
    here = bootstrap([1.0 / steps], lambda sample: float(np.median(sample)), rng)
    things = f"{budget.warehouse} things, {budget.moving} moving"
    options.tell(f"scale: {things}: {here.value:.1f} steps a second")
    return [
        Figure.at_least(
            f"steps a second, {things}, all in view", here.value, 30.0, unit="1/s", n=len(steps), interval=here.interval
        ),
        Figure.at_most(f"surprise of what moves, with deep sleep and without, {things}", nats, 1e-3, unit="nats",
                       n=compared),
        Figure.at_most(f"edges of what moves, with deep sleep and without, {things}", odds, 1e-3, n=compared),
    ]  # fmt: skip


def _seconds(wm: WorldModel, observation: Observation) -> float:
    started = time.perf_counter()
    wm.step(observation)
    return time.perf_counter() - started


def _world_model(models: Sequence[ObjectModel], settings: LoopSettings) -> WorldModel:
    return WorldModel(models=list(models), device="cpu", settings=WorldModelSettings(loop=settings))


def _near_only(observation: Observation) -> Observation:
    """Return the observation of sensors that see no farther than the plain."""
    near = dataclasses.replace(observation.viewpoints, range_m=np.full_like(observation.viewpoints.range_m, _RANGE_M))
    return dataclasses.replace(observation, viewpoints=near)


def _side_by_side(wms: Sequence[WorldModel], frames: Iterator[Observation]) -> Float[np.ndarray, "T n"]:
    """Return how long each model took for each frame, ms; who goes first alternates."""
    taken = []
    for number, observation in enumerate(frames):
        row = [0.0] * len(wms)
        for place in (range(len(wms)), reversed(range(len(wms))))[number % 2]:
            started = time.perf_counter()
            wms[place].step(observation)
            row[place] = 1e3 * (time.perf_counter() - started)
        taken.append(row)
    return np.array(taken)


def _movers(one: StepRecord, wm: WorldModel, other: StepRecord, reference: WorldModel) -> list[int]:
    """Return the ids of the walkers in either."""
    found: set[int] = set()
    for record, model in ((one, wm), (other, reference)):
        state = model._state
        kinds = np.array(state.library.kinds)[state.model_index]
        walking = state.ids[state.awake & (kinds == _WALKER)]
        found |= set(np.intersect1d(walking, record.surprise.object_id).tolist())
    return sorted(found)


def _surprise_apart(one: StepRecord, other: StepRecord, movers: Sequence[int]) -> float:
    """Return the largest difference of the surprise of one of `movers`, nats; infinite where one lacks it."""
    values = []
    for record in (one, other):
        row = {int(i): n for n, i in enumerate(record.surprise.object_id)}
        if not set(movers) <= row.keys():
            return float("inf")
        rows = [row[i] for i in movers]
        s = record.surprise
        values.append(np.column_stack([s.surprisal_nats[rows], s.excess_surprisal_nats[rows], s.log_e_value[rows]]))
    return float(np.abs(values[0] - values[1]).max(initial=0.0))


def _edges_apart(one: InteractionGraph, other: InteractionGraph, movers: Sequence[int]) -> float:
    """Return the largest difference in probability of an edge of one of `movers`, absent ones counting as 0."""
    wanted, tables = set(movers), []
    for graph in (one, other):
        probability = 1.0 / (1.0 + np.exp(-graph.log_odds))
        edges = zip(graph.source.tolist(), graph.target.tolist(), graph.kind, probability.tolist(), strict=True)
        tables.append({(s, t, k): p for s, t, k, p in edges if s in wanted or t in wanted})
    apart = [abs(tables[0].get(edge, 0.0) - tables[1].get(edge, 0.0)) for edge in {**tables[0], **tables[1]}]
    return max(apart, default=0.0)
