"""The loop in earnest: environment, world model and agent, a few frames of each."""

from __future__ import annotations

import numpy as np
import pytest

from worldsim.evaluation.cat_jobs import CatJob, run_job
from worldsim.evaluation.demo import draw_seed, run_demo
from worldsim.evaluation.episode import LogOptions, run_episode
from worldsim.evaluation.run_folder import read_events, read_run
from worldsim.evaluation.trajectory_io import read_trajectory
from worldsim.loop import WorldModel
from worldsim.registry import open_registry
from worldsim.simulation.gym_env import WorldsimEnv
from worldsim_agents.deliverer import Deliverer
from worldsim_agents.random_agent import RandomAgent


@pytest.fixture(scope="module")
def env():
    made = WorldsimEnv(scenario="Warehouse", intruder="none")
    yield made
    made.close()


@pytest.fixture(scope="module")
def log(env):
    world_model = WorldModel(registry=open_registry("builtin"))
    options = LogOptions(max_frames=12, images_every=8)
    return run_episode(env, world_model, Deliverer(world_model), np.random.default_rng(0), seed=3, log=options)


def test_every_frame_holds_truth_record_belief_and_plan(log):
    assert len(log.frames) == 12
    assert log.dt_s == pytest.approx(0.05, abs=1e-6)
    for k, frame in enumerate(log.frames):
        assert frame.time_s == pytest.approx(0.05 * k, abs=1e-5)
        assert frame.truth.time_s == pytest.approx(frame.time_s, abs=1e-5)
        assert frame.record.time_s == pytest.approx(frame.time_s, abs=1e-5)
        assert frame.plan is not None
        assert (frame.forecast is not None) == (k % 4 == 0)
        assert (frame.image is not None) == (k % 8 == 0)
        assert min(frame.physics_s, frame.model_s, frame.plan_s) > 0.0


def test_the_log_says_what_was_run(log):
    assert log.seed == 3
    assert log.scenario.startswith("Warehouse(intruder='none'")
    assert log.deliveries_wanted == 1
    assert len(log.starter_models) > 5
    assert log.wall_s == pytest.approx(sum(f.physics_s + f.model_s + f.plan_s for f in log.frames))


def test_a_snapshot_names_the_kind_of_each_believed_thing(log):
    last = log.frames[-1].belief
    assert len(last.kind) == len(last.object_id) > 40
    assert {"shelf", "crate", "worker"} <= set(last.kind)


def test_an_agent_without_a_world_model_can_be_logged_too(env):
    options = LogOptions(max_frames=3)
    blind = run_episode(env, None, RandomAgent(action_dim=3), np.random.default_rng(0), seed=3, log=options)
    assert [frame.record for frame in blind.frames] == [None] * 3
    assert blind.starter_models == ()


def test_the_log_does_not_change_the_run(env):
    """Pictures and observations are beside the loop: with or without them, the same actions come out."""
    actions = []
    for options in (LogOptions(max_frames=6), LogOptions(max_frames=6, images_every=2, observations=False)):
        world_model = WorldModel(registry=open_registry("builtin"))
        log = run_episode(env, world_model, Deliverer(world_model), np.random.default_rng(0), seed=5, log=options)
        actions.append(np.array([frame.action for frame in log.frames]))
    np.testing.assert_array_equal(*actions)


def test_a_benchmark_job_gives_a_row():
    row = run_job(CatJob("surprise_off", 1, "none", duration_s=0.5))
    assert (row.variant, row.first.kind, row.first.seconds) == ("surprise_off", "none", pytest.approx(0.5))


@pytest.mark.slow
def test_the_demo_leaves_a_whole_run_folder(tmp_path):
    result = run_demo(seed=11, out=tmp_path / "run", json=True, duration_s=1.5)
    names = {path.name for path in (tmp_path / "run").iterdir()}
    assert names == {
        "run.json",
        "events.jsonl",
        "metrics.json",
        "report.html",
        "scene.mp4",
        "scene.gif",
        "trajectory.npz",
    }
    assert read_run(tmp_path / "run")["status"] == "finished"
    assert isinstance(read_events(tmp_path / "run"), list)
    assert len(read_trajectory(tmp_path / "run" / "trajectory.npz")) == 30
    assert result["seed"] == 11
    assert result["headline"] in (tmp_path / "run" / "report.html").read_text(encoding="utf-8")


def test_a_seed_that_nobody_named_comes_from_the_clock():
    assert 0 <= draw_seed() < 1_000_000
