from __future__ import annotations

import numpy as np
import pytest

from worldsim.evaluation.cat_trackers import ConstantVelocityTracker

SENSOR_STD_M = 0.02
COVARIANCE = SENSOR_STD_M**2 * np.eye(3)


def follow(path, rng, *, dt_s=0.05, frames=200):
    tracker = ConstantVelocityTracker()
    for k in range(frames):
        tracker.correct(k * dt_s, path(k * dt_s) + SENSOR_STD_M * rng.standard_normal(3), COVARIANCE)
    return tracker


def test_straight_motion_is_foreseen_to_centimetres():
    tracker = follow(lambda t: np.array([1.2 * t, -0.4 * t, 0.15]), np.random.default_rng(0))
    mean, std = tracker.forecast(tracker.time_s + 1.0)
    t = tracker.time_s + 1.0
    # Its stiffest filter holds 3.7 cm an axis possible after 1 s; 12 cm is more than three of its standard deviations.
    assert np.linalg.norm(mean - [1.2 * t, -0.4 * t, 0.15]) < 0.12
    assert (std < 0.06).all()


def test_its_bank_beats_a_single_filter_of_the_wrong_noise():
    """A path that turns: the weights must move to a filter that follows, away from the stiffest."""
    tracker = follow(lambda t: np.array([np.cos(2 * t), np.sin(2 * t), 0.15]), np.random.default_rng(1))
    stiffest, best = tracker.log_weight[0], tracker.log_weight.max()
    assert best - stiffest > 20.0


def test_its_90_percent_interval_holds_on_the_motion_it_was_made_for():
    """White acceleration noise of an intensity in its bank: coverage near 0.9 (64 runs x 3 axes, so +- 0.06)."""
    rng, covered, dt_s, intensity = np.random.default_rng(2), [], 0.05, 0.1
    for _ in range(64):
        velocity = position = np.zeros(3)
        tracker = ConstantVelocityTracker()
        for k in range(100):
            tracker.correct(k * dt_s, position + SENSOR_STD_M * rng.standard_normal(3), COVARIANCE)
            velocity = velocity + np.sqrt(intensity * dt_s) * rng.standard_normal(3)
            position = position + dt_s * velocity
        mean, std = tracker.forecast(99 * dt_s + 1.0)
        for _ in range(20):
            position = position + dt_s * velocity
            velocity = velocity + np.sqrt(intensity * dt_s) * rng.standard_normal(3)
        covered.append(np.abs(mean - position) < 1.645 * std)
    assert 0.80 < np.mean(covered) < 0.98


def test_a_forecast_before_any_detection_is_refused():
    with pytest.raises(ValueError, match="no detection"):
        ConstantVelocityTracker().forecast(1.0)


def test_its_covariances_stay_symmetric_and_positive():
    tracker = follow(lambda t: np.array([t, 0.0, 0.0]), np.random.default_rng(3), frames=2000)
    np.testing.assert_allclose(tracker.covariance, tracker.covariance.transpose(0, 2, 1), atol=1e-9)
    assert (np.linalg.eigvalsh(tracker.covariance) > 0).all()
