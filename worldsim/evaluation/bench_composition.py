"""Composition: what was learned in a house and in a park, by separate runs, is used where both meet."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from worldsim.evaluation.bench import BenchOptions, Figure
from worldsim.evaluation.composition import ComposedJob, Monolith, MonolithJob, composed_job, monolith_job
from worldsim.evaluation.foreseeing import AHEAD_S
from worldsim.evaluation.kept_stages import kept_jobs
from worldsim.evaluation.online_learning import Learned, LearningJob, learn_job
from worldsim.evaluation.ray_workers import JobMap, job_map
from worldsim.evaluation.statistics import bootstrap_runs, interquartile_mean
from worldsim.evaluation.sweep import Score

__all__ = ["composition_figures"]

AGENT, TOGETHER, APART = "hierarchical", "HousePark", ("House", "Park")
SHARE_BAR = 0.95
_FRAMES, _QUICK_FRAMES = 1200, 20  # in each of the two, a minute; as many together where both meet
_EPISODES = 3  # held-out ones a run
_QUICK_S = 0.5
_UNITS = (
    1,
    64,
)  # of the network: the smallest there is, which has more numbers than the models, and one of a usual size
COMPOSED, THERE, BLANK = "composed", "learned there", "nothing learned"


def composition_figures(options: BenchOptions) -> list[Figure]:
    """Return the score with composed models over that with models learned there, beside that with none and a network's.

    Every run begins at the generic start, and makes no models in the episodes that are scored. The return is
    discounted: everybody arrives, and who knows how others move arrives sooner and touches nobody. `composed`: one run
    in the house and another in the park, each with a world model of its own, one registry for the two; what they
    publish is all that passes to the third place. `learned there`: one run, as long as both. `nothing learned`: the
    generic start. The network learns as many frames, of house and park in turns or there. With ``--out`` every run is
    kept in that folder, and an interrupted measurement goes on.
    """
    seeds, rng = options.seeds_or(range(10), range(1)), np.random.default_rng(options.seed)
    with job_map(options.ray) as play_all:
        models = _models(seeds, options, play_all)
        networks = _networks(seeds, options, play_all)
    found: dict[str, Sequence[Learned | Monolith]] = {**models, **networks}
    values = {who: [np.array([s.discounted for s in run.scores]) for run in runs] for who, runs in found.items()}
    n = sum(len(stratum) for stratum in values[COMPOSED])
    figures = []
    for who, strata in values.items():
        mean = bootstrap_runs(strata, interquartile_mean, rng)
        beside: dict[str, float | None] = {"success": _success(found[who])}
        if who in models:
            published = [len(run.models) - 1 for run in models[who]]
            beside["models learned, a run"] = float(np.mean(published))
        name = f"composition: discounted return in {TOGETHER}, {who} (IQM)"
        figures.append(Figure.told(name, mean.value, interval=mean.interval, n=n, baselines=beside))
        taken = [np.array([score.seconds for score in run.scores]) for run in found[who]]
        spent = bootstrap_runs(taken, interquartile_mean, rng)
        name = f"composition: length of an episode in {TOGETHER}, {who} (IQM)"
        figures.append(Figure.told(name, spent.value, unit="s", interval=spent.interval, n=n))
    share = _ratio(values[COMPOSED], values[THERE], rng)
    name = "composition: return with composed models over that with models learned there"
    level = interquartile_mean(np.concatenate(values[THERE]))
    others = {who: interquartile_mean(np.concatenate(values[who])) / level for who in (BLANK, *networks)}
    figures.append(Figure.at_least(name, share[0], SHARE_BAR, interval=share[1:], n=n, baselines=others))
    return [*figures, *_foreseen(models, n, rng)]


def _foreseen(models: dict[str, list[Learned]], n: int, rng: np.random.Generator) -> list[Figure]:
    """Return how well everybody's models foresee who moves, and how much of what is learned there is composed."""
    errors = {who: [np.array(run.foreseen_m) for run in runs] for who, runs in models.items()}
    figures = []
    for who, strata in errors.items():
        mean = bootstrap_runs(strata, _mean_known, rng)
        name = f"composition: error of forecasts {AHEAD_S:.0f} s ahead in {TOGETHER} (CRPS), {who}"
        figures.append(Figure.told(name, mean.value, unit="m", interval=mean.interval, n=n))

    def spared(drawn: dict[str, np.ndarray]) -> float:
        nothing, there, composed = (_mean_known(drawn[who]) for who in (BLANK, THERE, COMPOSED))
        return (nothing - composed) / (nothing - there) if nothing != there else float("nan")

    value = spared({who: np.concatenate(strata) for who, strata in errors.items()})
    drawn = [spared({who: _other_runs(strata, rng) for who, strata in errors.items()}) for _ in range(2000)]
    interval = _interval(drawn, min(map(len, errors.values())))
    name = "composition: what composed models spare of that error, over what models learned there spare"
    nobody: dict[str, float | None] = {BLANK: 0.0}
    return [
        *figures,
        Figure.at_least(name, value, SHARE_BAR, interval=interval, n=n, baselines=nobody),
    ]


def _models(seeds: range, options: BenchOptions, play_all: JobMap) -> dict[str, list[Learned]]:
    """Return the runs of the agent that learns models of things."""
    folder = None if options.out is None else options.out / "episodes"
    frames = _QUICK_FRAMES if options.quick else _FRAMES
    play = kept_jobs(play_all, folder, Learned.from_json)
    composed = [ComposedJob(_job(seed, 0, options), APART, frames) for seed in seeds]
    found = {COMPOSED: play(composed_job, composed)}
    for who, learned_from in ((THERE, len(APART) * frames), (BLANK, 0)):
        found[who] = play(learn_job, [_job(seed, learned_from, options) for seed in seeds])
    for who, runs in found.items():
        published = float(np.mean([len(run.models) - 1 for run in runs]))
        options.tell(f"agents: composition, {who}: {len(runs)} runs, {published:.1f} models learned in a run")
    return found


def _networks(seeds: range, options: BenchOptions, play_all: JobMap) -> dict[str, list[Monolith]]:
    """Return the runs of one network on the flat observation, of house and park in turns and of where both meet."""
    folder: Path | None = None if options.out is None else options.out / "episodes"
    play = kept_jobs(play_all, folder, lambda row: Monolith(row["weights"], tuple(Score(**s) for s in row["scores"])))
    frames, episodes = len(APART) * (_QUICK_FRAMES if options.quick else _FRAMES), _episodes(options)
    found = {}
    for units in _UNITS[:1] if options.quick else _UNITS:
        for where, learned_from in (("apart", APART), ("there", (TOGETHER,))):
            jobs = [
                MonolithJob(learned_from, TOGETHER, seed, frames, episodes, units, _arguments(options))
                for seed in seeds
            ]
            runs: list[Monolith] = play(monolith_job, jobs)
            who = f"one network of {runs[0].weights} numbers, learned {where}"
            found[who] = runs
            options.tell(f"agents: composition, {who}: {_success(runs):.2f} of the episodes")
    return found


def _job(seed: int, frames: int, options: BenchOptions) -> LearningJob:
    """Return a run of so many frames of learning where both meet, scored there on held-out episodes."""
    episodes, arguments = _episodes(options), _arguments(options)
    return LearningJob(TOGETHER, AGENT, seed, frames, episodes, goes_on_learning=False, scenario_arguments=arguments)


def _episodes(options: BenchOptions) -> int:
    return 1 if options.quick else _EPISODES


def _arguments(options: BenchOptions) -> tuple[tuple[str, Any], ...]:
    short = (("duration_s", _QUICK_S),) if options.quick else ()
    return (("reward", "dense"), *short)


def _success(runs: Sequence[Learned | Monolith]) -> float:
    return float(np.mean([score.success for run in runs for score in run.scores]))


def _ratio(ours: list[np.ndarray], theirs: list[np.ndarray], rng: np.random.Generator) -> tuple[float, float, float]:
    """Return IQM over IQM, and its interval by resampling each side's runs; NaN where theirs may be nothing or less."""

    def share(one: np.ndarray, other: np.ndarray) -> float:
        level = interquartile_mean(other)
        return interquartile_mean(one) / level if level > 0.0 else math.nan

    value = share(np.concatenate(ours), np.concatenate(theirs))
    drawn = [share(_other_runs(ours, rng), _other_runs(theirs, rng)) for _ in range(2000)]
    return float(value), *_interval(drawn, min(len(ours), len(theirs)))


def _interval(drawn: Sequence[float], runs: int) -> tuple[float, float]:
    """Return the middle 95 % of what was drawn, NaN where there is a single run, which tells nothing of others."""
    low, high = np.quantile(drawn, [0.025, 0.975]) if runs > 1 else (math.nan, math.nan)
    return float(low), float(high)


def _mean_known(errors: np.ndarray) -> float:
    """Return the mean over the episodes in which somebody's way was foreseen, NaN where there were none."""
    known = errors[~np.isnan(errors)]
    return float(known.mean()) if len(known) else math.nan


def _other_runs(runs: list[np.ndarray], rng: np.random.Generator) -> np.ndarray:
    """Return the values of as many runs, drawn from these."""
    return np.concatenate([runs[k] for k in rng.integers(len(runs), size=len(runs))])
