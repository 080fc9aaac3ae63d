"""What a plan costs: candidates priced on the belief of the warehouse, and on a block that is pushed."""

from __future__ import annotations

import time

import numpy as np
import torch
from jaxtyping import Float

from worldsim.evaluation.bench import BenchOptions, Figure
from worldsim.evaluation.statistics import bootstrap
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
    torch.set_num_threads(1)  # the tensors are small: a second thread mostly waits, and more so beside other work
    figures = []
    for name in ("Warehouse", "PushT"):
        rng = np.random.default_rng(options.seed)
        spent = bootstrap([_spent_s(name, n, options)], lambda sample: float(np.median(sample)), rng)
        options.tell(f"agents: a plan on the {name} belief takes {spent.value:.3f} s")
        named = f"{what}, {name} belief"
        figures.append(Figure.at_most(named, spent.value, BAR_S, unit="s", interval=spent.interval, n=n))
    return figures


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
