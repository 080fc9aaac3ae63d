"""Imagined worlds start from what is believed, pay what the planner prices, and leave the world model as it is."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from worldsim.errors import ConfigurationError
from worldsim.loop import WorldModel
from worldsim.planning.planar import BeliefCost, PlanarFuture
from worldsim.planning.planar.imagined import HARM, OWN, STATIC, ImaginedWorlds, believed_moment
from worldsim.registry import open_registry
from worldsim.simulation.gym_env import WorldsimEnv
from worldsim.types import Observation, Preferences

FRAME_S, HORIZON_S = 0.05, 1.0


def believed(scenario: str, frames: int = 12, seed: int = 0):
    """Return world model, last observation and preferences after some frames of driving."""
    env = WorldsimEnv(scenario)
    try:
        world_model = WorldModel(registry=open_registry("builtin"), device="cpu", seed=0)
        observation = Observation.from_gym(env.reset(seed=seed)[0])
        world_model.reset(observation)
        action = np.array([0.4, 0.1, 0.0], dtype=np.float32)
        for _ in range(frames):
            observation = Observation.from_gym(env.step(action)[0])
            world_model.step(observation, action)
        return world_model, observation, env.scenario.preferences()
    finally:
        env.close()


@pytest.fixture(scope="module")
def pushing():
    world_model, observation, preferences = believed("PushT")
    return believed_moment(world_model, observation, preferences, HORIZON_S), preferences


@pytest.fixture(scope="module")
def meeting():
    world_model, observation, preferences = believed("Intercept")
    before = [field.clone() for field in (world_model.belief.position, world_model.belief.orientation_xyzw)]
    moment = believed_moment(world_model, observation, preferences, HORIZON_S)
    after = (world_model.belief.position, world_model.belief.orientation_xyzw)
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
    return moment, preferences


def at(scene, own, near):
    """Return the scene's own body put down before its pushable, facing it, so that a drive ahead pushes."""
    x, y, _ = scene.pushables[0].pose
    return np.tile(np.array([x - near, y, 0.0, 0.0, 0.0]), (len(own), 1))


def test_the_rewards_of_a_world_add_up_to_what_the_planner_prices_its_future_at(pushing):
    moment, preferences = pushing
    worlds = ImaginedWorlds(moment, preferences, FRAME_S, 3, np.random.default_rng(0))
    worlds.own = at(moment.scene, worlds.own, 1.1)
    worlds._cost, _ = worlds._priced()
    began, total, own, placed = worlds._cost.copy(), np.zeros(3), [], []
    command = np.array([[0.9, 0.0], [0.5, 0.6], [-0.4, 0.2]])
    while not worlds.over:
        total += worlds.step(command)
        own.append(worlds.own)
        placed.append(worlds.placed)
    path, things = (torch.from_numpy(np.stack(rows, axis=1)).float() for rows in (own, placed))
    assert float((things[0, -1] - things[0, 0]).norm()) > 0.1  # the first one pushes
    future = PlanarFuture(path[..., :3], path[..., 3], things, things[..., 0])
    held = torch.from_numpy(np.repeat(command[:, None], len(own), axis=1)).float()
    terms = BeliefCost(moment.scene, preferences, FRAME_S).terms(future, held)
    wanted = [*(outcome.name for outcome in preferences.outcomes), *HARM]
    price = torch.stack([terms[name] for name in wanted]).sum(dim=0).double().numpy()
    assert np.allclose(total, began - price, atol=1e-3)


def test_every_world_drives_by_its_own_commands_and_ends_at_the_horizon(meeting):
    moment, preferences = meeting
    worlds = ImaginedWorlds(moment, preferences, FRAME_S, 2, np.random.default_rng(0))
    steps = 0
    while not worlds.over:
        worlds.step(np.array([[0.8, 0.0], [0.0, 0.0]]))
        steps += 1
    assert steps == round(HORIZON_S / FRAME_S)
    away = np.linalg.norm(worlds.own[:, :2] - np.array(moment.scene.own.position), axis=1)
    assert away[0] > 0.5 > 0.2 > away[1]


def test_what_moves_goes_where_a_sampled_future_has_it(meeting):
    moment, preferences = meeting
    assert set(moment.mover_of) == {"object"}
    worlds = ImaginedWorlds(moment, preferences, FRAME_S, 64, np.random.default_rng(1))
    for _ in range(4):
        worlds.step(np.zeros((64, 2)))
    third = moment.movers[:, 2]  # 0.2 s on
    apart = np.abs(worlds.movers()[:, None] - third[None]).reshape(64, len(third), -1).max(axis=-1)
    assert apart.min(axis=1).max() < 1e-9
    assert len(set(apart.argmin(axis=1).tolist())) > 1


def test_detections_are_known_by_where_things_are_believed(pushing, meeting):
    moment, _ = pushing
    block = np.array(moment.scene.pushables[0].pose[:2])
    rows = np.flatnonzero(moment.who == 0)
    assert len(rows)
    assert np.linalg.norm(moment.observation.detections.position[rows, :2] - block, axis=1).max() < 0.5
    moment, _ = meeting
    assert set(moment.who.tolist()) <= {OWN, STATIC, *range(moment.movers.shape[2])}
    assert 0 in moment.who.tolist()


def test_without_outcomes_there_is_nothing_to_earn():
    world_model, observation, _ = believed("Intercept", frames=2)
    wanted = Preferences(goal_position=None, goal_tolerance_m=0.1, clearance_m=0.0)
    with pytest.raises(ConfigurationError, match="outcomes speak of"):
        believed_moment(world_model, observation, wanted, HORIZON_S)
