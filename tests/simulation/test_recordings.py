"""The loaders read what was recorded: units, frames, noise; and refuse what is damaged."""

from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from tests.simulation.hand_made_recordings import RATE_HZ, write_crowd, write_cube_tosses
from worldsim.errors import DataError, UnknownNameError
from worldsim.evaluation.datasets import find_data
from worldsim.simulation.recordings import LOADERS, load_clips
from worldsim.simulation.recordings.clip import backward_spin, backward_velocity
from worldsim.simulation.recordings.crowd import annotation_noise


def _published(name: str) -> Path:
    try:
        return find_data(name)
    except DataError:
        pytest.skip(f"data set {name} is not on this machine (worldsim data fetch {name})")


def test_a_cube_toss_keeps_its_pose_and_turns_its_rates_to_the_world(tmp_path: Path) -> None:
    clip = load_clips("cube-toss", write_cube_tosses(tmp_path / "cube.npz"))[0]
    assert clip.duration_s == pytest.approx(11 / RATE_HZ)
    np.testing.assert_allclose(clip.position[0, 0], [0.1, 0.0, 0.5], atol=1e-7)
    turn = Rotation.from_quat(clip.orientation_xyzw[-1, 0]) * Rotation.from_quat(clip.orientation_xyzw[0, 0]).inv()
    np.testing.assert_allclose(turn.as_rotvec(), [2.0 * clip.duration_s, 0.0, 0.0], atol=1e-6)
    np.testing.assert_allclose(clip.angular_velocity[:, 0], np.tile([2.0, 0.0, 0.0], (12, 1)), atol=0.05)


def test_a_split_is_chosen_by_name(tmp_path: Path) -> None:
    path = write_cube_tosses(tmp_path / "cube.npz", tosses=5)
    assert [clip.name for clip in load_clips("cube-toss", path, "dev")] == ["toss-2", "toss-4"]
    with pytest.raises(UnknownNameError, match="Did you mean 'train'"):
        load_clips("cube-toss", path, "trian")
    with pytest.raises(UnknownNameError, match="cube-toss"):
        load_clips("cube-tos", path)


def test_a_crowd_scene_has_a_body_a_walker_and_a_keyframe_every_0_4_s(tmp_path: Path) -> None:
    clip = load_clips("crowd", write_crowd(tmp_path / "crowd.npz"))[0]
    assert (len(clip), len(clip.bodies)) == (60, 4)
    np.testing.assert_allclose(np.diff(clip.time_s), 0.4)
    np.testing.assert_allclose(clip.linear_velocity[:, 2, :2], np.tile([0.9, 0.0], (60, 1)), atol=1e-5)
    np.testing.assert_allclose(clip.position[..., 2], 0.875)


def test_the_annotation_noise_of_a_scene_is_measured_from_the_scene(tmp_path: Path) -> None:
    path = write_crowd(tmp_path / "crowd.npz", frames=400, noise_m=0.05)
    measured = np.sqrt(load_clips("crowd", path)[0].covariance[0, 0, 0])
    assert measured == pytest.approx(0.05, rel=0.15)  # 4 walkers x 40 keyframes x 2 coordinates: about 6 %


def test_annotation_noise_and_changing_walks_are_told_apart() -> None:
    rng = np.random.default_rng(0)
    dt_s, density, noise_m = 0.4, 0.04, 0.03
    velocity = np.cumsum(rng.normal(0.0, np.sqrt(density * dt_s), size=(120, 30, 2)), axis=0)
    place = np.cumsum(velocity * dt_s, axis=0) + rng.normal(0.0, noise_m, size=velocity.shape)
    noise, found = annotation_noise(place, dt_s)
    assert noise == pytest.approx(noise_m, rel=0.15)
    assert found == pytest.approx(density, rel=0.25)  # the discrete walk is not quite the integrated one


def test_a_row_between_keyframes_is_refused_and_not_moved_in_time(tmp_path: Path) -> None:
    with np.load(write_crowd(tmp_path / "crowd.npz")) as kept:
        table = kept["hall"]
    table[70, 0] += 3.0
    np.savez(tmp_path / "uneven.npz", hall=table)
    with pytest.raises(DataError, match=r"'hall': pedestrian 2 has a row at frame 104, .* every 10 frames \(1 such"):
        load_clips("crowd", tmp_path / "uneven.npz")


def test_a_walker_who_was_away_comes_back_as_another_body(tmp_path: Path) -> None:
    rows = [[1 + 10 * k, 7, 0.1 * k, 0.0, 0.25, 0.0] for k in (0, 1, 2, 9, 10, 11)]
    np.savez(tmp_path / "gap.npz", hall=np.array(rows, dtype=np.float32))
    clip = load_clips("crowd", tmp_path / "gap.npz")[0]
    assert len(clip.bodies) == 2
    assert not clip.present[3:9].any()


def test_backward_differences_start_with_the_second_value() -> None:
    place = np.array([[[0.0, 0.0, 0.0]], [[1.0, 0.0, 0.0]], [[3.0, 0.0, 0.0]]])
    time_s = np.array([0.0, 0.5, 1.0])
    np.testing.assert_allclose(backward_velocity(place, time_s)[:, 0, 0], [2.0, 2.0, 4.0])
    turn = Rotation.from_rotvec([[0.0, 0.0, a] for a in (0.0, 0.1, 0.3)]).as_quat()[:, None]
    np.testing.assert_allclose(backward_spin(turn, time_s)[:, 0, 2], [0.2, 0.2, 0.4])


def rewrite(path: Path, **arrays: np.ndarray) -> None:
    with np.load(path) as file:
        kept = {name: file[name] for name in file.files}
    np.savez(path, **kept | arrays)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:200]), "damaged"),
        (lambda path: path.write_text("no zip"), "damaged"),
        (lambda path: path.unlink(), "worldsim data fetch"),
        (lambda path: np.savez(path, pos=np.zeros((3, 3))), "lacks the array"),
        (lambda path: np.savez(path, **{**np.load(path), "pos": np.zeros((3, 2))}), "shape"),
        (lambda path: np.savez(path, pos=np.array([{"a": 1}], dtype=object)), "damaged"),
        (
            lambda path: rewrite(path, quat_wxyz=np.full((24, 4), np.nan)),
            r"'quat_wxyz' has a value at \[0, 0\] that is",
        ),
        (lambda path: rewrite(path, quat_wxyz=np.zeros((24, 4))), r"'quat_wxyz' has length 0 at \[0\], expected 1"),
        (lambda path: rewrite(path, pos=np.full((24, 3), "1.0")), "'pos' holds <U3, expected numbers"),
        (lambda path: rewrite(path, split=np.array(["train", "dev"])), "'split' holds <U5, expected numbers"),
        (lambda path: rewrite(path, split=np.array([0])), r"'toss_id' has shape \(2,\), expected \(1,\)"),
        (lambda path: rewrite(path, toss_id=np.array([0])), r"'toss_id' has shape \(1,\), expected \(2,\)"),
        (lambda path: rewrite(path, offsets=np.array([0.0, 12.0, 24.0])), "3 whole numbers from 0 to 24"),
        (lambda path: rewrite(path, offsets=np.array([0, 12, 13])), "3 whole numbers from 0 to 24"),
    ],
)
def test_a_damaged_file_is_refused_with_a_reason(tmp_path: Path, damage: object, message: str) -> None:
    path = write_cube_tosses(tmp_path / "cube.npz")
    damage(path)  # type: ignore[operator]
    with pytest.raises(DataError, match=message):
        load_clips("cube-toss", path)


@pytest.mark.parametrize(
    ("name", "arrays", "message"),
    [
        ("planar-drop", {"square": np.zeros((2, 9, 6)), "split": np.zeros(1)}, r"'split' has shape \(1,\)"),
        ("planar-drop", {"square": np.full((2, 9, 6), np.nan), "split": np.zeros(2)}, "'square' has a value at"),
        ("elbow-toss", {"joint": np.zeros((1, 8))}, r"'joint' has shape \(1, 8\), expected \(1, 9\)"),
        ("elbow-toss", {"joint": np.full((1, 9), np.nan)}, r"'joint' has a value at \[0, 0\] that is not finite"),
        ("double-pendulum", {"data": np.zeros((9, 9)), "offsets": np.array([0, 8]), "names": np.array(["a"])}, "to 9"),
        ("crowd", {"hall": np.full((9, 6), np.nan)}, r"'hall' has a value at \[0, 0\] that is not finite"),
    ],
)
def test_what_is_wrong_in_an_array_is_told_with_its_name(
    tmp_path: Path, name: str, arrays: dict[str, np.ndarray], message: str
) -> None:
    elbow = {"pos": np.zeros((1, 9, 3)), "quat_wxyz": np.tile([1.0, 0.0, 0.0, 0.0], (1, 9, 1)), "split": np.zeros(1),
             "vel": np.zeros((1, 9, 3))}  # fmt: skip
    np.savez(tmp_path / "wrong.npz", **(elbow if name == "elbow-toss" else {}) | arrays)
    with pytest.raises(DataError, match=message):
        load_clips(name, tmp_path / "wrong.npz")


@pytest.mark.parametrize("name", sorted(LOADERS))
def test_the_published_recordings_load_whole_and_sane(name: str) -> None:
    clips = load_clips(name, _published(name))
    counts = {"cube-toss": 424, "elbow-toss": 432, "planar-drop": 400, "double-pendulum": 24, "crowd": 3}
    assert len(clips) == counts[name]
    for clip in clips:
        seen = clip.present
        assert seen.any(axis=0).all()
        norms = np.linalg.norm(clip.orientation_xyzw[seen], axis=-1)
        np.testing.assert_allclose(norms, 1.0, atol=1e-6)
        assert np.isfinite(clip.linear_velocity[seen]).all()
        assert (np.linalg.eigvalsh(clip.covariance) > 0.0).all()


def test_the_recorded_cube_rests_on_the_board_and_falls_with_gravity() -> None:
    clips = load_clips("cube-toss", _published("cube-toss"), "train")
    resting = [clip.position[-1, 0, 2] for clip in clips]
    assert np.median(resting) == pytest.approx(0.05125, abs=5e-4)
    falling = [np.diff(clip.position[:8, 0, 2], 2).mean() * RATE_HZ**2 for clip in clips]
    assert np.median(falling) == pytest.approx(-9.6, abs=0.15)  # lengths are about 2 % short


def test_both_blocks_of_the_elbow_stay_above_the_board() -> None:
    clips = load_clips("elbow-toss", _published("elbow-toss"))
    corners = 0.5 * np.array([0.1, 0.05, 0.05]) * np.array(np.meshgrid(*[[-1, 1]] * 3)).reshape(3, -1).T
    lowest = []
    for clip in clips[::10]:
        for link in range(2):
            turn = Rotation.from_quat(clip.orientation_xyzw[:, link])
            lowest.append(min((turn.apply(c)[:, 2] + clip.position[:, link, 2]).min() for c in corners))
    assert np.median(lowest) == pytest.approx(0.0, abs=4e-3)  # both touch; 4 mm for the urdf's rounded sizes
    assert min(lowest) > -0.02


def test_the_links_of_the_pendulum_hang_together() -> None:
    clip = load_clips("double-pendulum", _published("double-pendulum"))[0]
    upper, lower = (Rotation.from_quat(clip.orientation_xyzw[:, link]) for link in range(2))
    elbow = clip.position[:, 0] + upper.apply([0.0, 0.0, -0.1])
    np.testing.assert_allclose(elbow, clip.position[:, 1] + lower.apply([0.0, 0.0, 0.15]), atol=1e-9)
    np.testing.assert_allclose(clip.position[0, 0], [0.0, 0.0, 0.9], atol=1e-3)  # starts hanging down
