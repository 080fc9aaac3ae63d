"""Runs every law in every engine; a figure a promise, a row a law, a page for people."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.stats import t as student

from worldsim.evaluation.accuracy.law import Law, Measure
from worldsim.evaluation.accuracy.laws_contact import CONTACT
from worldsim.evaluation.accuracy.laws_flight import FLIGHT
from worldsim.evaluation.accuracy.laws_joints import JOINTS
from worldsim.evaluation.accuracy.page import write_page
from worldsim.evaluation.accuracy.world_model_bench import WorldModelBench
from worldsim.evaluation.bench import BenchOptions, Figure
from worldsim.simulation.laboratory import Bench, BulletBench, MujocoBench, record

__all__ = ["LAWS", "Row", "bench_accuracy", "benches", "measure"]

LAWS = (*FLIGHT, *JOINTS, *CONTACT)
"""Makers of all laws."""

ACCURATE, DEFAULT = "PyBullet accurate", "PyBullet"
_COST_BAR = 4.0
_SLOW = 20.0
"""Scenes that run longer (s) are left out of a quick run, which promises nothing of the cost."""
_COST_RUNS, _COST_RUNS_QUICK = 5, 2
"""How often the default and the accurate preset run every scene, for the interval of their costs' ratio."""


@dataclass(frozen=True, slots=True)
class Row:
    """One measure of one law in every engine.

    Attributes:
        law: its name.
        text: what it says.
        measure: what was compared.
        errors: engine -> error; engines that cannot run the scene are absent.
        cost_us: engine -> processor time of its steps, microseconds a simulated second, mean over the law's scenes.
    """

    law: str
    text: str
    measure: Measure
    errors: Mapping[str, float]
    cost_us: Mapping[str, float]


def benches() -> tuple[Bench, ...]:
    """Return the engines, in the order of the tables."""
    return (
        BulletBench.as_it_comes(),
        BulletBench.preset_alone(),
        BulletBench.accurate(),
        MujocoBench.as_it_comes(),
        MujocoBench.tuned(),
        WorldModelBench(),
    )


def measure(law: Law, engines: Sequence[Bench]) -> list[Row]:
    """Return a row for every measure of `law`, over the engines that can run its scenes."""
    errors: list[dict[str, float]] = [{} for _ in law.measures]
    cost: dict[str, float] = {}
    for bench in engines:
        if not all(bench.can_run(scene) for scene in law.scenes):
            continue
        traces = [record(bench, scene, law.sample_s) for scene in law.scenes]
        cost[bench.name] = sum(trace.cost_us for trace in traces) / len(traces)
        for found, value in zip(errors, law.errors(traces), strict=True):
            found[bench.name] = value if math.isfinite(value) else math.inf
    return [Row(law.name, law.text, m, e, cost) for m, e in zip(law.measures, errors, strict=True)]


def bench_accuracy(options: BenchOptions) -> list[Figure]:
    """Run all laws in all engines; write the page where a folder was asked for."""
    engines = benches()
    rows: list[Row] = []
    laws = [law for law in (make() for make in LAWS) if not (options.quick and _duration_s(law) > _SLOW)]
    for law in laws:
        found = measure(law, engines)
        rows += found
        options.tell(f"{law.name}: " + ", ".join(f"{row.measure.name} {row.errors[ACCURATE]:.2g}" for row in found))
    again = [_cost_ratio(laws, engines) for _ in range((_COST_RUNS_QUICK if options.quick else _COST_RUNS) - 1)]
    if options.out is not None:
        write_page(rows, [bench.name for bench in engines], options.out)
    return [*(_figure(row) for row in rows), *_costs(rows, again, options.quick)]


def _duration_s(law: Law) -> float:
    return sum(scene.duration_s for scene in law.scenes)


def _cost_ratio(laws: Sequence[Law], engines: Sequence[Bench]) -> float:
    """Return the cost of the accurate preset over the default's, all scenes run once more."""
    pair = [bench for bench in engines if bench.name in (ACCURATE, DEFAULT)]
    costs = [measure(replace(law, measures=law.measures[:1], errors=lambda _: [0.0]), pair)[0].cost_us for law in laws]
    return sum(cost[ACCURATE] for cost in costs) / sum(cost[DEFAULT] for cost in costs)


def _figure(row: Row) -> Figure:
    """Return the error of the accurate preset beside the other engines' on the same scene."""
    name, value = f"{row.law}: {row.measure.name}", row.errors[ACCURATE]
    others = {engine: error for engine, error in row.errors.items() if engine != ACCURATE}
    if row.measure.bar is None:
        return Figure.told(name, value, unit=row.measure.unit, baselines=others)
    return Figure.at_most(name, value, row.measure.bar, unit=row.measure.unit, baselines=others)


def _costs(rows: Sequence[Row], again: Sequence[float], quick: bool) -> list[Figure]:
    """Return the cost of the suite's simulated seconds over the default's, and of the dearest scene.

    Args:
        rows: of every law.
        again: the same ratio in further runs.
        quick: whether scenes were left out; the bar is about all of them.
    """
    complete = list({row.law: row.cost_us for row in rows}.values())
    engines = sorted({engine for cost in complete for engine in cost if engine not in (ACCURATE, DEFAULT)})
    others = {
        engine: sum(cost[engine] for cost in complete if engine in cost)
        / sum(cost[DEFAULT] for cost in complete if engine in cost)
        for engine in engines
    }
    ratios = np.array([sum(cost[ACCURATE] for cost in complete) / sum(cost[DEFAULT] for cost in complete), *again])
    mean = float(ratios.mean())
    half = float(student.ppf(0.975, len(ratios) - 1) * ratios.std(ddof=1) / math.sqrt(len(ratios)))
    rest = {"interval": (mean - half, mean + half), "n": len(ratios), "baselines": others}
    name = "cost of a simulated second of every scene, over the default's"
    each = [cost[ACCURATE] / cost[DEFAULT] for cost in complete]
    return [
        Figure.told(name, mean, **rest) if quick else Figure.at_most(name, mean, _COST_BAR, **rest),
        Figure.told("the same, of the scene in which it is largest", max(each), n=len(each)),
        Figure.told("the same, median over the scenes", float(np.median(each)), n=len(each)),
    ]
