"""Searches: keys that only the own eye makes out, from near."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tests.scenarios.playing import played
from worldsim.errors import ConfigurationError
from worldsim.simulation.bullet import BulletPhysics
from worldsim_agents.searcher import Searcher
from worldsim_scenarios.house import House
from worldsim_scenarios.house_park_search import HouseParkSearch
from worldsim_scenarios.house_search import HouseSearch
from worldsim_scenarios.park_search import ParkSearch
from worldsim_scenarios.search import ASIDE_M, REACH_M, SIGHT_M

SEARCHES = [HouseSearch(), ParkSearch(), HouseParkSearch()]


@pytest.fixture(scope="module")
def physics():
    world = BulletPhysics()
    yield world
    world.close()


def place_of(truth, name):
    return truth.position[truth.names.index(name)][:2]


def is_seen(truth, name):
    return bool(truth.visible[truth.names.index(name)])


@pytest.mark.parametrize("scenario", SEARCHES, ids=repr)
def test_the_keys_lie_at_one_of_the_told_places_and_no_camera_shows_which(physics, scenario):
    at = []
    for seed in range(4):
        physics.reset(scenario, seed=seed)
        truth, task = physics.truth(), physics.observe().task
        places = task["task_place_positions"].reshape(-1, 2)
        away = np.abs(places - place_of(truth, "keys")).max(axis=1)
        assert len(places) == scenario.places
        assert away.min() < ASIDE_M + 0.02
        near = math.dist(place_of(truth, "keys"), place_of(truth, "robot")) < SIGHT_M
        assert near or not is_seen(truth, "keys")
        at.append(int(away.argmin()))
    assert len(set(at)) > 1


def test_the_own_eye_makes_the_keys_out_from_near_and_the_rest_from_anywhere(physics):
    physics.reset(HouseSearch(cat=True), seed=1)
    x, y = place_of(physics.truth(), "keys")
    assert is_seen(physics.truth(), "cat")
    for aside, seen in ((3.0, False), (1.2, True)):
        physics.withdraw("robot", (float(x) + math.copysign(aside, -x), float(y), 0.151))
        physics.step(np.zeros(3))
        assert is_seen(physics.truth(), "keys") == seen


def test_what_is_drawn_for_the_house_is_drawn_for_the_search_in_it(physics):
    physics.reset(House(), seed=3)
    house = {spec.name: spec.position for spec in physics.specs if spec.kind != "mark"}
    physics.reset(HouseSearch(), seed=3)
    search = {spec.name: spec.position for spec in physics.specs}
    assert set(search) - set(house) == {"keys"}
    assert all(search[name] == position for name, position in house.items())


def test_who_is_at_the_keys_has_found_them(physics):
    physics.reset(HouseSearch(cat=False), seed=1)
    x, y = place_of(physics.truth(), "keys")
    physics.withdraw("robot", (float(x), float(y) + 0.9 * REACH_M, 0.151))
    physics.step(np.zeros(3))
    assert physics.last_task_step.terminated
    assert physics.last_task_step.events["is_success"] is True
    assert physics.last_task_step.events["away_m"] <= REACH_M


@pytest.mark.slow
def test_the_searcher_finds_the_keys_and_is_paid_for_the_way():
    total, change, info = played(HouseSearch(cat=False), Searcher(), seed=0)
    assert info["is_success"]
    assert total == pytest.approx(change + 10.0)


def test_an_expert_of_another_task_and_too_few_places_are_told(physics):
    physics.reset(House(), seed=0)
    with pytest.raises(ConfigurationError, match="of no search"):
        Searcher().act(physics.observe(), None, np.random.default_rng(0))
    for made in (HouseSearch, ParkSearch, HouseParkSearch):
        with pytest.raises(ConfigurationError, match="places is 1, expected 2 to"):
            made(places=1)
