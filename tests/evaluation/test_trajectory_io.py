from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from worldsim.errors import DataError
from worldsim.evaluation.trajectory_io import read_trajectory, write_trajectory


@pytest.fixture(scope="module")
def written(log, tmp_path_factory):
    return write_trajectory(log, tmp_path_factory.mktemp("trajectory") / "trajectories.npz")


def test_observations_come_back_bit_for_bit(log, written):
    back = list(read_trajectory(written).observations())
    assert len(back) == len(log.frames)
    for frame, observation in zip(log.frames, back, strict=True):
        assert observation.time_s == frame.time_s
        for name in ("position", "orientation_xyzw", "extent_m", "colour", "appearance", "covariance"):
            wanted = getattr(frame.observation.detections, name)
            np.testing.assert_array_equal(getattr(observation.detections, name), wanted)
        for name in ("position", "linear_velocity", "covariance"):
            np.testing.assert_array_equal(getattr(observation.ego, name), getattr(frame.observation.ego, name))
        np.testing.assert_array_equal(observation.viewpoints.position, frame.observation.viewpoints.position)
        np.testing.assert_array_equal(observation.task["task_holding"], frame.observation.task["task_holding"])


def test_fields_of_view_come_back_also_where_only_some_frames_tell_one(log, tmp_path):
    axis, angle = np.array([[0.6, 0.0, -0.8]]), np.array([0.5])
    frames = []
    for number, frame in enumerate(log.frames[:6]):
        eyes = frame.observation.viewpoints
        told = dataclasses.replace(eyes, axis=axis, half_angle_rad=angle) if number % 2 else eyes
        frames.append(dataclasses.replace(frame, observation=dataclasses.replace(frame.observation, viewpoints=told)))
    back = read_trajectory(write_trajectory(dataclasses.replace(log, frames=tuple(frames)), tmp_path / "t.npz"))
    for frame, observation in zip(frames, back.observations(), strict=True):
        for mine, theirs in zip(frame.observation.viewpoints.cones(), observation.viewpoints.cones(), strict=True):
            if frame.observation.viewpoints.axis is not None:
                np.testing.assert_array_equal(mine, theirs)
        places = np.random.default_rng(0).normal(size=(50, 3)) * 5.0
        reach = observation.viewpoints.reach(places)
        np.testing.assert_array_equal(reach, frame.observation.viewpoints.reach(places))


def test_keys_are_those_of_offline_data_sets(log, written):
    with np.load(written, allow_pickle=False) as archive:
        assert {"actions", "rewards", "terminations", "truncations"} <= set(archive.files)
        assert archive["actions"].shape == (len(log.frames), 3)
        assert archive["terminations"].tolist() == [False] * (len(log.frames) - 1) + [True]
        assert archive["infos/truth/kind"][-1, 7] == "cat"
        assert archive["infos/belief/model_id"][-1, 7] == "cat/tabby-small"
        assert archive["infos/belief/object_id"][0].tolist() == [*range(1, 8), -1]


def test_a_truncated_file_is_refused_with_its_name(written, tmp_path):
    cut = tmp_path / "cut.npz"
    cut.write_bytes(written.read_bytes()[:-200])
    with pytest.raises(DataError, match=r"cut\.npz cannot be read"):
        read_trajectory(cut)


def test_a_file_of_another_format_is_refused(tmp_path):
    np.savez(tmp_path / "other.npz", actions=np.zeros(3))
    with pytest.raises(DataError, match="metadata/format is 'nothing'"):
        read_trajectory(tmp_path / "other.npz")


def test_a_log_without_observations_is_refused(hand_made, tmp_path):
    with pytest.raises(DataError, match="left observations out"):
        write_trajectory(hand_made.make_log(5, observations=False), tmp_path / "a.npz")
    assert list(tmp_path.iterdir()) == []
