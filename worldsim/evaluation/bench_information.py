"""What information gain is worth: the active-inference agent with it and without it, on the same seeds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from worldsim.contracts.scenario import Scenario
from worldsim.evaluation.bench import BenchOptions, Figure
from worldsim.evaluation.kept_stages import kept_jobs
from worldsim.evaluation.ray_workers import job_map
from worldsim.evaluation.statistics import Estimate, interquartile_mean, paired_bootstrap
from worldsim.evaluation.sweep import EpisodeJob, Score, play_job
from worldsim.planning.planar import Drives
from worldsim.plugins import load_plugin, plugin_names

__all__ = ["information_figures", "scenarios_with_outcomes"]

QUICK = ("Intercept",)
BETTER_BAR = 3
_REWARD = (("reward", "dense"),)
ON, OFF = Drives(), Drives(use_states_info_gain=False, use_param_info_gain=False)


def scenarios_with_outcomes() -> dict[str, type[Scenario]]:
    """Return name -> class of the scenarios whose preferences name outcomes, and that have a reward."""
    found: dict[str, type[Scenario]] = {}
    for name in sorted(plugin_names("worldsim.scenarios")):
        made: Any = load_plugin("worldsim.scenarios", name, Scenario)
        if getattr(made, "expert", None) is not None and made(**dict(_REWARD)).preferences().outcomes:
            found[name] = made
    return found


def information_figures(options: BenchOptions) -> list[Figure]:
    """Return the agent's return with information gain less without it, a scenario at a time, and what that comes to.

    The return is discounted: a dense return tells how far one came however long it took, and what is found is worth
    more the sooner it is found. The plain one is told beside it. The difference is that of the interquartile means over
    the same seeds. An episode in which the agent never had anything to ask is its own twin: there the worth of
    information is no term of any price, so it is not played twice.

    With ``--scenarios`` only those are played, and that too few of them are better decides nothing. With ``--out``
    every episode is kept in that folder, and an interrupted measurement goes on.
    """
    seeds, rng = options.seeds_or(range(10), range(1)), np.random.default_rng(options.seed)
    figures, better, worse = [], 0, 0
    folder = None if options.out is None else options.out / "episodes"
    known = tuple(scenarios_with_outcomes())
    names = QUICK if options.quick and options.scenarios is None else options.scenarios_of(known)
    for name in names:
        on = _played(name, ON, seeds, folder, options)
        asked = [seed for seed, score in zip(seeds, on, strict=True) if score.questions]
        without = dict(zip(asked, _played(name, OFF, asked, folder, options), strict=True))
        off = [without.get(seed, score) for seed, score in zip(seeds, on, strict=True)]
        plain, found = (_difference(on, off, field, rng) for field in ("total", "discounted"))
        better, worse = better + (found.interval[0] > 0.0), worse + (found.interval[1] < 0.0)
        beside: dict[str, float | None] = {
            "success, on": float(np.mean([score.success for score in on])),
            "success, off": float(np.mean([score.success for score in off])),
            "share of episodes in which it asked": len(asked) / len(seeds),
        }
        title = f"{name}: discounted return with information gain less without"
        figures.append(Figure.told(title, found.value, interval=found.interval, n=len(seeds), baselines=beside))
        title = f"{name}: dense return with information gain less without"
        figures.append(Figure.told(title, plain.value, interval=plain.interval, n=len(seeds)))
    if options.quick:  # one seed decides nothing
        return figures
    n = len(names)
    figures.append(Figure.at_most("scenarios significantly worse with information gain", float(worse), 0.0, n=n))
    title = "scenarios significantly better with information gain"
    if better < BETTER_BAR and set(names) < set(known):  # the others may be better
        return [*figures, Figure.told(f"{title}, of those played", float(better), n=n)]
    return [*figures, Figure.at_least(title, float(better), BETTER_BAR, n=n)]


def _difference(on: Sequence[Score], off: Sequence[Score], field: str, rng: np.random.Generator) -> Estimate:
    """Return the interquartile mean of a field of the scores with information gain, less that without."""
    gained, given = (np.array([getattr(score, field) for score in scores]) for scores in (on, off))
    return paired_bootstrap([gained], [given], interquartile_mean, rng)


def _played(name: str, drives: Drives, seeds: Sequence[int], folder: Path | None, options: BenchOptions) -> list[Score]:
    """Return the episodes of the scenario `name` with those drives."""
    jobs = [_job(name, drives, seed) for seed in seeds]
    with job_map(options.ray) as play_all:
        played = kept_jobs(play_all, folder, lambda row: Score(**row))(play_job, jobs)
    done = sum(score.success for score in played)
    which = "on" if drives is ON else "off"
    options.tell(f"agents: {name}, information gain {which}: {done} successes in {len(jobs)}")
    return played


def _job(name: str, drives: Drives, seed: int) -> EpisodeJob:
    """Return the episode of `seed` with those drives; the world model starts as it is installed."""
    return EpisodeJob(name, "active_inference", seed, _REWARD, agent_arguments={"drives": drives}, world_model=True)
