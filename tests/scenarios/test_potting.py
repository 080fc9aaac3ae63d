"""The game of Billiards: the cue ball alone brings another ball into a pocket."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tests.scenarios.playing import played
from worldsim.errors import ConfigurationError, UnknownNameError
from worldsim.simulation.bullet import BulletPhysics
from worldsim_agents.striker import Striker
from worldsim_scenarios.billiards import GAME_S, WATCH_S, Billiards
from worldsim_scenarios.potting import POCKET_M, POCKETS
from worldsim_scenarios.sorting import Sorting


@pytest.fixture(scope="module")
def physics():
    world = BulletPhysics()
    yield world
    world.close()


def at(physics, name):
    truth = physics.truth()
    return truth.position[truth.names.index(name)]


def test_the_expert_pots_a_ball_without_touching_it_and_is_paid_for_the_way():
    total, change, info = played(Billiards(reward="dense"), Striker(), seed=20001)
    assert info["is_success"]
    assert info["gap_m"] == 0.0
    assert info["in_game"] == 3.0
    assert total == pytest.approx(change + 10.0)


def test_a_ball_that_the_robot_touches_is_out_of_the_game_and_with_none_left_all_is_lost(physics):
    physics.reset(Billiards(reward="dense", object_balls=1), seed=3)
    x, y, _ = at(physics, "ball_0")
    pocket = min(POCKETS, key=lambda p: math.dist(p, (x, y)))
    away = np.array([x, y]) - pocket
    start = np.array([x, y]) + 0.6 * away / np.linalg.norm(away)
    physics.withdraw("robot", (float(start[0]), float(start[1]), 0.151))
    heading = math.atan2(-away[1], -away[0])
    for _ in range(100):
        truth = physics.truth()
        _, _, z, w = truth.orientation_xyzw[truth.names.index("robot")]
        wrong = math.remainder(heading - 2.0 * math.atan2(z, w), 2.0 * math.pi)
        physics.step(np.array([0.5 if abs(wrong) < 0.1 else 0.0, np.clip(3.0 * wrong, -1.0, 1.0), 0.0]))
        if physics.last_task_step.terminated:
            break
    assert physics.last_task_step.terminated
    assert physics.last_task_step.events["is_success"] is False
    assert physics.last_task_step.events["in_game"] == 0.0
    assert physics.last_task_step.reward == pytest.approx(0.0, abs=0.05)  # out of the game, it is no progress


def test_with_the_cue_ball_in_a_pocket_all_is_lost(physics):
    physics.reset(Billiards(reward="sparse"), seed=0)
    physics.withdraw("cue_ball", (*POCKETS[0], 0.1))
    physics.step(None)
    assert physics.last_task_step.terminated
    assert physics.last_task_step.reward == 0.0


def test_balls_lie_still_outside_the_pockets_and_the_task_tells_the_cue_balls_colour(physics):
    for seed in range(5):
        physics.reset(Billiards(reward="dense", object_balls=6), seed=seed)
        names = [name for name in physics.truth().names if "ball" in name]
        assert len(names) == 7
        for name in names:
            assert min(math.dist(at(physics, name)[:2], pocket) for pocket in POCKETS) > POCKET_M
        before = [at(physics, name).copy() for name in names]
        for _ in range(10):
            physics.step(None)
        np.testing.assert_allclose([at(physics, name) for name in names], before, atol=2e-3)
        cue = physics.specs[[spec.name for spec in physics.specs].index("cue_ball")]
        np.testing.assert_allclose(physics.observe().task["task_cue_colour"], cue.appearance[:3])


def test_an_episode_lasts_as_long_as_is_usual_or_as_asked():
    assert (Billiards().duration_s, Billiards(reward="sparse").duration_s) == (WATCH_S, GAME_S)
    assert Billiards(reward="sparse", duration_s=5.0).duration_s == 5.0


def test_an_expert_of_another_task_and_wrong_fields_are_told(physics):
    physics.reset(Sorting(), seed=0)
    with pytest.raises(ConfigurationError, match="not of the game of Billiards"):
        Striker().act(physics.observe(), None, np.random.default_rng(0))
    with pytest.raises(UnknownNameError, match="Did you mean 'sparse'"):
        Billiards(reward="sparce")
    with pytest.raises(ConfigurationError, match="object_balls is 7, expected 1 to 6"):
        Billiards(object_balls=7)
