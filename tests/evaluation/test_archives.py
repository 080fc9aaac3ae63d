"""Files of arrays that anybody may have made."""

from __future__ import annotations

import numpy as np
import pytest

from worldsim.errors import DataError
from worldsim.evaluation.archives import read_arrays
from worldsim.evaluation.transfer.drops import load_drops
from worldsim.evaluation.transfer.elbow_toss import load_elbow


def test_arrays_come_back_by_name(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.arange(3), y=np.zeros(2))
    assert set(read_arrays(tmp_path / "a.npz", "numbers")) == {"x", "y"}
    assert read_arrays(tmp_path / "a.npz", "numbers", ["x"])["x"].tolist() == [0, 1, 2]


def test_every_fault_of_a_file_is_one_line_that_names_it(tmp_path):
    whole = tmp_path / "a.npz"
    np.savez(whole, x=np.arange(1000))
    (tmp_path / "half.npz").write_bytes(whole.read_bytes()[:2000])
    (tmp_path / "card.json").write_text('{"half": ')
    np.savez(tmp_path / "objects.npz", x=np.array([{"no": "data"}], dtype=object))
    for name, says in (
        ("none.npz", "there is no such file"),
        ("half.npz", "it is damaged"),
        ("card.json", "it is no .npz file"),
        ("a.npz", r"it lacks \['y'\]; it has \['x'\]"),
    ):
        with pytest.raises(DataError, match=rf"{name} cannot be read as numbers: {says}"):
            read_arrays(tmp_path / name, "numbers", ["x", "y"])
    with pytest.raises(DataError, match="it is damaged"):
        read_arrays(tmp_path / "objects.npz", "numbers")


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"joint": np.zeros((2, 19))}, r"'joint' has shape \(2, 19\), expected \(2, 20\)"),
        ({"pos": np.zeros(20)}, r"'pos' has shape \(20,\)"),
        ({"split": np.zeros(1)}, r"'split' has shape \(1,\), expected \(2,\)"),
        ({"vel": np.full((2, 20, 3), np.nan)}, r"'vel' has a value at \[0, 0, 0\] that is not finite"),
        ({"quat_wxyz": np.zeros((2, 20, 4))}, "'quat_wxyz' has length 0"),
    ],
)
def test_elbow_tosses_of_other_shapes_or_with_gaps_are_refused(tmp_path, wrong, says):
    place, scalar = np.zeros((2, 20, 3)), np.zeros((2, 20))
    whole = {"pos": place, "vel": place, "angvel_body": place, "joint": scalar, "joint_vel": scalar,
             "quat_wxyz": np.tile([1.0, 0.0, 0.0, 0.0], (2, 20, 1)), "split": np.zeros(2)}  # fmt: skip
    np.savez(tmp_path / "e.npz", **whole)
    assert len(load_elbow(tmp_path / "e.npz", "train")) == 2
    np.savez(tmp_path / "e.npz", **whole | wrong)
    with pytest.raises(DataError, match=says):
        load_elbow(tmp_path / "e.npz", "train")


def test_a_recording_of_another_rate_is_refused_where_horizons_are_frames(tmp_path):
    meta = np.array('{"rate_hz": 500.0}')
    np.savez(tmp_path / "d.npz", square=np.zeros((1, 30, 6)), split=np.zeros(1), meta=meta)
    with pytest.raises(DataError, match=r"rate_hz 500, expected 250: horizons are counted in frames\. Resample it"):
        load_drops(tmp_path / "d.npz", "train")
    place, scalar = np.zeros((1, 20, 3)), np.zeros((1, 20))
    np.savez(tmp_path / "e.npz", pos=place, vel=place, angvel_body=place, joint=scalar, joint_vel=scalar,
             quat_wxyz=np.tile([1.0, 0.0, 0.0, 0.0], (1, 20, 1)), split=np.zeros(1), meta=meta)  # fmt: skip
    with pytest.raises(DataError, match="rate_hz 500, expected 148"):
        load_elbow(tmp_path / "e.npz", "train")


def test_drops_whose_rate_is_not_told_are_refused(tmp_path):
    np.savez(tmp_path / "d.npz", square=np.zeros((1, 30, 6)), split=np.zeros(1), meta=np.array("{}"))
    with pytest.raises(DataError, match="its meta has rate_hz None, expected a number"):
        load_drops(tmp_path / "d.npz", "train")
