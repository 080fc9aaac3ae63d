"""MPPI drives where it is wanted, keeps off what is believed, and mixes up neither."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from tests.planning.floor import ROBOT, Floor, Thing, empty_belief, forecast
from worldsim.planning import MPPI, OwnBody, Situation
from worldsim.types import Preferences

GOAL = Preferences(goal_position=(3.0, 0.0, 0.0), goal_heading_rad=0.0)


def hull_gap(path: np.ndarray, thing: Thing, radius_m: float = 0.25) -> float:
    """Smallest distance between a disc on the path and an upright box that stays."""
    away = np.abs(path - np.array(thing.position)) - np.array(thing.extent_m[:2]) / 2
    outside = np.hypot(*np.maximum(away, 0.0).T)
    return float((outside + np.minimum(away.max(axis=1), 0.0)).min()) - radius_m


def test_on_a_free_floor_the_goal_is_reached_with_the_wanted_heading():
    floor = Floor()
    floor.drive(dataclasses.replace(GOAL, goal_position=(2.0, 1.0, 0.0), goal_heading_rad=math.pi / 2), seconds=6.0)
    # 5 cm and 0.1 rad are what taking a parcel asks for
    assert math.dist(floor.own.position, (2.0, 1.0)) < 0.05
    assert abs(math.remainder(floor.own.heading_rad - math.pi / 2, 2 * math.pi)) < 0.1
    assert abs(floor.own.speed_m_s) < 0.1


def test_a_box_in_the_way_is_driven_round():
    box = Thing((1.5, 0.0), (0.4, 1.2, 0.5))
    floor = Floor((box,))
    path = floor.drive(GOAL, seconds=7.0)
    assert math.dist(floor.own.position, (3.0, 0.0)) < 0.1
    assert hull_gap(path, box) > 0.0


def test_what_hangs_overhead_is_driven_under():
    floor = Floor((Thing((1.5, 0.0), (0.4, 1.2, 0.5), height_m=2.0),))
    path = floor.drive(GOAL, seconds=4.0)
    assert np.abs(path[:, 1]).max() < 0.1  # a straight line, but for the samples' noise


def test_a_wider_belief_keeps_a_wider_berth():
    def berth(std_m: float) -> float:
        mover = Thing((1.5, 0.4), (0.4, 0.4, 0.5), std_m=std_m, spread_m_s=0.2, moves=True)
        return min(hull_gap(Floor((mover,)).drive(GOAL, seconds=5.0, seed=s), mover) for s in range(3))

    assert berth(0.5) > berth(0.05) + 0.1  # far above the spread between seeds, about 0.03 m


def test_a_crossing_mover_is_let_through_or_passed_clear():
    mover = Thing((1.6, -2.0), (0.45, 0.55, 1.75), velocity=(0.0, 0.9), std_m=0.05, spread_m_s=0.1, moves=True)
    floor = Floor((mover,))
    path = floor.drive(GOAL, seconds=6.0)
    times = 0.05 * np.arange(1, len(path) + 1)
    mover_path = np.array(mover.position) + times[:, None] * np.array(mover.velocity)
    # discs about both bodies: 0.43 m the robot's corner, 0.36 m the mover's
    assert np.linalg.norm(path - mover_path, axis=1).min() > 0.43 + 0.36
    assert math.dist(floor.own.position, (3.0, 0.0)) < 0.1


def test_hold_still_stays_still():
    floor = Floor()
    path = floor.drive(dataclasses.replace(GOAL, hold_still=True), seconds=3.0)
    assert np.linalg.norm(path, axis=1).max() < 0.02


def test_hold_still_brakes_from_full_speed():
    floor = Floor(own=dataclasses.replace(ROBOT, speed_m_s=1.2))
    path = floor.drive(dataclasses.replace(GOAL, hold_still=True), seconds=2.0)
    # Coasting to a stop under the answer of 5 /s alone covers 1.2 / 5 = 0.24 m.
    assert path[-1, 0] < 0.27
    assert abs(floor.own.speed_m_s) < 0.02


def test_what_is_predicted_to_hit_is_evaded_also_when_holding_still():
    trolley = Thing((-3.0, 0.0), (0.9, 0.55, 1.0), velocity=(1.2, 0.0), std_m=0.05, spread_m_s=0.1, moves=True)
    sideways = dataclasses.replace(ROBOT, heading_rad=math.pi / 2)
    floor = Floor((trolley,), own=sideways)
    path = floor.drive(Preferences(hold_still=True), seconds=4.0)
    trolley_x = -3.0 + 1.2 * 0.05 * np.arange(1, len(path) + 1)
    passing = np.abs(trolley_x - path[:, 0]) < 0.45 + 0.25  # lengths overlap along the trolley's way
    assert passing.any()
    assert np.abs(path[passing, 1]).min() > 0.275 + 0.35  # then the sides do not


def test_preferences_change_the_act_and_no_belief():
    box = Thing((1.2, 0.1), (0.4, 0.4, 0.5), std_m=0.1, spread_m_s=0.1, moves=True)
    belief = empty_belief()
    before = {name: value.clone() for name, value in belief.tensors().items()}
    what_others_do = forecast((box,))

    def act(preferences: Preferences) -> np.ndarray:
        planner = MPPI(lambda _: Situation(0.0, ROBOT, what_others_do))
        return planner.plan(belief, preferences, np.random.default_rng(0)).actions

    wary = dataclasses.replace(GOAL, clearance_m=1.5)
    bold = dataclasses.replace(GOAL, weights=(("clearance", 0.0), ("collision", 0.0)))
    assert not np.allclose(act(GOAL), act(wary))
    assert not np.allclose(act(GOAL), act(bold))
    assert all((value == before[name]).all() for name, value in belief.tensors().items())
    assert (what_others_do.position == forecast((box,)).position).all()


def test_terms_are_named_weighted_and_add_up_to_the_cost():
    planner = MPPI(lambda _: Situation(0.0, ROBOT, forecast((Thing((1.0, 0.4), moves=True, std_m=0.3),))))
    plan = planner.plan(empty_belief(), GOAL, np.random.default_rng(0))
    assert list(plan.terms) == [
        *("progress", "heading", "clearance", "collision"),
        *("obstacles", "effort", "smoothness", "stillness"),
    ]
    assert plan.cost == pytest.approx(sum(plan.terms.values()))
    without = dataclasses.replace(GOAL, weights=(("progress", 0.0),))
    assert planner.plan(empty_belief(), without, np.random.default_rng(0)).terms["progress"] == 0.0


def test_the_same_generator_gives_the_same_plan():
    def drive() -> np.ndarray:
        return Floor((Thing((1.5, 0.2)), Thing((2.0, 1.0), moves=True, velocity=(0.0, -0.4)))).drive(GOAL, 2.0, seed=7)

    assert np.array_equal(drive(), drive())


def test_no_way_to_the_goal_is_a_plan_to_stay():
    sides = ((1.2, 0.0, 0.2, 2.6), (-1.2, 0.0, 0.2, 2.6), (0.0, 1.2, 2.6, 0.2), (0.0, -1.2, 2.6, 0.2))
    walls = tuple(Thing((3.0 + dx, dy), (length, width, 1.0)) for dx, dy, length, width in sides)
    floor = Floor(walls)
    planner = MPPI(floor.situation)
    plan = planner.plan(empty_belief(), GOAL, np.random.default_rng(0))
    assert planner.route is not None
    assert not planner.route.reachable
    assert plan.terms["progress"] == 0.0
    assert np.abs(plan.action).max() < 0.05


def test_a_load_in_front_makes_the_turning_body_longer():
    loaded = dataclasses.replace(ROBOT, load_extent_m=(0.35, 0.35, 0.30), load_ahead_m=0.65)
    offsets, radii = loaded.discs()
    assert float((offsets + radii).max()) == pytest.approx(0.65 + 0.175)
    empty_offsets, empty_radii = ROBOT.discs()
    assert float((empty_offsets + empty_radii).max()) == pytest.approx(0.35)
    assert float((empty_offsets - empty_radii).min()) == pytest.approx(-0.35)


@pytest.mark.parametrize("length_m", [0.5, 0.7, 1.2, 2.4])
def test_discs_leave_no_notch_deeper_than_the_contact_margin(length_m: float):
    body = OwnBody((0.0, 0.0), 0.0, 0.0, 0.0, (length_m, 0.5, 0.3))
    offsets, radii = body.discs()
    gaps = offsets.diff().numpy()
    depth = radii[0].item() - np.sqrt(radii[0].item() ** 2 - (gaps / 2) ** 2)
    assert depth.max(initial=0.0) < 0.09
