"""What a plan costs, how fast the whole loop runs with one, and whether what is imagined of plans comes true."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from worldsim.contracts.agent import Agent
from worldsim.evaluation.bench import BenchOptions, Figure
from worldsim.evaluation.calibration import central_interval, crps_samples, expected_calibration_error
from worldsim.evaluation.imagined_rewards import SCENARIO, SEQUENCE_S, ImaginedJob, Tried, tried_job
from worldsim.evaluation.statistics import bootstrap, cluster_bootstrap
from worldsim.evaluation.sweep import play_episode
from worldsim.loop import WorldModel
from worldsim.planning.shooting import CandidateCost
from worldsim.plugins import load_plugin
from worldsim.registry import open_registry
from worldsim.simulation.gym_env import WorldsimEnv

__all__ = ["planning_figures"]

CANDIDATES, HORIZON, BAR_S = 512, 16, 0.2
LOOP_AGENT = "deliverer"
_FRAMES = 20
_REPEATS, _QUICK_REPEATS = 20, 5


def planning_figures(options: BenchOptions) -> list[Figure]:
    """Return what planning costs and what its imagination is worth.

    How long it takes to price 512 candidates of 16 steps, belief and forecast read anew each time; the real-time factor
    of the whole loop; imagined rewards beside true ones (`worldsim.evaluation.imagined_rewards`).
    """
    n = _QUICK_REPEATS if options.quick else _REPEATS
    what = f"planning: {CANDIDATES} candidates x {HORIZON} steps"
    torch.set_num_threads(1)  # the tensors are small: a second thread mostly waits, and more so beside other work
    figures = []
    for name in ("Warehouse", "PushT"):
        rng = np.random.default_rng(options.seed)
        spent = bootstrap([_spent_s(name, n, options)], lambda sample: float(np.median(sample)), rng)
        options.tell(f"agents: a plan on the {name} belief takes {spent.value:.3f} s")
        named = f"{what}, {name} belief"
        figures.append(Figure.at_most(named, spent.value, BAR_S, unit="s", interval=spent.interval, n=n))
    return [*figures, _real_time(options), *_imagined(options)]


def _real_time(options: BenchOptions) -> Figure:
    """Return how many seconds of the warehouse pass in one of the clock: physics, world model and planner together."""
    seeds, frames = (range(1), 20) if options.quick else (range(5), 200)
    env = WorldsimEnv("Warehouse")
    factors = []
    try:
        for seed in seeds:
            world_model = WorldModel(registry=open_registry("builtin"), device="cpu")
            made: Any = load_plugin("worldsim.agents", LOOP_AGENT, Agent)
            started = time.perf_counter()
            score = play_episode(env, made(world_model), seed, world_model=world_model, max_frames=frames)
            factors.append(score.seconds / (time.perf_counter() - started))
            options.tell(f"agents: the whole loop, seed {seed}: {factors[-1]:.2f} x real time")
    finally:
        env.close()
    rng = np.random.default_rng(options.seed)
    found = bootstrap([np.array(factors)], lambda sample: float(np.median(sample)), rng)
    name = f"planning: real-time factor of the whole loop, {LOOP_AGENT} in Warehouse at 20 Hz"
    return Figure.told(name, found.value, interval=found.interval, n=len(factors))


def _imagined(options: BenchOptions) -> list[Figure]:
    """Return how imagined rewards compare with true ones, of plans that were chosen and of sequences at random.

    A distribution is calibrated where nine in ten true rewards lie in its central 90 %; its error (CRPS) is told beside
    that of a forecast that knows what was earned in the other episodes and nothing else. A chosen plan was searched
    for by what it is imagined to earn, so that what it earns is expected to be less. Intervals resample whole episodes,
    as the sequences of one are alike.
    """
    seeds = options.seeds_or(range(10), range(1))
    episodes = []
    for seed in seeds:
        episodes.append(tried_job(ImaginedJob(seed, at_random=1 if options.quick else 5)))
        options.tell(f"agents: imagined and true reward, seed {seed}: {len(episodes[-1])} sequences tried")
    rng = np.random.default_rng(options.seed)
    figures = []
    for chosen, whose in ((True, "plans"), (False, "random sequences")):
        rows = [[t for t in tried if t.chosen is chosen] for tried in episodes]
        rows = [tried for tried in rows if tried]
        n, what = sum(map(len, rows)), f"{SCENARIO}, {SEQUENCE_S:.0f} s, {whose}"
        inside = [np.array([_is_inside(t) for t in tried]) for tried in rows]
        less = [np.array([t.earned - float(np.mean(t.imagined)) for t in tried]) for tried in rows]
        error = [
            crps_samples(np.array([t.imagined for t in tried]).T, np.array([t.earned for t in tried])) for tried in rows
        ]
        for name, values in (
            ("true rewards within the central 90 % of the imagined", inside),
            ("true less imagined reward, mean", less),
            ("error of imagined rewards (CRPS)", error),
        ):
            found = cluster_bootstrap(values, lambda sample: float(np.mean(sample)), rng)
            beside: dict[str, float | None] = {"what others earned": _by_others(rows)} if values is error else {}
            figures.append(
                Figure.told(f"planning: {name}; {what}", found.value, interval=found.interval, n=n, baselines=beside)
            )
        stated = np.array([t.reaches for tried in rows for t in tried])
        reached = np.array([t.reached for tried in rows for t in tried])
        told: dict[str, float | None] = {"stated, mean": float(stated.mean()), "true": float(reached.mean())}
        name = f"planning: calibration error of the probability of success; {what}"
        figures.append(Figure.told(name, expected_calibration_error(stated, reached), n=n, baselines=told))
    return figures


def _is_inside(tried: Tried) -> float:
    low, high = central_interval(np.array(tried.imagined))
    return float(low <= tried.earned <= high)


def _by_others(rows: list[list[Tried]]) -> float | None:
    """Return the CRPS of a forecast that is what was earned in the other episodes; None where there is one alone."""
    if len(rows) < 2:
        return None
    found = []
    for number, tried in enumerate(rows):
        others = np.array([t.earned for k, other in enumerate(rows) if k != number for t in other])
        mine = np.array([t.earned for t in tried])
        found.append(crps_samples(np.repeat(others[:, None], len(mine), axis=1), mine))
    return float(np.concatenate(found).mean())


def _spent_s(name: str, repeats: int, options: BenchOptions) -> Float[np.ndarray, " n"]:
    """Return how long each pricing took, s."""
    options.tell(f"agents: planning on the {name} belief")
    env = WorldsimEnv(name)
    try:
        world_model = WorldModel(registry=open_registry("builtin"), device="cpu")
        raw, _ = env.reset(seed=options.seed)
        world_model.reset(raw)
        for _ in range(_FRAMES):
            raw = env.step(np.zeros(3, dtype=np.float32))[0]
            world_model.step(raw, np.zeros(3))
    finally:
        env.close()
    info = {key: value[None] for key, value in raw.items() if key.startswith("task_")}
    rng = np.random.default_rng(options.seed)
    candidates = torch.from_numpy(rng.uniform(-1.0, 1.0, (1, CANDIDATES, HORIZON, 2)).astype(np.float32))
    spent = []
    model: CandidateCost = world_model
    for _ in range(repeats):
        started = time.perf_counter()
        with torch.no_grad():
            model.get_cost(info, candidates)
        spent.append(time.perf_counter() - started)
    return np.array(spent)
