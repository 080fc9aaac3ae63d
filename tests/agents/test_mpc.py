"""The planning agent on a small floor of its own, where belief and world are the same."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch

from tests.planning.floor import ROBOT, empty_belief
from worldsim.errors import ConfigurationError, UnknownNameError
from worldsim.planning.planar import BeliefCost, Outline, Pushable, read_scene, roll_out
from worldsim.planning.shooting import ICEM
from worldsim.types import Detections, Forecast, Observation, Preferences, Viewpoints
from worldsim.types.planning import PreferredOutcome
from worldsim_agents.mpc import MPC, OPTIMISERS

EXTENT = (0.4, 0.4, 0.3)
FRAME_S = 0.1
BRING = Preferences(
    outcomes=(
        PreferredOutcome("home", "object", "goal", scale_m=0.2),
        PreferredOutcome("near", "own", "object", scale_m=0.8, distance_m=0.55, weight=0.3),
    ),
    clearance_m=0.0,
)
MEET = Preferences(outcomes=(PreferredOutcome("meet", "own_front", "object", scale_m=0.3),), clearance_m=0.0)


@dataclasses.dataclass
class Yard:
    """A believer that is its own world: a body, and a box that slides when pushed, or goes its own way."""

    box: tuple[float, float, float]
    goal: tuple[float, float] = (0.0, 0.0)
    velocity: tuple[float, float] = (0.0, 0.0)
    own = ROBOT
    time_s: float = 0.0
    own_id = 0

    @property
    def belief(self):
        yaw = self.own.heading_rad
        turn = [[0.0, 0.0, math.sin(a / 2), math.cos(a / 2)] for a in (yaw, self.box[2])]
        v = self.own.speed_m_s
        return dataclasses.replace(
            empty_belief(self.time_s, 2),
            alive=torch.ones(2, dtype=torch.bool),
            object_id=torch.arange(2),
            existence=torch.ones(2),
            position=torch.tensor([[*self.own.position, 0.15], [*self.box[:2], 0.15]]),
            orientation_xyzw=torch.tensor(turn),
            linear_velocity=torch.tensor([[v * math.cos(yaw), v * math.sin(yaw), 0.0], [*self.velocity, 0.0]]),
            angular_velocity=torch.tensor([[0.0, 0.0, self.own.yaw_rate_rad_s], [0.0, 0.0, 0.0]]),
            extent_m=torch.tensor([self.own.extent_m, EXTENT]),
            parameters=torch.tensor([[5.0, 6.0, 0.1, 0.1], [1.0, 1.0, 1.0, 1.0]]).log(),
        )

    def forecast(self, horizon_s, dt_s):
        ahead = (torch.arange(round(horizon_s / dt_s)) + 1.0) * dt_s
        path = torch.tensor([*self.box[:2], 0.15]) + ahead[:, None] * torch.tensor([*self.velocity, 0.0])
        belief = self.belief
        return Forecast(torch.tensor([1]), path[:, None], torch.full_like(path[:, None], 0.01),
                        belief.orientation_xyzw[1:], belief.extent_m[1:], torch.tensor([True]), dt_s)  # fmt: skip

    def observe(self):
        task = {"task_object_extent_m": np.array(EXTENT), "task_goal_position": np.array([*self.goal, 0.15])}
        return Observation(self.time_s, Detections.empty(), Viewpoints.everywhere(), None, task)

    def step(self, action):
        box = Pushable(1, self.box, Outline.of(torch.tensor([[0.0, 0.0, *EXTENT[:2]]])))
        future = roll_out(self.own, (box,), torch.tensor(action).reshape(1, 1, -1), (1.2, 1.5), FRAME_S)
        x, y, yaw = future.own[0, 0].tolist()
        rate = action[1] * 1.5 + (self.own.yaw_rate_rad_s - action[1] * 1.5) * math.exp(-6.0 * FRAME_S)
        self.own = dataclasses.replace(
            self.own, position=(x, y), heading_rad=yaw, speed_m_s=float(future.speed[0, 0]), yaw_rate_rad_s=float(rate)
        )
        moved = future.pushed[0, 0, 0].tolist()
        vx, vy = self.velocity
        self.box = (moved[0] + vx * FRAME_S, moved[1] + vy * FRAME_S, moved[2])
        self.time_s += FRAME_S


def drive(yard, agent, seconds):
    rng = np.random.default_rng(0)
    for _ in range(round(seconds / FRAME_S)):
        yield agent.act(yard.observe(), None, rng)
        yard.step(agent_action := agent.last_plan.action if agent.last_plan else np.zeros(2))
        assert np.abs(agent_action).max() <= 1.0


@pytest.mark.parametrize("name", sorted(OPTIMISERS))
def test_every_search_drives_the_front_to_what_passes_by(name):
    yard = Yard(box=(2.5, -1.0, 0.0), velocity=(0.0, 0.3))
    agent = MPC(yard, MEET, optimiser=name, steps=12, dt_s=0.25)
    gaps = []
    for _ in drive(yard, agent, 5.0):
        x, y = yard.own.position
        yaw = yard.own.heading_rad
        gaps.append(math.dist((x + 0.35 * math.cos(yaw), y + 0.35 * math.sin(yaw)), yard.box[:2]))
    assert min(gaps) < 0.4
    assert set(agent.last_plan.terms) >= {"meet", "effort"}


def test_it_pushes_a_box_to_its_goal():
    yard = Yard(box=(1.0, 0.1, 0.0), goal=(2.0, 0.1))
    agent = MPC(yard, BRING, ICEM(96, 12, 2), steps=12, dt_s=0.25, replan_s=0.2)
    for _ in drive(yard, agent, 4.0):
        pass
    assert math.dist(yard.box[:2], yard.goal) < 0.25


def test_it_stands_while_its_object_is_not_believed_in_yet_and_says_what_it_cannot_do():
    yard = Yard(box=(1.0, 0.0, 0.0))
    other = dataclasses.replace(yard.observe(), task={"task_object_extent_m": np.array([9.0, 9.0, 9.0])})
    agent = MPC(yard, MEET)
    assert agent.act(other, None, np.random.default_rng(0)).tolist() == [0.0, 0.0, 0.0]
    with pytest.raises(ConfigurationError, match="name no outcome"):
        MPC(yard, Preferences()).act(yard.observe(), None, np.random.default_rng(0))
    with pytest.raises(ConfigurationError, match="nothing of an object's size"):
        MPC(yard, MEET).act(dataclasses.replace(yard.observe(), task={}), None, np.random.default_rng(0))
    with pytest.raises(UnknownNameError, match="Did you mean 'icem'"):
        MPC(yard, MEET, optimiser="icm")


def test_a_changed_preference_changes_the_act_and_no_belief():
    acts = []
    for goal_first in (True, False):
        yard = Yard(box=(1.0, 0.0, 0.0), goal=(2.0, 0.0))
        wanted = (
            BRING if goal_first else Preferences(outcomes=(PreferredOutcome("flee", "own", "object", 0.5, None, 4.0),))
        )
        before = yard.belief
        agent = MPC(yard, wanted, ICEM(64, 8, 2), steps=8, dt_s=0.25)
        acts.append(agent.act(yard.observe(), None, np.random.default_rng(0)))
        assert all(torch.equal(a, b) for a, b in zip(before.tensors().values(), yard.belief.tensors().values()))
    assert acts[0][0] > 0.2 > acts[1][0]


@pytest.mark.parametrize(
    ("place", "expected_m"),
    [((0.0, 0.0), 0.0), ((1.0, 1.0), math.pi / 2.0), ((2.0, 0.0), math.pi)],
    ids=["behind", "beside", "in front"],
)
def test_the_way_round_a_box_is_the_arc_to_where_it_can_be_pushed_on(place, expected_m):
    """The box lies 1 m from the own body, and its goal far beyond; the way is as long as the turn, times that metre."""
    yard = Yard(box=(1.0, 0.0, 0.0), goal=(9.0, 0.0))
    yard.own = dataclasses.replace(ROBOT, position=place)
    scene = read_scene(yard, yard.observe(), BRING, 4, 0.25, (1,))
    cost = BeliefCost(scene, BRING, 0.25)
    future = cost.imagine(torch.zeros(1, 4, 2))
    assert float(cost.way_round(BRING.outcomes[0], future)[0]) == pytest.approx(expected_m, abs=0.06)
    assert "home_way_round" in cost.terms(future, torch.zeros(1, 4, 2))


def test_at_home_there_is_no_way_left_round_a_box():
    yard = Yard(box=(1.0, 0.0, 0.0), goal=(1.0, 0.0))
    scene = read_scene(yard, yard.observe(), BRING, 4, 0.25, (1,))
    cost = BeliefCost(scene, BRING, 0.25)
    assert float(cost.way_round(BRING.outcomes[0], cost.imagine(torch.zeros(1, 4, 2)))[0]) < 0.02
