"""A policy learns in worlds that are imagined from a few real frames, and acts on what the sensors give."""

from __future__ import annotations

import numpy as np
import pytest

from tests.planning.test_imagined import FRAME_S, HORIZON_S, believed
from worldsim.errors import ConfigurationError, DataError
from worldsim.planning.planar.imagined import ImaginedWorlds, believed_moment
from worldsim.simulation.gym_env import WorldsimEnv
from worldsim.types import Observation
from worldsim_agents import imagined_training
from worldsim_agents.imagined_env import ImaginedVecEnv, Shown
from worldsim_agents.imagined_training import ImaginedPPOAgent, ImaginedSACAgent
from worldsim_agents.sb3_agent import policy_fields, policy_spaces

ROOM = 16


@pytest.fixture(scope="module")
def pushing():
    world_model, observation, preferences = believed("PushT")
    moment = believed_moment(world_model, observation, preferences, HORIZON_S)
    task = {name: np.size(value) for name, value in (observation.task or {}).items()}
    return moment, preferences, observation, task


def test_at_first_it_shows_what_the_sensors_showed_to_within_their_errors(pushing):
    moment, preferences, observation, task = pushing
    worlds = ImaginedWorlds(moment, preferences, FRAME_S, 200, np.random.default_rng(0))
    shown = Shown(worlds, ROOM, np.random.default_rng(0)).fields()
    seen = policy_fields(observation, ROOM, task)
    assert set(shown) == set(seen)
    for name, value in seen.items():
        assert shown[name].shape == (200, *value.shape)
        if name != "position" and not name.startswith("ego_"):
            assert np.allclose(shown[name], value, atol=1e-6)
    errors = (shown["position"] - seen["position"]).reshape(200, ROOM, 3)
    n = len(observation.detections)
    stated = np.sqrt(np.diagonal(observation.detections.covariance, axis1=1, axis2=2)[:, :3])
    assert np.allclose(errors[:, :n].std(axis=0), stated, rtol=0.3)
    assert not errors[:, n:].any()
    for name in ("ego_position", "ego_orientation_xyzw", "ego_linear_velocity"):
        assert np.allclose(shown[name], seen[name], atol=0.1)


def test_what_is_pushed_and_turned_is_shown_pushed_and_turned(pushing):
    moment, preferences, _, _ = pushing
    worlds = ImaginedWorlds(moment, preferences, FRAME_S, 1, np.random.default_rng(0))
    shown = Shown(worlds, ROOM, np.random.default_rng(0))
    before = shown.fields()
    worlds.placed = worlds.placed + np.array([0.3, -0.2, np.pi / 2.0])
    after = shown.fields()
    rows = np.flatnonzero(moment.who == 0)
    row = int(rows[0])
    others = [r for r in range(len(moment.who)) if r not in rows]
    place, other = (fields["position"].reshape(ROOM, 3) for fields in (before, after))
    middle = np.array(moment.scene.pushables[0].pose[:2])
    away = place[row, :2] - middle
    expected = middle + np.array([0.3 - away[1], -0.2 + away[0]])
    assert np.allclose(other[row, :2], expected, atol=0.1)
    assert np.allclose(other[others], place[others], atol=0.1)
    first, then = (fields["orientation_xyzw"].reshape(ROOM, 4)[row] for fields in (before, after))
    assert 2.0 * np.arccos(min(1.0, abs(float(first @ then)))) == pytest.approx(np.pi / 2.0, abs=1e-3)


def test_a_world_ends_at_its_horizon_with_its_last_observation_and_another_begins(pushing):
    moment, preferences, _, task = pushing
    envs = ImaginedVecEnv(*policy_spaces(ROOM, task), preferences, FRAME_S, groups=2, each=3)
    envs.moments = [moment]
    envs.seed(0)
    seen = envs.reset()
    assert all(value.shape == (6, *envs.observation_space[name].shape) for name, value in seen.items())
    for step in range(1, round(HORIZON_S / FRAME_S) + 1):
        seen, rewards, dones, infos = envs.step(np.full((6, 3), 0.7, dtype=np.float32))
        assert dones.all() == (step == round(HORIZON_S / FRAME_S))
    assert np.isfinite(rewards).all()
    start = np.array(moment.scene.own.position)
    for row, info in enumerate(infos):
        assert info["TimeLimit.truncated"]
        assert np.linalg.norm(info["terminal_observation"]["ego_position"][:2] - start) > 0.2
        assert np.linalg.norm(seen["ego_position"][row, :2] - start) < 1e-5


@pytest.mark.parametrize("made", [ImaginedPPOAgent, ImaginedSACAgent])
def test_a_training_counts_real_frames_and_can_be_taken_up_again(made, monkeypatch, tmp_path):
    monkeypatch.setattr(imagined_training, "_FIRST", 30)
    monkeypatch.setattr(imagined_training, "_PIECE", 30)
    monkeypatch.setattr(made, "imagined_frames", 8)
    first = made.learner(lambda: WorldsimEnv("PushT"), 1, 90, 3)
    try:
        first.learn(60)
        assert first.steps == 60
        imagined = first.algorithm.num_timesteps
        assert imagined >= 60 * 8
        first.save(tmp_path / "training")
        first.agent().save(tmp_path / "policy")
    finally:
        first.close()
    second = made.learner(lambda: WorldsimEnv("PushT"), 1, 90, 3)
    try:
        second.restore(tmp_path / "training")
        assert (second.steps, second.algorithm.num_timesteps) == (60, imagined)
        second.learn(65)  # too short for a moment, which is no reason to give up
        assert second.steps == 65
        second.learn(90)
        assert second.steps == 90
    finally:
        second.close()
    env = WorldsimEnv("PushT")
    try:
        agent = made.load(tmp_path / "policy")
        seen = Observation.from_gym(env.reset(seed=1)[0])
        action = agent.act(seen, None, np.random.default_rng(0))
        assert action.shape == (3,)
        assert np.isfinite(action).all()
    finally:
        env.close()
    (tmp_path / "training" / "experience.json").write_text("{}")
    third = made.learner(lambda: WorldsimEnv("PushT"), 1, 90, 3)
    try:
        with pytest.raises(DataError, match="no readable training"):
            third.restore(tmp_path / "training")
    finally:
        third.close()


def test_equal_seeds_learn_the_same_and_a_second_environment_is_refused(monkeypatch):
    monkeypatch.setattr(imagined_training, "_FIRST", 25)
    monkeypatch.setattr(imagined_training, "_PIECE", 25)
    weights = []
    for _ in range(2):
        agent = ImaginedPPOAgent.train(WorldsimEnv("PushT"), 50, 7)
        weights.append(agent.policy.state_dict())
    assert all(bool((weights[0][name] == weights[1][name]).all()) for name in weights[0])
    with pytest.raises(ConfigurationError, match="done by the clamp"):
        ImaginedPPOAgent.learner(lambda: WorldsimEnv("Warehouse"), 1, 100, 0)
    with pytest.raises(ConfigurationError, match="speak of nobody"):
        ImaginedPPOAgent.learner(lambda: WorldsimEnv("Billiards"), 1, 100, 0)  # the watch, in which nothing is asked
    with pytest.raises(ConfigurationError, match="one world model follows one environment"):
        ImaginedPPOAgent.learner(lambda: WorldsimEnv("PushT"), 2, 100, 0)


def test_where_the_object_is_hidden_there_is_nothing_to_imagine(monkeypatch):
    monkeypatch.setattr(imagined_training, "_FIRST", 40)
    monkeypatch.setattr(imagined_training, "_PIECE", 40)
    learner = ImaginedPPOAgent.learner(lambda: WorldsimEnv("ParkSearch"), 1, 100, 0)
    try:
        with pytest.raises(ConfigurationError, match="nothing to imagine"):
            learner.learn(100)
    finally:
        learner.close()
