"""A parcel with something loose on it is to be set down on a crate."""

from __future__ import annotations

import numpy as np
import pytest

from tests.scenarios.playing import played
from worldsim.errors import ConfigurationError, UnknownNameError
from worldsim.simulation.bullet import BulletPhysics
from worldsim_agents import stacker
from worldsim_agents.stacker import Stacker
from worldsim_scenarios.sorting import Sorting
from worldsim_scenarios.stack_and_support import LIFT, StackAndSupport


@pytest.fixture(scope="module")
def physics():
    world = BulletPhysics()
    yield world
    world.close()


def at(physics, name):
    truth = physics.truth()
    return truth.position[truth.names.index(name)]


@pytest.mark.parametrize("burdens", [1, 2])
def test_the_expert_stacks_all_of_it_and_is_paid_for_the_way(burdens):
    total, change, info = played(StackAndSupport(burdens=burdens), Stacker(), seed=20001)
    assert info["is_success"]
    assert info["levels"] == burdens + 1.0
    assert total == pytest.approx(change + 10.0)


def test_who_drives_as_hard_as_the_wheels_can_loses_the_burden(monkeypatch):
    for name in ("_SLEW_M_S", "_SLEW_RAD_S", "_GENTLE_M_S", "_GENTLE_RAD_S"):
        monkeypatch.setattr(stacker, name, 2.0)
    _, _, info = played(StackAndSupport(), Stacker(), seed=20001)
    assert not info["is_success"]
    assert info["levels"] == 0.0


def test_at_the_start_the_burden_stands_on_the_parcel_and_the_parcel_on_the_floor(physics):
    for seed in range(4):
        physics.reset(StackAndSupport(burdens=2), seed=seed)
        extent = {spec.name: spec.extent_m for spec in physics.specs}
        for below, name in (("box", "burden_0"), ("burden_0", "burden_1")):
            rise = (extent[below][2] + extent[name][2]) / 2.0
            assert at(physics, name)[2] - at(physics, below)[2] == pytest.approx(rise, abs=5e-3)
        assert at(physics, "crate")[2] == pytest.approx(extent["crate"][2] / 2.0, abs=5e-3)
        assert extent["crate"][2] < LIFT.lift_m  # the clamp lifts over the crate
        physics.step(None)
        assert physics.last_task_step.events["levels"] == 2.0  # the burdens stand; the parcel is not on the crate


def test_a_burden_that_falls_to_the_floor_is_lost(physics):
    physics.reset(StackAndSupport(), seed=0)
    x, y, _ = at(physics, "box")
    physics.withdraw("burden_0", (float(x) + 0.6, float(y), 0.12))
    for _ in range(5):
        physics.step(None)
    assert physics.last_task_step.terminated
    assert physics.last_task_step.events["is_success"] is False


def test_the_box_on_the_crate_without_its_burden_is_no_success(physics):
    physics.reset(StackAndSupport(), seed=0)
    x, y, z = at(physics, "crate")
    physics.withdraw("box", (float(x), float(y), float(z) + 0.326))
    physics.step(None)
    assert not physics.last_task_step.events["is_success"]


def test_an_expert_of_another_task_and_wrong_fields_are_told(physics):
    physics.reset(Sorting(), seed=0)
    with pytest.raises(ConfigurationError, match="not of the scenario StackAndSupport"):
        Stacker().act(physics.observe(), None, np.random.default_rng(0))
    with pytest.raises(UnknownNameError, match="Did you mean 'sparse'"):
        StackAndSupport(reward="sparce")
    with pytest.raises(ConfigurationError, match="burdens is 3"):
        StackAndSupport(burdens=3)
