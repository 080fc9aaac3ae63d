"""Where a hidden thing may be: what a look tells, what a future's looks would, and how far every place is."""

from __future__ import annotations

import dataclasses
import itertools
import math

import numpy as np
import pytest
import torch

from tests.planning.floor import ROBOT
from worldsim.errors import ConfigurationError
from worldsim.planning.boxes import Boxes
from worldsim.planning.planar import (
    Cone,
    Drives,
    ExpectedFreeEnergy,
    PlanarScene,
    Search,
    Whereabouts,
    make_search_map,
    search_information,
)
from worldsim.planning.planar.search_tour import detour_m, tours
from worldsim.planning.planar.visibility import own_cone
from worldsim.planning.planar.whereabouts import FOUND, information_by_step
from worldsim.planning.route import Obstacles
from worldsim.types import Preferences
from worldsim.types.observation import Viewpoints
from worldsim.types.planning import PreferredOutcome

NOTHING = Boxes(torch.zeros(1, 0, 2), torch.zeros(0, 2), torch.zeros(0, 2), torch.zeros(1, 0))
FIND = Preferences(outcomes=(PreferredOutcome("find", "own", "object", scale_m=0.5),), clearance_m=0.0)
EITHER = Whereabouts.anywhere(torch.tensor([[3.0, 0.0], [-3.0, 0.0]]), "object")


def wall(x, half_y):
    return Boxes(
        torch.tensor([[[x, 0.0]]]), torch.tensor([[1.0, 0.0]]), torch.tensor([[0.05, half_y]]), torch.full((1, 1), 0.01)
    )


def looked_at(pattern, steps=6):
    """Return looks [1, T, K]: place k is in view in the last ``pattern[k]`` steps."""
    looks = torch.zeros(1, steps, len(pattern))
    for k, count in enumerate(pattern):
        looks[0, steps - count :, k] = 1.0
    return looks


def nested_monte_carlo(p, pattern, rng, samples=20_000):
    """Return the mutual information, nats, and its standard error: where the thing is and what shows are sampled.

    The posterior of each sample follows look by look from the likelihoods, without the closed form's grouping of looks.
    """
    at = rng.choice(len(p), size=samples, p=p)
    like = np.ones((samples, len(p)))
    for place, count in enumerate(pattern):
        for _ in range(count):
            shown = (at == place) & (rng.random(samples) < FOUND)
            given = np.where(shown[:, None], 0.0, np.ones(len(p)))
            given[:, place] = np.where(shown, FOUND, 1.0 - FOUND)
            like *= given
    posterior = p * like / (p * like).sum(axis=1, keepdims=True)
    gained = np.log(posterior[np.arange(samples), at] / p[at])
    return float(gained.mean()), float(gained.std() / math.sqrt(samples))


@pytest.mark.parametrize("pattern", [(1, 0, 0), (3, 1, 0), (2, 2, 2), (6, 6, 6)])
def test_the_closed_form_is_the_information_that_sampled_looks_bring(pattern):
    p = np.array([0.5, 0.3, 0.2])
    exact = float(information_by_step(looked_at(pattern).double(), torch.tensor(p))[0, -1])
    sampled, error = nested_monte_carlo(p, pattern, np.random.default_rng(7))
    assert exact == pytest.approx(sampled, abs=4.0 * error)
    assert error < 0.01


def test_looks_that_miss_nothing_tell_all_that_is_unknown_and_none_tell_nothing():
    p = torch.tensor([0.5, 0.5])
    assert float(information_by_step(looked_at((30, 30), 30), p)[0, -1]) == pytest.approx(math.log(2.0), abs=1e-5)
    assert information_by_step(looked_at((0, 0)), p).tolist() == [[0.0] * 6]


def test_the_same_looks_are_worth_more_the_sooner_they_are_taken():
    late = looked_at((2, 0, 0))
    soon = late.flip(1)
    p, live = torch.full((3,), 1.0 / 3.0), torch.ones(3, dtype=torch.bool)
    assert float(search_information(soon, p, live)) > float(search_information(late, p, live)) > 0.0


def test_where_all_but_one_place_are_ruled_out_a_look_is_worth_nothing():
    sure = dataclasses.replace(EITHER, log_weight=torch.tensor([0.0, -9.0]))
    assert search_information(looked_at((3, 3)), sure.posterior, sure.live).tolist() == [0.0]


def test_belief_follows_bayes_rule_and_the_thing_is_where_it_shows():
    none = torch.zeros(0, 2)
    missed = EITHER.observe(torch.tensor([True, False]), none, 0.5)
    assert missed.posterior.tolist() == pytest.approx([1.0 / 3.0, 2.0 / 3.0], abs=2e-3)
    assert EITHER.observe(torch.tensor([False, False]), none, 0.5).posterior.tolist() == [0.5, 0.5]
    shown = EITHER.observe(torch.tensor([True, False]), torch.tensor([[2.9, 0.2], [9.0, 9.0]]), 0.5)
    assert float(shown.posterior[0]) > 0.99
    assert torch.allclose(shown.place, torch.tensor([[2.9, 0.2], [-3.0, 0.0]]))


def test_the_map_goes_round_a_wall_and_sees_nothing_behind_it():
    free = make_search_map(EITHER, Obstacles(NOTHING, NOTHING), ROBOT, 1.5)
    walled = make_search_map(EITHER, Obstacles(wall(2.0, 1.0), NOTHING), ROBOT, 1.5)
    here = torch.tensor([[[0.0, 0.0], [1.7, 0.0], [2.4, 0.0], [3.0, 1.0]]])
    assert float(free.distance(0, here)[0, 0]) == pytest.approx(3.0, rel=0.04)
    assert float(walled.distance(0, here)[0, 0]) > 3.5
    assert free.looks(here)[0, :, 0].tolist() == [0.0, 1.0, 1.0, 1.0]
    assert walled.looks(here)[0, :, 0].tolist() == [0.0, 0.0, 1.0, 1.0]
    assert free.suits(EITHER, Obstacles(NOTHING, NOTHING))
    assert not free.suits(EITHER, Obstacles(wall(2.0, 1.0), NOTHING))


def test_who_has_turned_his_back_to_a_place_sees_nothing_of_it():
    found = make_search_map(EITHER, Obstacles(NOTHING, NOTHING), ROBOT, 1.5)
    ahead = Cone((1.0, 0.0, 0.0), math.cos(math.radians(60.0)), 1.0)
    own = torch.tensor([[[2.0, 0.0, 0.0], [2.0, 0.0, math.pi], [2.7, 0.0, 0.0], [3.0, -1.4, 1.5], [3.0, -1.4, 0.4]]])
    assert Search(EITHER, found).looks(own)[0, :, 0].tolist() == [1.0, 1.0, 1.0, 1.0, 1.0]
    # behind his back; 0.3 m before his feet, where an eye a metre up sees the floor from 0.6 m on; beside him
    assert Search(EITHER, found, ahead).looks(own)[0, :, 0].tolist() == [1.0, 0.0, 0.0, 1.0, 0.0]


def test_the_own_cone_is_told_in_the_own_bodys_frame():
    heading = 0.7
    own = dataclasses.replace(ROBOT, position=(1.0, 2.0), heading_rad=heading)
    left = [-math.sin(heading), math.cos(heading), 0.0]
    places = np.array([[9.0, 9.0, 3.0], [1.1, 2.1, 1.2]])
    views = Viewpoints(places, np.full(2, 20.0), np.array([[0.0, 0.0, -1.0], left]), np.array([0.5, 0.8]))
    cone = own_cone(views, own)
    assert cone is not None
    assert cone.axis == pytest.approx((0.0, 1.0, 0.0))
    assert (cone.cosine, cone.height_m) == pytest.approx((math.cos(0.8), 1.2))
    assert own_cone(Viewpoints(places, np.full(2, 20.0)), own) is None  # all around
    assert own_cone(views, dataclasses.replace(own, position=(30.0, 0.0))) is None  # no eye on it
    # from above and in the plane of the eye it agrees with what the sensors' own arithmetic says
    at = np.random.default_rng(0).uniform(-4.0, 6.0, (400, 3))
    pose = torch.tensor([[[1.1, 2.1, heading]]], dtype=torch.float64)
    held = cone.holds(pose, torch.tensor(at[None, :, :2]), torch.tensor(at[None, :, 2]))[0, 0].numpy() > 0.0
    np.testing.assert_array_equal(held, views.reach(at)[:, 1])


def priced(whereabouts, drives, standing=NOTHING):
    scene = PlanarScene(0.0, ROBOT, (), {}, {}, standing, NOTHING)
    found = make_search_map(whereabouts, Obstacles(standing, NOTHING), ROBOT, 1.5)
    model = ExpectedFreeEnergy(scene, FIND, 0.25, drives, search=Search(whereabouts, found))
    command = torch.zeros(2, 12, 2)
    command[0, :, 0] = 0.8  # towards the first place; the second candidate stays in the middle
    return model.terms(model.imagine(command), command)


def test_between_two_places_as_good_what_is_wanted_says_nothing_and_what_is_worth_knowing_says_go():
    off = priced(EITHER, Drives(use_states_info_gain=False))
    assert "search_info_gain" not in off
    going, staying = off["find"].tolist()
    assert going > staying - 0.2  # as far from one as it is nearer to the other
    on = priced(EITHER, Drives())
    assert torch.equal(on["find"], off["find"])
    assert float(on["search_info_gain"][0]) < float(on["search_info_gain"][1]) == 0.0


def test_who_does_not_know_goes_by_the_best_of_all_tours():
    """Against all orders of five places on a line, from a point on it: what the greedy tour costs at most."""
    place = torch.tensor([[-2.0, 0.0], [-1.0, 0.0], [1.5, 0.0], [3.0, 0.0], [5.0, 0.0]])
    between, p = torch.cdist(place, place), torch.full((5,), 0.2)
    here = torch.tensor([[0.4, 0.0]])
    away = torch.cdist(here, place)[0]
    best = math.inf
    for order in itertools.permutations(range(5)):
        way, gone, at = 0.0, float(away[order[0]]), order[0]
        for k in order:
            gone += float(between[at, k])
            way, at = way + 0.2 * gone, k
        best = min(best, way)
    detour = float(detour_m(away[None], p[None], tours(between, p))[0])
    assert best <= detour + float(away @ p) + 1e-5 <= 1.1 * best


def test_what_is_found_costs_no_detour_and_what_is_left_to_look_at_costs_less():
    place = torch.tensor([[0.0, 0.0], [4.0, 0.0], [0.0, 4.0]])
    between = torch.cdist(place, place)
    p = torch.full((3,), 1.0 / 3.0)
    away = between[0].expand(3, 3)
    unseen = torch.stack([p, p * torch.tensor([0.0, 1.0, 1.0]), torch.zeros(3)])
    asked, looked, found = detour_m(away, unseen, tours(between, p)).tolist()
    assert asked == pytest.approx(looked)  # it stands at the first place: that one costs no way
    assert looked == pytest.approx(between[1, 2].item() / 3.0, rel=1e-5)
    assert found == 0.0


def test_out_of_sight_of_every_place_the_way_of_the_search_says_go():
    far = Whereabouts.anywhere(torch.tensor([[9.0, 0.0], [-9.0, 0.0]]), "object")
    on = priced(far, Drives())
    assert on["search_info_gain"].abs().tolist() == [0.0, 0.0]  # nothing is seen within the horizon
    assert float(on["search_detour"][0]) < float(on["search_detour"][1]) - 1.0
    assert float(on["search_detour"][1]) == pytest.approx(0.0, abs=1e-4)
    assert priced(far, Drives(), wall(0.9, 0.3))["search_detour"][0] > 0.02 * on["search_detour"][0]


def test_where_the_place_is_known_information_gain_changes_no_cost():
    sure = dataclasses.replace(EITHER, log_weight=torch.tensor([0.0, -9.0]))
    on, off = priced(sure, Drives()), priced(sure, Drives(use_states_info_gain=False))
    assert on.pop("search_info_gain").abs().tolist() == on.pop("search_detour").abs().tolist() == [0.0, 0.0]
    assert set(on) == set(off)
    assert all(torch.equal(on[name], off[name]) for name in off)


def test_a_look_that_is_got_by_driving_into_something_counts_for_nothing():
    free, blocked = priced(EITHER, Drives()), priced(EITHER, Drives(), wall(0.9, 0.3))
    assert float(free["search_info_gain"][0]) < -0.2
    assert float(blocked["search_info_gain"][0]) > 0.02 * float(free["search_info_gain"][0])


def test_places_of_another_number_are_told():
    with pytest.raises(ConfigurationError, match="one row of x and y a hypothesis"):
        Whereabouts(torch.zeros(2), torch.zeros(3, 2), "object")
