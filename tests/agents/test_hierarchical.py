"""Subgoals on a way that leads to the goal, and what a ceiling may ask for that no agent may."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch

from tests.agents.hall import FRAME_S, Floor, Hall, Thing
from worldsim.errors import ConfigurationError
from worldsim.evaluation.ceiling import OraclePlanner
from worldsim.evaluation.play import construct
from worldsim.planning.planar.scene import read_scene
from worldsim.planning.planar.waypoints import Waypoints
from worldsim.planning.shooting import ICEM
from worldsim.simulation.gym_env import WorldsimEnv
from worldsim.types.planning import Preferences, PreferredOutcome
from worldsim_agents.hierarchical import Hierarchical
from worldsim_agents.mpc import MPC
from worldsim_scenarios.intercept import Intercept

ARRIVE = Preferences(outcomes=(PreferredOutcome("arrive", "own", "goal", scale_m=0.5),), clearance_m=0.3)
GOAL = (3.0, 0.0)
# a bay that is open to the west: who sees a few seconds ahead drives into it and stays
BAY = (
    Thing((1.6, 0.0), (0.2, 3.0, 1.0)),
    Thing((0.6, 1.6), (2.2, 0.2, 1.0)),
    Thing((0.6, -1.6), (2.2, 0.2, 1.0)),
)


def hall():
    return Hall(Floor(BAY), parcel=(40.0, 40.0))


def observed(world):
    return dataclasses.replace(world.observation(), task={"task_goal_position": np.array([*GOAL, 0.15])})


def nearest(agent, seconds):
    world, rng, gaps = agent.world_model, np.random.default_rng(0), []
    for _ in range(round(seconds / FRAME_S)):
        world.step(agent.act(observed(world), None, rng))
        gaps.append(math.dist(world.floor.own.position, GOAL))
    return min(gaps)


def test_a_misspelt_role_is_told_with_those_that_there_are():
    world, wanted = hall(), Preferences(outcomes=(PreferredOutcome("home", "own", "gaol", scale_m=0.3),))
    with pytest.raises(ConfigurationError, match=r"nobody plays the roles \['gaol'\] .*known are .*'goal'"):
        read_scene(world, observed(world), wanted, 12, 0.25)


def test_a_subgoal_is_in_reach_and_round_the_wall_and_a_near_goal_is_left_alone():
    world = hall()
    scene = read_scene(world, observed(world), ARRIVE, 12, 0.25)
    waypoints = Waypoints(look_ahead_m=1.6)
    first = waypoints.subgoal(scene).paths["goal"][-1, :2]
    assert 0.5 < float(first.norm()) <= 1.6 + 1e-3
    assert float(first[0]) < 0.2  # out of the bay first, away from the goal
    assert waypoints.route.length_m > 4.0
    beside = dataclasses.replace(scene, own=dataclasses.replace(scene.own, position=(2.2, 0.0)))
    assert torch.equal(Waypoints().subgoal(beside).paths["goal"], scene.paths["goal"])


def test_it_gets_out_of_a_bay_that_a_short_horizon_stays_in():
    search = ICEM(64, 10, 2)
    assert nearest(Hierarchical(hall(), ARRIVE, search, replan_s=0.4), 9.0) < 0.5
    assert nearest(MPC(hall(), ARRIVE, search, steps=12, replan_s=0.4), 9.0) > 1.2


def test_the_oracle_asks_for_the_true_world_and_gets_it_from_scoring_code_alone():
    env = WorldsimEnv(Intercept(target="rolling", duration_s=0.3))
    try:
        agent = construct(OraclePlanner, None, 3, None, env)
        raw, _ = env.reset(seed=0)
        del raw
        action = agent.act(None, None, np.random.default_rng(0))
        assert action.shape == (3,)
        assert env.physics.truth().time_s == 0.0  # what it tried, it took back
    finally:
        env.close()
