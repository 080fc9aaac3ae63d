"""A population of trainings on the workers of a cluster: each seed a job, its files carried to and fro."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from worldsim.contracts.agent import LearningAgent
from worldsim.evaluation.play import PlayOptions, learning_agent
from worldsim.evaluation.ray_workers import JobMap
from worldsim.evaluation.run_folder import RunFolder
from worldsim.evaluation.training import SeedResult, TrainOptions, check_training, clear_trained, keep_best, train_seed

__all__ = ["train_population"]


@dataclass(frozen=True, slots=True)
class _SeedJob:
    """One training: what to train, its seed, and the files that it goes on from (path in its folder -> content)."""

    options: TrainOptions
    seed: int
    files: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Trained:
    """What came of it, and every file of its folder."""

    result: SeedResult
    files: Mapping[str, bytes]


def train_population(
    play_all: JobMap,
    options: TrainOptions,
    folder: RunFolder,
    *,
    resume: bool = False,
    known: Mapping[int, SeedResult] | None = None,
) -> list[SeedResult]:
    """Train every seed as a job of its own; the numbers are those of `worldsim.evaluation.training.train_seeds`.

    The workers need not share a disk with this process: a job takes its checkpoint along and brings its files back. A
    job whose worker dies is begun anew from what it was given.

    Args:
        play_all: plays the jobs, see `worldsim.evaluation.ray_workers.ray_workers`.
        options: what to train.
        folder: of the run.
        resume: go on from checkpoints in `folder`; a seed without one begins.
        known: seed -> what it came to, of seeds that need not be trained.

    Raises:
        ConfigurationError: the agent does not learn, or an option cannot work.
        DataError: a checkpoint cannot be read.
    """
    check_training(options)
    if not resume:
        clear_trained(folder.path, known or {})
    seeds, found = range(options.seed, options.seed + options.seeds), dict(known or {})
    places = {seed: folder.path / f"seed-{seed}" for seed in seeds if seed not in found}
    jobs = [_SeedJob(options, seed, _read(place) if resume else {}) for seed, place in places.items()]
    trained: list[_Trained] = play_all(_train, jobs)
    for place, done in zip(places.values(), trained, strict=True):
        if place.exists():
            shutil.rmtree(place)
        _write(done.files, place)
    found |= {done.result.seed: done.result for done in trained}
    results = [found[seed] for seed in seeds]
    keep_best(results, folder)
    return results


def _train(job: _SeedJob) -> _Trained:
    made: type[LearningAgent] = learning_agent(
        PlayOptions(job.options.scenario, job.options.agent, observation=job.options.observation)
    )
    with tempfile.TemporaryDirectory(prefix="worldsim-train-") as place:
        _write(job.files, Path(place))
        result = train_seed(job.options, made, job.seed, Path(place))
        return _Trained(result, _read(Path(place)))


def _read(place: Path) -> dict[str, bytes]:
    if not place.exists():
        return {}
    return {str(file.relative_to(place)): file.read_bytes() for file in sorted(place.rglob("*")) if file.is_file()}


def _write(files: Mapping[str, bytes], place: Path) -> None:
    place.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        file = place / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
