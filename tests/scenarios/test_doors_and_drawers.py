"""Fronts that look alike and give way in ways of their own."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tests.scenarios.playing import played
from worldsim.errors import ConfigurationError, UnknownNameError
from worldsim.simulation.bullet import BulletPhysics
from worldsim_agents.opener import Opener
from worldsim_scenarios.doors_and_drawers import KINDS, OPENED_M, DoorsAndDrawers
from worldsim_scenarios.sorting import Sorting


@pytest.fixture(scope="module")
def physics():
    world = BulletPhysics()
    yield world
    world.close()


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_the_expert_opens_every_kind_of_front_and_is_paid_for_the_way(kind):
    total, change, info = played(DoorsAndDrawers(kinds=(kind,)), Opener(), seed=1)
    assert info["is_success"]
    assert info["opened_m"] >= OPENED_M
    assert total == pytest.approx(change + 10.0)


def test_nothing_tells_the_kinds_apart_before_a_front_is_moved(physics):
    seen = set()
    for seed in range(4):
        physics.reset(DoorsAndDrawers(), seed=seed)
        fronts = [spec for spec in physics.specs if spec.name.startswith("front")]
        assert {(spec.extent_m, spec.colour, spec.position[2]) for spec in fronts} == {
            (fronts[0].extent_m, fronts[0].colour, fronts[0].position[2])
        }
        seen |= {(spec.mount.kind, spec.mount.axis, spec.mount.anchor_m) for spec in fronts}
    assert len(seen) == len(KINDS)
    told = {"task_shut_position", "task_object_extent_m", "task_opened_m", "task_holding"}
    assert set(physics.observe().task) == told


def test_a_shut_front_stays_shut_until_it_is_pulled(physics):
    physics.reset(DoorsAndDrawers(), seed=2)
    for _ in range(40):
        physics.step(np.zeros(3))
    assert physics.last_task_step.events["opened_m"] < 1e-3
    assert not physics.last_task_step.terminated


def test_a_front_turns_in_the_clamp_about_its_knob(physics):
    """The clamp holds a front's middle and not its heading: a hinge could not open otherwise."""
    physics.reset(DoorsAndDrawers(kinds=("hinge_west",)), seed=1)
    front = physics.task.front
    x, y, _ = physics.task.shut
    physics.withdraw("robot", (x, y - 0.48, 0.151))
    physics.step(np.zeros(3))
    robot = physics.truth().names.index("robot")
    q = physics.truth().orientation_xyzw[robot]
    facing = 2.0 * math.atan2(q[2], q[3])
    for _ in range(200):  # turn to the north where it stands
        wrong = math.remainder(math.pi / 2.0 - facing, 2.0 * math.pi)
        physics.step(np.array([0.0, np.clip(2.0 * wrong, -1.0, 1.0), -1.0]))
        q = physics.truth().orientation_xyzw[robot]
        facing = 2.0 * math.atan2(q[2], q[3])
        if abs(wrong) < 0.03:
            break
    for _ in range(30):
        physics.step(np.array([-0.25, 0.0, 1.0]))
    truth = physics.truth()
    q = truth.orientation_xyzw[truth.names.index(front)]
    assert abs(2.0 * math.atan2(q[2], q[3])) > 0.3


def test_an_expert_of_another_task_and_wrong_fields_are_told(physics):
    physics.reset(Sorting(), seed=0)
    with pytest.raises(ConfigurationError, match="not of the scenario DoorsAndDrawers"):
        Opener().act(physics.observe(), None, np.random.default_rng(0))
    with pytest.raises(UnknownNameError, match="Did you mean 'drawer'"):
        DoorsAndDrawers(kinds=("drawr",))
    with pytest.raises(ConfigurationError, match="fronts is 9"):
        DoorsAndDrawers(fronts=9)
