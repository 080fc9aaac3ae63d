"""``worldsim transfer agents``: do agents rank alike in two worlds that share no code?

Each policy plays the same seeds of a scenario in PyBullet, which stands for the simulation, and in MuJoCo, which stands
for what lies outside it. What counts for whoever chooses a policy in simulation is whether its place among the others
holds: Pearson's correlation of the mean scores, and the mean maximum rank violation, both as Li et al. (2024,
"Evaluating Real-World Robot Manipulation Policies in Simulation", section 3) use them. With ``--stages NAME,NAME`` only
some scenarios are played.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from scipy import stats

from worldsim.contracts.agent import Agent
from worldsim.contracts.scenario import Scenario
from worldsim.evaluation.bench import BenchOptions, Figure
from worldsim.evaluation.bench_scenarios import Constant
from worldsim.evaluation.ceiling import Shaken
from worldsim.evaluation.statistics import Estimate, bootstrap
from worldsim.evaluation.sweep import play_episode
from worldsim.evaluation.transfer.page import write_page
from worldsim.evaluation.transfer.warehouse import AWAY, ENGINES, HOME
from worldsim.evaluation.workers import spawned_workers
from worldsim.extras import need
from worldsim.plugins import load_plugin
from worldsim.simulation.gym_env import WorldsimEnv

__all__ = ["POLICIES", "mean_maximum_rank_violation", "ranking_figures", "transfer_agents"]

SCENARIOS = ("Intercept", "PushT", "Sorting")
"""Moving targets, pushing, and unknown masses: what the two engines may disagree about."""
SEEDS, QUICK_SEEDS = range(10), range(1)
_QUICK_FRAMES = 40
_LEAD = (
    "The same policies on the same seeds in two engines. A policy is chosen in simulation for its place among the "
    "others; here is how far that place holds in the other world."
)

POLICIES: Mapping[str, float | tuple[float, float, float] | None] = {
    "expert": 0.0,
    "expert, shaken by 0.3": 0.3,
    "expert, shaken by 0.6": 0.6,
    "expert, shaken by 1": 1.0,
    "random": None,
    "straight on": (1.0, 0.0, 0.0),
    "in circles": (1.0, 0.5, 0.0),
    "nothing": (0.0, 0.0, 0.0),
}
"""A ladder of policies: the scenario's expert with its actions shaken by so much of their range, a random one (None),
and constant actions (speed, yaw rate, hold)."""


@dataclass(frozen=True, slots=True)
class _Job:
    """One policy in one world: all seeds."""

    scenario: str
    policy: str
    world: str
    seeds: tuple[int, ...]
    max_frames: int


def transfer_agents(options: BenchOptions) -> list[Figure]:
    """Play every policy in both worlds; return correlation and rank violation of each scenario.

    Raises:
        UnknownNameError: a stage was named that is no scenario of the suite.
    """
    need("mujoco", "transfer agents")
    seeds = tuple(options.seeds_or(SEEDS, QUICK_SEEDS))
    names = SCENARIOS[:1] if options.quick and options.stages is None else options.stages_of(SCENARIOS)
    frames = _QUICK_FRAMES if options.quick else 0
    jobs = [_Job(name, policy, world, seeds, frames) for name in names for policy in POLICIES for world in ENGINES]
    found: dict[tuple[str, str, str], Float[np.ndarray, " S"]] = {}
    with spawned_workers(2) as pool:
        for job, totals in zip(jobs, pool.map(_play, jobs), strict=True):
            found[job.scenario, job.policy, job.world] = totals
            options.tell(f"{job.scenario}, {job.policy}, {job.world}: return {totals.mean():.3g}")
    rng = np.random.default_rng(options.seed)
    figures: list[Figure] = []
    for name in names:
        here, there = (np.stack([found[name, policy, world] for policy in POLICIES]) for world in (HOME, AWAY))
        figures += ranking_figures(name, tuple(POLICIES), here, there, rng)
    write_page(options, "agents", _LEAD, figures, [])
    return figures


def _play(job: _Job) -> Float[np.ndarray, " S"]:
    """Return the dense return of each seed."""
    torch.set_num_threads(1)  # the tensors are small; a second thread only waits
    env = WorldsimEnv(job.scenario, engine=ENGINES[job.world], reward="dense")
    try:
        agent = _policy(job.policy, env.scenario)
        return np.array([play_episode(env, agent, seed, max_frames=job.max_frames).total for seed in job.seeds])
    finally:
        env.close()


def _policy(name: str, scenario: Scenario) -> Agent:
    what = POLICIES[name]
    if isinstance(what, tuple):
        return Constant(what)
    made = load_plugin("worldsim.agents", "random" if what is None else str(scenario.expert), Agent)  # type: ignore[type-abstract,attr-defined]
    agent: Agent = made()
    return Shaken(agent, what) if what else agent


def ranking_figures(
    scenario: str,
    policies: Sequence[str],
    simulated: Float[np.ndarray, "A S"],
    real: Float[np.ndarray, "A S"],
    rng: np.random.Generator,
) -> list[Figure]:
    """Return how well the simulated ranking of A policies predicts the other, with intervals over the S seeds.

    Args:
        scenario: for the names of the figures.
        policies: A names.
        simulated: scores of each policy on each seed in the world that stands for the simulation.
        real: the same in the other.
        rng: draws the resamples; a resample has the same seeds in both worlds and for all policies.
    """
    scale = float(np.ptp(real.mean(1))) or 1.0
    seeds = np.arange(simulated.shape[1])

    def over_seeds(statistic: Callable[[Float[np.ndarray, " A"], Float[np.ndarray, " A"]], float]) -> Estimate:
        def of_drawn(drawn: Float[np.ndarray, " S"]) -> float:
            picked = drawn.astype(np.int64)
            return statistic(simulated[:, picked].mean(1), real[:, picked].mean(1))

        return bootstrap([seeds], of_drawn, rng)

    def told(name: str, found: Estimate, **rest: Any) -> Figure:
        return Figure.told(f"{scenario}: {name}", found.value, interval=found.interval, n=found.n, **rest)

    alike = f"Pearson correlation of {len(policies)} policies' returns, {HOME} and {AWAY}"
    misplaced = "mean maximum rank violation, as a share of the spread of returns"
    made = [
        told(alike, over_seeds(_pearson)),
        told(misplaced, over_seeds(lambda here, there: mean_maximum_rank_violation(here, there) / scale)),
    ]
    for policy, here, there in zip(policies, simulated, real, strict=True):
        mean = bootstrap([there], lambda drawn: float(np.mean(drawn)), rng)
        made.append(told(f"dense return in {AWAY}, {policy}", mean, baselines={HOME: float(here.mean())}))
    return made


def _pearson(a: Float[np.ndarray, " A"], b: Float[np.ndarray, " A"]) -> float:
    if np.ptp(a) == 0.0 or np.ptp(b) == 0.0:
        return float("nan")  # equal scores rank nobody
    return float(stats.pearsonr(a, b).statistic)


def mean_maximum_rank_violation(simulated: Float[np.ndarray, " A"], real: Float[np.ndarray, " A"]) -> float:
    """Return the mean over policies of the worst misjudged pair: 0 where both worlds rank alike.

    A pair that is ranked the other way round costs the difference that it really makes (Li et al. 2024, eq. 2).

    >>> mean_maximum_rank_violation(np.array([1.0, 2.0, 3.0]), np.array([10.0, 20.0, 30.0]))
    0.0
    >>> mean_maximum_rank_violation(np.array([2.0, 1.0]), np.array([0.0, 0.5]))
    0.5
    """
    gap = np.abs(real[:, None] - real[None])
    wrong = (simulated[:, None] < simulated[None]) != (real[:, None] < real[None])
    return float((gap * wrong).max(axis=1).mean())
