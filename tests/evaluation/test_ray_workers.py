"""A cluster of two workers gives the same numbers as one process, and loses nothing with a worker that dies."""

from __future__ import annotations

import os
import warnings

import pytest

from worldsim.errors import ConfigurationError, UnknownNameError
from worldsim.evaluation import ray_workers as module
from worldsim.evaluation.bench_ray import Mortal, play_mortal
from worldsim.evaluation.ray_workers import LOCAL, in_turn, job_map, ray_is_installed, ray_workers
from worldsim.evaluation.run_folder import RunFolder
from worldsim.evaluation.sweep import EpisodeJob, play_job
from worldsim.evaluation.training import TrainOptions, train_seeds
from worldsim.evaluation.training_cluster import train_population

needs_ray = pytest.mark.skipif(not ray_is_installed(), reason="Ray is not installed (the extra `ray`)")
JOBS = [EpisodeJob("Intercept", "random", seed, (("duration_s", 2.0),)) for seed in range(3)]


@pytest.fixture(scope="module")
def cluster():
    with warnings.catch_warnings():  # Ray's own, not ours
        warnings.simplefilter("ignore")
        with ray_workers(LOCAL, 2) as play_all:
            yield play_all


def test_jobs_in_turn_are_played_in_their_order_and_the_same_job_gives_the_same_score():
    with job_map(None) as play_all:
        first, again = play_all(play_job, JOBS), in_turn(play_job, JOBS)
    assert first == again
    assert len({score.total for score in first}) == len(JOBS)
    assert all(score.frames == 40 for score in first)


def test_a_world_model_steps_along_where_a_job_asks_for_it():
    job = EpisodeJob("Intercept", "mpc", 0, (("duration_s", 0.5),), world_model=True)
    assert play_job(job).frames == 10


def test_without_ray_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setattr(module, "ray_is_installed", lambda: False)
    with pytest.raises(ConfigurationError, match="worldsim-lab\\[ray\\]"), job_map(LOCAL):
        pass


def niceness(_):
    return os.nice(0)


@needs_ray
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_the_workers_yield_to_others_no_more_than_we_do(cluster):
    assert cluster(niceness, [0, 1]) == [os.nice(0)] * 2


@needs_ray
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_cluster_gives_the_same_scores_though_every_worker_is_killed_once(cluster, tmp_path):
    expected = in_turn(play_job, JOBS)
    assert cluster(play_job, JOBS) == expected
    mortals = [Mortal(job, tmp_path / str(number)) for number, job in enumerate(JOBS)]
    assert cluster(play_mortal, mortals) == expected
    assert all(mortal.mark.exists() for mortal in mortals)


@needs_ray
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_population_trained_on_a_cluster_has_the_numbers_of_one_process(cluster, tmp_path):
    options = TrainOptions("Intercept", "ppo", steps=128, seeds=2, checkpoint_every=64, evaluation_episodes=1,
                           evaluation_frames=10)  # fmt: skip
    with RunFolder(tmp_path / "here", name="x", config={}, seed=0) as here:
        expected = train_seeds(options, here, resume=False)
    with RunFolder(tmp_path / "there", name="x", config={}, seed=0) as there:
        assert train_population(cluster, options, there) == expected
        again = train_population(cluster, options, there, resume=True)
    assert [result.restarts for result in again] == [0, 0]  # a look at what is done takes up nothing
    assert [result.episodes for result in again] == [result.episodes for result in expected]
    for name in ("policy.safetensors", "seed-0/policy.safetensors", "seed-1/policy.safetensors"):
        assert (tmp_path / "here" / name).read_bytes() == (tmp_path / "there" / name).read_bytes()


@needs_ray
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_what_a_job_itself_raises_comes_back_as_it_is(cluster):
    with pytest.raises(UnknownNameError, match="Intercep"):
        cluster(play_job, [EpisodeJob("Intercep", "random", 0)])
