"""Intervals that cover what they say, and numbers worked by hand."""

import numpy as np
import pytest

from worldsim.errors import ConfigurationError
from worldsim.evaluation.bench import Figure
from worldsim.evaluation.statistics import (
    bootstrap,
    bootstrap_runs,
    cluster_bootstrap,
    conformal_quantile,
    interquartile_mean,
    paired_bootstrap,
    probability_of_improvement,
)


def test_the_interquartile_mean_drops_a_quarter_on_each_side() -> None:
    assert interquartile_mean(np.array([-1e9, 1.0, 2.0, 3.0, 4.0, 1e9, 2.5, 2.5])) == pytest.approx(2.5)


def test_a_bootstrap_interval_has_the_width_of_the_normal_theory() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(3.0, 2.0, size=400)
    found = bootstrap([values], np.mean, rng)
    # 2 x 1.96 x 2 / sqrt(400) = 0.392; the sample's own spread and 2,000 resamples leave about 6 %
    assert found.high - found.low == pytest.approx(0.392, rel=0.12)
    assert found.value == pytest.approx(values.mean())
    assert found.n == 400


def test_bootstrap_intervals_cover_the_truth_about_as_often_as_they_say() -> None:
    rng = np.random.default_rng(1)
    inside = [not bootstrap([rng.normal(size=40)], np.mean, rng, resamples=300).excludes(0.0) for _ in range(200)]
    assert 0.88 <= np.mean(inside) <= 0.99  # 0.95 less what 40 values cost, +- two standard errors of 200 runs


def test_strata_keep_their_sizes_when_resampled() -> None:
    rng = np.random.default_rng(2)
    found = bootstrap([np.zeros(30), np.ones(10)], np.mean, rng)
    assert (found.value, found.low, found.high) == (0.25, 0.25, 0.25)


def test_intervals_of_values_that_are_alike_within_a_cluster_are_those_of_their_means() -> None:
    rng = np.random.default_rng(3)
    means = rng.normal(size=40)
    clusters = [np.repeat(mean, 5) for mean in means]
    found = cluster_bootstrap(clusters, lambda x: float(np.mean(x)), np.random.default_rng(0))
    of_means = bootstrap([means], lambda x: float(np.mean(x)), np.random.default_rng(0))
    blind = bootstrap([np.concatenate(clusters)], lambda x: float(np.mean(x)), np.random.default_rng(0))
    assert found.value == pytest.approx(of_means.value)
    assert found.interval == pytest.approx(of_means.interval, abs=1e-9)
    assert found.n == 200
    width, blind_width = (estimate.high - estimate.low for estimate in (found, blind))
    assert 2.0 < width / blind_width < 2.5  # as if each value counted as one of its own: by the root of 5 too narrow


def test_a_paired_difference_is_tighter_than_two_separate_ones() -> None:
    rng = np.random.default_rng(3)
    hard = rng.normal(10.0, 5.0, size=100)
    ours, theirs = hard + rng.normal(0.0, 0.1, size=100), hard + 0.2
    paired = paired_bootstrap([ours], [theirs], np.mean, rng)
    assert paired.value == pytest.approx(ours.mean() - theirs.mean())
    assert paired.excludes(0.0)
    assert bootstrap([ours], np.mean, rng).low < theirs.mean()


def test_probability_of_improvement_counts_pairs_and_halves_ties() -> None:
    found = probability_of_improvement([np.array([1.0, 2.0])], [np.array([1.0, 0.0])], np.random.default_rng(4))
    assert found.value == pytest.approx((0.5 + 1.0 + 1.0 + 1.0) / 4)


def test_probability_of_improvement_knows_no_more_than_the_side_with_fewer_runs() -> None:
    rng = np.random.default_rng(7)
    one, many = [np.ones(1)], [np.arange(10.0)]
    assert np.isnan(probability_of_improvement(one, many, rng).low)
    assert np.isnan(probability_of_improvement(many, one, rng).low)
    few, forty = [rng.normal(size=5)], [rng.normal(0.5, size=40)]
    forward, backward = (
        probability_of_improvement(*sides, rng, resamples=4000) for sides in ((forty, few), (few, forty))
    )
    assert forward.value == pytest.approx(1.0 - backward.value)
    assert forward.interval == pytest.approx((1.0 - backward.high, 1.0 - backward.low), abs=0.03)  # of the resamples


def test_the_same_generator_gives_the_same_interval() -> None:
    values = np.arange(20.0)
    a, b = (bootstrap([values], interquartile_mean, np.random.default_rng(5)) for _ in range(2))
    assert a == b


def test_unpaired_items_and_empty_strata_are_refused() -> None:
    rng = np.random.default_rng(6)
    with pytest.raises(ConfigurationError, match="same items on both sides"):
        paired_bootstrap([np.ones(3)], [np.ones(4)], np.mean, rng)
    with pytest.raises(ConfigurationError, match="every stratum needs a value"):
        bootstrap([np.ones(3), np.array([])], np.mean, rng)
    with pytest.raises(ConfigurationError, match="1 and 2 strata"):
        probability_of_improvement([np.ones(3)], [np.ones(3), np.ones(3)], rng)


@pytest.mark.parametrize(("count", "least"), [(5, 0.90), (10, 0.90)])
def test_intervals_of_few_values_and_of_few_clusters_are_as_wide_as_students(count: int, least: float) -> None:
    rng = np.random.default_rng(0)
    plain, runs = 0, 0
    for _ in range(400):
        found = bootstrap([rng.normal(size=count)], np.mean, rng, resamples=500)
        plain += found.low <= 0.0 <= found.high
        clusters = [rng.normal() + rng.normal(size=10) for _ in range(count)]
        found = cluster_bootstrap(clusters, np.mean, rng, resamples=500)
        runs += found.low <= 0.0 <= found.high
    assert least < plain / 400 < 0.99
    assert least < runs / 400 < 0.99


def test_an_interval_over_runs_covers_where_runs_differ_and_of_one_run_tells_of_that_run():
    rng, covered = np.random.default_rng(0), 0
    for _ in range(200):
        runs = [rng.normal() + rng.normal(size=5) for _ in range(10)]  # runs differ as much as their episodes do
        found = bootstrap_runs(runs, np.mean, rng)
        covered += found.low <= 0.0 <= found.high
    assert 0.90 < covered / 200 < 0.99
    alone = bootstrap_runs([rng.normal(size=20)], np.mean, rng)
    assert alone.high > alone.low


def test_one_value_has_no_interval_and_promises_nothing():
    """Its resamples are all alike, which is no certainty."""
    rng = np.random.default_rng(0)
    alone = [np.array([3.0])]
    for found in (
        bootstrap(alone, np.mean, rng),
        cluster_bootstrap([np.array([2.0, 4.0])], np.mean, rng),
        paired_bootstrap(alone, [np.array([0.0])], np.mean, rng),
    ):
        assert found.value == 3.0
        assert np.isnan(found.interval).all()
        assert not found.excludes(0.0)
        assert Figure.told("x", found.value, interval=found.interval).interval is None
        assert not Figure.at_most("upper end", found.high, 100.0).holds
    assert bootstrap([np.array([1.0, 2.0])], np.mean, rng).high == 2.0


def test_a_conformal_quantile_holds_the_next_score_as_often_as_it_says():
    rng = np.random.default_rng(0)
    for count in (9, 15, 40):
        drawn = rng.lognormal(size=(4000, count + 1))
        held = np.mean([row[-1] <= conformal_quantile(row[:-1].tolist(), 0.9) for row in drawn])
        assert 0.9 - 0.015 < held < 0.9 + 1.0 / (count + 1) + 0.015
