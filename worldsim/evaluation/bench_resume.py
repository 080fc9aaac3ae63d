"""A training that is killed at a random moment and taken up again, beside one that nobody disturbed."""

from __future__ import annotations

import contextlib
import itertools
import json
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from worldsim.evaluation.bench import BenchOptions, Figure
from worldsim.evaluation.kept_stages import kept_jobs
from worldsim.evaluation.ray_workers import in_turn
from worldsim.evaluation.statistics import interquartile_mean, paired_bootstrap
from worldsim.evaluation.training import newest_checkpoint

__all__ = ["resume_figures"]

SCENARIO, AGENT = "Intercept", "ppo"
_STEPS, _QUICK_STEPS = 2048, 256
_PIECE, _QUICK_PIECE = 256, 64
_EPISODES = 10
_WAIT_S = 0.05


@dataclass(frozen=True, slots=True)
class Interruption:
    """A training to be killed once, and when.

    Attributes:
        seed: of the training.
        after: when, after its first checkpoint, as a share of what the unbroken training takes.
        quick: whether it is a short one.
    """

    seed: int
    after: float
    quick: bool


def resume_figures(options: BenchOptions) -> list[Figure]:
    """Return the last evaluations of killed trainings less those of unbroken ones, and the frames counted twice.

    With ``--out`` every seed is kept in that folder, and an interrupted measurement goes on.
    """
    seeds, rng = options.seeds_or(range(10), range(1)), np.random.default_rng(options.seed)
    play = kept_jobs(in_turn, None if options.out is None else options.out / "trainings", dict)
    whole, broken, restarts, counted_twice = [], [], 0, 0
    for seed in seeds:
        ended = play(interrupted, [Interruption(seed, float(rng.uniform(0.0, 0.7)), options.quick)])[0]
        restarts += ended["restarts"]
        counted_twice += ended["counted_twice"]
        whole.append(ended["unbroken"])
        broken.append(ended["resumed"])
        options.tell(f"agents: resume, seed {seed}: {np.mean(whole[-1]):.2f}, killed {np.mean(broken[-1]):.2f}")
    n = len(seeds) * _EPISODES
    found = paired_bootstrap([np.array(b) for b in broken], [np.array(w) for w in whole], interquartile_mean, rng)
    away = 0.0 if not found.excludes(0.0) else min(abs(found.low), abs(found.high))
    beside = {
        "unbroken": interquartile_mean(np.concatenate(whole)),
        "killed and resumed": interquartile_mean(np.concatenate(broken)),
    }
    return [
        Figure.told(f"resume: return after a kill less without ({AGENT} on {SCENARIO}, IQM)", found.value,
                    interval=found.interval, n=n, baselines=beside),
        Figure.at_most("resume: by how much the interval of that leaves out 0", away, 0.0, n=n),
        Figure.at_most("resume: frames counted twice or not at all", float(counted_twice), 0.0, n=2 * len(seeds)),
        Figure.at_least("resume: trainings that were taken up again", restarts / len(seeds), 1.0, n=len(seeds)),
    ]  # fmt: skip


def interrupted(job: Interruption) -> dict[str, Any]:
    """Return what came of a training that nobody disturbed, and of the same one killed and taken up again."""
    with tempfile.TemporaryDirectory(prefix="worldsim-resume-") as folder:
        command = _command(job.seed, job.quick)
        started = time.perf_counter()
        unbroken = _finish([*command, f"{folder}/whole"])
        seconds, place = time.perf_counter() - started, Path(folder) / "broken"
        _kill_midway([*command, str(place)], place, job, job.after * seconds)
        resumed = _finish([*command, str(place), "--resume"])
    return {
        "unbroken": _last(unbroken),
        "resumed": _last(resumed),
        "restarts": int(resumed["restarts"][0]),
        "counted_twice": _counted_twice(unbroken) + _counted_twice(resumed),
    }


def _command(seed: int, quick: bool) -> list[str]:
    steps, piece = (_QUICK_STEPS, _QUICK_PIECE) if quick else (_STEPS, _PIECE)
    return [
        *(sys.executable, "-m", "worldsim", "train", SCENARIO, "--agent", AGENT, "--steps", str(steps), "--json"),
        *("--checkpoint-every", str(piece), "--evaluation-episodes", str(_EPISODES), "--seed", str(seed), "--out"),
    ]


def _finish(command: list[str]) -> dict[str, Any]:
    """Return what the training printed."""
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _kill_midway(command: list[str], place: Path, job: Interruption, after_s: float) -> None:
    """Start a training in `place` and kill it `after_s` after its first checkpoint; sooner where it had ended by then.

    The machine may be quicker than when nobody disturbed the training: one whose last frames are kept already has
    nothing left to be taken up, and is started anew and killed in half the time.
    """
    steps, seed = _QUICK_STEPS if job.quick else _STEPS, place / f"seed-{job.seed}"
    while True:
        shutil.rmtree(place, ignore_errors=True)
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while process.poll() is None and newest_checkpoint(seed) is None:
            time.sleep(_WAIT_S)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(after_s)
        ended = process.poll() is not None
        if process.returncode:
            raise subprocess.CalledProcessError(process.returncode, command)
        process.kill()
        process.wait()
        kept = newest_checkpoint(seed)
        if not ended and kept is not None and int(kept.name.rpartition("-")[2]) < steps:
            return
        after_s *= 0.5


def _counted_twice(metrics: dict[str, Any]) -> int:
    """Return how many frames lie in two episodes, and how far the training's count is from the last evaluation's."""
    seed = metrics["seeds"][0]
    ends = [(step - frames, step) for step, _, frames in seed["episodes"]]
    overlap = sum(max(0, before[1] - after[0]) for before, after in itertools.pairwise(ends))
    return overlap + abs(int(seed["steps"]) - int(seed["evaluations"][-1]["step"]))


def _last(metrics: dict[str, Any]) -> list[float]:
    found: list[float] = metrics["seeds"][0]["evaluations"][-1]["returns"]
    return found
