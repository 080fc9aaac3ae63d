"""Forecasts that are watched beside an episode: what is asked, what comes true, and what it costs."""

from __future__ import annotations

import dataclasses
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from worldsim.evaluation.calibration import crps_gaussian
from worldsim.evaluation.foreseeing import ForecastWatch
from worldsim.types.truth import WorldTruth

STILL = np.zeros((2, 3))


class Believer:
    """Believes one thing where it is told, and that it will be `ahead` from there in a second."""

    def __init__(self, at: tuple[float, float], ahead: tuple[float, float]) -> None:
        """Believe it."""
        self.belief = SimpleNamespace(slot_of=lambda _: 0, position=torch.tensor([[*at, 0.0]]))
        self._forecast = SimpleNamespace(
            object_id=torch.tensor([7]),
            position=torch.tensor([[[at[0] + ahead[0], at[1] + ahead[1], 0.0]]]),
            position_std=torch.full((1, 1, 3), 0.1),
        )

    def forecast(self, horizon_s: float, dt_s: float) -> SimpleNamespace:
        """Return it."""
        assert horizon_s == dt_s == 1.0
        return self._forecast


def truth(time_s: float, x: float, speed: float) -> WorldTruth:
    place, velocity = np.array([[0.0, 0.0, 0.0], [x, 0.0, 0.0]]), np.array([[0.0, 0.0, 0.0], [speed, 0.0, 0.0]])
    turned = np.tile([0.0, 0.0, 0.0, 1.0], (2, 1))
    made = WorldTruth(
        time_s, ("robot", "dog"), ("robot", "dog"), place, turned, velocity, STILL, STILL + 0.3, STILL > 0
    )
    return dataclasses.replace(made, ego="robot")


def test_what_moves_is_scored_by_where_it_is_a_second_later():
    watch, believer = ForecastWatch(), Believer((2.1, 0.0), (0.9, 0.0))
    for k in range(21):
        watch(truth(0.05 * k, 2.0 + 0.04 * k, 0.8), believer)
    expected = crps_gaussian(np.array([2.8, 0.0]), np.array([3.0, 0.0]), np.array([0.1, 0.1])).sum()
    assert watch.errors_m == [pytest.approx(expected, rel=1e-5)]
    assert watch.mean_m == pytest.approx(expected, rel=1e-5)


def test_who_has_left_meanwhile_is_not_scored_where_it_waits():
    watch, believer = ForecastWatch(), Believer((2.1, 0.0), (0.9, 0.0))
    for k in range(20):
        watch(truth(0.05 * k, 2.0 + 0.04 * k, 0.8), believer)
    watch(dataclasses.replace(truth(1.0, 60.0, 0.0), absent=frozenset({"dog"})), believer)
    assert watch.errors_m == []


@pytest.mark.parametrize(("speed", "believed_at"), [(0.0, (2.0, 0.0)), (0.8, (5.0, 0.0))], ids=["still", "unbelieved"])
def test_what_stands_or_is_not_believed_is_not_scored(speed, believed_at):
    watch = ForecastWatch()
    for k in range(30):
        watch(truth(0.05 * k, 2.0, speed), Believer(believed_at, (0.0, 0.0)))
    assert watch.errors_m == []
    assert math.isnan(watch.mean_m)
