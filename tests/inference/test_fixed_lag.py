"""A filter that is rolled back believes what one that knew in time does, at a cost that the lag bounds."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest

from worldsim.inference.fixed_lag import FixedLag


@dataclass(frozen=True)
class Walk:
    """A Kalman filter of a random walk whose pace may change."""

    mean: float = 0.0
    variance: float = 1.0
    pace: float = 0.1

    def step(self, seen: float) -> Walk:
        ahead = self.variance + self.pace
        gain = ahead / (ahead + 0.5)
        return replace(self, mean=self.mean + gain * (seen - self.mean), variance=(1.0 - gain) * ahead)


def quicker(walk: Walk) -> Walk:
    return replace(walk, pace=2.0)


@pytest.fixture
def seen() -> np.ndarray:
    return np.random.default_rng(0).normal(size=30)


def followed(seen: np.ndarray, lag: int) -> tuple[Walk, FixedLag[Walk, float]]:
    walk, kept = Walk(), FixedLag(lag)
    for value in seen:
        kept.keep(walk, value)
        walk = walk.step(value)
    return walk, kept


@pytest.mark.parametrize("late", [1, 4, 8])
def test_after_a_roll_back_the_belief_is_that_of_a_filter_that_knew(seen, late):
    _, kept = followed(seen, 8)
    knew = Walk()
    for place, value in enumerate(seen):
        knew = (quicker(knew) if place == len(seen) - late else knew).step(value)
    assert kept.replay(late, quicker, Walk.step) == knew


def test_a_second_event_is_rolled_back_on_top_of_the_first(seen):
    _, kept = followed(seen, 8)
    kept.replay(6, quicker, Walk.step)
    found = kept.replay(2, lambda walk: replace(walk, pace=0.0), Walk.step)
    knew = Walk()
    for place, value in enumerate(seen):
        knew = quicker(knew) if place == len(seen) - 6 else knew
        knew = replace(knew, pace=0.0) if place == len(seen) - 2 else knew
        knew = knew.step(value)
    assert found == knew


def test_memory_and_work_are_bounded_by_the_lag(seen):
    _, kept = followed(seen, 5)
    steps = []

    def counted(walk: Walk, value: float) -> Walk:
        steps.append(value)
        return walk.step(value)

    kept.replay(1000, quicker, counted)
    assert len(kept) == len(steps) == 5
    assert steps == seen[-5:].tolist()
    kept.forget()
    assert len(kept) == 0
