"""The warehouse in two engines: figures of the one beside the other's, and alarms counted after the adaptation."""

from __future__ import annotations

import numpy as np
import pytest

from worldsim.errors import ConfigurationError, UnknownNameError
from worldsim.evaluation.cat_jobs import CatJob, CatRow
from worldsim.evaluation.cat_scoring import EpisodeScore, ForecastScore
from worldsim.evaluation.jsonable import dump_json, to_jsonable
from worldsim.evaluation.statistics import bootstrap
from worldsim.evaluation.transfer import warehouse
from worldsim.evaluation.transfer.warehouse import Meeting, Quiet, warehouse_figures
from worldsim.simulation.gym_env import WorldsimEnv
from worldsim.simulation.mujoco_engine import MujocoPhysics


def row(alarm_s: float, error_sum_m: float) -> CatRow:
    forecast = ForecastScore(10, error_sum_m, 4.0, 18, 15)
    score = EpisodeScore(
        0, "cat", 40.0, 30.0, 8.0, alarm_s, 0, False, 1.0, 8, 9.0, "cat", "cat/x", None, None, 5, 6, 1, 1, forecast
    )
    return CatRow("k", "world_model", "auto", True, score)


def test_both_worlds_stand_side_by_side_and_late_alarms_alone_count() -> None:
    meetings = [Meeting({"PyBullet": row(8.2, 2.0), "MuJoCo": row(9.0, 3.0)}) for _ in range(4)]
    quiet = [Quiet("PyBullet", 0, 0, 60.0, 1800.0), Quiet("MuJoCo", 5, 1, 60.0, 3600.0)]
    found = {f.name: f for f in warehouse_figures(meetings, quiet, np.random.default_rng(0))}
    alarm = found["alarm within 0.5 s of first visibility"]
    assert (alarm.value, alarm.baselines["PyBullet"]) == (0.0, 1.0)
    error = found["1 s ahead: mean error of the intruder's position"]
    assert (error.value, error.baselines["PyBullet"], error.n) == (0.3, 0.2, 40)
    late = found["false alarms per hour after 60 s of adaptation (1.00 h)"]
    assert (late.value, late.holds, late.baselines["PyBullet"]) == (1.0, True, 0.0)
    assert late.interval is not None
    assert found["the same in the first 60 s"].value == pytest.approx(300.0)


def test_the_interval_of_the_error_over_few_episodes_is_as_wide_as_that_of_as_many_values() -> None:
    sums = [1.0, 2.0, 3.0, 5.0, 9.0]
    meetings = [Meeting({"PyBullet": row(8.2, 2.0), "MuJoCo": row(9.0, each)}) for each in sums]
    error = warehouse._error_figure(meetings, np.random.default_rng(1))
    means = bootstrap([np.array(sums) / 10.0], np.mean, np.random.default_rng(1))
    assert error.value == pytest.approx(0.4)
    assert error.interval == pytest.approx(means.interval)
    assert warehouse._error_figure(meetings[:1], np.random.default_rng(1)).interval is None


def test_an_environment_runs_in_either_engine_with_the_same_observations() -> None:
    env = WorldsimEnv("Warehouse", engine="mujoco", duration_s=1.0, intruder="none")
    observation, _ = env.reset(seed=0)
    assert isinstance(env.physics, MujocoPhysics)
    assert env.observation_space.contains(observation)
    observation, *_ = env.step(env.action_space.sample())
    assert env.observation_space.contains(observation)
    env.close()
    other = WorldsimEnv("Warehouse", duration_s=1.0, intruder="none")
    assert other.observation_space == env.observation_space
    other.close()


def test_what_mujoco_has_not_is_refused() -> None:
    with pytest.raises(UnknownNameError, match="mujoco"):
        WorldsimEnv(engine="ode")
    with pytest.raises(ConfigurationError, match="presets are Bullet's"):
        WorldsimEnv(engine="mujoco", preset="as_it_comes")


def test_a_job_in_bullet_keeps_the_key_that_it_had_before_there_was_another_engine() -> None:
    assert CatJob("world_model", 3).key == "world_model/auto/3/40/0"
    assert CatJob("world_model", 3, engine="mujoco").key == "world_model/auto/3/40/0/mujoco"


def test_a_finished_episode_is_taken_from_its_file_as_long_as_what_decides_it_is_the_same(tmp_path, monkeypatch):
    monkeypatch.setattr(warehouse, "PLAYED", ("LICENSE",))  # the rest may be at work in this tree
    monkeypatch.setattr(warehouse, "SCORED", ("LICENSE",))
    job = CatJob("world_model", 7, "none", duration_s=warehouse._QUIET_S, engine="mujoco")
    text = {"key": {"job": job.key}, "commit": "HEAD", "result": {"duration_s": 420.0, "alarms_s": [3.0, 61.0, 90.0]}}
    (tmp_path / "quiet-MuJoCo-7.json").write_text(dump_json(text))
    assert warehouse._wait("MuJoCo", 7, False, tmp_path) == Quiet("MuJoCo", 1, 2, 60.0, 360.0)
    rows = {world: row(8.2, 2.0) for world in ("PyBullet", "MuJoCo")}
    text = {"key": {"seed": 3, "quick": False}, "commit": "HEAD", "result": rows}
    (tmp_path / "meeting-3.json").write_text(dump_json(to_jsonable(text)))
    assert warehouse._meet(3, False, tmp_path) == Meeting(rows)
