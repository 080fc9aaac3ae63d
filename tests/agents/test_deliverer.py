"""The deliverer delivers, stops for what it does not understand, and touches nobody."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from tests.agents.hall import FRAME_S, Floor, Hall, Thing, record
from worldsim.contracts.agent import Agent
from worldsim.plugins import load_plugin
from worldsim_agents.deliverer import Deliverer, Phase
from worldsim_agents.random_agent import RandomAgent

SHELVES = tuple(Thing((x, y), (2.4, 0.6, 2.2)) for x in (-3.0, 0.0, 3.0) for y in (-1.0, 2.5))


def run(hall: Hall, agent: Deliverer, seconds: float, alarmed_until_s: float = 0.0, seed: int = 0) -> np.ndarray:
    """Run until the parcel is delivered or time is up; object 0 is under alarm at first. Return the speeds."""
    rng = np.random.default_rng(seed)
    speeds = []
    for _ in range(round(seconds / FRAME_S)):
        alarmed = (0,) if hall.floor.time_s < alarmed_until_s else ()
        hall.step(agent.act(hall.observation(), record(hall.floor.time_s, alarmed), rng))
        speeds.append(hall.floor.own.speed_m_s)
        if hall.delivered:
            break
    return np.array(speeds)


@pytest.mark.parametrize(
    ("parcel", "drop_off"), [((3.0, 1.0), (-2.0, -2.5)), ((0.0, 3.1), (2.0, 0.0)), ((-4.0, 0.8), (4.0, 0.8))]
)
def test_a_parcel_is_delivered_among_shelves(parcel: tuple[float, float], drop_off: tuple[float, float]):
    hall = Hall(Floor(SHELVES), parcel, drop_off)
    run(hall, Deliverer(hall), seconds=25.0)
    assert hall.delivered


@pytest.mark.parametrize("x", [1.5, 1.9])
def test_a_vehicle_parked_beside_the_place_to_line_up_at_does_not_keep_it_for_good(x: float):
    """It may go on any time, so it is given room, and that place is never quite reached; the parcel can be."""
    parked = Thing((x, 0.95), (1.2, 0.8, 0.5), std_m=0.01, spread_m_s=0.14, moves=True)
    hall = Hall(Floor((parked,)), (3.0, 0.0), (-2.0, 0.0))
    run(hall, Deliverer(hall), seconds=35.0)
    assert hall.delivered


def test_a_crossing_worker_is_not_touched():
    worker = Thing((1.2, -2.4), (0.45, 0.55, 1.75), (0.0, 0.8), std_m=0.05, spread_m_s=0.15, moves=True)
    hall = Hall(Floor((worker,)), (3.0, 0.0), (-2.0, 0.0))
    run(hall, Deliverer(hall), seconds=20.0)
    path = np.array(hall.floor.path)
    times = FRAME_S * np.arange(1, len(path) + 1)
    away = path - (np.array(worker.position) + times[:, None] * np.array(worker.velocity))
    assert np.linalg.norm(away, axis=1).min() > 0.43 + 0.36  # corner to corner, with no regard to heading
    assert hall.delivered


def test_an_alarm_stops_the_robot_and_its_end_lets_it_go():
    hall = Hall(Floor((Thing((0.0, 5.0)),)))
    agent = Deliverer(hall)
    speeds = run(hall, agent, seconds=4.0, alarmed_until_s=4.5)
    assert np.abs(speeds).max() < 0.1
    assert agent.last_decision is not None
    assert agent.last_decision.stopped_for == (0,)
    assert agent.last_decision.preferences.hold_still
    run(hall, agent, seconds=25.0, alarmed_until_s=4.5)
    assert hall.delivered
    assert agent.last_decision.stopped_for == ()


def test_an_alarm_on_the_way_keeps_the_parcel_held():
    hall = Hall(Floor((Thing((0.0, 5.0)),)))
    agent, rng = Deliverer(hall), np.random.default_rng(0)
    for _ in range(400):
        hall.step(agent.act(hall.observation(), None, rng))
        if agent.phase is Phase.CARRY:
            break
    for _ in range(40):
        action = agent.act(hall.observation(), record(hall.floor.time_s, (0,)), rng)
        assert action[2] > 0
        hall.step(action)
    assert abs(hall.floor.own.speed_m_s) < 0.05
    assert hall.held_at is not None


def test_patience_with_an_alarm_that_nobody_resolves_runs_out():
    hall = Hall(Floor((Thing((0.0, 5.0)),)))
    run(hall, Deliverer(hall, patience_s=2.0), seconds=25.0, alarmed_until_s=math.inf)
    assert hall.delivered


def test_the_robot_steps_aside_for_what_would_hit_it_while_it_waits():
    trolley = Thing((-4.0, 0.0), (0.9, 0.55, 1.0), (1.2, 0.0), std_m=0.05, spread_m_s=0.1, moves=True)
    floor = Floor((trolley,), own=dataclasses.replace(Floor().own, heading_rad=1.2))
    hall = Hall(floor, (3.0, 3.0))
    run(hall, Deliverer(hall), seconds=5.0, alarmed_until_s=math.inf)
    path = np.array(floor.path)
    trolley_x = -4.0 + 1.2 * FRAME_S * np.arange(1, len(path) + 1)
    beside = np.abs(trolley_x - path[:, 0]) < 0.45 + 0.43
    assert beside.any()
    assert np.abs(path[beside, 1]).min() > 0.275 + 0.35


def test_a_parcel_that_cannot_be_reached_is_waited_for():
    ring = tuple(Thing((3.0 + math.cos(a), 1.0 + math.sin(a)), (0.6, 0.6, 1.0)) for a in np.linspace(0, 6.28, 13))
    hall = Hall(Floor(ring))
    agent = Deliverer(hall)
    run(hall, agent, seconds=3.0)
    assert agent.phase is Phase.WAIT
    assert math.dist(hall.floor.own.position, (0.0, 0.0)) < 0.05


def test_the_same_seed_acts_the_same():
    def path() -> np.ndarray:
        hall = Hall(Floor(SHELVES))
        run(hall, Deliverer(hall), seconds=3.0, seed=5)
        return np.array(hall.floor.path)

    assert np.array_equal(path(), path())


def test_reset_forgets_the_last_episode():
    hall = Hall(Floor(SHELVES))
    agent = Deliverer(hall)
    run(hall, agent, seconds=3.0)
    agent.reset()
    fresh = Hall(Floor(SHELVES))
    agent.world_model = fresh
    run(fresh, agent, seconds=3.0)
    again = Hall(Floor(SHELVES))
    run(again, Deliverer(again), seconds=3.0)
    assert fresh.floor.path == again.floor.path


@pytest.mark.parametrize("name", ["deliverer", "random"])
def test_agents_come_in_by_the_plugin_door(name: str):
    assert issubclass(load_plugin("worldsim.agents", name, Agent), Agent)


def test_the_random_agent_draws_from_the_generator_alone():
    hall = Hall()
    first = RandomAgent().act(hall.observation(), None, np.random.default_rng(1))
    second = RandomAgent().act(hall.observation(), None, np.random.default_rng(1))
    assert first.dtype == np.float32
    assert first.shape == (3,)
    assert np.array_equal(first, second)
    assert np.abs(first).max() <= 1.0
