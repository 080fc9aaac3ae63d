"""Composition: what was learned in a house and in a park, by separate runs, is used where both meet."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from worldsim.evaluation.bench import BenchOptions, Figure
from worldsim.evaluation.online_learning import Learned, LearningJob, generic_registry, learn_job
from worldsim.evaluation.ray_workers import JobMap, job_map
from worldsim.evaluation.statistics import bootstrap, interquartile_mean

__all__ = ["composition_figures"]

AGENT, TOGETHER, APART = "hierarchical", "HousePark", ("House", "Park")
SHARE_BAR = 0.95
_FRAMES, _QUICK_FRAMES = 2400, 10  # in each of the two; as many together where both meet
_EPISODES = 3  # held-out ones a run
_QUICK_S = 0.5


def composition_figures(options: BenchOptions) -> list[Figure]:
    """Return the score with composed models over that with models learned there, and over that with none learned.

    Every run begins at the generic start. `composed`: one run in the house and another in the park, each with a world
    model of its own, one registry for the two; what they publish is all that passes to the third place. `learned
    there`: one run, as long as both. `nothing learned`: the generic start.
    """
    seeds = options.seeds_or(range(10), range(1))
    rng = np.random.default_rng(options.seed)
    with tempfile.TemporaryDirectory(prefix="worldsim-composition-") as folder, job_map(options.ray) as play_all:
        there = [_job(TOGETHER, seed, 2, "", options) for seed in seeds]
        blank = [_job(TOGETHER, seed, 0, "", options) for seed in seeds]
        found = {
            "composed": _composed(seeds, Path(folder), options, play_all),
            "learned there": _run(there, "learned there", options, play_all),
            "nothing learned": _run(blank, "nothing learned", options, play_all),
        }
    values = {who: [np.array([s.total for s in run.scores]) for run in runs] for who, runs in found.items()}
    means = {who: interquartile_mean(np.concatenate(strata)) for who, strata in values.items()}
    share = _ratio(values["composed"], values["learned there"], rng)
    n = len(seeds) * (1 if options.quick else _EPISODES)
    figures = []
    for who, strata in values.items():
        mean = bootstrap(strata, interquartile_mean, rng)
        success = float(np.mean([s.success for run in found[who] for s in run.scores]))
        name = f"composition: dense return in {TOGETHER}, {who} (IQM)"
        figures.append(Figure.told(name, mean.value, interval=mean.interval, n=n, baselines={"success": success}))
    name = "composition: return with composed models over that with models learned there"
    beside = {"nothing learned": means["nothing learned"] / means["learned there"]}
    return [*figures, Figure.at_least(name, share[0], SHARE_BAR, interval=share[1:], n=n, baselines=beside)]


def _job(scenario: str, seed: int, parts: int, registry: str, options: BenchOptions) -> LearningJob:
    """Return a run of so many parts of learning, scored on held-out episodes if it is where both meet."""
    frames = parts * (_QUICK_FRAMES if options.quick else _FRAMES)
    episodes = 0 if scenario != TOGETHER else 1 if options.quick else _EPISODES
    short = (("duration_s", _QUICK_S),) if options.quick else ()
    return LearningJob(scenario, AGENT, seed, frames, episodes, registry, (("reward", "dense"), *short))


def _composed(seeds: range, folder: Path, options: BenchOptions, play_all: JobMap) -> list[Learned]:
    """Return the runs where both meet, with what two separate runs published."""
    urls = {seed: f"sqlite:///{folder}/{seed}.db" for seed in seeds}
    for url in urls.values():
        generic_registry(url)
    for scenario in APART:
        _run([_job(scenario, seed, 1, url, options) for seed, url in urls.items()], scenario, options, play_all)
    return _run([_job(TOGETHER, seed, 0, url, options) for seed, url in urls.items()], "composed", options, play_all)


def _run(jobs: list[LearningJob], what: str, options: BenchOptions, play_all: JobMap) -> list[Learned]:
    done: list[Learned] = play_all(learn_job, jobs)
    models = float(np.mean([len(run.models) for run in done]))
    options.tell(f"agents: composition, {what}: {len(done)} runs, {models:.1f} models in a registry in the end")
    return done


def _ratio(ours: list[np.ndarray], theirs: list[np.ndarray], rng: np.random.Generator) -> tuple[float, float, float]:
    """Return IQM over IQM, and its interval by resampling each side's episodes within their runs."""
    value = interquartile_mean(np.concatenate(ours)) / interquartile_mean(np.concatenate(theirs))
    drawn = []
    for _ in range(2000):
        a, b = ([x[rng.integers(len(x), size=len(x))] for x in side] for side in (ours, theirs))
        drawn.append(interquartile_mean(np.concatenate(a)) / interquartile_mean(np.concatenate(b)))
    low, high = np.quantile(drawn, [0.025, 0.975])
    return float(value), float(low), float(high)
