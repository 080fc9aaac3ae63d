"""Scenarios with a task of their own: sound, repeatable, rewarded as they say."""

from __future__ import annotations

import itertools

import gymnasium
import numpy as np
import pytest

from worldsim.errors import ConfigurationError, UnknownNameError
from worldsim.simulation.bullet import BulletPhysics
from worldsim.simulation.env_check import complaints, trajectory
from worldsim.simulation.goal_task import SUCCESS_REWARD
from worldsim.simulation.gym_env import WorldsimEnv
from worldsim.types.observation import Observation
from worldsim_agents.interceptor import Interceptor
from worldsim_agents.pusher import Pusher
from worldsim_scenarios.intercept import HALF_LENGTH_M, HALF_WIDTH_M, TARGETS, Intercept
from worldsim_scenarios.push_t import HALF_M, START_OVERLAP, PushT

SCENARIOS = [PushT(), Intercept()]


@pytest.fixture(scope="module")
def physics():
    world = BulletPhysics()
    yield world
    world.close()


@pytest.mark.parametrize("name", ["PushT", "Intercept"])
def test_gymnasium_finds_nothing_wrong_and_the_same_seed_is_the_same_episode(name):
    env = gymnasium.make(f"worldsim/{name}-v0").unwrapped
    assert complaints(env) == []
    actions = np.random.default_rng(0).uniform(-1.0, 1.0, (20, 3)).astype(np.float32)
    first, again, other = (trajectory(env, seed, actions) for seed in (1, 1, 2))
    env.close()
    assert first == again
    assert all(a != b for a, b in zip(first, other, strict=True))


@pytest.mark.parametrize("scenario", SCENARIOS, ids=repr)
def test_coming_back_to_a_snapshot_gives_the_same_bytes_as_going_on(physics, scenario):
    physics.reset(scenario, seed=5)
    drive = np.array([1.0, 0.2, 0.0])
    for _ in range(10):
        physics.step(drive)
    token, runs = physics.snapshot(), []
    for _ in range(2):
        rewards = []
        for _ in range(15):
            physics.step(drive)
            rewards.append(physics.last_task_step)
        runs.append((physics.truth().position.tobytes(), rewards))
        physics.restore(token)
    assert runs[0] == runs[1]


def test_who_asks_the_interceptor_twice_about_one_frame_gets_the_same_answer_twice():
    env, agent = WorldsimEnv(Intercept()), Interceptor()
    raw, _ = env.reset(seed=0)
    for _ in range(10):
        seen = Observation.from_gym(raw)
        first, again = (agent.act(seen, None, None) for _ in range(2))
        np.testing.assert_array_equal(first, again)
        raw, *_ = env.step(first)
    env.close()


def play(env, agent, seed, frames):
    raw, _ = env.reset(seed=seed)
    rewards, start = [], env.physics.task.progress_before
    for _ in range(frames):
        raw, reward, terminated, truncated, info = env.step(agent.act(Observation.from_gym(raw), None, None))
        rewards.append(reward)
        if terminated or truncated:
            break
    return rewards, start, env.physics.task.progress_before, info


@pytest.mark.parametrize("target", TARGETS)
def test_the_interceptor_meets_each_kind_of_ball_and_is_paid_for_the_way(target):
    env = WorldsimEnv(Intercept(target=target))
    rewards, start, end, info = play(env, Interceptor(), seed=1, frames=400)
    env.close()
    assert info["is_success"]
    assert info["gap_m"] <= env.scenario.reach_m
    assert sum(rewards) == pytest.approx(end - start + SUCCESS_REWARD)


def test_a_sparse_reward_is_one_for_success_and_nothing_else():
    env = WorldsimEnv(Intercept(target="rolling", reward="sparse"))
    rewards, _, _, info = play(env, Interceptor(), seed=1, frames=400)
    env.close()
    assert info["is_success"]
    assert rewards == [0.0] * (len(rewards) - 1) + [1.0]


def test_a_ball_that_nobody_meets_leaves_the_floor_and_the_episode_is_lost(physics):
    physics.reset(Intercept(target="rolling"), seed=3)
    for _ in range(400):
        physics.step(np.zeros(3))
        if physics.last_task_step.terminated:
            break
    assert physics.last_task_step.terminated
    assert physics.last_task_step.events["is_success"] is False
    x = physics.truth().position[physics.truth().names.index("target")][0]
    assert x > HALF_LENGTH_M


def test_a_ball_comes_back_off_a_side_wall(physics):
    physics.reset(Intercept(target="bouncing"), seed=_seed_towards_a_wall(physics))
    row = physics.truth().names.index("target")
    places, ways = [], []
    for _ in range(200):
        physics.step(None)
        places.append(float(physics.truth().position[row][1]))
        ways.append(float(physics.truth().linear_velocity[row][1]))
    assert any(before * after < 0.0 for before, after in itertools.pairwise(ways[5:]))
    assert np.abs(places).max() < HALF_WIDTH_M


def _seed_towards_a_wall(physics):
    """Return a seed whose ball starts near a side wall and goes there steeply."""
    for seed in range(50):
        physics.reset(Intercept(target="bouncing"), seed=seed)
        for _ in range(3):
            physics.step(None)
        truth = physics.truth()
        row = truth.names.index("target")
        y, vy = truth.position[row][1], truth.linear_velocity[row][1]
        if y * vy > 0.0 and (HALF_WIDTH_M - abs(y)) / abs(vy) < 4.0:
            return seed
    raise AssertionError("no such seed among fifty")


def test_the_block_starts_off_the_goal_inside_the_fence_and_moves_only_when_pushed(physics):
    for seed in range(3):
        physics.reset(PushT(), seed=seed)
        truth, task = physics.truth(), physics.task
        row = truth.names.index("block")
        assert task.overlap <= START_OVERLAP + 1e-6
        assert np.abs(truth.position[:2, :2]).max() < HALF_M  # robot and block
        before = truth.position[row].copy()
        for _ in range(5):
            physics.step(None)
        assert np.linalg.norm(physics.truth().position[row] - before) < 1e-3  # at rest, but for the solver's play
        assert "robot" not in {name for pair in physics.truth().contacts for name in pair[:2] if "block" in pair[:2]}


def test_the_observation_has_the_goal_and_nothing_of_the_score(physics):
    physics.reset(PushT(), seed=0)
    task = physics.observe().task
    known = ("goal_position", "goal_orientation_xyzw", "object_extent_m", "object_outline_m")
    assert set(task) == {f"task_{name}" for name in known}
    physics.reset(Intercept(), seed=0)
    assert set(physics.observe().task) == {"task_floor_half_m", "task_object_extent_m", "task_reach_m"}


@pytest.mark.slow
def test_the_pusher_brings_the_block_home():
    env = WorldsimEnv(PushT())
    rewards, start, end, info = play(env, Pusher(), seed=0, frames=1800)
    env.close()
    assert info["is_success"]
    assert info["overlap"] >= env.scenario.success_overlap
    assert sum(rewards) == pytest.approx(end - start + SUCCESS_REWARD)


@pytest.mark.parametrize("agent", [Pusher(), Interceptor()], ids=repr)
def test_an_expert_of_another_task_says_so(agent, physics):
    physics.reset(Intercept() if isinstance(agent, Pusher) else PushT(), seed=0)
    with pytest.raises(ConfigurationError, match="not of the scenario"):
        agent.act(physics.observe(), None, np.random.default_rng(0))


def test_wrong_fields_are_told():
    with pytest.raises(UnknownNameError, match="Did you mean 'dense'"):
        PushT(reward="dens")
    with pytest.raises(UnknownNameError, match="Did you mean 'rolling'"):
        Intercept(target="roling")
    with pytest.raises(ConfigurationError, match="success_overlap is"):
        PushT(success_overlap=1.5)
    with pytest.raises(ConfigurationError, match="reach_m is 0"):
        Intercept(reach_m=0.0)
