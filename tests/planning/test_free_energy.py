"""What a future is worth, what it tells, and what it may cost to find out."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch

from tests.planning.floor import ROBOT
from worldsim.errors import ConfigurationError
from worldsim.planning.boxes import Boxes
from worldsim.planning.planar import (
    BeliefCost,
    Drives,
    ExpectedFreeEnergy,
    Hypotheses,
    Outline,
    PlanarScene,
    Pushable,
    Unseen,
    information_gain,
)
from worldsim.planning.planar.visibility import sees, state_information_gain
from worldsim.types import Preferences
from worldsim.types.planning import OTHERS, PreferredOutcome

SQUARE = Outline.of(torch.tensor([[0.0, 0.0, 0.4, 0.4]]))
NOTHING = Boxes(torch.zeros(1, 0, 2), torch.zeros(0, 2), torch.zeros(0, 2), torch.zeros(1, 0))
TWO = Hypotheses.one_is_heaviest(2, 0.1, 0.4)
HOME = Preferences(outcomes=(PreferredOutcome("home", "heaviest", "goal", scale_m=0.3),), clearance_m=0.0)


def wall(x, half_x=0.05, half_y=1.0, std_m=0.01):
    return Boxes(
        torch.tensor([[[x, 0.0]]]), torch.tensor([[1.0, 0.0]]), torch.tensor([[half_x, half_y]]),
        torch.full((1, 1), std_m),
    )  # fmt: skip


def scene(**changes):
    things = (Pushable(1, (0.8, 0.0, 0.0), SQUARE), Pushable(2, (-2.0, 0.0, 0.0), SQUARE))
    made = PlanarScene(0.0, ROBOT, things, {}, {"goal": torch.tensor([[2.0, 0.0, 0.0]])}, NOTHING, NOTHING)
    return dataclasses.replace(made, **changes)


def forwards():
    command = torch.zeros(2, 8, 2)
    command[0, :, 0] = 0.6
    return command  # the first pushes thing 0, the second stands


def test_belief_follows_bayes_rule():
    after = TWO.observe([0], loss_m_s=0.4, noise_m_s=0.3)
    odds = math.exp(0.5 * ((0.1 - 0.4) / 0.3) ** 2)  # of "the first is heavy" against "the second is"
    assert after.posterior.tolist() == pytest.approx([odds / (1 + odds), 1 / (1 + odds)], abs=1e-6)
    assert after.entropy_nats < TWO.entropy_nats == pytest.approx(math.log(2.0))
    assert TWO.expected_resistance_m_s == pytest.approx((0.25, 0.25))


def test_information_is_gained_by_pushing_and_never_more_than_is_unknown():
    pushing = torch.zeros(3, 10, 2)
    pushing[1, :1, 0], pushing[2, :, 0] = 1.0, 1.0
    nothing, little, much = information_gain(pushing, TWO, 0.1, 1.0).tolist()
    assert nothing == 0.0
    assert 0.0 < little < much <= math.log(2.0)
    # one look, two equally probable means 3 noises apart: the bound is ln 2 - ln(1 + exp(-9/8))
    assert little == pytest.approx(math.log(2.0) - math.log(1.0 + math.exp(-9.0 / 8.0)), abs=1e-6)


def test_the_bound_is_below_the_information_that_a_large_sample_shows():
    rng = np.random.default_rng(0)
    k = rng.integers(2, size=200_000)
    speed = np.where(k == 0, -0.4, -0.1) + 0.1 * rng.standard_normal(len(k))
    like = np.stack([np.exp(-0.5 * ((speed + r) / 0.1) ** 2) for r in (0.4, 0.1)])
    true = float(np.log(like[k, np.arange(len(k))] / like.mean(axis=0)).mean())
    pushing = torch.zeros(1, 1, 2)
    pushing[..., 0] = 1.0
    bound = float(information_gain(pushing, TWO, 0.1, 1.0))
    assert 0.6 * true < bound < true


def test_dead_hypotheses_are_worth_no_question():
    sure = dataclasses.replace(TWO, log_weight=torch.tensor([0.0, -9.0]))
    assert information_gain(torch.ones(1, 10, 2), sure, 0.1, 1.0).tolist() == [0.0]
    three = dataclasses.replace(Hypotheses.one_is_heaviest(3, 0.1, 0.4), log_weight=torch.tensor([0.0, 0.0, -9.0]))
    only_third = torch.zeros(1, 10, 3)
    only_third[..., 2] = 1.0
    assert float(information_gain(only_third, three, 0.1, 1.0)) == pytest.approx(0.0, abs=1e-6)


def test_each_switch_takes_its_part_out_and_touches_no_other():
    unseen = Unseen(torch.tensor([[[3.0, 0.0]]]).expand(8, 1, 2), torch.full((8, 1), 0.5), 9.0, NOTHING)
    command = forwards()
    terms = {}
    for name in ("all", "use_utility", "use_states_info_gain", "use_param_info_gain"):
        drives = Drives() if name == "all" else Drives(**{name: False})
        model = ExpectedFreeEnergy(scene(), HOME, 0.2, drives, TWO, unseen)
        terms[name] = model.terms(model.imagine(command), command)
    assert set(terms["all"]) - set(terms["use_utility"]) == {"home", "home_way_round"}
    assert set(terms["all"]) - set(terms["use_states_info_gain"]) == {"states_info_gain"}
    assert set(terms["all"]) - set(terms["use_param_info_gain"]) == {"param_info_gain"}
    for name, kept in terms.items():
        assert all(torch.equal(cost, terms["all"][term]) for term, cost in kept.items()), name
    assert terms["all"]["param_info_gain"][0] < terms["all"]["param_info_gain"][1] == 0.0


def test_without_information_gain_it_is_the_belief_s_cost_in_expectation_over_the_hypotheses():
    off = ExpectedFreeEnergy(scene(), HOME, 0.2, Drives(True, False, False), TWO)
    command = forwards()
    got = off.get_cost({}, command[None])[0]
    each = []
    for player in (0, 1):
        sure = BeliefCost(scene(pushed_roles={"heaviest": player}), HOME, 0.2)
        each.append(sure.get_cost({}, command[None])[0])
    assert torch.allclose(got, (each[0] + each[1]) / 2.0, atol=1e-5)


def test_what_is_wanted_of_the_others_hangs_on_which_one_is_not_one_of_them():
    """The first thing is pushed from 1.2 m away to where it costs, if it is one of the others."""
    clear = PreferredOutcome("clear", OTHERS, "goal", scale_m=0.2, distance_m=1.0, or_farther=True)
    wanted, command = Preferences(outcomes=(clear,), clearance_m=0.0), forwards()
    near = scene(pushables=(Pushable(1, (0.8, 0.0, 0.0), SQUARE), Pushable(2, (-9.0, 0.0, 0.0), SQUARE)))
    under = [
        BeliefCost(dataclasses.replace(near, pushed_roles={"heaviest": n}), wanted, 0.2).terms(
            BeliefCost(near, wanted, 0.2).imagine(command), command
        )
        for n in (0, 1)
    ]
    assert under[0]["clear"].tolist() == [0.0, 0.0]  # the other one is far away, and farther is as good
    assert float(under[1]["clear"][0]) > 1.0
    assert float(under[1]["clear"][1]) == 0.0  # the second candidate stands
    assert "clear_way_round" not in under[1]
    unsure = dataclasses.replace(TWO, log_weight=torch.tensor([0.7, 0.3]).log())
    off = ExpectedFreeEnergy(near, wanted, 0.2, Drives(True, False, False), unsure)
    got = off.terms(off.imagine(command), command)["clear"]
    assert torch.allclose(got, 0.3 * under[1]["clear"], atol=1e-5)


def test_the_worst_of_the_others_counts_and_where_there_are_none_nothing_does():
    clear = PreferredOutcome("clear", OTHERS, "goal", scale_m=0.5, distance_m=3.0, or_farther=True)
    wanted, still = Preferences(outcomes=(clear,), clearance_m=0.0), torch.zeros(1, 4, 2)
    things = tuple(Pushable(n, (x, 0.0, 0.0), SQUARE) for n, x in enumerate((5.0, 3.0, 4.0)))  # 3, 1 and 2 m away
    three = scene(pushables=things, own=dataclasses.replace(ROBOT, position=(-5.0, 0.0)))
    cost = BeliefCost(three, wanted, 0.2)
    nats = math.sqrt(1.0 + ((1.0 - 3.0) / 0.5) ** 2) - 1.0
    assert cost.surprisal(clear, cost.imagine(still))[0].tolist() == pytest.approx([nats] * 4, abs=1e-5)
    alone = BeliefCost(scene(pushables=things[1:2], pushed_roles={"heaviest": 0}), wanted, 0.2)
    assert alone.surprisal(clear, alone.imagine(still))[0].tolist() == [0.0] * 4


def test_what_is_learned_by_doing_harm_counts_for_nothing():
    command = forwards()
    command[0, :, 0] = 1.0
    free = ExpectedFreeEnergy(scene(), HOME, 0.2, Drives(), TWO)
    blocked = ExpectedFreeEnergy(scene(standing=wall(0.6)), HOME, 0.2, Drives(), TWO)
    future = free.imagine(command)
    gain = float(free.terms(future, command)["param_info_gain"][0])
    assert free.harm(future, command).tolist() == [0.0, 0.0]
    assert float(blocked.harm(future, command)[0]) > 0.99
    assert gain < -0.5
    assert float(blocked.terms(future, command)["param_info_gain"][0]) > 0.01 * gain


def test_a_wall_hides_what_is_behind_it_and_a_look_tells_what_two_normals_share():
    eye = torch.tensor([[[0.0, 0.0]], [[0.0, 2.0]]])
    place = torch.tensor([[[2.0, 0.0], [9.0, 2.0]]])
    assert sees(eye, place, 5.0, NOTHING)[:, 0].tolist() == [[1.0, 0.0], [1.0, 0.0]]
    assert sees(eye, place, 5.0, wall(1.0, half_y=0.5))[:, 0].tolist() == [[0.0, 0.0], [1.0, 0.0]]
    told = state_information_gain(torch.tensor([[[1.0]], [[0.0]]]), torch.tensor([[0.5]]), 0.05)
    assert told.tolist() == pytest.approx([math.log(1.0 + 100.0), 0.0])


def test_hypotheses_of_unequal_number_are_told():
    with pytest.raises(ConfigurationError, match="one row and one entry a hypothesis"):
        Hypotheses(torch.zeros(2), torch.zeros(3, 2), {})
