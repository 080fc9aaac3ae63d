"""The benchmark's own parts: what it keeps of an interrupted run, and the instances it asks about."""

from __future__ import annotations

import numpy as np

from worldsim.evaluation.bench import Figure
from worldsim.evaluation.bench_registry import _once
from worldsim.evaluation.registry_queries import noisy_query, share_interval


def test_a_stage_that_was_measured_is_not_measured_again_unless_it_is_another(tmp_path):
    measured = []

    def stage() -> list[Figure]:
        measured.append(1)
        return [Figure.at_most("latency", 1.5, 2.0, unit="ms", n=7, interval=(1.0, 2.0), baselines={"ping": 0.5}),
                Figure.told("count", float(len(measured)))]  # fmt: skip

    file = tmp_path / "stages" / "answer.json"
    first = _once(file, {"commit": "a"}, stage)
    assert _once(file, {"commit": "a"}, stage) == first
    assert len(measured) == 1
    assert _once(file, {"commit": "b"}, stage)[1].value == 2.0


def test_an_instance_differs_from_its_card_by_no_more_than_its_spread_and_the_noise(cat_card):
    rng = np.random.default_rng(0)
    queries = [noisy_query(cat_card, rng) for _ in range(400)]
    sizes = np.array([query.extent_m for query in queries])
    np.testing.assert_allclose(sizes.mean(axis=0), cat_card.shape.extent_m, rtol=0.02)  # 3 standard errors
    assert {tuple(sorted(query.motion)) for query in queries} == {("height", "speed_mean")}
    assert all(query.kind is None for query in queries)  # the answer is not in the question


def test_the_interval_of_a_share_holds_it():
    low, high = share_interval(np.array([1.0] * 99 + [0.0]))
    assert 0.94 < low < 0.99 < high < 1.0
