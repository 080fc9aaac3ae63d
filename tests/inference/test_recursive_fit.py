"""The recursive Gauss-Newton belief: exact where least squares is, robust where it is not."""

from __future__ import annotations

import numpy as np

from worldsim.inference.recursive_fit import GaussianBelief, RecursiveFit
from worldsim.types.card import ParameterPrior

PRIORS = (ParameterPrior("slope", 1.0, 2.0), ParameterPrior("offset", 0.5, 1.0, "m", "log"))


def line(natural: np.ndarray, x: np.ndarray) -> np.ndarray:
    return natural[:, :1, None] * x + natural[:, 1:, None]


def batches(slope: float, offset: float, noise: float, seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    rng = np.random.default_rng(seed)
    drawn = []
    for _ in range(20):
        x = rng.uniform(-1.0, 1.0, (5, 4))
        drawn.append((x, slope * x + offset + noise * rng.standard_normal((5, 4))))
    return drawn


def watched(fit: RecursiveFit, data: list[tuple[np.ndarray, np.ndarray]]) -> GaussianBelief:
    belief = GaussianBelief.prior(PRIORS, miss_scale=0.05)
    for x, y in data:
        belief = fit.correct(belief, lambda natural, x=x, y=y: line(natural, x) - y)
    return belief


def test_windows_of_a_line_find_the_line() -> None:
    belief = watched(RecursiveFit(independent=4.0), batches(-0.7, 0.3, 0.05, seed=0))
    found = belief.interval(2.6)
    assert found["slope"][1] < -0.7 < found["slope"][2]
    assert found["offset"][1] < 0.3 < found["offset"][2]
    assert abs(found["slope"][0] + 0.7) < 0.03
    assert belief.windows == 100


def test_a_window_that_is_wrong_by_far_weighs_little_and_one_that_is_lost_nothing() -> None:
    data = batches(-0.7, 0.3, 0.05, seed=1)
    data[7][1][2] += 50.0
    data[9][1][0] = np.nan
    assert abs(watched(RecursiveFit(independent=4.0), data).interval()["slope"][0] + 0.7) < 0.05


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    inside = []
    for seed in range(60):
        found = watched(RecursiveFit(independent=4.0, student_dof=1e6), batches(0.4, 0.8, 0.05, seed)).interval()
        inside += [found["slope"][1] < 0.4 < found["slope"][2], found["offset"][1] < 0.8 < found["offset"][2]]
    # 120 draws of a share of 0.9: three standard deviations are 0.08. The learned noise scale is a median, which is
    # a little below the standard deviation.
    assert 0.80 <= np.mean(inside) <= 0.98


def test_another_instance_is_believed_more_loosely() -> None:
    belief = watched(RecursiveFit(), batches(-0.7, 0.3, 0.05, seed=2))
    wider = belief.widened(0.5)
    assert (np.diag(wider.covariance) > np.diag(belief.covariance)).all()
    np.testing.assert_allclose(wider.covariance - belief.covariance, np.diag([1.0, 0.25]), atol=1e-9)
