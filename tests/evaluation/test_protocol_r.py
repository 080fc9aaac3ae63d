"""Protocol R: starts, windows and scores, on hand-made tosses."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from worldsim.dynamics import ContactSettings
from worldsim.errors import DataError, UnknownNameError
from worldsim.evaluation.protocol_r import Tosses, load_tosses, protocol_start, score, windows
from worldsim.inference.identification import CUBE_PRIORS, Identifier, box_parameters
from worldsim.inference.rigid_rollout import BoxStart, roll_out
from worldsim.inference.toss_prediction import Calibration, predict

RATE_HZ = 148.0
SETTINGS = ContactSettings(substeps=2, iterations=8)


def simulated(count: int, frames: int, friction: float, seed: int) -> Tosses:
    """Return tosses of a cube of known friction, recorded as the real ones are: with backward differences."""
    g = torch.Generator().manual_seed(seed)
    start = BoxStart(
        torch.cat([torch.zeros(count, 2), 0.12 * torch.ones(count, 1)], dim=1),
        torch.nn.functional.normalize(torch.randn(count, 4, generator=g), dim=1),
        torch.randn(count, 3, generator=g) + torch.tensor([1.5, 0.0, 0.0]),
        4.0 * torch.randn(count, 3, generator=g),
    )
    natural = np.array([[p.mean for p in CUBE_PRIORS]])
    natural[0, 0] = friction
    position, orientation = roll_out(
        start, box_parameters(natural, count, start.position), frames, 1 / RATE_HZ, SETTINGS
    )
    p, q = position.double().numpy(), orientation.double().numpy()
    step = (Rotation.from_quat(q[:-1].reshape(-1, 4)).inv() * Rotation.from_quat(q[1:].reshape(-1, 4))).as_rotvec()
    spin = step.reshape(frames - 1, count, 3) * RATE_HZ
    velocity = np.diff(p, axis=0) * RATE_HZ
    first_v = start.linear_velocity.double().numpy() + np.array([0.0, 0.0, 9.81 / (2 * RATE_HZ)])
    return Tosses(
        p,
        q,
        np.concatenate([first_v[None], velocity]),
        np.concatenate([spin[:1], spin]),
        np.full(count, frames),
        RATE_HZ,
    )


def write(path: Path, tosses: Tosses, split: list[int]) -> Path:
    length, count = tosses.position.shape[:2]
    flat = {
        "pos": tosses.position.transpose(1, 0, 2).reshape(-1, 3),
        "quat_wxyz": tosses.orientation_xyzw.transpose(1, 0, 2).reshape(-1, 4)[:, [3, 0, 1, 2]],
        "vel": tosses.linear_velocity.transpose(1, 0, 2).reshape(-1, 3),
        "angvel_body": tosses.angular_velocity.transpose(1, 0, 2).reshape(-1, 3),
    }
    offsets = np.arange(count + 1) * length
    meta = np.array(json.dumps({"rate_hz": RATE_HZ}))
    np.savez(path, allow_pickle=False, **flat, offsets=offsets, split=np.array(split), meta=meta)
    return path


@pytest.fixture(scope="module")
def tosses() -> Tosses:
    return simulated(4, 60, friction=0.2, seed=0)


def test_a_perfect_prediction_has_no_error_and_a_shifted_one_the_shift(tosses: Tosses) -> None:
    perfect = score(tosses, tosses.position, tosses.orientation_xyzw)
    assert perfect.position_m.max() == 0.0
    assert perfect.rotation_rad.max() < 1e-6
    assert perfect.right_face.all()
    shifted = score(tosses, tosses.position + np.array([0.0, 0.003, 0.004]), tosses.orientation_xyzw)
    np.testing.assert_allclose(shifted.position_m, 0.005, rtol=1e-9)


def test_the_start_of_protocol_r_predicts_what_was_simulated(tosses: Tosses) -> None:
    natural = np.array([[p.mean for p in CUBE_PRIORS]])
    start = protocol_start(tosses)
    position, orientation = roll_out(start, box_parameters(natural, 4, start.position), 60, 1 / RATE_HZ, SETTINGS)
    errors = score(tosses, position.double().numpy(), orientation.double().numpy())
    # Float32 and a spin taken over one frame; before the first impact nothing else differs.
    assert errors.by_frame_position_m[8].max() < 2e-4
    assert np.median(errors.position_m) < 5e-3


def test_turning_and_shifting_a_toss_leaves_its_errors(tosses: Tosses) -> None:
    turn = Rotation.from_euler("z", 0.8)
    moved = Tosses(
        turn.apply(tosses.position.reshape(-1, 3)).reshape(tosses.position.shape) + np.array([0.3, -0.2, 0.0]),
        (turn * Rotation.from_quat(tosses.orientation_xyzw.reshape(-1, 4))).as_quat().reshape(60, 4, 4),
        turn.apply(tosses.linear_velocity.reshape(-1, 3)).reshape(tosses.position.shape),
        tosses.angular_velocity,
        tosses.frames,
        RATE_HZ,
    )
    natural = np.array([[p.mean for p in CUBE_PRIORS]])
    found = []
    for each in (tosses, moved):
        start = protocol_start(each, torch.float64)
        p, q = roll_out(start, box_parameters(natural, 4, start.position), 60, 1 / RATE_HZ, SETTINGS)
        found.append(score(each, p.numpy(), q.numpy()))
    np.testing.assert_allclose(found[1].position_m, found[0].position_m, rtol=1e-3)
    np.testing.assert_allclose(found[1].rotation_rad, found[0].rotation_rad, rtol=1e-3)


def test_windows_start_where_no_impact_lies(tosses: Tosses) -> None:
    found = windows(tosses, length=10, stride=6, most=5)
    assert found.position.shape[0] == 11
    assert 4 <= found.position.shape[1] <= 20
    natural = np.array([[p.mean for p in CUBE_PRIORS]])
    width = found.position.shape[1]
    position, _ = roll_out(found.start, box_parameters(natural, width, found.position), 11, found.dt_s, SETTINGS)
    # Ten frames ahead with the true parameters: what is left is the start's velocity in sliding and float32.
    assert (position[10] - found.position[10]).norm(dim=-1).median() < 2e-3


def test_watching_tosses_finds_the_friction_that_made_them() -> None:
    watched = simulated(6, 50, friction=0.32, seed=1)
    identifier = Identifier(particles=48, horizons=(8, 16, 24), temperature=0.1)
    rng = np.random.default_rng(0)
    cloud = identifier.begin(rng)
    prior_width = np.ptp(cloud.interval()["friction"][1:])
    for index in range(0, 6, 2):
        part = watched.select(np.arange(index, index + 2))
        cloud = identifier.assimilate(cloud, windows(part, 24, 10, 3), 2, rng)
    middle, low, high = cloud.interval(0.98)["friction"]
    assert low < 0.32 < high
    assert abs(middle - 0.32) < 0.06
    assert high - low < 0.8 * prior_width
    assert cloud.tosses == 6


def test_a_prediction_carries_its_samples_and_its_calibration_widens_what_was_too_narrow(tosses: Tosses) -> None:
    identifier, rng = Identifier(particles=16), np.random.default_rng(0)
    cloud = identifier.begin(rng)
    prediction = predict(identifier, cloud, protocol_start(tosses), 60, 1 / RATE_HZ, 6, rng)
    assert prediction.samples.shape == (6, 60, 4, 3)
    assert np.isfinite(prediction.position).all()
    np.testing.assert_allclose(Calibration().factors(3), 1.645)
    far = tosses.position + 5.0 * np.sqrt(prediction.spread_m**2 + 1e-3)
    calibration = Calibration()
    for _ in range(10):
        calibration = calibration.watched(prediction, far, tosses.scored)
    assert (calibration.factors(60)[5:] > 2.0).all()


def test_files_are_read_by_split_and_bad_ones_are_refused(tmp_path: Path, tosses: Tosses) -> None:
    path = write(tmp_path / "t.npz", tosses, [0, 1, -1, 2])
    assert len(load_tosses(path, "train")) == 1
    assert len(load_tosses(path, "held-out")) == 2
    np.testing.assert_allclose(load_tosses(path, "dev").position[:, 0], tosses.position[:, 1], atol=1e-6)
    with pytest.raises(UnknownNameError, match="split 'tran'"):
        load_tosses(path, "tran")
    with pytest.raises(DataError, match="cannot be read"):
        load_tosses(tmp_path / "nothing.npz", "dev")
    with np.load(path) as file:
        good = {name: file[name] for name in file.files}
    gone = good["pos"].copy()
    gone[7, 1] = np.nan
    for wrong, says in (
        ({"pos": gone}, r"'pos' has a value at \[7, 1\] that is not finite"),
        ({"quat_wxyz": good["quat_wxyz"][:, :3]}, r"'quat_wxyz' has shape \(240, 3\)"),
        ({"vel": good["vel"][:-9]}, r"'vel' has shape \(231, 3\)"),
        ({"offsets": np.array([0, 60, 60, 180, 240])}, "item 1 has fewer than 2 rows"),
        ({"offsets": np.array([0, 60, 120, 180, 239])}, "5 whole numbers from 0 to 240"),
        ({"meta": np.array(json.dumps({"rate_hz": 0.0}))}, "rate_hz 0"),
    ):
        np.savez(tmp_path / "wrong.npz", **(good | wrong))
        with pytest.raises(DataError, match=says):
            load_tosses(tmp_path / "wrong.npz", "train")
    np.savez(tmp_path / "other.npz", pos=np.zeros(3))
    with pytest.raises(DataError, match="it lacks"):
        load_tosses(tmp_path / "other.npz", "dev")
