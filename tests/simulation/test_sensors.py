"""The detector's faults have the size that its covariance says."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats
from scipy.spatial.transform import Rotation

from worldsim.errors import ConfigurationError
from worldsim.simulation.sensors import Detector, ExactSensor
from worldsim.types.observation import Viewpoints
from worldsim.types.truth import WorldTruth

N = 40


def _truth() -> WorldTruth:
    rng = np.random.default_rng(1)
    orientation = rng.standard_normal((N, 4))
    position = np.column_stack([np.arange(N) * 1.0, rng.uniform(-3.0, 3.0, size=(N, 2))])
    return WorldTruth(
        time_s=1.5,
        names=("robot", *(f"body_{i}" for i in range(1, N))),
        kinds=("robot",) + ("crate",) * (N - 1),
        position=position,
        orientation_xyzw=orientation / np.linalg.norm(orientation, axis=1, keepdims=True),
        linear_velocity=rng.standard_normal((N, 3)),
        angular_velocity=rng.standard_normal((N, 3)),
        extent_m=rng.uniform(0.2, 1.0, size=(N, 3)),
        visible=np.ones(N, dtype=bool),
        ego="robot",
        appearance=rng.uniform(0.2, 0.8, size=(N, 12)),
        viewpoints=Viewpoints(np.array([[0.0, 0.0, 5.0], [40.0, 0.0, 5.0]]), np.array([60.0, 60.0])),
    )


def test_errors_of_pose_have_the_covariance_that_is_reported() -> None:
    truth, rng = _truth(), np.random.default_rng(2)
    sensor = Detector(clutter_per_frame=0.0)
    nis = []
    for _ in range(150):
        d = sensor.observe(truth, rng).detections
        row = np.abs(d.position[:, None] - truth.position[None]).sum(axis=2).argmin(axis=1)  # a metre apart: no doubt
        turn = Rotation.from_quat(d.orientation_xyzw) * Rotation.from_quat(truth.orientation_xyzw[row]).inv()
        error = np.concatenate([d.position - truth.position[row], turn.as_rotvec()], axis=1)
        nis.append(np.einsum("di,dij,dj->d", error, np.linalg.inv(d.covariance), error))
    total, dof = np.concatenate(nis).sum(), 6 * len(np.concatenate(nis))
    low, high = stats.chi2.ppf(
        (0.0005, 0.9995), dof
    )  # a sound sensor fails in one seed of a thousand; this one is fixed
    assert low < total < high


def test_the_noise_grows_with_the_distance_to_the_nearest_viewpoint() -> None:
    sensor, truth = Detector(), _truth()
    near, far = sensor.position_std(truth, np.array([[0.0, 0.0, 4.0], [20.0, 0.0, 5.0]]))
    assert near == pytest.approx(sensor.position_std_m + sensor.position_std_per_m * 1.0)
    assert far == pytest.approx(sensor.position_std_m + sensor.position_std_per_m * 20.0)


def test_misses_and_clutter_come_at_their_rates() -> None:
    truth, rng = _truth(), np.random.default_rng(3)
    sensor = Detector(detection_probability=0.9, clutter_per_frame=0.5)
    frames = 400
    real = made_up = 0
    for _ in range(frames):
        d = sensor.observe(truth, rng).detections
        close = np.linalg.norm(d.position[:, None] - truth.position[None], axis=2).min(axis=1) < 0.2
        real, made_up = real + int(close.sum()), made_up + int((~close).sum())
    seen = stats.binom.interval(0.999, frames * (N - 1), 0.9)
    # a made-up detection falls within 0.2 m of a body in a few of a thousand cases: within the interval's slack
    clutter = stats.poisson.interval(0.999, frames * 0.5)
    assert seen[0] <= real <= seen[1] + 5
    assert clutter[0] - 5 <= made_up <= clutter[1]


def test_detections_carry_no_order_and_no_name() -> None:
    truth, rng = _truth(), np.random.default_rng(4)
    sensor = Detector(detection_probability=1.0, clutter_per_frame=0.0)
    orders = [tuple(np.argsort(sensor.observe(truth, rng).detections.position[:, 0])) for _ in range(3)]
    assert len(set(orders)) == 3
    mean_place = np.mean([np.argsort(np.argsort(o)) for o in orders])
    assert mean_place == pytest.approx((N - 2) / 2.0)


def test_the_own_body_and_what_is_out_of_view_are_not_detected() -> None:
    truth = _truth()
    hidden = replace(truth, visible=np.arange(N) < 3)
    found = Detector(detection_probability=1.0, clutter_per_frame=0.0).observe(hidden, np.random.default_rng(5))
    assert len(found.detections) == 2
    assert found.ego is not None
    assert np.linalg.norm(found.ego.position - truth.position[0]) < 0.05


def test_the_exact_sensor_gives_the_truth_but_nothing_that_is_absent() -> None:
    truth = replace(_truth(), absent=frozenset({"body_7"}), visible=np.zeros(N, dtype=bool))
    found = ExactSensor().observe(truth, np.random.default_rng(6))
    kept = [i for i in range(1, N) if i != 7]
    np.testing.assert_array_equal(found.detections.position, truth.position[kept])
    np.testing.assert_array_equal(found.detections.extent_m, truth.extent_m[kept])
    assert found.detections.finite_rows().all()


def test_an_impossible_detector_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"detection_probability is 1.2"):
        Detector(detection_probability=1.2)
    with pytest.raises(ConfigurationError, match="ExactSensor"):
        Detector(position_std_m=0.0)
