"""Among people: what is not known of the far future is no reason to stand, what is not known of the near one is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch

from tests.planning.floor import ROBOT, Thing, empty_belief, forecast
from worldsim.planning.planar import read_scene
from worldsim.types import Detections, EgoState, Observation, Preferences, Viewpoints
from worldsim.types.planning import PreferredOutcome
from worldsim_agents.mpc import MPC

STEPS, STEP_S = 16, 0.25
ARRIVE = Preferences(clearance_m=0.5, outcomes=(PreferredOutcome("arrive", "own", "goal", scale_m=0.5),))


@dataclass
class Street:
    """A believer whose own body stands at the origin, among people who go on as the test says."""

    people: tuple[Thing, ...]
    own_id = None

    @property
    def belief(self):
        return empty_belief()

    def forecast(self, horizon_s, dt_s):
        return forecast(self.people, steps=round(horizon_s / dt_s), dt_s=dt_s)

    def observe(self):
        zero, level = np.zeros(3), np.array([0.0, 0.0, 0.0, 1.0])
        own = EgoState(zero, level, zero, zero, np.array(ROBOT.extent_m), np.zeros((6, 6)))
        task = {"task_goal_position": np.array([4.0, 0.0, 0.15])}
        return Observation(1.0, Detections.empty(), Viewpoints.everywhere(), own, task)


def person(x, y, spread_m_s=0.0, **kwargs):
    return Thing((x, y), (0.5, 0.5, 1.7), spread_m_s=spread_m_s, moves=True, **kwargs)


def scene(street, steps=STEPS):
    found = read_scene(street, street.observe(), ARRIVE, steps, STEP_S)
    assert found is not None
    return found


def test_places_are_those_expected_now_and_spreads_those_of_the_looks_to_come():
    street = Street((person(2.0, 3.0, 0.8, velocity=(0.5, 0.0)),))
    moving, told = scene(street).moving, street.forecast(STEPS * STEP_S, STEP_S)
    assert torch.equal(moving.centre, told.position[..., :2])
    assert moving.std_m[:4, 0].tolist() == pytest.approx(told.position_std[:4, 0, 0].tolist())  # the coming second
    assert moving.std_m[4:, 0].tolist() == pytest.approx([float(told.position_std[3, 0, 0])] * 12)
    assert float(told.position_std[-1, 0, 0]) > 3.0 * float(moving.std_m[-1, 0])


def test_a_horizon_shorter_than_that_keeps_its_spreads():
    street = Street((person(2.0, 3.0, 0.8, velocity=(2.0, 0.0)),))
    assert scene(street, steps=2).moving.std_m[:, 0].tolist() == pytest.approx([0.22, 0.42])


def test_people_of_whom_nobody_knows_where_they_will_be_in_four_seconds_do_not_make_it_wait_now():
    people = tuple(person(x, y, 0.7, velocity=(0.1, 0.0)) for x in (1.0, 3.0, 5.0) for y in (-2.2, 2.2))
    street = Street(people)
    agent = MPC(street, ARRIVE, steps=STEPS, dt_s=STEP_S)
    agent.act(street.observe(), None, np.random.default_rng(0))
    future = agent.model(agent.scene).imagine(torch.from_numpy(agent.last_plan.actions)[None])
    assert float(future.own[0, -1, 0]) > 2.0


def test_somebody_who_may_be_in_the_way_within_the_coming_second_is_given_room():
    costs = []
    for spread_m_s in (0.0, 0.7):
        street = Street((person(1.3, 0.9, spread_m_s, velocity=(0.1, 0.0)),))
        agent = MPC(street, ARRIVE, steps=STEPS, dt_s=STEP_S)
        priced = agent.model(scene(street))
        ahead = torch.tensor([1.0, 0.0]).expand(1, STEPS, 2)
        costs.append(float(priced.terms(priced.imagine(ahead), ahead)["collision"]))
    assert costs[0] < 0.01
    assert costs[1] > 100.0 * costs[0] + 0.1
