"""A recording keeps the contract of a true world."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from tests.simulation.hand_made_recordings import write_crowd, write_cube_tosses
from worldsim.contracts import Physics, Scenario
from worldsim.errors import ConfigurationError, DataError, SimulationError, UnknownNameError
from worldsim.simulation.recording import Recording, Replay
from worldsim.simulation.recordings import Clip, load_clips
from worldsim.simulation.recordings.clip import pose_covariance, side_by_side
from worldsim.types import Association, InteractionGraph, Observation, Predictions, StepRecord, SurpriseReport


@pytest.fixture
def crowd(tmp_path: Path) -> Recording:
    world = Recording(load_clips("crowd", write_crowd(tmp_path / "crowd.npz", noise_m=0.01)))
    world.reset(world.scenario("hall"), seed=3)
    return world


def _same(a: Observation, b: Observation) -> bool:
    names = ("position", "orientation_xyzw", "extent_m", "colour", "appearance", "covariance")
    return a.time_s == b.time_s and all(
        np.array_equal(getattr(a.detections, n), getattr(b.detections, n), equal_nan=True) for n in names
    )


def test_observations_are_detections_without_ids_seen_from_everywhere(crowd: Recording) -> None:
    observation = crowd.observe()
    assert len(observation.detections) == 4
    assert observation.detections.finite_rows().all()
    assert len(observation.viewpoints.range_m) == 0
    assert observation.ego is None
    assert np.isnan(observation.detections.appearance).all()


def test_detections_are_the_truth_in_another_order(crowd: Recording) -> None:
    orders = set()
    for _ in range(8):
        crowd.step(None)
        seen, true = crowd.observe().detections.position[:, :2], crowd.truth().position[:, :2]
        order = np.abs(seen[:, None] - true[None]).sum(-1).argmin(1)
        np.testing.assert_array_equal(seen, true[order])
        np.testing.assert_array_equal(crowd.detected_bodies(), order)
        orders.add(tuple(order))
    assert len(orders) > 1


def test_what_nobody_measured_is_as_wrong_as_the_covariance_says(crowd: Recording) -> None:
    height, yaw = [], []
    for _ in range(59):
        crowd.step(None)
        detections, true = crowd.observe().detections, crowd.truth()
        height.extend((detections.position[:, 2] - 0.875) / np.sqrt(detections.covariance[:, 2, 2]))
        turn = Rotation.from_quat(detections.orientation_xyzw).as_rotvec()[:, 2]
        yaw.extend(turn / np.sqrt(detections.covariance[:, 5, 5]))
        assert (true.position[:, 2] == 0.875).all()
    assert np.std(height) == pytest.approx(1.0, abs=0.15)  # 236 draws
    assert np.std(yaw) == pytest.approx(0.95, abs=0.15)  # wrapping takes a little off the tails


def test_the_same_seed_gives_the_same_observations_and_another_shuffles_anew(crowd: Recording) -> None:
    first = []
    for seed in (3, 3, 4):
        crowd.reset(crowd.scenario("hall"), seed)
        crowd.step(None)
        first.append(crowd.observe())
    assert _same(first[0], first[1])
    assert not _same(first[0], first[2])


def test_a_snapshot_brings_back_the_frame(crowd: Recording) -> None:
    crowd.step(None)
    snapshot, before = crowd.snapshot(), crowd.observe()
    for _ in range(5):
        crowd.step(None)
    crowd.restore(snapshot)
    assert _same(crowd.observe(), before)
    with pytest.raises(SimulationError, match="60 frames"):
        crowd.restore(("hall", 60, 0))


def test_a_clip_ends_after_its_last_frame(crowd: Recording) -> None:
    for _ in range(59):
        crowd.step(None)
    assert crowd.frames_left == 0
    with pytest.raises(SimulationError, match="is over after 60 frames"):
        crowd.step(None)


def test_nobody_can_act_in_a_log(crowd: Recording) -> None:
    with pytest.raises(ConfigurationError, match="nothing can be commanded"):
        crowd.step(np.zeros(3))


def test_a_replay_is_over_with_the_last_frame(crowd: Recording) -> None:
    replay = crowd.scenario("hall")
    nothing = np.zeros(0)
    ids = np.zeros(0, dtype=np.int64)

    def record(time_s: float) -> StepRecord:
        return StepRecord(
            time_s,
            Predictions(ids, np.zeros((0, 3)), np.zeros((0, 4)), np.zeros((0, 6, 6))),
            Association(ids, ids, ids.astype(bool), ids),
            SurpriseReport(ids, np.zeros((0, 5)), nothing, nothing, nothing, ids, nothing, 1.0),
            InteractionGraph.empty(),
        )

    assert not replay.is_over(record(replay.duration_s - 0.4))
    assert replay.is_over(record(replay.duration_s))
    assert replay.preferences().hold_still


def test_a_replay_needs_a_recording_and_a_known_clip(crowd: Recording) -> None:
    @dataclass
    class Engine(Physics):
        """Another true world."""

        def reset(self, scenario: Scenario, seed: int) -> None: ...
        def step(self, action: object) -> None: ...
        def observe(self) -> Observation: ...  # type: ignore[empty-body]
        def truth(self) -> object: ...  # type: ignore[override]
        def snapshot(self) -> object: ...
        def restore(self, snapshot: object) -> None: ...

    with pytest.raises(ConfigurationError, match="needs a Recording, got Engine"):
        Replay("hall", 1.0).build(Engine(), np.random.default_rng(0))
    with pytest.raises(UnknownNameError, match="hall"):
        crowd.scenario("hal")
    with pytest.raises(UnknownNameError, match="hall"):
        crowd.reset(Replay("hell", 1.0), seed=0)


def test_every_clip_can_be_cued(tmp_path: Path) -> None:
    world = Recording(load_clips("cube-toss", write_cube_tosses(tmp_path / "cube.npz", tosses=3)))
    for clip in world.clips:
        world.reset(world.scenario(clip.name), seed=0)
        assert world.truth().kinds == ("cube",)
        assert world.observe().time_s == 0.0


def test_clips_played_side_by_side_are_the_clips(tmp_path: Path) -> None:
    clips = load_clips("cube-toss", write_cube_tosses(tmp_path / "cube.npz", tosses=3))
    shorter = dataclasses.replace(
        clips[1],
        **{
            n: getattr(clips[1], n)[:5]
            for n in ("time_s", "position", "orientation_xyzw", "linear_velocity", "angular_velocity")
        },
    )
    both = side_by_side([clips[0], shorter], spacing_m=3.0)
    np.testing.assert_array_equal(both.present.sum(0), [12, 5])
    np.testing.assert_allclose(both.position[:5, 1] - shorter.position[:, 0], np.tile([0.0, 3.0, 0.0], (5, 1)))
    world = Recording([both])
    for _ in range(6):
        world.step(None)
    assert len(world.observe().detections) == 1
    slower = dataclasses.replace(clips[1], time_s=clips[1].time_s * 2.0)
    with pytest.raises(DataError, match="do not share their frame times"):
        side_by_side([clips[0], slower], 3.0)


def test_a_frame_without_anybody_is_an_empty_observation(tmp_path: Path) -> None:
    rows = [[1 + 10 * k, 7, 0.1 * k, 0.0, 0.25, 0.0] for k in (0, 1, 2, 9, 10, 11)]
    np.savez(tmp_path / "gap.npz", hall=np.array(rows, dtype=np.float32))
    world = Recording(load_clips("crowd", tmp_path / "gap.npz"))
    for _ in range(4):
        world.step(None)
    assert len(world.observe().detections) == 0
    assert world.observe().detections.finite_rows().shape == (0,)
    assert world.truth().names == ()


def test_clips_of_one_name_or_of_odd_shape_are_refused(tmp_path: Path) -> None:
    clip = load_clips("cube-toss", write_cube_tosses(tmp_path / "cube.npz"))[0]
    with pytest.raises(ConfigurationError, match="distinct names"):
        Recording([clip, clip])
    with pytest.raises(DataError, match="extent_m has shape"):
        _clip(extent_m=np.ones((2, 3)))
    with pytest.raises(DataError, match="do not increase"):
        _clip(time_s=np.array([0.0, 0.0]))
    with pytest.raises(DataError, match="without an orientation"):
        _clip(position=np.array([[[np.nan] * 3], [[0.0] * 3]]))


def _clip(**changes: np.ndarray) -> Clip:
    zero = np.zeros((2, 1, 3))
    fields = {
        "time_s": np.array([0.0, 0.1]),
        "position": zero,
        "orientation_xyzw": np.tile([0.0, 0.0, 0.0, 1.0], (2, 1, 1)),
        "linear_velocity": zero,
        "angular_velocity": zero,
        "extent_m": np.ones((1, 3)),
        "covariance": pose_covariance(1e-3, 1e-2)[None],
    }
    return Clip(name="x", split="all", bodies=("x",), kinds=("x",), **{**fields, **changes})
