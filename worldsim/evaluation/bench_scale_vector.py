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

    Both play the same worlds under the same actions and are timed in turn, several times, each time over the same
    frames, so that what else the machine does meanwhile meets both. A plain loop has all of them of one world after
    the other, and waits for nobody. Beside it is told what the vector environment takes for each step of one plain loop
    that has the machine to itself: where two cores are two threads of one, two loops are not twice as fast as one.

    Args:
        quick: fewer rounds.
        seed: of the episodes.
        rng: of the bootstraps.
    """
    cores = len(os.sched_getaffinity(0))
    rounds, steps = (2, 10) if quick else (10, 60)
    each = 2 if quick else _ENVS_PER_CORE
    ratios, plain_rates, over_one = [], [], []
    envs = WorldsimVectorEnv(cores * each, **_WORLD)
    loops, alone = _PlainLoops(cores, each, seed), _PlainLoops(1, each, seed)
    try:
        envs.reset(seed=seed)
        actions = np.zeros_like(envs.action_space.sample())
        for _ in range(rounds):
            plain = loops.steps_per_s(steps)
            started = time.perf_counter()
            for _ in range(steps):
                envs.step(actions)
            rate = steps * envs.num_envs / (time.perf_counter() - started)
            ratios.append(rate / plain)
            plain_rates.append(plain)
            over_one.append(rate / alone.steps_per_s(steps))
    finally:
        loops.close()
        alone.close()
        envs.close()
    found = bootstrap([np.array(ratios)], lambda sample: float(np.median(sample)), rng)
    return [
        Figure.at_least(
            f"vector environment, {each} to a core, {cores} cores: steps a second over plain loops, one a core",
            found.value, 1.0, n=rounds, interval=found.interval,
            baselines={
                "plain loops, all together (1/s)": float(np.median(plain_rates)),
                "steps a second over those of one plain loop alone": float(np.median(over_one)),
            },
        )
    ]  # fmt: skip


class _PlainLoops:
    """A process a core that steps its environments one after the other."""

    def __init__(self, cores: int, each: int, seed: int) -> None:
        context = multiprocessing.get_context()
        self.each = each
        self.pipes: list[Any] = []
        self.processes: list[Any] = []
        for core in range(cores):
            ours, theirs = context.Pipe()
            seeds = range(seed + core * each, seed + (core + 1) * each)
            process = context.Process(target=_loop, args=(theirs, [*self.pipes, ours], seeds), daemon=True)
            process.start()
            theirs.close()
            self.pipes.append(ours)
            self.processes.append(process)
        for pipe in self.pipes:
            pipe.recv()  # its worlds stand

    def steps_per_s(self, steps: int) -> float:
        """Let every environment take so many steps; return how many they took a second, all together."""
        for pipe in self.pipes:
            pipe.send(steps)
        return float(sum(self.each * steps / pipe.recv() for pipe in self.pipes))

    def close(self) -> None:
        """End the processes."""
        for pipe in self.pipes:
            pipe.send(0)
        for process in self.processes:
            process.join()


def _loop(pipe: Any, inherited: list[Any], seeds: range) -> None:
    for other in inherited:
        other.close()  # so that this process ends with the main one
    envs = [WorldsimEnv(**_WORLD) for _ in seeds]
    for env, seed in zip(envs, seeds, strict=True):
        env.reset(seed=seed)
    pipe.send(True)
    over = [False] * len(envs)
    try:
        while steps := pipe.recv():
            started = time.perf_counter()
            for number, env in enumerate(envs):
                over[number] = _played(env, steps, over[number])
            pipe.send(time.perf_counter() - started)
    except EOFError:
        pass
    for env in envs:
        env.close()


def _played(env: WorldsimEnv, steps: int, over: bool) -> bool:
    """Take so many steps, of which one resets where the episode is over; return whether it is at their end."""
    still = np.zeros(3, dtype=np.float32)
    for _ in range(steps):
        if over:
            env.reset()
            over = False
        else:
            *_, terminated, truncated, _ = env.step(still)
            over = terminated or truncated
    return over
