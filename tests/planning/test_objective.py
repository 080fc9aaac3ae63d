"""What a future costs, term by term, worked by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import stats

from tests.planning.floor import ROBOT, Thing, empty_belief, forecast
from worldsim.errors import UnknownNameError
from worldsim.planning import MPPI, OwnTrajectories, Situation
from worldsim.planning.explanation import imagined_options
from worldsim.planning.mppi import _lingering, _sort
from worldsim.planning.objective import Objective, Surroundings
from worldsim.planning.route import Obstacles, find_route
from worldsim.types import Preferences
from worldsim.types.planning import PreferredOutcome

STAY = torch.zeros(1, 20, 2)


def standing_still(command: torch.Tensor = STAY) -> OwnTrajectories:
    zero = torch.zeros(command.shape[:2])
    return OwnTrajectories(torch.zeros_like(command), zero, zero, zero, command)


def around(*things: Thing) -> Surroundings:
    """Return surroundings of a disc of 0.25 m."""
    standing, moving = _sort(ROBOT, forecast(things))
    return Surroundings(torch.zeros(1), torch.full((1,), 0.25), standing, moving, None)


def terms(surroundings: Surroundings, own: OwnTrajectories, **wishes: object) -> dict[str, float]:
    found = Objective().terms(own, surroundings, Preferences(**wishes))  # type: ignore[arg-type]
    return {name: float(value[0]) for name, value in found.items()}


@pytest.mark.parametrize(("gap_m", "std_m"), [(0.1, 0.3), (0.6, 0.3), (0.5, 0.05)])
def test_clearance_is_the_expected_shortfall_and_collision_the_chance_of_touch(gap_m: float, std_m: float) -> None:
    wanted_m = 0.5
    boxes = _sort(ROBOT, forecast((Thing((0.25 + 0.3 + gap_m, 0.0), std_m=std_m),)))[0]
    nothing = boxes.select(torch.zeros(1, dtype=torch.bool))
    where = Surroundings(torch.zeros(1), torch.full((1,), 0.25), nothing, boxes, None)
    gaps = np.linspace(gap_m - 8.0 * std_m, gap_m + 8.0 * std_m, 40_001)
    density = stats.norm.pdf(gaps, gap_m, std_m)
    shortfall = np.trapezoid(np.maximum(wanted_m - gaps, 0.0) * density, gaps)
    found = terms(where, standing_still(), clearance_m=wanted_m)
    assert found["clearance"] == pytest.approx(6.0 * shortfall, rel=1e-3)
    assert found["collision"] == pytest.approx(60.0 * stats.norm.cdf(-gap_m / std_m), rel=1e-3, abs=1e-6)


def test_backing_costs_more_than_driving_on_and_a_deep_touch_no_more_than_a_touch() -> None:
    ahead, back = (torch.full((1, 20, 2), v) * torch.tensor([1.0, 0.0]) for v in (0.5, -0.5))
    forth, behind = (terms(around(), standing_still(command))["effort"] for command in (ahead, back))
    assert forth == pytest.approx(0.05 * 0.25)
    assert behind == pytest.approx(0.05 * 0.25 + 0.5 * 0.5)
    gap = torch.tensor([[0.06, 0.03, 0.0, -0.12, -5.0]])
    assert Objective().touching(gap)[0].tolist() == pytest.approx([0.0, 30.0, 60.0, 180.0, 180.0])


def test_a_weight_of_what_is_neither_a_term_nor_an_outcome_is_told_and_not_ignored() -> None:
    doubled = terms(around(), standing_still(torch.ones(1, 20, 2)), weights=(("effort", 2.0),))
    plain = terms(around(), standing_still(torch.ones(1, 20, 2)))
    assert doubled["effort"] == pytest.approx(2.0 * plain["effort"])
    with pytest.raises(UnknownNameError, match=r"'clearence'.*Did you mean 'clearance'"):
        terms(around(), standing_still(), weights=(("clearence", 2.0),))
    wanted = PreferredOutcome("parcel_home", "parcel", "goal", 0.5)
    weighed = terms(around(), standing_still(), outcomes=(wanted,), weights=(("parcel_home", 2.0),))
    assert weighed.keys() == plain.keys()


def test_the_heading_matters_at_the_goal_and_not_on_the_way() -> None:
    def wrong(goal_x: float) -> float:
        where = around()
        route = find_route(Obstacles(where.standing, where.moving), (0.0, 0.0), (goal_x, 0.0), 0.3)
        where = Surroundings(where.disc_offset_m, where.disc_radius_m, where.standing, where.moving, route)
        return terms(where, standing_still(), goal_position=(goal_x, 0.0, 0.0), goal_heading_rad=math.pi)["heading"]

    assert wrong(0.0) == pytest.approx(2.0 * 2.0)  # on average and at the end
    assert wrong(3.0) < 1e-6


def test_asking_for_a_price_leaves_route_and_plan_as_they_were() -> None:
    situation = Situation(0.0, ROBOT, forecast((Thing((1.5, 0.6)),)))
    planner, rng = MPPI(lambda _: situation), np.random.default_rng(0)
    planner.plan(empty_belief(), Preferences(goal_position=(3.0, 0.0, 0.0)), rng)
    route, last = planner.route, planner._last.clone()
    planner.price(situation, Preferences(goal_position=(-3.0, 0.0, 0.0)), STAY)
    assert planner.route is route
    assert torch.equal(planner._last, last)


def test_the_last_plan_is_taken_up_where_it_has_got_to() -> None:
    planner = MPPI(lambda _: Situation(0.0, ROBOT, forecast(())))
    planner._last, planner._last_time_s = torch.arange(20.0)[:, None].repeat(1, 2), 1.0
    assert planner._warm_start(1.25)[:, 0].tolist() == pytest.approx([*(2.5 + k for k in range(17)), 19.0, 19.0, 19.0])


def test_a_mover_that_stays_about_where_it_is_hinders_the_route_and_one_that_goes_on_does_not() -> None:
    stays = Thing((2.0, 0.0), std_m=0.3, moves=True)
    goes = Thing((2.0, 0.0), std_m=0.3, velocity=(0.5, 0.0), moves=True)
    assert [len(_lingering(_sort(ROBOT, forecast((thing,)))[1])) for thing in (stays, goes)] == [1, 0]
    for thing, hinders in ((stays, 1), (goes, 0)):
        planner = MPPI(lambda _, thing=thing: Situation(0.0, ROBOT, forecast((thing,))))
        planner.plan(empty_belief(), Preferences(goal_position=(4.0, 0.0, 0.0)), np.random.default_rng(0))
        assert planner.route is not None
        assert len(planner.route.obstacles.hindering) == hinders


def test_touching_one_of_two_is_told_as_a_probability() -> None:
    mover = Thing((0.4, 0.0), std_m=0.3, moves=True)  # overlapping: each is touched with more than one half
    where = around(mover, Thing((-0.4, 0.0), std_m=0.3, moves=True))
    own = standing_still()
    (told,) = imagined_options(["stay"], own, where, {})
    one = float(torch.special.ndtr(-where.gaps(own, where.moving) / 0.3).amax())
    assert told.touch_probability == pytest.approx(1.0 - (1.0 - one) ** 2, rel=1e-4)


def test_a_route_that_something_was_put_into_is_no_longer_clear() -> None:
    free = around()
    found = find_route(Obstacles(free.standing, free.moving), (0.0, 0.0), (4.0, 0.0), 0.3)
    assert found.is_clear(around(Thing((2.0, 2.0))).standing, 0.3)
    assert not found.is_clear(around(Thing((2.0, 0.0))).standing, 0.3)
    assert found.is_clear(around(Thing((4.4, 0.0))).standing, 0.3)  # before what it leads to
