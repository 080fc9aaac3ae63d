"""People who walk about, as simulated or as recorded, and a robot that crosses."""

from __future__ import annotations

import numpy as np
import pytest

from worldsim.errors import ConfigurationError, DataError
from worldsim.simulation.bullet import BulletPhysics
from worldsim.simulation.drivers import Bulk, Followers
from worldsim.simulation.gym_env import WorldsimEnv
from worldsim.types.observation import Observation
from worldsim_agents.strider import Strider
from worldsim_scenarios.crowd import WAITING, Crowd
from worldsim_scenarios.push_t import PushT


@pytest.fixture(scope="module")
def physics():
    world = BulletPhysics()
    yield world
    world.close()


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    """Two people who walk east and west side by side for 12 s, at 2.5 Hz; one of them leaves after 6 s."""
    rows = []
    for k in range(31):
        t = 0.4 * k
        rows.append((10 * k, 1, -2.0 + 0.4 * t, 1.0, 0.4, 0.0))
        if t <= 6.0:
            rows.append((10 * k, 2, 2.0 - 0.4 * t, -1.0, -0.4, 0.0))
    path = tmp_path_factory.mktemp("crowd") / "crowd.npz"
    np.savez(path, scene=np.array(rows))
    return str(path)


def test_the_expert_crosses_among_people_and_touches_nobody():
    env = WorldsimEnv(Crowd(people=4))
    raw, _ = env.reset(seed=0)
    agent, over = Strider(), False
    while not over:
        raw, _, terminated, truncated, info = env.step(agent.act(Observation.from_gym(raw), None, None))
        over = terminated or truncated
    env.close()
    assert info["is_success"]
    assert info["touched"] == 0.0


def test_recorded_people_walk_where_they_were_seen_and_leave_when_they_left(physics, recording):
    scenario = Crowd(people=2, recording=recording, duration_s=12.0)
    physics.reset(scenario, seed=1)
    rows = [physics.truth().names.index(f"person_{i}") for i in range(2)]
    way = []
    for _ in range(200):
        physics.step(None)
        way.append(physics.truth().position[rows][:, :2])
    way = np.array(way)
    inside = np.abs(way).max(axis=2) < 10.0
    speed = np.linalg.norm(np.diff(way, axis=0), axis=2) / 0.05
    steady = inside[1:] & inside[:-1]
    steady[:10] = False
    assert inside.any(axis=0).all()
    assert np.median(speed[steady]) == pytest.approx(0.4, abs=0.05)
    assert not inside[-1].all()  # somebody has left by then, wherever in the recording it began


def test_who_has_not_come_or_has_left_is_in_no_exact_observation(recording):
    env = WorldsimEnv(Crowd(people=2, recording=recording, duration_s=12.0), observation="state", expose_truth=True)
    raw, info = env.reset(seed=1)
    counts = set()
    for _ in range(200):
        seen = Observation.from_gym(raw).detections
        assert np.abs(seen.position[:, :2]).max(initial=0.0) < 10.0
        assert len(seen) == 2 - len(info["truth"].absent)
        counts.add(len(seen))
        raw, _, _, _, info = env.step(np.zeros(3, dtype=np.float32))
    env.close()
    assert counts >= {0, 1}  # both have left in the end, one of them sooner


def test_touching_somebody_ends_the_episode_and_costs(physics):
    physics.reset(Crowd(people=1), seed=0)
    x, y = physics.state("robot").position[:2]
    physics.withdraw("person_0", (x, y, 1.3))  # somebody stumbles over the robot
    rewards = []
    for _ in range(40):
        physics.step(None)
        rewards.append(physics.last_task_step.reward)
        if physics.last_task_step.terminated:
            break
    assert physics.last_task_step.events["touched"] == 1.0
    assert physics.last_task_step.events["is_success"] is False
    assert rewards[-1] < -4.0


def test_wrong_fields_and_files_are_told(physics, tmp_path):
    with pytest.raises(ConfigurationError, match="people is 99"):
        Crowd(people=99)
    with pytest.raises(DataError, match="cannot be read"):
        physics.reset(Crowd(recording=str(tmp_path / "none.npz")), seed=0)
    with pytest.raises(ConfigurationError, match="do not belong together"):
        Followers(("a",), (Bulk(1.0, 1.0, 1.0),), np.arange(3.0), np.zeros((2, 1, 2)), WAITING)
    physics.reset(PushT(), seed=0)
    with pytest.raises(ConfigurationError, match="not of the scenario Crowd"):
        Strider().act(physics.observe(), None, np.random.default_rng(0))
