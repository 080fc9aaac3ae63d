"""The unchanged world model follows recordings, and its scores are what they say."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from tests.simulation.hand_made_recordings import write_crowd, write_cube_tosses
from worldsim.errors import ConfigurationError, DataError, UnknownNameError
from worldsim.evaluation.datasets import RECORDINGS
from worldsim.evaluation.run_folder import read_events
from worldsim.evaluation.statistics import bootstrap
from worldsim.evaluation.track import follow, make_world_model
from worldsim.evaluation.track_crowd import _by_walker, crowd_figures, frames_ahead, track_scene, turning
from worldsim.evaluation.track_models import MODELS
from worldsim.evaluation.track_run import track_recording
from worldsim.evaluation.track_tosses import flight_figures, free_flight, track_tosses
from worldsim.simulation.recordings import LOADERS, load_clips


def test_every_recording_has_its_models() -> None:
    assert set(RECORDINGS) == set(MODELS) == set(LOADERS)
    for models in MODELS.values():
        assert all(model.card.provenance for model in models())


def test_free_flight_ends_a_frame_before_a_corner_comes_near_the_floor(tmp_path: Path) -> None:
    clip = load_clips("cube-toss", write_cube_tosses(tmp_path / "cube.npz", frames=60))[0]
    flight = free_flight(clip)
    lowest = clip.position[:, 0, 2] - 0.5 * np.sqrt(2.0) * clip.extent_m[0, 0]  # never lower than on an edge
    assert flight[0]
    assert not flight[lowest < 0.0].any()
    last = int(np.flatnonzero(flight)[-1])
    assert flight[: last + 1].all()  # one fall, one flight


def test_a_falling_cube_is_predicted_to_within_its_noise(tmp_path: Path) -> None:
    clips = load_clips("cube-toss", write_cube_tosses(tmp_path / "cube.npz", tosses=3, frames=20))
    tosses = track_tosses("cube-toss", clips, 0, lambda line: None)
    assert [toss.clip.name for toss in tosses] == [clip.name for clip in clips]
    for toss in tosses:
        assert toss.track.kind == "cube"
        assert toss.track.error_m[toss.flight][2:].max() < 2e-4  # 0.03 mm noise, and a velocity from two frames
        assert 0.1 < toss.track.parameters["friction"].low < toss.track.parameters["friction"].high < 1.0
    figures = {figure.name: figure for figure in flight_figures(tosses, np.random.default_rng(0))}
    assert figures["position error one frame ahead in free flight, mean over tosses"].holds
    assert figures["share of free-flight frames predicted"].value == 1.0


def test_the_last_displacement_is_averaged_over_tosses_as_the_figure_beside_it(tmp_path: Path) -> None:
    clips = load_clips("cube-toss", write_cube_tosses(tmp_path / "cube.npz", tosses=2, frames=12))
    long, short = track_tosses("cube-toss", clips, 0, lambda line: None)
    shaken = short.clip.position + np.where(np.arange(12) % 2, 1e-3, -1e-3)[:, None, None] * [1.0, 0.0, 0.0]
    clip = dataclasses.replace(short.clip, position=shaken)
    short = dataclasses.replace(short, clip=clip, flight=short.flight & (np.arange(12) < 5))
    figures = {figure.name: figure for figure in flight_figures([long, short], np.random.default_rng(0))}
    beside = figures["position error one frame ahead in free flight, mean over tosses"].baselines["last displacement"]
    falls = 9.81 / 148.0**2
    assert beside == pytest.approx(0.5 * (falls + np.hypot(falls, 4e-3)), rel=1e-3)


def test_intervals_over_walkers_are_as_wide_as_those_of_as_many_values() -> None:
    steps = np.random.default_rng(0).normal(size=5)
    found = _by_walker(np.repeat(steps, 3), np.repeat(np.arange(5), 3), np.random.default_rng(1))
    assert found == pytest.approx(bootstrap([steps], np.mean, np.random.default_rng(1)).interval)


def test_a_scene_too_short_to_be_scored_is_refused_in_words(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nobody in scene 'hall' is seen now"):
        track_recording("crowd", data=write_crowd(tmp_path / "crowd.npz", frames=4), out=tmp_path / "run")


def test_tosses_that_never_fly_are_refused_in_words(tmp_path: Path) -> None:
    path = write_cube_tosses(tmp_path / "cube.npz")
    arrays = dict(np.load(path))
    arrays["pos"] = np.tile(np.float32([0.0, 0.0, 0.05125]), (len(arrays["pos"]), 1))
    np.savez(path, **arrays)
    with pytest.raises(DataError, match="no frame of free flight"):
        track_recording("cube-toss", data=path, out=tmp_path / "run")


def test_tosses_played_at_once_are_predicted_as_if_alone(tmp_path: Path) -> None:
    clips = load_clips("cube-toss", write_cube_tosses(tmp_path / "cube.npz", tosses=2, frames=10))
    together = track_tosses("cube-toss", clips, 0, lambda line: None)
    alone = [track_tosses("cube-toss", [clip], 0, lambda line: None)[0] for clip in clips]
    for a, b in zip(together, alone, strict=True):
        np.testing.assert_allclose(a.track.predicted, b.track.predicted, atol=1e-8)  # rounding of shifted places
        np.testing.assert_allclose(a.track.nis, b.track.nis, rtol=1e-4)


def test_walkers_on_straight_lines_are_expected_where_they_go(tmp_path: Path) -> None:
    clip = load_clips("crowd", write_crowd(tmp_path / "crowd.npz", frames=100, noise_m=0.02))[0]
    scene = track_scene(clip, 0, lambda line: None)
    figures = {figure.name: figure for figure in crowd_figures(scene, np.random.default_rng(0))}
    error = figures["hall: position error 1.2 s ahead"]
    assert error.holds
    assert error.value < 0.95 * error.baselines["constant velocity (last displacement)"]  # noise is filtered
    assert error.n == 4 * (100 - 10 - 1 - 3)  # four walkers; ten frames calibrate, one gives a velocity, three end it


@pytest.mark.parametrize(("every", "frames", "told"), [(10, 3, "1.2 s"), (5, 6, "1.2 s"), (8, 4, "1.28 s")])
def test_how_far_ahead_is_told_in_seconds_whatever_the_frames_of_a_scene(
    every: int, frames: int, told: str, tmp_path: Path
) -> None:
    clip = load_clips("crowd", write_crowd(tmp_path / "crowd.npz", frames=20, noise_m=0.02, every=every))[0]
    scene = track_scene(clip, 0, lambda text: None)
    assert frames_ahead(clip) == frames
    names = [figure.name for figure in crowd_figures(scene, np.random.default_rng(0))]
    assert names[0] == f"hall: position error {told} ahead"
    assert names[2] == f"hall: coverage of 90 % regions {told} ahead"


def test_a_turn_is_a_change_of_velocity_beyond_the_noise(tmp_path: Path) -> None:
    clip = load_clips("crowd", write_crowd(tmp_path / "crowd.npz", frames=20))[0]
    assert not turning(clip).any()
    bent = clip.position.copy()
    bent[10:, 3, 1] += 0.4 * np.arange(1, 11)  # 1 m/s sideways from frame 10 on
    turned = turning(dataclasses.replace(clip, position=bent))
    assert np.argwhere(turned).tolist() == [[10, 3]]


def test_following_starts_with_the_first_frame_that_shows_anybody(tmp_path: Path) -> None:
    clip = load_clips("crowd", write_crowd(tmp_path / "crowd.npz", frames=8))[0]
    empty = clip.position.copy()
    empty[:2] = np.nan
    quat = clip.orientation_xyzw.copy()
    quat[:2] = np.nan
    late = dataclasses.replace(clip, position=empty, orientation_xyzw=quat)
    tracked = follow(late, make_world_model(MODELS["crowd"]()))
    assert np.isnan(tracked.tracks[0].nis[:3]).all()
    assert np.isfinite(tracked.tracks[0].nis[3:]).all()


def test_a_run_writes_its_folder_and_one_json_object(tmp_path: Path) -> None:
    path = write_cube_tosses(tmp_path / "cube.npz", tosses=4, frames=14)
    result = track_recording("cube-toss", data=path, items=2, out=tmp_path / "run")
    report = json.loads(json.dumps(result.report()))
    assert report["track"] == "cube-toss"
    assert report["split"] == "dev"
    assert [item["name"] for item in report["items"]] == ["toss-2", "toss-4"]
    assert report["items"][0]["beliefs"]["friction"]["low"] > 0.0
    written = {file.name for file in (tmp_path / "run").iterdir()}
    assert {"run.json", "metrics.json", "events.jsonl", "tosses.png"} <= written
    assert json.loads((tmp_path / "run" / "run.json").read_text())["status"] == "finished"
    page = (tmp_path / "run" / "report.html").read_text()
    assert f"What is scored: {path}." in page
    assert f"written by worldsim track cube-toss --split dev --data {path} --items 2" in page


def test_a_crowd_run_draws_its_scene(tmp_path: Path) -> None:
    path = write_crowd(tmp_path / "crowd.npz", frames=20, noise_m=0.02)
    result = track_recording("crowd", data=path, quick=True, out=tmp_path / "run")
    assert {event["clip"] for event in read_events(tmp_path / "run")} == {"hall"}
    assert (tmp_path / "run" / "hall.png").stat().st_size > 10_000
    assert {figure.name.split(":")[0] for figure in result.figures} == {"hall"}


def test_what_cannot_be_tracked_is_said(tmp_path: Path) -> None:
    path = write_cube_tosses(tmp_path / "cube.npz")
    with pytest.raises(UnknownNameError, match="split"):
        track_recording("cube-toss", data=path, split="test", out=tmp_path / "run")
    with pytest.raises(UnknownNameError, match=r"Known: all\.$"):
        track_recording("crowd", data=write_crowd(tmp_path / "crowd.npz"), split="test", out=tmp_path / "run")
    with pytest.raises(UnknownNameError, match="Did you mean 'crowd'"):
        track_recording("crowds", data=path, out=tmp_path / "run")
    with pytest.raises(DataError, match="holds no scene"):
        track_recording("crowd", data=path, out=tmp_path / "run")
    with pytest.raises(ConfigurationError, match="nothing to track"):
        track_recording("cube-toss", data=path, items=0, out=tmp_path / "run")
    np.savez(tmp_path / "empty.npz", square=np.zeros((0, 30, 6)), split=np.zeros(0, dtype=int))
    with pytest.raises(ConfigurationError, match=r"empty\.npz holds no planar-drop recording"):
        track_recording("planar-drop", data=tmp_path / "empty.npz", out=tmp_path / "run")
