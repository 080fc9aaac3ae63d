"""Many environments on all cores: the vector environment against one plain loop a core, at the same time."""

from __future__ import annotations

import multiprocessing
import os
import time
from typing import Any

import numpy as np

from worldsim.evaluation.bench import Figure
from worldsim.evaluation.statistics import bootstrap
from worldsim.simulation.gym_env import WorldsimEnv
from worldsim.simulation.vector_env import WorldsimVectorEnv

__all__ = ["vector_figures"]

_ENVS_PER_CORE = 8
_WORLD: dict[str, Any] = {
    "scenario": "Stacks",
    "observation": "state",
    "stacks": 2,
    "tallest": 4,
    "pushed": 1,
    "dropped": 1,
}


def vector_figures(quick: bool, seed: int, rng: np.random.Generator) -> list[Figure]:
    """Return how many steps a second the vector environment takes, for each that plain loops on all cores take.

    Both are timed in turn, several times, each time over as many steps, so that what else the machine does meanwhile
    meets both.

    Args:
        quick: fewer rounds.
        seed: of the episodes.
        rng: of the bootstraps.
    """
    cores = len(os.sched_getaffinity(0))
    rounds, steps = (2, 10) if quick else (10, 60)
    each = 2 if quick else _ENVS_PER_CORE
    ratios, plain_rates = [], []
    envs = WorldsimVectorEnv(cores * each, workers=cores, **_WORLD)
    loops = _PlainLoops(cores, seed)
    try:
        envs.reset(seed=seed)
        actions = np.zeros_like(envs.action_space.sample())
        for _ in range(rounds):
            plain = loops.steps_per_s(steps * each)
            started = time.perf_counter()
            for _ in range(steps):
                envs.step(actions)
            ratios.append(steps * envs.num_envs / (time.perf_counter() - started) / plain)
            plain_rates.append(plain)
    finally:
        loops.close()
        envs.close()
    found = bootstrap([np.array(ratios)], lambda sample: float(np.median(sample)), rng)
    return [
        Figure.at_least(
            f"vector environment, {each} to a worker, {cores} workers: steps a second over plain loops, one a core",
            found.value, 1.0, n=rounds, interval=found.interval,
            baselines={"plain loops, all together (1/s)": float(np.median(plain_rates))},
        )
    ]  # fmt: skip


class _PlainLoops:
    """A process a core that steps one environment by itself."""

    def __init__(self, cores: int, seed: int) -> None:
        context = multiprocessing.get_context()
        self.pipes: list[Any] = []
        self.processes: list[Any] = []
        for core in range(cores):
            ours, theirs = context.Pipe()
            process = context.Process(target=_loop, args=(theirs, [*self.pipes, ours], seed + core), daemon=True)
            process.start()
            theirs.close()
            self.pipes.append(ours)
            self.processes.append(process)
        for pipe in self.pipes:
            pipe.recv()  # its world stands

    def steps_per_s(self, steps: int) -> float:
        """Let every process take so many steps; return how many they took a second, all together."""
        for pipe in self.pipes:
            pipe.send(steps)
        return float(sum(steps / pipe.recv() for pipe in self.pipes))

    def close(self) -> None:
        """End the processes."""
        for pipe in self.pipes:
            pipe.send(0)
        for process in self.processes:
            process.join()


def _loop(pipe: Any, inherited: list[Any], seed: int) -> None:
    for other in inherited:
        other.close()  # so that this process ends with the main one
    env = WorldsimEnv(**_WORLD)
    env.reset(seed=seed)
    pipe.send(True)
    still = np.zeros(3, dtype=np.float32)
    try:
        while steps := pipe.recv():
            started = time.perf_counter()
            for _ in range(steps):
                *_, terminated, truncated, _ = env.step(still)
                if terminated or truncated:
                    env.reset()
            pipe.send(time.perf_counter() - started)
    except EOFError:
        pass
    env.close()
