"""The Gaussian sum of impacts under test: what it starts with, what it tells, and what it drops."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from worldsim.filtering.density import Density
from worldsim.hypotheses.impact import FIRST_STAYS, FREE, LAW, SECOND_STAYS, ImpactTests, components
from worldsim.types import ObjectStates


def rows(count: int) -> Density:
    none = torch.zeros(count, 3, dtype=torch.float64)
    upright = torch.tensor([[0.0, 0.0, 0.0, 1.0]], dtype=torch.float64).repeat(count, 1)
    states = ObjectStates(none, upright, none, none, none)
    return Density(states, torch.zeros(count, 8).double(), torch.eye(20).double().repeat(count, 1, 1))


def of_one_pair(hypothesis: list[int], log_weight: list[float]) -> ImpactTests:
    many = len(hypothesis)
    none = ImpactTests.none(rows(2))
    return dataclasses.replace(
        none,
        pair=np.array([[3, 7]]),
        since=np.zeros(1, dtype=np.int64),
        met=np.ones(1, dtype=bool),
        frames=np.zeros(1, dtype=np.int64),
        told=np.zeros(1, dtype=bool),
        test=np.zeros(many, dtype=np.int64),
        hypothesis=np.array(hypothesis),
        heavier=np.ones((many, 2)),
        log_weight=np.array(log_weight),
        density=rows(2 * many),
    )


def test_a_test_starts_without_a_preference_and_with_the_spread_of_the_masses() -> None:
    hypothesis, heavier, log_weight = components(np.array([0.5]))
    start = of_one_pair(hypothesis.tolist(), log_weight.tolist())
    assert start.log_ratio()[0] == pytest.approx(0.0, abs=1e-12)
    law = hypothesis == LAW
    ratio, weight = np.log(heavier[0, law, 1]), np.exp(log_weight[law])
    assert float(weight @ ratio) == pytest.approx(0.0, abs=1e-12)
    assert float(weight @ ratio**2) == pytest.approx(0.25)
    assert set(hypothesis[~law]) == {FREE, FIRST_STAYS, SECOND_STAYS}
    assert heavier[0, hypothesis == FIRST_STAYS, 0] > 1e3
    assert heavier[0, hypothesis == SECOND_STAYS, 1] > 1e3


def test_what_is_dropped_leaves_the_weight_of_its_hypothesis_to_the_others() -> None:
    sum_before = of_one_pair([LAW, LAW, FREE, FREE, FREE], [0.0, -40.0, -1.0, -2.0, -3.0])
    kept, log_weight = sum_before.lightened()
    assert kept.tolist() == [0, 2, 3]  # one is too light, of the third hypothesis no more than two are kept
    after = of_one_pair([LAW, FREE, FREE], log_weight.tolist())
    assert after.log_ratio()[0] == pytest.approx(sum_before.log_ratio()[0])
