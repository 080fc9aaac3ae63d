"""What a plan costs: candidates priced on the belief of the warehouse, and on a block that is pushed."""

from __future__ import annotations

import time

import numpy as np
import torch

from worldsim.evaluation.bench import BenchOptions, Figure
from worldsim.loop import WorldModel
from worldsim.planning.shooting import CandidateCost
from worldsim.registry import open_registry
from worldsim.simulation.gym_env import WorldsimEnv

__all__ = ["planning_figures"]

CANDIDATES, HORIZON, BAR_S = 512, 16, 0.2
_FRAMES = 20
_REPEATS, _QUICK_REPEATS = 20, 5


def planning_figures(options: BenchOptions) -> list[Figure]:
    """Return how long it takes to price 512 candidates of 16 steps, belief and forecast read anew each time."""
    n = _QUICK_REPEATS if options.quick else _REPEATS
    what = f"planning: {CANDIDATES} candidates x {HORIZON} steps"
    torch.set_num_threads(2)
    try:
        return [
            Figure.at_most(f"{what}, {name} belief", _timed(name, n, options), BAR_S, unit="s", n=n)
            for name in ("Warehouse", "PushT")
        ]
    finally:
        torch.set_num_threads(1)


def _timed(name: str, repeats: int, options: BenchOptions) -> float:
    """Return the median time of pricing, s."""
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
    return float(np.median(spent))
