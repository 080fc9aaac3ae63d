"""What is moved by hand, in the real environments: fetched, carried, let go; pulled open by an unknown joint."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from tests.agents.playing import played
from worldsim.planning import OwnBody
from worldsim.planning.boxes import Boxes
from worldsim.planning.planar import BeliefCost, Drives, PlanarScene
from worldsim.types.planning import Preferences, PreferredOutcome
from worldsim_agents.active_inference import ActiveInference
from worldsim_agents.clamp import Clamp, Phase, works_by_hand
from worldsim_agents.mpc import MPC


def test_a_box_with_something_loose_on_it_is_lifted_onto_a_crate_and_let_go():
    agent, done, phases = played("StackAndSupport", 20_005, MPC, 700)
    assert done
    assert phases[-4:] == [Phase.TAKE, Phase.LIFT, Phase.MOVE, Phase.LEAVE]
    assert agent.clamp.gentle  # it saw what stands on the box
    assert {"stack"} <= set(agent.last_plan.terms)


@pytest.mark.parametrize("kind", ["drawer", "slides_west", "hinge_east"])
def test_a_front_is_opened_and_what_it_hangs_on_is_believed_by_how_it_gave_way(kind):
    agent, done, _ = played("DoorsAndDrawers", 20_002, ActiveInference, 500, fronts=1, kinds=(kind,))
    assert done
    joints = agent.clamp.joints
    wanted = {"drawer": ("drawer", "hinge"), "slides_west": ("slider",), "hinge_east": ("hinge", "drawer")}[kind]
    assert sum(p for name, p in zip(joints.names, joints.posterior.tolist(), strict=True) if name in wanted) > 0.8
    assert agent.questions > 0


def test_what_is_out_of_reach_is_fetched_with_a_hook_that_is_taken_by_its_stem():
    agent, done, phases = played("ToolReach", 20_003, ActiveInference, 600)
    assert done
    assert agent.clamp.is_tool
    assert phases == [Phase.REACH, Phase.TAKE, Phase.LIFT, Phase.MOVE]  # it goes where the stem's end is, and once
    assert 0 < len(agent.scene.held_among) < len(agent.scene.standing)  # the fence, and not the beam, which is higher
    assert agent.scene.held[:, 0].min() > 0.35  # stem and bar are ahead of the front
    assert "fetch_way_round" in agent.last_plan.terms


def test_without_the_drive_it_asks_nothing_of_a_front_and_pulls_all_the_same():
    drives = Drives(use_param_info_gain=False, use_states_info_gain=False)

    def made(world_model, preferences):
        return ActiveInference(world_model, preferences, drives=drives)

    agent, done, _ = played("DoorsAndDrawers", 20_002, made, 500, fronts=1, kinds=("drawer",))
    assert done
    assert agent.questions == 0


def test_what_is_carried_goes_where_the_own_body_goes():
    own = OwnBody((1.0, 2.0), math.pi / 2.0, 0.0, 0.0, (0.7, 0.5, 0.3))
    nothing = Boxes(torch.zeros(1, 0, 2), torch.zeros(0, 2), torch.zeros(0, 2), torch.zeros(1, 0))
    goal = {"goal": torch.tensor([[1.0, 2.6, 0.0]])}
    scene = PlanarScene(0.0, own, (), {}, goal, nothing, nothing, carried={"object": (0.6, 0.0, 0.3)})
    wanted = Preferences(outcomes=(PreferredOutcome("home", "object", "goal", scale_m=0.3),))
    model = BeliefCost(scene, wanted, 0.25)
    future = model.imagine(torch.cat([torch.zeros(1, 8, 2), torch.full((1, 8, 2), 0.5)]))
    away = model.surprisal(wanted.outcomes[0], future)
    assert float(away[0].max()) == pytest.approx(0.0, abs=1e-5)
    assert float(away[1, -1]) > 1.0
    assert "home_way_round" not in model.terms(future, torch.zeros(2, 8, 2))  # it needs no pushing


def test_the_next_parcel_is_fetched_once_the_task_says_that_another_one_is_asked_for():
    ids = torch.tensor([4, 7])
    belief = SimpleNamespace(
        alive=torch.ones(2, dtype=torch.bool), existence=torch.ones(2), object_id=ids,
        position=torch.tensor([[1.0, 0.0, 0.15], [5.0, 0.0, 0.15]]), linear_velocity=torch.zeros(2, 3),
        orientation_xyzw=torch.tensor([[0.0, 0.0, 0.0, 1.0]] * 2), extent_m=torch.full((2, 3), 0.3),
        slot_of=lambda i: ids.tolist().index(i) if i in ids.tolist() else None,
    )  # fmt: skip
    ego = SimpleNamespace(
        position=np.zeros(3), orientation_xyzw=np.array([0.0, 0.0, 0.0, 1.0]), linear_velocity=np.zeros(3),
        angular_velocity=np.zeros(3), extent_m=np.array([0.7, 0.5, 0.3]),
    )  # fmt: skip
    clamp, found = Clamp(Preferences(outcomes=(PreferredOutcome("deliver", "object", "goal", scale_m=0.3),))), []
    for now, x in enumerate((1.0, 1.3, 5.0)):  # where the task says that the parcel is; a little off at first
        task = {"task_holding": np.zeros(1), "task_pickup_position": np.array([x, 0.0, 0.15])}
        clamp.step(SimpleNamespace(belief=belief, own_id=None), SimpleNamespace(task=task, time_s=0.05 * now, ego=ego))
        found.append(clamp.object_id)
    assert found == [4, 4, 7]


def test_a_clamp_is_used_only_where_it_is_felt_and_something_is_wanted_somewhere():
    brought = Preferences(outcomes=(PreferredOutcome("home", "object", "goal", scale_m=0.3),))
    met = Preferences(outcomes=(PreferredOutcome("meet", "own_front", "object", scale_m=0.3),))
    assert works_by_hand({"task_holding"}, brought)
    assert not works_by_hand({"task_goal_position"}, brought)
    assert not works_by_hand({"task_holding"}, met)
