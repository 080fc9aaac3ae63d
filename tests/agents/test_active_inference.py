"""The agent that also plans for what is worth knowing, on a yard with two boxes of which one is heavy."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch

from tests.planning.floor import ROBOT, empty_belief
from worldsim.planning.planar import Drives, Outline, Pushable, roll_out
from worldsim.planning.shooting import ICEM
from worldsim.types import Detections, Forecast, Observation, Preferences, Viewpoints
from worldsim.types.planning import PreferredOutcome
from worldsim_agents.active_inference import ActiveInference

EXTENT, FRAME_S = (0.4, 0.4, 0.3), 0.1
OUTLINE = Outline.of(torch.tensor([[0.0, 0.0, *EXTENT[:2]]]))
LOSS = (0.1, 0.4)
HOME = Preferences(outcomes=(PreferredOutcome("home", "heaviest", "goal", scale_m=0.3),), clearance_m=0.0)


@dataclasses.dataclass
class Yard:
    """A believer that is its own world: a body, and two boxes that slide when pushed; the second is the heavy one."""

    boxes: list = dataclasses.field(default_factory=lambda: [(0.9, 0.0, 0.0), (-0.9, 0.0, 0.0)])
    own = ROBOT
    speeds: list = dataclasses.field(default_factory=lambda: [[0.0] * 3, [0.0] * 3])
    losses: tuple = LOSS
    goal: tuple = (0.0, 6.0, 0.15)
    time_s: float = 1.0
    own_id = 0

    @property
    def belief(self):
        yaws = [self.own.heading_rad, *(box[2] for box in self.boxes)]
        v, yaw = self.own.speed_m_s, self.own.heading_rad
        velocity = [[v * math.cos(yaw), v * math.sin(yaw), 0.0], *self.speeds]
        return dataclasses.replace(
            empty_belief(self.time_s, 3),
            alive=torch.ones(3, dtype=torch.bool),
            object_id=torch.arange(3),
            existence=torch.ones(3),
            position=torch.tensor([[*self.own.position, 0.15], *([*box[:2], 0.15] for box in self.boxes)]),
            orientation_xyzw=torch.tensor([[0.0, 0.0, math.sin(a / 2), math.cos(a / 2)] for a in yaws]),
            linear_velocity=torch.tensor(velocity),
            angular_velocity=torch.tensor([[0.0, 0.0, self.own.yaw_rate_rad_s], [0.0] * 3, [0.0] * 3]),
            extent_m=torch.tensor([self.own.extent_m, EXTENT, EXTENT]),
            parameters=torch.tensor([[5.0, 6.0, 0.1, 0.1], [1.0] * 4, [1.0] * 4]).log(),
        )

    def forecast(self, horizon_s, dt_s):
        belief, steps = self.belief, round(horizon_s / dt_s)
        path = belief.position[1:].expand(steps, 2, 3)
        return Forecast(torch.tensor([1, 2]), path, torch.full_like(path, 0.01), belief.orientation_xyzw[1:],
                        belief.extent_m[1:], torch.tensor([True, True]), dt_s)  # fmt: skip

    def observe(self):
        task = {"task_object_extent_m": np.array(EXTENT), "task_goal_position": np.array(self.goal),
                "task_push_loss_m_s": np.array(LOSS)}  # fmt: skip
        return Observation(self.time_s, Detections.empty(), Viewpoints.everywhere(), None, task)

    def step(self, action):
        things = tuple(Pushable(i, box, OUTLINE, self.losses[i]) for i, box in enumerate(self.boxes))
        command = torch.tensor(action[:2]).expand(1, 8, 2)  # in pieces: what is pushed is felt from the second one on
        future = roll_out(self.own, things, command, (1.2, 1.5), FRAME_S / 8)
        x, y, yaw = future.own[0, -1].tolist()
        wanted = float(action[1]) * 1.5
        rate = wanted + (self.own.yaw_rate_rad_s - wanted) * math.exp(-6.0 * FRAME_S)
        self.own = dataclasses.replace(
            self.own, position=(x, y), heading_rad=yaw, speed_m_s=float(future.speed[0, -1]), yaw_rate_rad_s=rate
        )
        after = [tuple(row) for row in future.pushed[0, -1].tolist()]
        self.speeds = [[(b[0] - a[0]) / FRAME_S, (b[1] - a[1]) / FRAME_S, 0.0] for a, b in zip(self.boxes, after)]
        self.boxes = after
        self.time_s += FRAME_S


def played(drives, seconds, wanted=HOME):
    yard = Yard()
    agent = ActiveInference(yard, wanted, ICEM(64, 8, 2), drives, steps=10, dt_s=0.3)
    rng = np.random.default_rng(0)
    for _ in range(round(seconds / FRAME_S)):
        yard.step(agent.act(yard.observe(), None, rng))
    return yard, agent


def test_by_curiosity_alone_it_finds_out_which_box_is_heavy():
    _, agent = played(Drives(use_utility=False), 4.0)
    assert agent.hypotheses.posterior[1] > 0.95
    assert agent.last_plan.terms["param_info_gain"] == 0.0  # what is known is not asked again


def felt(boxes, heavy):
    """Return what is believed of a row of boxes after two seconds of driving straight into it."""
    losses = tuple(LOSS[n == heavy] for n in range(2))
    yard = Yard(boxes=list(boxes), losses=losses, goal=(6.0, 0.0, 0.15))  # it stands behind them, and pushes
    agent = ActiveInference(yard, HOME, ICEM(64, 8, 2), Drives(), steps=10, dt_s=0.3)
    agent.act(yard.observe(), None, np.random.default_rng(0))
    for _ in range(20):
        yard.step(np.array([0.8, 0.0, 0.0]))
        agent._told = 0.8 * 1.2
        agent.look(yard.observe(), None)
    return agent.hypotheses.posterior.tolist()


def test_what_is_pushed_on_by_what_is_pushed_is_felt_with_it():
    row = ((0.75, 0.0, 0.0), (1.16, 0.0, 0.0))
    assert felt((row[0], (0.0, 9.0, 0.0)), heavy=0)[0] > 0.95
    for heavy in (0, 1):  # the sum is the same whichever of the two it is
        assert felt(row, heavy) == pytest.approx([0.5, 0.5], abs=1e-3)


def test_with_no_drive_at_all_it_finds_out_nothing_and_stays():
    yard, agent = played(Drives(False, False, False), 2.0)
    assert agent.hypotheses.entropy_nats == np.log(2.0).astype(np.float32)
    assert math.dist(yard.own.position, (0.0, 0.0)) < 0.1


def test_a_changed_preference_changes_the_act_and_not_what_is_believed():
    other = Preferences(outcomes=(dataclasses.replace(HOME.outcomes[0], weight=0.0),), clearance_m=0.0)
    acts, beliefs = [], []
    for wanted in (HOME, other):
        yard = Yard()
        agent = ActiveInference(yard, wanted, ICEM(64, 8, 2), Drives(True, False, False), steps=10, dt_s=0.3)
        acts.append(agent.act(yard.observe(), None, np.random.default_rng(0)))
        beliefs.append(agent.hypotheses)
    assert np.abs(acts[0] - acts[1]).max() > 0.05
    assert torch.equal(beliefs[0].log_weight, beliefs[1].log_weight)


SIGHT_M, EYE_M, THING = 2.0, 1.4, (0.05, 0.04, 0.02)
PLACES = ((2.6, 0.0), (-2.6, 0.0))
FIND = Preferences(outcomes=(PreferredOutcome("find", "own", "object", scale_m=0.5),), clearance_m=0.0)


class Lawn(Yard):
    """A bare floor with a small thing at the second of two places, which shows where the own eye is near."""

    @property
    def belief(self):
        seen = math.hypot(math.dist(self.own.position, PLACES[1]), EYE_M) < SIGHT_M
        place = torch.tensor([[*self.own.position, 0.15], [*PLACES[1], 0.01], [9.0, 9.0, 0.01]])
        alive = torch.tensor([True, seen, False])
        size = torch.tensor([self.own.extent_m, THING, THING])
        return dataclasses.replace(super().belief, alive=alive, position=place, extent_m=size)

    def forecast(self, horizon_s, dt_s):
        belief, steps = self.belief, round(horizon_s / dt_s)
        rows = belief.alive.clone()
        rows[0] = False
        path = belief.position[rows].expand(steps, -1, 3)
        return Forecast(belief.object_id[rows], path, torch.full_like(path, 0.01), belief.orientation_xyzw[rows],
                        belief.extent_m[rows], torch.ones(int(rows.sum()), dtype=torch.bool), dt_s)  # fmt: skip

    def observe(self):
        task = {"task_object_extent_m": np.array(THING), "task_place_positions": np.array(PLACES).reshape(-1),
                "task_sight_m": np.array([SIGHT_M])}  # fmt: skip
        eye = Viewpoints(np.array([[*self.own.position, EYE_M]]), np.array([40.0]))
        return Observation(self.time_s, Detections.empty(), eye, None, task)


def searched(drives, seconds):
    lawn = Lawn(boxes=[(50.0, 0.0, 0.0), (60.0, 0.0, 0.0)])
    agent = ActiveInference(lawn, FIND, ICEM(64, 8, 2), drives, steps=12, dt_s=0.3)
    rng = np.random.default_rng(0)
    for _ in range(round(seconds / FRAME_S)):
        lawn.step(agent.act(lawn.observe(), None, rng))
    return lawn, agent


def test_it_looks_at_one_place_after_the_other_and_goes_to_what_it_found():
    lawn, agent = searched(Drives(), 10.0)
    assert agent.whereabouts.posterior[1] > 0.95
    assert math.dist(lawn.own.position, PLACES[1]) < 0.5
    assert agent.questions > 0


def test_for_what_is_wanted_alone_it_does_not_look_and_what_it_sees_is_believed_all_the_same():
    lawn, agent = searched(Drives(use_states_info_gain=False), 3.0)
    assert agent.whereabouts.posterior.tolist() == [0.5, 0.5]
    assert agent.questions == 0
    beliefs = []
    for _ in range(10):
        lawn.own = dataclasses.replace(lawn.own, position=(1.6, 0.0), speed_m_s=0.0)
        agent.act(lawn.observe(), None, np.random.default_rng(0))
        beliefs.append(float(agent.whereabouts.posterior[1]))
        lawn.time_s += FRAME_S
    assert beliefs[:4] == [0.5] * 4  # a belief takes half a second in view to hold what lies there
    assert beliefs[-1] > 0.6
