"""Pushing in the plane, the belief as a model of costs, and the world model in a stranger's shape."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch

from tests.planning.floor import ROBOT
from worldsim.errors import ConfigurationError
from worldsim.planning import MPPI
from worldsim.planning.boxes import Boxes
from worldsim.planning.kinematics import unicycle_rollout
from worldsim.planning.planar import (
    BeliefCost,
    Drives,
    ExpectedFreeEnergy,
    Outline,
    PlanarScene,
    Pushable,
    push_out,
    roll_out,
)
from worldsim.planning.shooting import CandidateCost
from worldsim.types import Preferences
from worldsim.types.planning import PreferredOutcome

LIMITS = (1.2, 1.5)
HALF = torch.tensor([0.35, 0.25])
SMALL = Outline.of(torch.tensor([[0.0, 0.0, 0.14, 0.14]]))
SQUARE = Outline.of(torch.tensor([[0.0, 0.0, 0.4, 0.4]]))
T = Outline.of(torch.tensor([[0.0, 0.45, 1.2, 0.3], [0.0, -0.15, 0.3, 0.9]]))
NOTHING = Boxes(torch.zeros(1, 0, 2), torch.zeros(0, 2), torch.zeros(0, 2), torch.zeros(1, 0))
HOME = PreferredOutcome("home", "object", "goal", scale_m=0.2, scale_rad=0.3)


def scene(goal=(1.5, 0.0, 0.0), thing=(0.8, 0.0, 0.0), outline=SQUARE):
    return PlanarScene(
        0.0, ROBOT, (Pushable(7, thing, outline),), {"object": 0}, {"goal": torch.tensor([goal])}, NOTHING, NOTHING
    )


def test_the_middle_of_a_t_is_where_its_area_says():
    assert T.middle_m.tolist() == pytest.approx([0.0, (0.36 * 0.45 - 0.27 * 0.15) / 0.63], abs=1e-6)
    # the mean distance from the middle of a square: (sqrt(2) + asinh(1)) / 6 of its edge
    assert SQUARE.characteristic_m == pytest.approx(0.4 * (math.sqrt(2.0) + math.asinh(1.0)) / 6.0, rel=1e-2)


def test_a_push_through_the_middle_moves_a_thing_straight_by_as_much_as_it_was_overlapped():
    moved, depth, push = push_out(torch.zeros(1, 3), HALF, torch.tensor([[0.5, 0.0, 0.0]]), SQUARE)
    assert float(depth) == pytest.approx(0.05)
    assert moved[0].tolist() == pytest.approx([0.55, 0.0, 0.0], abs=0.01)
    assert float(push[0, 0]) == pytest.approx(1.0)


def test_a_push_beside_the_middle_turns_it_away_and_by_the_ratio_of_its_limit_surface():
    own = torch.tensor([[0.0, -0.35, 0.0]])  # its left front corner meets the square's west face at y = -0.1
    moved, depth, push = push_out(own, HALF, torch.tensor([[0.54, 0.0, 0.0]]), SQUARE)
    x, y, yaw = moved[0].tolist()
    assert yaw > 0.0  # pushed along +x below its middle: it turns to the left
    arm = 0.1
    first = float(depth) / (1.0 + arm**2 / SQUARE.characteristic_m**2)
    assert yaw / (x - 0.54) == pytest.approx(arm / SQUARE.characteristic_m**2, rel=0.15)
    assert x - 0.54 >= first - 1e-6
    assert abs(y) < 0.01
    assert push[0].tolist() == pytest.approx(
        [1.0, -0.25], abs=0.06
    )  # the corner that pushes and the one that is pushed


@pytest.mark.parametrize("heading", [0.0, 0.5 * math.pi, math.pi, -0.5 * math.pi])
def test_no_side_of_the_own_body_goes_through_a_narrower_thing(heading):
    own = torch.tensor([[0.0, 0.0, heading]])
    reach = 0.35 if abs(math.cos(heading)) > 0.5 else 0.25
    moved, depth, push = push_out(own, HALF, torch.tensor([[reach + 0.1, 0.03, 0.0]]), SQUARE)  # to the east of it
    assert float(depth) == pytest.approx(0.1, abs=1e-6)
    assert moved[0, 0] == pytest.approx(reach + 0.2, abs=0.02)
    assert float(push[0, 0]) == pytest.approx(math.cos(heading), abs=1e-6)


def test_a_flat_front_brings_an_askew_thing_flush():
    command = torch.zeros(1, 20, 2)
    command[..., 0] = 0.5
    askew = Pushable(7, (0.8, 0.0, 0.2), SQUARE)
    future = roll_out(ROBOT, (askew,), command, LIMITS, 0.2)
    assert abs(float(future.pushed[0, -1, 0, 2])) < 0.05
    assert float(future.pushing[0, -1, 0]) == 1.0


def test_what_is_not_touched_stays_and_the_own_body_drives_as_without_it():
    command = torch.rand(3, 10, 2, generator=torch.Generator().manual_seed(0)) * 2.0 - 1.0
    future = roll_out(ROBOT, (Pushable(7, (9.0, 9.0, 0.3), T),), command, LIMITS, 0.2)
    alone = unicycle_rollout(ROBOT, command, LIMITS, 0.2)
    assert torch.equal(future.pushed[..., 0, :], torch.tensor([9.0, 9.0, 0.3]).expand(3, 10, 3))
    # the same equations in pieces of half a step: the path differs in the second order
    assert (future.own[..., :2] - alone.position).abs().max() < 0.02
    assert torch.allclose(roll_out(ROBOT, (), command, LIMITS, 0.2).own[..., :2], alone.position)


HOOK = torch.tensor([[0.75, 0.0, 0.34, 0.11], [1.2, 0.0, 0.11, 0.45]])


@pytest.mark.parametrize("held", [None, HOOK])
def test_machine_code_imagines_what_the_rollout_does_that_has_gradients(held):
    command = torch.rand(64, 16, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64) * 2.0 - 1.0
    command[..., 0] = command[..., 0].abs()
    exact = [
        dataclasses.replace(outline, centre=outline.centre.double(), half_m=outline.half_m.double())
        for outline in (T, SQUARE)
    ]
    things = (Pushable(7, (0.9, 0.1, 0.3), exact[0], 0.05), Pushable(8, (1.8, -0.3, 1.0), exact[1], 0.1))
    on_host = roll_out(ROBOT, things, command, LIMITS, 0.25, held)
    with_gradients = roll_out(ROBOT, things, command.clone().requires_grad_(), LIMITS, 0.25, held)
    assert 0.2 < float(on_host.pushing.mean()) < 0.8
    for name in ("own", "speed", "pushed", "pushing"):
        ours, reference = getattr(on_host, name), getattr(with_gradients, name)
        assert not ours.requires_grad
        assert ours.dtype == reference.dtype
        assert torch.allclose(ours, reference, rtol=0.0, atol=1e-12)


def test_machine_code_imagines_as_the_rollout_with_gradients_does_what_pushed_things_push():
    command = torch.rand(64, 16, 2, generator=torch.Generator().manual_seed(2), dtype=torch.float64) * 2.0 - 1.0
    command[..., 0] = command[..., 0].abs()
    outlines = [
        dataclasses.replace(outline, centre=outline.centre.double(), half_m=outline.half_m.double())
        for outline in (SQUARE, T, SQUARE)
    ]
    placed = ((0.9, 0.1, 0.3), (1.5, 0.0, 1.0), (2.1, -0.1, 0.2))
    things = tuple(Pushable(7 + n, placed[n], outlines[n], 0.05 * (n + 1)) for n in range(3))
    on_host = roll_out(ROBOT, things, command, LIMITS, 0.25)
    with_gradients = roll_out(ROBOT, things, command.clone().requires_grad_(), LIMITS, 0.25)
    alone = roll_out(ROBOT, things[2:], command, LIMITS, 0.25)
    passed_on = (on_host.pushed[:, -1, 2] - torch.tensor(placed[2], dtype=torch.float64)).norm(dim=1)
    assert int(((passed_on > 0.1) & (alone.pushing.sum(dim=(1, 2)) == 0)).sum()) > 3  # moved, and never touched
    for name in ("own", "speed", "pushed", "pushing"):
        assert torch.allclose(getattr(on_host, name), getattr(with_gradients, name), rtol=0.0, atol=1e-12)


@pytest.mark.parametrize("gradients", [False, True])
def test_things_in_a_row_are_pushed_along_together_and_slow_the_own_body_together(gradients):
    command = torch.zeros(1, 9, 2, requires_grad=gradients) + torch.tensor([0.5, 0.0])
    row = (Pushable(7, (0.9, 0.0, 0.0), SQUARE, 0.1), Pushable(8, (1.45, 0.0, 0.0), SMALL, 0.1))
    together, alone = roll_out(ROBOT, row, command, LIMITS, 0.2), roll_out(ROBOT, row[:1], command, LIMITS, 0.2)
    first, second = together.pushed[0, -1].detach()
    assert float(second[0] - first[0]) == pytest.approx(0.2 + 0.07, abs=0.01)  # face to face
    assert float(second[0]) > 1.65
    assert together.pushing[0, -1].tolist() == [1.0, 1.0]
    assert float((alone.speed - together.speed)[0, -1].detach()) > 0.05


def test_a_thing_beside_what_is_pushed_stays():
    command = torch.zeros(1, 20, 2)
    command[..., 0] = 0.5
    things = (Pushable(7, (0.9, 0.0, 0.0), SQUARE, 0.1), Pushable(8, (2.0, 1.5, 0.4), SQUARE, 0.1))
    future = roll_out(ROBOT, things, command, LIMITS, 0.2)
    assert torch.allclose(future.pushed[0, :, 1], torch.tensor([2.0, 1.5, 0.4]).expand(20, 3))
    assert future.pushing[0, :, 1].sum() == 0.0


def test_a_held_hook_draws_along_what_is_between_its_bar_and_the_own_body():
    back = torch.ones(1, 8, 2) * torch.tensor([-0.5, 0.0])
    within, beyond = (Pushable(7, (x, 0.3, 0.0), SMALL) for x in (0.95, 1.45))
    for thing, held, comes in ((within, HOOK, True), (within, None, False), (beyond, HOOK, False)):
        future = roll_out(ROBOT, (thing,), back, LIMITS, 0.25, held)
        went, gone = float(future.pushed[0, -1, 0, 0]) - thing.pose[0], float(future.own[0, -1, 0])
        assert gone < -0.8
        assert went == pytest.approx(gone + 0.07 if comes else 0.0, abs=0.02)  # the bar is 7 cm behind it at first


def test_resistance_slows_the_own_body_while_it_pushes():
    command = torch.ones(1, 12, 2) * torch.tensor([0.5, 0.0])
    light, heavy = (
        roll_out(ROBOT, (Pushable(7, (0.8, 0.0, 0.0), SQUARE, r),), command, LIMITS, 0.2).speed[0, -1]
        for r in (0.0, 0.25)
    )
    assert float(light - heavy) == pytest.approx(0.25, abs=0.01)


@pytest.mark.parametrize("side", [1.0, -1.0])
def test_what_resists_beside_the_middle_turns_the_own_body_towards_it(side):
    command = torch.zeros(1, 12, 2)
    command[..., 0] = 0.5
    aside = (0.75, 0.2 * side, 0.0)
    light, heavy = (roll_out(ROBOT, (Pushable(7, aside, SQUARE, r),), command, LIMITS, 0.2) for r in (0.0, 0.25))
    assert float(light.own[0, -1, 2]) == pytest.approx(0.0, abs=1e-6)
    assert side * float(heavy.own[0, 4, 2]) > 0.05  # that side is held back


def test_the_cost_of_commands_can_be_differentiated_through_the_push():
    askew = scene(thing=(0.8, 0.05, 0.6))  # one corner is met, and stays the one that is met
    model = BeliefCost(askew, Preferences(outcomes=(HOME,), clearance_m=0.0), 0.2)
    command = torch.full((1, 1, 5, 2), 0.4, dtype=torch.float64)
    command[..., 1] = 0.02
    command.requires_grad_()
    cost = model.get_cost({}, command)
    (slope,) = torch.autograd.grad(cost.sum(), command)
    step = torch.zeros_like(command)
    step[0, 0, 0, 0] = 1e-4
    with torch.no_grad():
        there, back = (float(model.get_cost({}, command + sign * step).sum()) for sign in (1.0, -1.0))
    assert bool(torch.isfinite(slope).all())
    assert float(slope[0, 0, 0, 0]) == pytest.approx((there - back) / 2e-4, rel=0.02)
    assert float(slope[0, 0, :, 0].sum()) < 0.0  # faster brings it nearer


def among_things():
    """A scene with a wall to one side and somebody who walks on the other, believed in single precision."""
    wall = Boxes(
        torch.tensor([[[1.0, 0.6]]]), torch.tensor([[1.0, 0.0]]), torch.tensor([[0.8, 0.05]]), torch.full((1, 1), 0.02)
    )
    path = torch.tensor([[[1.2, -0.9]], [[1.1, -0.8]], [[1.0, -0.7]]])
    walker = Boxes(path, torch.tensor([[1.0, 0.0]]), torch.tensor([[0.2, 0.2]]), torch.full((3, 1), 0.2))
    return dataclasses.replace(scene(), standing=wall, moving=walker, held=HOOK, held_among=wall)


MODELS = [BeliefCost, lambda *told: ExpectedFreeEnergy(*told, Drives())]


@pytest.mark.parametrize("made", MODELS, ids=["cost", "free energy"])
def test_candidates_in_double_precision_are_priced_among_things_as_those_in_single(made):
    model = made(among_things(), Preferences(outcomes=(HOME,), clearance_m=0.5), 0.25)
    command = torch.tensor([[[0.5, 0.2], [0.8, -0.3], [0.6, 0.1]]]).expand(1, 4, 3, 2)
    once = model.get_cost({}, command)
    twice = command.double().requires_grad_()
    cost = model.get_cost({}, twice)
    assert cost.dtype == torch.float64
    assert cost.detach()[0].tolist() == pytest.approx(
        once[0].tolist(), rel=1e-2
    )  # a tenth of a millimetre of smoothing
    (slope,) = torch.autograd.grad(cost.sum(), twice)
    assert bool(torch.isfinite(slope).all())


@pytest.mark.parametrize("made", MODELS, ids=["cost", "free energy"])
def test_a_command_beyond_the_limits_does_no_more_than_the_limit(made):
    model = made(among_things(), Preferences(outcomes=(HOME,)), 0.25)
    full = torch.tensor([1.0, -1.0]).expand(1, 2, 3, 2)
    assert torch.equal(model.get_cost({}, 5.0 * full), model.get_cost({}, full))
    assert not torch.equal(model.get_cost({}, 0.5 * full), model.get_cost({}, full))


def test_a_horizon_of_one_step_is_priced_and_one_of_none_is_refused():
    still = dataclasses.replace(scene(), moving=NOTHING)
    model = BeliefCost(still, Preferences(outcomes=(HOME,)), 0.25)
    assert bool(torch.isfinite(model.get_cost({}, torch.zeros(1, 3, 1, 2))).all())
    with pytest.raises(ConfigurationError, match="T at least 1"):
        model.get_cost({}, torch.zeros(1, 3, 0, 2))


@pytest.mark.parametrize("wrong", [{"samples": 0}, {"steps": 0}])
def test_a_planner_without_samples_or_steps_is_refused(wrong):
    with pytest.raises(ConfigurationError, match="MPPI"):
        MPPI(lambda belief: None, **wrong)


def test_a_held_hook_is_kept_off_what_it_cannot_pass_and_only_that():
    wall = Boxes(
        torch.tensor([[[2.0, 0.0]]]), torch.tensor([[1.0, 0.0]]), torch.tensor([[0.1, 2.0]]), torch.zeros(1, 1)
    )
    command = torch.zeros(2, 4, 2)
    command[1, :, 0] = 1.0  # the bar, 1.3 m ahead, comes to the wall; the own body does not
    among, nothing = (
        BeliefCost(dataclasses.replace(scene(thing=(9.0, 9.0, 0.0)), held=HOOK, held_among=walls), Preferences(), 0.25)
        for walls in (wall, NOTHING)
    )
    stays, drives = among.terms(among.imagine(command), command)["obstacles"].tolist()
    assert stays == 0.0
    assert drives > 60.0 * 0.25  # deep in it at the last step of four
    assert nothing.terms(nothing.imagine(command), command)["obstacles"].tolist() == [0.0, 0.0]
    command = (0.8 * command[1:]).requires_grad_()  # just into it
    (slope,) = torch.autograd.grad(among.terms(among.imagine(command), command)["obstacles"].sum(), command)
    assert float(slope[0, 0, 0]) > 0.0


def test_an_outcome_as_preferred_costs_nothing_and_preferences_change_no_future():
    at_goal = scene(goal=(0.8, 0.0, 0.0))
    command = torch.zeros(1, 4, 2)
    wanted, other = (Preferences(outcomes=(dataclasses.replace(HOME, scale_m=s),)) for s in (0.2, 0.4))
    first, second = (BeliefCost(at_goal, p, 0.2) for p in (wanted, other))
    assert float(first.terms(first.imagine(command), command)["home"]) == pytest.approx(0.0, abs=1e-4)
    assert torch.equal(first.imagine(command).pushed, second.imagine(command).pushed)
    away = BeliefCost(scene(), wanted, 0.2), BeliefCost(scene(), other, 0.2)
    assert float(away[0].get_cost({}, command[None])) > float(away[1].get_cost({}, command[None]))


def test_candidates_for_several_worlds_and_roles_that_nobody_plays_are_told():
    model = BeliefCost(scene(), Preferences(outcomes=(HOME,)), 0.2)
    with pytest.raises(ConfigurationError, match="one world"):
        model.get_cost({}, torch.zeros(2, 3, 4, 2))
    nobody = Preferences(outcomes=(dataclasses.replace(HOME, reference="moon"),))
    with pytest.raises(ConfigurationError, match="role 'moon'"):
        BeliefCost(scene(), nobody, 0.2).get_cost({}, torch.zeros(1, 3, 4, 2))
    with pytest.raises(ConfigurationError, match="scale_m is 0"):
        PreferredOutcome("x", "own", "goal", scale_m=0.0)


def test_the_world_model_has_the_shape_that_solvers_of_other_packages_ask_for():
    from tests.small_world import Shelf, model
    from worldsim.loop import WorldModel
    from worldsim.types import Detections, EgoState, Observation, Viewpoints

    still = np.zeros(3)
    ego = EgoState(np.array([0.0, 0.0, 0.15]), np.array([0.0, 0.0, 0.0, 1.0]), still, still, np.array([0.7, 0.5, 0.3]),
                   np.eye(6) * 1e-4)  # fmt: skip
    wm = WorldModel(registry=Shelf(), models=[model(f) for f in ("vehicle", "static", "rigid_body", "generic")])
    wm.reset(Observation(0.0, Detections.empty(), Viewpoints(np.zeros((1, 3)), np.array([9.0])), ego, None))
    candidates = torch.zeros(1, 3, 8, 2)
    candidates[0, 0, :, 0], candidates[0, 1, :, 0] = 0.8, -0.8
    info = {"task_goal_position": np.tile([2.0, 0.0, 0.0], (1, 3, 1)), "pixels": np.zeros((1, 3, 4, 4))}
    before = wm.belief
    on, back, stay = wm.get_cost(info, candidates)[0].tolist()
    assert isinstance(wm, CandidateCost)
    assert on < stay < back
    assert wm.belief is before
    with pytest.raises(ConfigurationError, match="the task has no goal"):
        wm.get_cost({}, candidates)
