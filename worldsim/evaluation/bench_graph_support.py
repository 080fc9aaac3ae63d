"""Who carries whom in `Stacks`: the graph of the world model, frame by frame, against the simulator's supports.

The whole loop runs at 60 Hz on detections without ids, missed and made up now and then, with a noise of 0.5 mm in each
direction, 0.1 degrees about each axis and 2 % in each edge length. Boxes are pushed off and dropped on while it does.
Beside it: whether bonds are made up where friction alone moves one thing with another (nothing in `Stacks` is bound).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from worldsim.contracts.agent import Agent
from worldsim.contracts.object_model import ObjectModel
from worldsim.evaluation.bench import BenchOptions, Figure
from worldsim.evaluation.episode import BeliefSnapshot, EpisodeLog, LogOptions, run_episode
from worldsim.evaluation.graph_run import JudgedFrame, judge
from worldsim.evaluation.graph_scoring import Edge, names_of_objects
from worldsim.evaluation.play import PlayOptions, make_agent
from worldsim.evaluation.statistics import bootstrap
from worldsim.loop import WorldModel
from worldsim.registry import open_registry
from worldsim.simulation.gym_env import WorldsimEnv
from worldsim.simulation.sensors import Detector

__all__ = ["scenario_episode", "support_figures"]

SEEDS, QUICK_SEEDS = range(1000, 1010), range(1)
SECONDS, QUICK_SECONDS, RATE_HZ = 6.0, 2.0, 60
SENSOR = Detector(position_std_m=5e-4, position_std_per_m=0.0, rotation_std_rad=math.radians(0.1))
KIND, BOND = "support", "attach"
F1_BAR = 0.97
THRESHOLD = 0.5
RULE_GAP_M = 0.03
"""The simple rule: a thing stands on what its middle is over and its bottom is so near to."""


def support_figures(options: BenchOptions) -> list[Figure]:
    """Return F1 of support over whole episodes, and bonds made up a frame, resampled by episode."""
    torch.set_num_threads(1)
    seconds = QUICK_SECONDS if options.quick else SECONDS
    counts, simple, bonds = [], [], []
    fields = {"sensor": SENSOR, "frame_s": 1.0 / RATE_HZ}
    for seed in options.seeds_or(SEEDS, QUICK_SEEDS):
        options.tell(f"graph: support, seed {seed}")
        log = scenario_episode("Stacks", seed, round(seconds * RATE_HZ), fields)
        judged = judge(log)
        counts.append(np.sum([frame.counts(KIND, THRESHOLD) for frame in judged], axis=0))
        simple.append(_by_rule(log, judged))
        bonds.append(np.mean([frame.counts(BOND, THRESHOLD)[1] for frame in judged]))
    rng = np.random.default_rng(options.seed)
    rows = np.array(counts, dtype=np.float64)
    found = bootstrap([np.arange(len(rows), dtype=np.float64)], lambda picked: _f1(rows[picked.astype(int)]), rng)
    beside = {"gap and place by a rule, on the same belief": _f1(np.array(simple, dtype=np.float64))}
    words = f"F1 of support in Stacks, 60 Hz, noise 0.5 mm, {seconds:g} s an episode"
    invented = bootstrap([np.array(bonds)], lambda sample: float(sample.mean()), rng)
    said = "bonds made up in Stacks, where nothing is bound: mean number in a frame"
    return [
        Figure.at_least(words, found.value, F1_BAR, interval=found.interval, n=found.n, baselines=beside),
        Figure.told(said, invented.value, interval=invented.interval, n=invented.n),
    ]


def scenario_episode(
    scenario: str,
    seed: int,
    frames: int,
    fields: Mapping[str, object] | None = None,
    models: Sequence[str | ObjectModel] | None = None,
    agent: Agent | None = None,
) -> EpisodeLog:
    """Return an episode of the whole loop in a scenario in which nothing is asked of the robot.

    Args:
        scenario: its name; fields: of the scenario, where they differ from its defaults.
        seed: of everything random.
        frames: how many.
        models: what the world model starts with; the usual ones where None.
        agent: what moves the robot; the usual one where None.
    """
    env = WorldsimEnv(scenario=scenario, **dict[str, Any](fields or {}))
    world_model = WorldModel(registry=open_registry("builtin"), models=models, seed=seed)
    if agent is None:
        agent = make_agent(PlayOptions(scenario, seed=seed), world_model, env.action_space.shape[0])  # type: ignore[index]
    try:
        rng = np.random.default_rng([seed, 1])
        log = LogOptions(max_frames=frames, forecasts_every=0)
        return run_episode(env, world_model, agent, rng, seed=seed, log=log)
    finally:
        env.close()


def _f1(counts: np.ndarray) -> float:
    found, invented, missed = counts.reshape(-1, 3).sum(axis=0)
    return float(2.0 * found / max(2.0 * found + invented + missed, 1.0))


def _by_rule(log: EpisodeLog, judged: Sequence[JudgedFrame]) -> tuple[int, int, int]:
    """Return how many supports the simple rule finds, invents and misses."""
    total = np.zeros(3, dtype=np.int64)
    frames = {frame.time_s: frame for frame in log.frames}
    for each in judged:
        frame = frames[each.time_s]
        if frame.belief is not None:
            said = _ruled(frame.belief, names_of_objects(frame.belief, frame.truth))
            there = each.there[KIND]
            total += (len(said & there), len(said - there), len(there - said))
    return int(total[0]), int(total[1]), int(total[2])


def _ruled(belief: BeliefSnapshot, names: dict[int, str]) -> set[Edge]:
    place, extent = belief.position, belief.extent_m
    gap = (place[:, 2] - extent[:, 2] / 2.0)[None] - (place[:, 2] + extent[:, 2] / 2.0)[:, None]
    apart = np.linalg.norm(place[:, None, :2] - place[None, :, :2], axis=-1)
    stands = (np.abs(gap) < RULE_GAP_M) & (apart < 0.5 * np.linalg.norm(extent[:, :2], axis=1)[:, None])
    np.fill_diagonal(stands, False)
    ids = belief.object_id.tolist()
    pairs = ((ids[i], ids[j]) for i, j in zip(*np.nonzero(stands), strict=True))
    return {(names[a], names[b]) for a, b in pairs if a in names and b in names}
