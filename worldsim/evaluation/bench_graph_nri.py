"""The figures of the graph benchmark on relational-inference data: accuracy, change, strangers, unknown laws, symmetry.

"After k frames" means that frames 0 to k-1 were seen, k-1 intervals; one sequence at a time, no training. Assumed, and
not by the neural methods that the same data are known from: observed velocities, additive pair forces on unit masses,
recognisable walls, and (but for the law-unknown part) the law's family; strengths, noise and rates are inferred.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from worldsim.evaluation.bench import BenchOptions, Figure
from worldsim.evaluation.bench_graph_baselines import baselines, oracle
from worldsim.evaluation.bench_graph_calibration import (
    CALIBRATED_FROM,
    SceneSums,
    calibration_figures,
    coverage_told,
)
from worldsim.evaluation.bench_graph_cost import (
    DENSE_LIMIT_MS,
    dense_milliseconds_a_frame,
    exponent,
    largest_change,
    milliseconds_a_frame,
)
from worldsim.evaluation.bench_graph_data import Scenes, read_scenes, strangers
from worldsim.evaluation.bench_graph_opening import discover, second_encounter
from worldsim.evaluation.bench_graph_scoring import feed, new_filter, run, score
from worldsim.evaluation.datasets import find_data
from worldsim.evaluation.statistics import Estimate, bootstrap

NOISE_M = 1e-3
CLEAN_BARS = {
    "springs5": {3: 0.99, 10: 1.0},
    "charged5": {10: 0.985, 49: 0.99},
    "springs10": {20: 0.99},
    "charged10": {20: 0.975},
    "springcharge5": {10: 0.99},
}
NOISY_BARS = {"springs5": {10: 0.98}, "charged5": {10: 0.98}}
SWITCH_BAR, SWITCH_FRAMES = 0.95, 5
UNKNOWN_BAR, UNKNOWN_FRAMES = 0.95, 3
LAW_ERROR_BAR = 0.02
ECE_BARS = {"clean": 0.02, "noise 0.001": 0.05}
CHANGE_BAR = 1e-5
EXPONENT_BAR = 1.1
LATEST = 49


@dataclass(frozen=True, slots=True)
class Budget:
    """How much is run: scenes a set, sizes timed, scenes for opening kinds."""

    scenes: int
    sizes: tuple[int, ...]
    dense_limit_ms: float
    opened: int
    strangers: int

    @classmethod
    def of(cls, quick: bool) -> Budget:
        """Return the smaller one, or the whole."""
        if quick:
            return cls(3, (100, 300, 1000), 30.0, 2, 8)
        return cls(10_000, (100, 300, 1000, 3000, 10_000), DENSE_LIMIT_MS, 60, 200)


def set_figures(name: str, options: BenchOptions) -> tuple[list[Figure], dict[str, SceneSums]]:
    """Return the accuracy on one shipped set, clean and (where promised) noisy, and the sums for calibration."""
    return scenes_figures(_shipped(name, Budget.of(options.quick).scenes), options)


def scenes_figures(scenes: Scenes, options: BenchOptions) -> tuple[list[Figure], dict[str, SceneSums]]:
    """Return the accuracy on these scenes, by the bars of their family where there are any."""
    rng = np.random.default_rng(options.seed)
    figures, clean = _accuracy_figures(scenes, CLEAN_BARS.get(scenes.family, {}), 0.0, options, rng)
    sums = {"clean": clean}
    if scenes.family in NOISY_BARS:
        noisy = scenes.noisy(NOISE_M, options.seed)
        more, sums["noise 0.001"] = _accuracy_figures(noisy, NOISY_BARS[scenes.family], NOISE_M, options, rng)
        figures += more
    return figures, sums


def honesty_figures(sums: dict[str, list[SceneSums]], seed: int) -> list[Figure]:
    """Return calibration error and coverage of all sets together, clean and noisy."""
    rng = np.random.default_rng(seed)
    figures: list[Figure] = []
    for label, sets in sums.items():
        if sets:
            words = f"from frame {CALIBRATED_FROM} on, {label}"
            figures += calibration_figures(words, SceneSums.joined(sets), ECE_BARS[label], rng)
    return figures


def _shipped(name: str, count: int) -> Scenes:
    return read_scenes(find_data(f"nri-{name}")).first(count)


def _estimate(values: Sequence[float] | np.ndarray, rng: np.random.Generator) -> Estimate:
    return bootstrap([np.asarray(values, dtype=np.float64)], lambda sample: float(np.mean(sample)), rng)


def _accuracy_figures(
    scenes: Scenes, bars: dict[int, float], noise: float, options: BenchOptions, rng: np.random.Generator
) -> tuple[list[Figure], SceneSums]:
    """Return the accuracy after each number of frames that has a bar, and the sums that calibration pools."""
    beside_bars = () if options.quick and bars else (3, 10, 20, LATEST)
    frames = sorted({k for k in (*bars, *beside_bars) if k <= scenes.frames})
    scores = run(scenes, frames)
    told = oracle(scenes, [k for k in frames if k in bars], noise)
    figures = []
    for k in frames:
        value = _estimate(scores[k].by_scene, rng)
        words = f"{scenes.name}: edges right after {k} frames"
        rest = {"interval": value.interval, "n": value.n}
        if k in bars:
            options.tell(f"graph: {words}: {value.value:.4f}")
            beside = baselines(scenes, k) | {"oracle": told[k]}
            figures.append(Figure.at_least(words, value.value, bars[k], **rest, baselines=beside))
        else:
            figures.append(Figure.told(words, value.value, **rest))
    late = [scores[k] for k in frames if k >= CALIBRATED_FROM]
    sums = SceneSums.of(late or list(scores.values()))  # a short file is judged by what it has
    return [*figures, coverage_told(scenes.name, sums, rng)], sums


def switch_figures(options: BenchOptions, scenes: Scenes | None = None) -> list[Figure]:
    """Return the share of changed edges that are right within a few frames of the change; by default of the shipped."""
    scenes = scenes if scenes is not None else _shipped("springs5-switch", Budget.of(options.quick).scenes)
    scenes = scenes.noisy(NOISE_M, options.seed)
    rng = np.random.default_rng(options.seed)
    after = scenes.edges_after
    assert after is not None
    graph = new_filter(scenes)
    seen = scenes.change_frame + 1
    feed(graph, scenes, 0, seen)
    before = score(scenes, graph.posterior())
    feed(graph, scenes, seen, seen + SWITCH_FRAMES)
    now = score(scenes, graph.posterior(), after=True)
    upper = torch.triu_indices(scenes.size, scenes.size, 1)
    changed = (scenes.edges["spring"] != after)[:, upper[0], upper[1]]
    shares = [float(c[m].double().mean()) for c, m in zip(now.correct, changed, strict=True) if bool(m.any())]
    value = _estimate(shares, rng)
    beside = {
        "all edges, just before the change": float(before.correct.double().mean()),
        "all edges, then": float(now.correct.double().mean()),
        "no change detection (the old graph kept)": 0.0,
    }
    words = f"{scenes.name}: changed edges right {SWITCH_FRAMES} frames after the whole graph was redrawn"
    return [Figure.at_least(words, value.value, SWITCH_BAR, interval=value.interval, n=value.n, baselines=beside)]


def stranger_figures(options: BenchOptions) -> list[Figure]:
    """Return calibration where the strength of the class pair was never seen and instances deviate."""
    budget, seed = Budget.of(options.quick), options.seed
    scenes = strangers(budget.strangers, 20, seed).noisy(NOISE_M, seed)
    scores = run(scenes, [10, 20])
    sums = SceneSums.of(list(scores.values()))
    bar = ECE_BARS["noise 0.001"]
    return calibration_figures("class pairs that never met, noise 0.001", sums, bar, np.random.default_rng(seed))


def opening_figures(options: BenchOptions) -> list[Figure]:
    """Return what is found of laws that nobody wrote: their number, their error, and their use in the next scene."""
    budget, rng = Budget.of(options.quick), np.random.default_rng(options.seed)
    figures = []
    for name in ("springs5", "charged5"):
        scenes = _shipped(name, budget.opened + 1)
        found = discover(scenes, LATEST)
        if name == "springs5":
            value = _estimate(second_encounter(scenes, found, UNKNOWN_FRAMES), rng)
            words = f"{name}, law unknown: edges right in the second sequence after {UNKNOWN_FRAMES} frames"
            rest = {"interval": value.interval, "n": value.n}
            figures.append(Figure.at_least(words, value.value, UNKNOWN_BAR, **rest))
        error = _estimate(found.law_error, rng)
        words = f"{name}, law unknown: relative error of the recovered laws, one sequence"
        figures.append(Figure.at_most(words, error.value, LAW_ERROR_BAR, interval=error.interval, n=error.n))
        number = _estimate(found.right_number.astype(float), rng)
        words = f"{name}, law unknown: sequences with the right number of kinds opened"
        figures.append(Figure.at_least(words, number.value, 0.9, interval=number.interval, n=number.n))
    return figures


def symmetry_figures(options: BenchOptions) -> list[Figure]:
    """Return the largest change of a probability when bodies change their ids or the world is turned."""
    budget, seed = Budget.of(options.quick), options.seed
    scenes = _shipped("springs5", min(budget.scenes, 40))
    charged = _shipped("charged5", min(budget.scenes, 40))
    figures = []
    for name, each in (("springs5", scenes), ("charged5", charged)):
        change = largest_change(each.noisy(NOISE_M, seed), (3, 10), seed)
        told = change.pop("rotation, rounded to float32")
        for what, value in change.items():
            words = f"{name}, noise 0.001: largest change of a probability under {what}"
            beside = {"after rounding the turned data to float32": told} if what == "rotation" else {}
            figures.append(Figure.at_most(words, value, CHANGE_BAR, n=len(each), baselines=beside))
    return figures


def cost_figures(options: BenchOptions) -> list[Figure]:
    """Return the time of a frame by size, how it grows, and the same of the dense form."""
    budget, seed = Budget.of(options.quick), options.seed
    rng = np.random.default_rng(seed)
    times = {count: milliseconds_a_frame(count, seed) for count in budget.sizes}
    dense = dense_milliseconds_a_frame(seed, budget.dense_limit_ms)
    told = {count: bootstrap([taken], lambda sample: float(np.median(sample)), rng) for count, taken in times.items()}
    figures = [
        Figure.told(
            f"time of a frame, {count} bodies, 8 neighbours", each.value, unit="ms", interval=each.interval, n=each.n
        )
        for count, each in told.items()
    ]
    figures += [
        Figure.told(f"dense form, {count} bodies: time of a frame", float(np.median(taken)), unit="ms", n=len(taken))
        for count, taken in dense.items()
    ]
    slope, late = (exponent(dict(part), rng) for part in (times.items(), list(times.items())[-2:]))
    beside: dict[str, float | None] = {"dense form": exponent(dense, rng).value}
    words = f"growth exponent of the time of a frame, {budget.sizes[0]} to {budget.sizes[-1]} bodies"
    rest = {"interval": slope.interval, "n": len(times), "baselines": beside}
    figures.append(Figure.at_most(words, slope.value, EXPONENT_BAR, **rest))
    words = f"the same, {budget.sizes[-2]} to {budget.sizes[-1]} bodies alone"
    return [*figures, Figure.told(words, late.value, interval=late.interval, n=2)]
