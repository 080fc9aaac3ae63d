"""One imagined step beside PyBullet's, and a heap that both let fall."""

from __future__ import annotations

import numpy as np
import torch

from worldsim.dynamics.imagination import rollout
from worldsim.evaluation.bench import BenchOptions
from worldsim.evaluation.bench_scale_rollout import agreement_figures
from worldsim.evaluation.rollout_worlds import Heap, start_of
from worldsim.simulation.rollout_engine import RolloutEngine


def test_one_step_agrees_in_flight_in_sliding_and_in_impacts() -> None:
    figures = agreement_figures(BenchOptions(quick=True), np.random.default_rng(0))
    assert [(figure.name, figure.value) for figure in figures if not figure.holds] == []


def test_a_heap_comes_down_to_the_same_heights() -> None:
    rng = np.random.default_rng(1)
    heap = Heap.drawn(9, rng, 1.0 / 120.0)
    states = heap.starts(1, rng)
    scene, start = heap.scene(0.5, torch.float64), start_of(states, torch.float64)
    path = rollout(scene, start, torch.zeros(60, 9, 6, dtype=torch.float64), heap.dt_s)
    with RolloutEngine(heap.bodies, heap.dt_s) as engine:
        engine.put(*(part[0] for part in states))
        engine.step(60)
        there, *_ = engine.states()
    ours = path.position[-1, 0].numpy()
    # a heap is chaotic: bodies end in other places, yet none sinks in, and together they lie as high
    assert ours[:, 2].min() > 0.08
    assert abs(ours[:, 2].mean() - there[:, 2].mean()) < 0.03
    assert float(path.linear_velocity[-1].norm(dim=-1).max()) < 3.0
