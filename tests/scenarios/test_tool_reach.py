"""A thing behind a beam, and a hook."""

from __future__ import annotations

import numpy as np
import pytest

from tests.scenarios.playing import played
from worldsim.errors import ConfigurationError, UnknownNameError
from worldsim.simulation.bullet import BulletPhysics
from worldsim_agents.raker import Raker
from worldsim_scenarios.sorting import Sorting
from worldsim_scenarios.tool_reach import BEAM_X_M, LINE_X_M, ToolReach


@pytest.fixture(scope="module")
def physics():
    world = BulletPhysics()
    yield world
    world.close()


def test_the_expert_rakes_the_thing_out_and_is_paid_for_the_way():
    total, change, info = played(ToolReach(), Raker(), seed=0)
    assert info["is_success"]
    assert info["beyond_m"] == 0.0
    assert total == pytest.approx(change + 10.0)


def test_the_robot_alone_cannot_get_to_the_thing(physics):
    physics.reset(ToolReach(), seed=1)
    physics.withdraw("robot", (0.3, float(physics.truth().position[physics.truth().names.index("thing")][1]), 0.151))
    truth = physics.truth()
    robot, thing = truth.names.index("robot"), truth.names.index("thing")
    before = truth.position[thing].copy()
    for _ in range(100):
        physics.step(np.array([0.5, 0.0, 1.0]))
    after = physics.truth().position
    assert after[robot][0] < BEAM_X_M
    assert np.linalg.norm(after[thing] - before) < 1e-3
    assert before[0] > LINE_X_M


def test_hook_and_board_lie_apart_on_the_near_side_and_the_task_says_which_is_which(physics):
    sides = set()
    for seed in range(8):
        physics.reset(ToolReach(), seed=seed)
        specs = {spec.name: spec for spec in physics.specs}
        hook, board = specs["hook"], specs["board"]
        assert max(hook.position[0], board.position[0]) < 0.0
        assert hook.position[1] * board.position[1] < 0.0
        sides.add(hook.position[1] > 0.0)
        np.testing.assert_allclose(physics.observe().task["task_tool_extent_m"], hook.extent_m)
    assert sides == {True, False}


def test_an_expert_of_another_task_and_wrong_fields_are_told(physics):
    physics.reset(Sorting(), seed=0)
    with pytest.raises(ConfigurationError, match="not of the scenario ToolReach"):
        Raker().act(physics.observe(), None, np.random.default_rng(0))
    with pytest.raises(UnknownNameError, match="Did you mean 'sparse'"):
        ToolReach(reward="sparce")
    with pytest.raises(ConfigurationError, match="duration_s is 0"):
        ToolReach(duration_s=0.0)
