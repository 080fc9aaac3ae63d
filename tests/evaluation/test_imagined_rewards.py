"""Imagined rewards beside true ones: the rule is the task's own, and trying leaves the true world as it was."""

from __future__ import annotations

import math

import numpy as np
import pytest

from worldsim.evaluation.imagined_rewards import SCENARIO, _earned, meeting_rewards
from worldsim.loop import WorldModel
from worldsim.planning.planar import find_objects
from worldsim.registry import open_registry
from worldsim.simulation.goal_task import SUCCESS_REWARD
from worldsim.simulation.gym_env import WorldsimEnv
from worldsim.types.observation import Observation

AHEAD = np.array([1.0, 0.0, 0.0], dtype=np.float32)


@pytest.fixture(scope="module")
def moment():
    """Return environment, world model, task and the ball's id, after a second of an episode."""
    env = WorldsimEnv(SCENARIO, target="rolling")
    world_model = WorldModel(registry=open_registry("builtin"), device="cpu")
    observation = Observation.from_gym(env.reset(seed=0)[0])
    world_model.reset(observation)
    for _ in range(20):
        observation = Observation.from_gym(env.step(AHEAD)[0])
        world_model.step(observation, AHEAD)
    task = observation.task or {}
    yield env, world_model, task, find_objects(world_model.belief, world_model.own_id, task)[0]
    env.close()


def test_a_future_is_paid_by_how_far_the_gap_shrinks(moment):
    _, world_model, task, ball = moment
    belief, own = world_model.belief, world_model.own_id
    imagined = world_model.imagine(np.tile(AHEAD[:2], (4, 1)), samples=3, dt_s=0.05)
    never = {**task, "task_reach_m": np.array([-1.0])}
    rewards, reached = meeting_rewards(belief, imagined, own, ball, never)
    rows = [int(np.flatnonzero(imagined.object_id == i)[0]) for i in (own, ball)]
    front_m = float(belief.extent_m[belief.slot_of(own), 0]) / 2.0

    def gap(robot, turn, target):
        yaw = 2.0 * math.atan2(float(turn[2]), float(turn[3]))  # upright
        front = [float(robot[0]) + front_m * math.cos(yaw), float(robot[1]) + front_m * math.sin(yaw), float(robot[2])]
        return math.dist(front, target.tolist())

    slots = [belief.slot_of(i) for i in (own, ball)]
    before = gap(belief.position[slots[0]], belief.orientation_xyzw[slots[0]], belief.position[slots[1]])
    for sample in range(3):
        robot, target = (imagined.position[sample, -1, row] for row in rows)
        after = gap(robot, imagined.orientation_xyzw[sample, -1, rows[0]], target)
        assert rewards[sample] == pytest.approx(before - after, abs=1e-3)
    assert not reached.any()


def test_a_future_in_which_the_ball_is_met_ends_there_and_is_paid_for_it(moment):
    _, world_model, task, ball = moment
    imagined = world_model.imagine(np.tile(AHEAD[:2], (4, 1)), samples=3, dt_s=0.05)
    at_once = {**task, "task_reach_m": np.array([100.0])}
    rewards, reached = meeting_rewards(world_model.belief, imagined, world_model.own_id, ball, at_once)
    assert reached.all()
    assert rewards == pytest.approx(np.full(3, SUCCESS_REWARD), abs=0.3)  # and what one step brings it nearer


def test_trying_pays_what_playing_pays_and_leaves_the_world_as_it_was(moment):
    env = moment[0]
    actions = np.tile(AHEAD[:2], (6, 1))
    tried = [_earned(env, actions) for _ in range(2)]
    assert tried[0] == tried[1]
    start = env.physics.snapshot()
    paid = sum(env.step(AHEAD)[1] for _ in range(6))
    env.physics.restore(start)
    assert tried[0] == (pytest.approx(paid), False)
