"""Honest error bars pass, dishonest ones do not, and scores match their closed forms."""

import numpy as np
import pytest
from scipy import stats

from worldsim.errors import ConfigurationError
from worldsim.evaluation.calibration import (
    average_bounds,
    central_interval,
    consistency,
    crps_gaussian,
    crps_samples,
    ellipsoid_coverage,
    energy_score,
    expected_calibration_error,
    interval_coverage,
    normalised_squares,
    reliability_curve,
)


def _correlated(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    factor = rng.normal(size=(n, 3, 3)) + 2.0 * np.eye(3)
    covariance = factor @ factor.transpose(0, 2, 1)
    return (factor @ rng.normal(size=(n, 3, 1)))[..., 0], covariance


def test_errors_drawn_from_their_covariance_pass_the_chi_square_test() -> None:
    error, covariance = _correlated(np.random.default_rng(0), 4000)
    found = consistency(normalised_squares(error, covariance), dof=3)
    assert found.holds
    assert found.median == pytest.approx(found.expected_median, rel=0.05)  # 4,000 draws
    assert found.share_inside == pytest.approx(0.95, abs=0.012)
    assert ellipsoid_coverage(error, covariance, 0.9) == pytest.approx(0.9, abs=0.015)


@pytest.mark.parametrize("size", [20, 64, 100])
def test_one_more_draw_lies_in_the_central_interval_as_often_as_it_says(size: int) -> None:
    rng = np.random.default_rng(5)
    samples, further = rng.standard_normal((size, 20_000)), rng.standard_normal(20_000)
    low, high = central_interval(samples, 0.9)
    assert float(((low <= further) & (further <= high)).mean()) == pytest.approx(0.9, abs=0.008)  # 4 deviations


def test_an_overconfident_filter_fails_the_chi_square_test() -> None:
    error, covariance = _correlated(np.random.default_rng(1), 500)
    assert not consistency(normalised_squares(error, covariance / 1.5), dof=3).holds


def test_the_bounds_of_an_average_are_those_of_the_textbook() -> None:
    low, high = average_bounds(dof=2, n=50)  # Bar-Shalom et al. (2001), section 5.4: [1.5, 2.6]
    assert (round(low, 1), round(high, 1)) == (1.5, 2.6)


def test_interval_coverage_counts_values_inside_the_central_interval() -> None:
    z = np.array([-1.7, -1.6, 0.0, 1.6, 1.7])  # the 90 % interval ends at 1.645
    assert interval_coverage(z, np.zeros(5), np.ones(5), 0.9) == pytest.approx(0.6)


def test_a_calibrated_forecaster_lies_on_the_diagonal() -> None:
    rng = np.random.default_rng(2)
    stated = rng.uniform(size=20000)
    assert expected_calibration_error(stated, rng.uniform(size=20000) < stated) < 0.02
    assert expected_calibration_error(stated, rng.uniform(size=20000) < stated**2) > 0.1


def test_a_reliability_curve_by_hand() -> None:
    curve = reliability_curve(np.array([0.1, 0.1, 0.9, 1.0]), np.array([False, True, True, True]), bins=2)
    np.testing.assert_allclose(curve.stated, [0.1, 0.95])
    np.testing.assert_allclose(curve.happened, [0.5, 1.0])
    assert expected_calibration_error(np.array([0.1, 0.1, 0.9, 1.0]), np.array([0, 1, 1, 1]), 2) == pytest.approx(
        0.5 * 0.4 + 0.5 * 0.05
    )


def test_the_crps_of_a_gaussian_matches_the_integral_of_its_definition() -> None:
    x = np.linspace(-12.0, 12.0, 200001)
    for observed, mean, std in [(0.3, 0.0, 1.0), (-2.0, 1.0, 0.5)]:
        integral = np.trapezoid((stats.norm.cdf(x, mean, std) - (x >= observed)) ** 2, x)
        found = crps_gaussian(np.array([observed]), np.array([mean]), np.array([std]))[0]
        assert found == pytest.approx(integral, abs=2e-4)  # the step of the grid


def test_an_ensemble_s_crps_tends_to_the_closed_form() -> None:
    samples = np.random.default_rng(3).normal(1.0, 2.0, size=(2000, 1))
    observed = np.array([0.0])
    expected = crps_gaussian(observed, np.array([1.0]), np.array([2.0]))[0]
    assert crps_samples(samples, observed)[0] == pytest.approx(expected, abs=0.05)  # 2,000 samples


def test_the_energy_score_prefers_the_right_spread() -> None:
    rng = np.random.default_rng(4)
    observed = rng.normal(size=(3000, 2))
    scores = {s: energy_score(rng.normal(0.0, s, size=(20, 3000, 2)), observed).mean() for s in (0.3, 1.0, 3.0)}
    assert min(scores, key=scores.__getitem__) == 1.0


def test_the_energy_score_of_two_samples_by_hand() -> None:
    samples = np.array([[[0.0, 0.0]], [[3.0, 4.0]]])
    assert energy_score(samples, np.array([[0.0, 0.0]]))[0] == pytest.approx((0.0 + 5.0) / 2 - 5.0 / 2)


def test_bad_input_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="outside"):
        reliability_curve(np.array([1.2]), np.array([True]))
    with pytest.raises(ConfigurationError, match="at least two samples"):
        energy_score(np.zeros((1, 3, 2)), np.zeros((3, 2)))
    with pytest.raises(ConfigurationError, match="finite"):
        consistency(np.array([1.0, np.nan]), dof=3)
