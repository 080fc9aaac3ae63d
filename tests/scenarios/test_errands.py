"""Errands through a house, a park, and both."""

from __future__ import annotations

import numpy as np
import pytest

from tests.scenarios.playing import played
from worldsim.errors import ConfigurationError, UnknownNameError
from worldsim.simulation.bullet import BulletPhysics
from worldsim.simulation.drivers.driver import yaw_of
from worldsim.simulation.floorplan import Floorplan
from worldsim_agents.walker import Walker
from worldsim_scenarios.errand import MARK_M
from worldsim_scenarios.house import House
from worldsim_scenarios.house_park import HOUSE_MIDDLE, PARK_MIDDLE, HousePark
from worldsim_scenarios.park import Park
from worldsim_scenarios.sorting import Sorting

ERRANDS = [House(), Park(), HousePark()]


@pytest.fixture(scope="module")
def physics():
    world = BulletPhysics()
    yield world
    world.close()


@pytest.mark.parametrize("scenario", ERRANDS, ids=repr)
def test_nobody_starts_inside_anything_and_the_marks_are_free(physics, scenario):
    for seed in range(3):
        physics.reset(scenario, seed=seed)
        truth, task = physics.truth(), physics.task
        pairs = {frozenset(pair[:2]) for pair in truth.contacts}
        assert not any("robot" in pair and "floor" not in pair for pair in pairs)
        standing = [s for s in physics.specs if s.mass_kg == 0.0 and s.kind not in ("floor", "mark")]
        plan = Floorplan.of_boxes([(*s.position[:2], *s.extent_m[:2], yaw_of(s.orientation_xyzw)) for s in standing])
        assert min(plan.clearance(goal) for goal in task.goals) > 0.5


@pytest.mark.slow
@pytest.mark.parametrize("scenario", [House(cat=False), Park(people=1, dog=False)], ids=repr)
def test_the_walker_visits_both_marks_and_is_paid_for_the_way(scenario):
    total, change, info = played(scenario, Walker(), seed=0)
    assert info["is_success"]
    assert info["visited"] == 2.0
    assert total == pytest.approx(change + 10.0)


def test_a_pet_is_at_home_and_no_intruder(physics):
    physics.reset(House(), seed=0)
    truth = physics.truth()
    assert "cat" in truth.names
    assert truth.intruder is None
    x, y = truth.position[truth.names.index("cat")][:2]
    assert max(abs(x), abs(y)) < 4.5


def test_who_touches_somebody_has_lost_and_pays(physics):
    physics.reset(Park(people=1, dog=False, balls=0), seed=3)
    truth = physics.truth()
    x, y = truth.position[truth.names.index("robot")][:2]
    physics.withdraw("person_0", (float(x) + 0.5, float(y), 0.88))
    rewards = []
    for _ in range(20):
        physics.step(np.zeros(3))
        rewards.append(physics.last_task_step.reward)
        if physics.last_task_step.terminated:
            break
    assert physics.last_task_step.events["touched"] == 1.0
    assert physics.last_task_step.events["is_success"] is False
    assert min(rewards) < -4.0


def test_a_mark_counts_once_and_the_next_one_is_told(physics):
    physics.reset(House(cat=False), seed=1)
    first, second = physics.task.goals
    told = physics.observe().task
    np.testing.assert_allclose(told["task_goal_position"][:2], first)
    assert told["task_goals_left"][0] == 2.0
    physics.withdraw("robot", (first[0], first[1] + 0.5 * MARK_M, 0.151))
    physics.step(np.zeros(3))
    told = physics.observe().task
    np.testing.assert_allclose(told["task_goal_position"][:2], second)
    assert told["task_goals_left"][0] == 1.0


def test_house_and_park_are_the_same_alone_and_together(physics):
    """The same furniture at the same places: what is learned in one is about what stands in the other."""
    kinds = {}
    for scenario, middle in ((House(), (0.0, 0.0)), (Park(), (0.0, 0.0))):
        physics.reset(scenario, seed=0)
        kinds |= {spec.name: (spec.kind, spec.position[0] - middle[0]) for spec in physics.specs}
    physics.reset(HousePark(), seed=0)
    both = {spec.name: spec for spec in physics.specs}
    assert both["sofa"].position[0] == pytest.approx(kinds["sofa"][1] + HOUSE_MIDDLE[0])
    assert both["bench_0"].position[0] == pytest.approx(kinds["bench_0"][1] + PARK_MIDDLE[0])
    assert {both[name].kind for name in ("cat", "dog", "person_0", "ball_0")} == {"cat", "dog", "worker", "ball"}


def test_an_expert_of_another_task_and_wrong_fields_are_told(physics):
    physics.reset(Sorting(), seed=0)
    with pytest.raises(ConfigurationError, match="of no errand"):
        Walker().act(physics.observe(), None, np.random.default_rng(0))
    for made in (House, Park, HousePark):
        with pytest.raises(UnknownNameError, match="Did you mean 'dense'"):
            made(reward="dens")
        with pytest.raises(ConfigurationError, match="duration_s"):
            made(duration_s=0.0)
    with pytest.raises(ConfigurationError, match="people is 9"):
        Park(people=9)
