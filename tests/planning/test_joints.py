"""Hypotheses about joints: where a front goes under each, what a pull tells, and what is worth asking."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from worldsim.errors import ConfigurationError
from worldsim.planning import OwnBody
from worldsim.planning.boxes import Boxes
from worldsim.planning.planar import Drives, PlanarScene
from worldsim.planning.planar.joints import JointFreeEnergy, JointHypotheses, pull
from worldsim.types.planning import Preferences, PreferredOutcome

HELD_M = 0.45
ROBOT = OwnBody((0.0, -HELD_M), math.pi / 2.0, 0.0, 0.0, (0.70, 0.50, 0.30))
FRONT = JointHypotheses.of_a_front((0.0, 0.0, 0.0), 0.6, ROBOT.position)
WEST, EAST, DRAWER, SLIDES_WEST, SLIDES_EAST = range(5)
OPEN = Preferences(outcomes=(PreferredOutcome("open", "object", "shut", scale_m=0.1, distance_m=0.3),), clearance_m=0.0)


def commanded(speed, turn, steps=12):
    return torch.tensor([[[speed, turn]] * steps])


def priced(joints, drives, place=(0.0, 0.0)):
    nothing = Boxes(torch.zeros(1, 0, 2), torch.zeros(0, 2), torch.zeros(0, 2), torch.zeros(1, 0))
    scene = PlanarScene(0.0, ROBOT, (), {}, {"shut": torch.zeros(1, 3)}, nothing, nothing)
    return JointFreeEnergy(scene, OPEN, 0.25, drives, joints, place, 0.04)


def test_each_joint_has_its_way_and_a_place_on_it_is_found_again():
    way = torch.linspace(0.0, 0.4, 9)[:, None].expand(-1, 5)
    places, free = FRONT.place(way)
    torch.testing.assert_close(places[0], torch.zeros(5, 2), atol=1e-6, rtol=0.0)
    for k, edge in ((WEST, -0.3), (EAST, 0.3)):  # a hinge's middle stays half a width from its edge
        arm = places[:, k] - torch.tensor([edge, 0.0])
        torch.testing.assert_close(arm.norm(dim=-1), torch.full((9,), 0.3))
    torch.testing.assert_close(places[-1, DRAWER], torch.tensor([0.0, -0.4]))
    torch.testing.assert_close(places[-1, SLIDES_EAST], torch.tensor([0.4, 0.0]))
    torch.testing.assert_close(free.norm(dim=-1), torch.ones(9, 5))
    step = (places[1:] - places[:-1]) / (way[1:, :1] - way[:-1, :1])[:, None]  # the direction is the way's derivative
    between = 0.5 * (free[1:] + free[:-1])
    torch.testing.assert_close(step, between, atol=5e-3, rtol=0.0)
    for row in range(9):
        for k in range(5):
            assert float(FRONT.along(places[row, k])[k]) == pytest.approx(float(way[row, k]), abs=1e-5)


def test_of_a_pull_only_what_the_joint_leaves_free_comes_about():
    own, places = pull(ROBOT, FRONT, (0.0, 0.0), commanded(-0.3, 0.0), 0.1)
    gone = float(places[0, -1, DRAWER, 1])
    assert -0.36 < gone < -0.25  # at 0.3 m/s once the wheels follow
    assert float(places[0, -1, DRAWER, 0]) == pytest.approx(0.0, abs=1e-5)
    assert own[0, -1, DRAWER].tolist() == pytest.approx([0.0, -HELD_M + gone, math.pi / 2.0], abs=1e-5)
    for k in (SLIDES_WEST, SLIDES_EAST):  # straight across what slides, nothing moves, the own body neither
        assert places[0, -1, k].tolist() == pytest.approx([0.0, 0.0], abs=1e-5)
        assert own[0, -1, k].tolist() == pytest.approx([0.0, -HELD_M, math.pi / 2.0], abs=1e-5)
    assert places[0, -1, WEST, 0] < -0.08 < 0.08 < places[0, -1, EAST, 0]  # the two hinges swing to their own sides
    _, turned = pull(ROBOT, FRONT, (0.0, 0.0), commanded(0.0, 0.5), 0.1)  # to the left, from here the west
    assert float(turned[0, -1, SLIDES_WEST, 0]) < -0.1
    assert float(turned[0, -1, SLIDES_EAST, 0]) == pytest.approx(0.0, abs=1e-5)  # it does not go in
    _, pushed = pull(ROBOT, FRONT, (0.0, 0.0), commanded(0.3, 0.0), 0.1)
    torch.testing.assert_close(pushed[0, -1], torch.zeros(5, 2), atol=1e-5, rtol=0.0)


@pytest.mark.parametrize("true", range(5))
def test_where_it_goes_tells_the_joint_and_what_does_not_move_tells_too(true):
    joints, rng, noise_m = FRONT, np.random.default_rng(3), 0.02
    place = torch.zeros(2)
    for speed, turn in [(-0.2, 0.0), (-0.2, 0.0), (-0.2, 0.0), (0.0, 0.6), (0.0, -0.6)]:
        _, places = pull(ROBOT, joints, (float(place[0]), float(place[1])), commanded(speed, turn, 8), 0.1)
        predicted = places[0, -1] - place
        moved = predicted[true] + noise_m * torch.from_numpy(rng.standard_normal(2)).float()
        joints, place = joints.observe(moved, predicted, 0.04), place + moved
    assert int(joints.posterior.argmax()) == true
    assert float(joints.posterior[true]) > 0.9


def test_only_what_is_not_known_is_worth_a_pull():
    pulls = torch.cat([commanded(-0.3, 0.0), commanded(0.3, 0.0)])
    doubtful = priced(FRONT, Drives())
    told = doubtful.gains(doubtful.imagine(pulls))["param_info_gain"]
    assert float(told[0]) > 0.5 > 0.05 > float(told[1])  # to push at a shut front tells nothing
    sure = replace(FRONT, log_weight=torch.tensor([0.0, -20.0, -20.0, -20.0, -20.0]))
    assert not priced(sure, Drives()).asks
    assert not priced(FRONT, Drives(use_param_info_gain=False)).asks
    assert priced(sure, Drives()).gains(doubtful.imagine(pulls)) == {}


def test_what_is_wanted_is_expected_over_the_joints():
    pulls = torch.cat([commanded(-0.08, 0.0), commanded(0.0, 0.0)])  # 0.3 m in 3 s
    cost = {}
    for name, weight in (("any", FRONT.log_weight), ("slider", torch.tensor([-20.0, -20.0, -20.0, 0.0, 0.0]))):
        model = priced(replace(FRONT, log_weight=weight), Drives(use_param_info_gain=False))
        cost[name] = model.terms(model.imagine(pulls), pulls)["open"]
    assert float(cost["any"][0]) < float(cost["any"][1]) - 0.5  # three of five give way to a pull
    assert float(cost["slider"][0]) == pytest.approx(float(cost["slider"][1]), abs=1e-4)


def test_a_front_without_width_is_refused():
    with pytest.raises(ConfigurationError, match="wide"):
        JointHypotheses.of_a_front((0.0, 0.0, 0.0), 0.0, (0.0, -1.0))
