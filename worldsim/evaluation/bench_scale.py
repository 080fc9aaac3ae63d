"""``worldsim bench scale``: what a step costs as the world grows, and what the environment adds to its engine.

Times are medians over steps after a warm-up, on two cores, and every ratio is of times taken in the same run. The
world is `scale_worlds.Plain`: walkers (awake) among crates (asleep), seen without ids. The belief is float32, and
models are linearised by their own derivatives.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float

from worldsim.contracts.object_model import ObjectModel
from worldsim.engine.settings import LoopSettings, WorldModelSettings
from worldsim.evaluation.bench import BenchOptions, Figure
from worldsim.evaluation.bench_scale_classes import class_figures
from worldsim.evaluation.bench_scale_env import environment_figures
from worldsim.evaluation.bench_scale_rollout import agreement_figures, contact_rollout_figures
from worldsim.evaluation.bench_scale_sleep import sleep_figures
from worldsim.evaluation.bench_scale_vector import vector_figures
from worldsim.evaluation.scale_stages import stage_times
from worldsim.evaluation.scale_worlds import FRAME_S, Plain, known_models
from worldsim.evaluation.statistics import Estimate, bootstrap
from worldsim.filtering.correct import correct, innovation
from worldsim.filtering.library import LoadedModels
from worldsim.filtering.predict import predict
from worldsim.filtering.surroundings import Surroundings
from worldsim.inference.slots import density_of
from worldsim.loop import WorldModel

__all__ = ["bench_scale"]

_SETTLING = 8  # frames until everything is recognised and what lies still is asleep
_LOOPED = 20  # objects on which the one-by-one loop is timed
_FAST = LoopSettings(linearisation="derivatives", precision="float32")


@dataclass(frozen=True, slots=True)
class _Budget:
    """How much is run.

    Attributes:
        awake: sizes of worlds in which everything walks; the exponent is of those from `grows_from` on.
        looked_into: the size at which a step is taken apart.
        steps: timed, at each size.
        rollout: samples, steps and objects.
    """

    awake: tuple[int, ...]
    grows_from: int
    looked_into: int
    steps: int
    rollout: tuple[int, int, int]

    @classmethod
    def of(cls, quick: bool) -> _Budget:
        if quick:
            return cls((30, 100), 30, 100, 5, (32, 8, 5))
        return cls((100, 1000, 3000, 10_000, 30_000), 1000, 10_000, 20, (512, 16, 20))


def bench_scale(options: BenchOptions) -> list[Figure]:
    """Return the figures; see the module's docstring."""
    budget, rng, models = _Budget.of(options.quick), np.random.default_rng(options.seed), known_models()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # blocks of rows run side by side instead, see `worldsim.filtering.blocks`
    try:
        figures = _awake_figures(budget, models, options, rng)
        figures += sleep_figures(options, _FAST, models, rng)
        figures += class_figures(options, models, rng)
        figures += _rollout_figures(budget, models, options, rng)
        figures += contact_rollout_figures(options, rng) + agreement_figures(options, rng)
    finally:
        torch.set_num_threads(threads)
    options.tell("scale: the environment over its engine")
    figures += environment_figures(options.quick, options.seed, rng)
    options.tell("scale: many environments at once")
    return figures + vector_figures(options.quick, options.seed, rng)


def _awake_figures(
    budget: _Budget, models: list[ObjectModel], options: BenchOptions, rng: np.random.Generator
) -> list[Figure]:
    figures, medians, worlds = [], {}, {}
    bars = {1000: 12.0, 10_000: 100.0}
    for count in budget.awake:
        taken, worlds[count] = _steps(Plain(count, 0, models, rng), models, budget.steps)
        here = _median(taken, rng)
        medians[count] = here.value
        options.tell(f"scale: {count} awake: {here.value:.1f} ms a step")
        words, rest = f"closed loop, {count} awake", {"unit": "ms", "n": len(taken), "interval": here.interval}
        if count in bars:
            figures.append(Figure.at_most(words, here.value, bars[count], **rest))
        else:
            figures.append(Figure.told(words, here.value, **rest))
    figures += _taken_apart(budget, models, rng, medians[budget.looked_into], worlds[budget.looked_into])
    grown = [count for count in budget.awake if count >= budget.grows_from]
    slope = float(np.polyfit(np.log(grown), np.log([medians[count] for count in grown]), 1)[0])
    figures.append(Figure.at_most(f"growth exponent, {grown[0]} to {grown[-1]} awake", slope, 1.05, n=len(grown)))
    return figures


def _taken_apart(
    budget: _Budget, models: list[ObjectModel], rng: np.random.Generator, step_ms: float, wm: WorldModel
) -> list[Figure]:
    """Return where the time of a step goes, and the step beside a loop over objects and beside a copy of memory."""
    count = budget.looked_into
    with stage_times() as stages:
        _steps(Plain(count, 0, models, rng), models, budget.steps)
    by_stage = stages.medians_ms(budget.steps)
    one_by_one, copy = count * _one_object_ms(wm, models), _copy_ms(wm)
    return [
        Figure.told(f"the stages of a step, {count} awake, together", sum(by_stage.values()), unit="ms",
                    n=budget.steps, baselines={f"{stage} (ms)": ms for stage, ms in by_stage.items()}),
        Figure.at_least(f"times faster than one object at a time, {count} awake", one_by_one / step_ms, 150.0,
                        n=_LOOPED, baselines={"one at a time (ms)": one_by_one}),
        Figure.at_most(f"times a copy of the belief in memory, {count} awake", step_ms / copy, 10.0,
                       baselines={"copy (ms)": copy}),
    ]  # fmt: skip


def _rollout_figures(
    budget: _Budget, models: list[ObjectModel], options: BenchOptions, rng: np.random.Generator
) -> list[Figure]:
    samples, steps, objects = budget.rollout
    _, wm = _steps(Plain(objects, 0, models, rng), models, 1)
    taken = []
    for _ in range(budget.steps):
        started = time.perf_counter()
        wm.imagine(np.zeros((steps, 3)), samples=samples)
        taken.append(1e3 * (time.perf_counter() - started))
    here = _median(np.array(taken[1:]), rng)
    options.tell(f"scale: rollout of {samples} x {steps} x {objects}: {here.value:.0f} ms")
    words = f"rollout of {samples} samples x {steps} steps x {objects} walkers"
    return [Figure.at_most(words, here.value, 400.0, unit="ms", n=len(taken) - 1, interval=here.interval)]


def _steps(world: Plain, models: Sequence[ObjectModel], count: int) -> tuple[Float[np.ndarray, " T"], WorldModel]:
    """Return how long `count` steps took, ms, after everything was recognised, and the world model."""
    wm = WorldModel(models=list(models), device="cpu", settings=WorldModelSettings(loop=_FAST))
    taken = []
    for number, observation in enumerate(world.frames()):
        if number == 0:
            wm.reset(observation)
            continue
        started = time.perf_counter()
        wm.step(observation)
        taken.append(1e3 * (time.perf_counter() - started))
        if number == _SETTLING + count:
            return np.array(taken[_SETTLING:]), wm
    raise AssertionError("unreachable: the frames have no end")


def _one_object_ms(wm: WorldModel, models: list[ObjectModel]) -> float:
    """Return the median time of predicting and correcting one object by itself: the same mathematics, in a loop."""
    belief = wm.belief
    library = LoadedModels.of(models, belief.position.device, belief.position.dtype)
    everything = density_of(belief)
    taken = []
    for slot in np.flatnonzero(belief.alive.numpy())[:_LOOPED]:
        row = everything.select(torch.tensor([slot]))
        index = belief.model_index[slot : slot + 1].numpy()
        noise = 1e-4 * torch.eye(6, dtype=belief.position.dtype)[None]
        started = time.perf_counter()
        around = Surroundings.empty(row.states.position)
        scale = belief.noise_scale[slot : slot + 1]
        ahead = predict(row, index, library, around, scale, FRAME_S, _FAST.linearisation).density
        seen = innovation(ahead, ahead.states.position, ahead.states.orientation_xyzw, noise)
        correct(ahead, seen.residual, noise)
        taken.append(1e3 * (time.perf_counter() - started))
    return float(np.median(taken))


def _copy_ms(wm: WorldModel) -> float:
    """Return the median time of copying every tensor of the belief once: what touching each byte costs at least."""
    tensors, taken = list(wm.belief.tensors().values()), []
    for _ in range(9):
        started = time.perf_counter()
        for tensor in tensors:
            tensor.clone()
        taken.append(1e3 * (time.perf_counter() - started))
    return float(np.median(taken))


def _median(values: Float[np.ndarray, " n"], rng: np.random.Generator) -> Estimate:
    return bootstrap([values], lambda sample: float(np.median(sample)), rng)
