"""Ray: the same numbers as in one process, and no episode lost with a worker that dies."""

from __future__ import annotations

import os
import signal
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path

from worldsim.evaluation.bench import BenchOptions, Figure
from worldsim.evaluation.ray_workers import LOCAL, in_turn, ray_is_installed, ray_workers
from worldsim.evaluation.sweep import EpisodeJob, Score, play_job

__all__ = ["Mortal", "play_mortal", "ray_figures"]

_WORKERS = 2
_WITH_BELIEF = 2  # of the episodes have a world model stepping along
_DEATH_AFTER_S = 0.5


@dataclass(frozen=True, slots=True)
class Mortal:
    """An episode whose worker is killed in the middle of it, the first time that it is played.

    Attributes:
        job: the episode.
        mark: a file that tells that it happened.
    """

    job: EpisodeJob
    mark: Path


def play_mortal(mortal: Mortal) -> Score:
    """Play the episode; on the first try the process is killed, without a word, while it plays."""
    if not mortal.mark.exists():

        def die() -> None:
            mortal.mark.write_text(str(os.getpid()), encoding="utf-8")
            os.kill(os.getpid(), signal.SIGKILL)

        threading.Timer(_DEATH_AFTER_S, die).start()
        while True:  # until it comes: an episode that is over sooner begins again
            play_job(mortal.job)
    return play_job(mortal.job)


def ray_figures(options: BenchOptions) -> list[Figure]:
    """Return how many episodes are the same on a local cluster of two workers as in one process; NaN without Ray."""
    same = "ray: episodes with the same numbers as in one process"
    killed = "ray: episodes lost or changed when workers are killed in mid-run"
    if not ray_is_installed():
        options.tell("agents: Ray is not installed (the extra `ray`), so its figures are not measured")
        return [Figure.at_least(same, float("nan"), 1.0), Figure.at_most(killed, float("nan"), 0.0)]
    jobs = _jobs(options.seeds_or(range(10), range(3)))
    options.tell(f"agents: ray, {len(jobs)} episodes in turn, then on {_WORKERS} workers")
    expected = in_turn(play_job, jobs)
    with tempfile.TemporaryDirectory(prefix="worldsim-ray-") as folder, ray_workers(LOCAL, _WORKERS) as play_all:
        found = play_all(play_job, jobs)
        mortals = [Mortal(job, Path(folder) / str(number)) for number, job in enumerate(jobs)]
        survived = play_all(play_mortal, mortals)
        deaths = sum(mortal.mark.exists() for mortal in mortals)
    equal = sum(a == b for a, b in zip(expected, found, strict=True))
    lost = sum(a != b for a, b in zip(expected, survived, strict=True)) + len(expected) - len(survived)
    return [
        Figure.at_least(same, equal / len(jobs), 1.0, n=len(jobs)),
        Figure.at_most(killed, float(lost), 0.0, n=len(jobs)),
        Figure.told("ray: workers killed in mid-run", float(deaths), n=len(jobs)),
    ]


def _jobs(seeds: range) -> list[EpisodeJob]:
    """Return an episode of the interceptor a seed, the first ones with a world model and a planner instead."""
    return [
        EpisodeJob("Intercept", "mpc", seed, world_model=True)
        if number < _WITH_BELIEF
        else EpisodeJob("Intercept", "interceptor", seed)
        for number, seed in enumerate(seeds)
    ]
