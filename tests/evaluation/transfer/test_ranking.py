"""Whether policies rank alike in two worlds: what is counted, and that a real run of both engines gives it."""

from __future__ import annotations

import numpy as np
import pytest

from worldsim.evaluation.bench import BenchOptions
from worldsim.evaluation.transfer.ranking import (
    POLICIES,
    mean_maximum_rank_violation,
    ranking_figures,
    transfer_agents,
)


def test_a_pair_that_changes_places_costs_what_it_really_makes_and_an_equal_ranking_nothing() -> None:
    real = np.array([0.0, 1.0, 5.0])
    assert mean_maximum_rank_violation(2.0 * real - 7.0, real) == 0.0
    assert mean_maximum_rank_violation(np.array([1.0, 0.0, 9.0]), real) == pytest.approx(2.0 / 3.0)  # 1 + 1 + 0
    assert mean_maximum_rank_violation(-real, real) == pytest.approx((5.0 + 4.0 + 5.0) / 3.0)


def test_the_interval_comes_from_seeds_and_a_shift_of_all_scores_changes_neither_figure() -> None:
    rng = np.random.default_rng(0)
    skill = np.array([[0.0], [1.0], [2.0], [3.0]])
    here, there = (skill + rng.normal(0.0, 0.3, (4, 12)) for _ in range(2))
    correlation, violation = ranking_figures("S", "abcd", here, 10.0 + 2.0 * there, np.random.default_rng(1))[:2]
    assert correlation.value > 0.95
    assert correlation.interval is not None
    assert correlation.interval[0] < correlation.value < correlation.interval[1] <= 1.0
    assert violation.value == 0.0
    assert correlation.n == 12
    turned = ranking_figures("S", "abcd", -here, there, np.random.default_rng(1))
    assert turned[0].value < -0.95
    assert turned[1].value > 0.5


@pytest.mark.slow
def test_both_engines_play_every_policy(tmp_path) -> None:
    figures = transfer_agents(BenchOptions(quick=True, out=tmp_path))
    assert len(figures) == 2 + len(POLICIES)
    assert all(figure.baselines["PyBullet"] is not None for figure in figures[2:])
    assert "A smaller version (--quick)" in (tmp_path / "transfer.html").read_text(encoding="utf-8")
