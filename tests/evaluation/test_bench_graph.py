"""The graph benchmark: sums by scene say what all edges together say, and its stages run."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from worldsim.errors import UnknownNameError
from worldsim.evaluation.bench import BenchOptions
from worldsim.evaluation.bench_graph import bench_graph
from worldsim.evaluation.bench_graph_calibration import SceneSums, calibration_figures, coverage_told
from worldsim.evaluation.bench_graph_cost import exponent
from worldsim.evaluation.bench_graph_lab import spring_figures
from worldsim.evaluation.bench_graph_scoring import Score
from worldsim.evaluation.calibration import expected_calibration_error

SCENES, PAIRS = 40, 10


def _score(seed: int, spread: float = 1.0) -> Score:
    generator = torch.Generator().manual_seed(seed)
    said = 0.5 + 0.5 * torch.rand(SCENES, PAIRS, 1, generator=generator, dtype=torch.float64)
    right = torch.rand(SCENES, PAIRS, 1, generator=generator, dtype=torch.float64) < said
    owner = torch.arange(SCENES).repeat_interleave(6)
    error = spread * torch.randn(len(owner), generator=generator, dtype=torch.float64)
    inside = error.abs() <= 1.645  # the standard normal's central 90 %
    return Score(right[..., 0], said, right, inside, owner, torch.zeros(SCENES, 5, 5, 1, 2))


def test_sums_by_scene_give_the_calibration_error_of_all_edges() -> None:
    scores = [_score(0), _score(1)]
    said = torch.cat([one.confidence.flatten() for one in scores]).numpy()
    right = torch.cat([one.right.flatten() for one in scores]).numpy()
    found = SceneSums.of(scores).calibration_error(np.random.default_rng(0))
    assert found.value == pytest.approx(expected_calibration_error(said, right))
    assert found.low < found.high
    assert found.n == SCENES


def test_coverage_is_the_share_of_strengths_inside_and_pools_over_sets() -> None:
    honest, narrow = SceneSums.of([_score(2)]), SceneSums.of([_score(3, spread=3.0)])
    rng = np.random.default_rng(0)
    assert honest.coverage(rng).value == pytest.approx(0.9, abs=0.06)  # 240 strengths: three standard deviations
    assert narrow.coverage(rng).value < 0.6
    both = SceneSums.joined([honest, narrow]).coverage(rng)
    assert both.value == pytest.approx(0.5 * (honest.coverage(rng).value + narrow.coverage(rng).value))
    assert both.n == 2 * SCENES


def test_intervals_that_are_too_narrow_fall_short_of_the_bar_and_a_set_alone_is_only_told() -> None:
    narrow, rng = SceneSums.of([_score(3, spread=3.0)]), np.random.default_rng(0)
    error, coverage = calibration_figures("narrow", narrow, 0.1, rng)
    assert error.holds
    assert not coverage.holds
    assert coverage.interval is not None
    assert coverage_told("narrow", narrow, rng).bar is None


def test_springs_between_balls_in_pybullet_are_found_from_noisy_places() -> None:
    accuracy, inside = spring_figures(BenchOptions(seeds=range(7, 9)))
    assert accuracy.value > 0.9  # two scenes: one wrong pair of thirty is 0.03
    assert accuracy.n == 2
    assert accuracy.baselines["oracle"] is not None
    assert inside.bar is None


def test_a_stage_that_there_is_not_is_named() -> None:
    with pytest.raises(UnknownNameError, match="springs10"):
        bench_graph(BenchOptions(stages=("springs11",)))


def test_the_exponent_of_growth_is_that_of_the_medians_however_many_frames_were_timed() -> None:
    rng = np.random.default_rng(0)
    taken = {n: 0.3 * n**0.9 * np.exp(0.02 * rng.standard_normal(k)) for n, k in ((100, 25), (1000, 9), (10_000, 5))}
    found = exponent(taken, rng)
    assert found.value == pytest.approx(0.9, abs=0.02)
    assert found.low < found.value < found.high
