"""What a driver is told in seconds and newton-seconds does not depend on the engine's step."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from tests.simulation.stage import Stage, box, position_of, velocity_of
from worldsim.simulation.bullet import BulletPhysics
from worldsim.simulation.drivers import Entry, Hoist, Launch, Load, Robot, Thrown, Trip
from worldsim.simulation.drivers.driver import Bulk
from worldsim.simulation.floorplan import Floorplan
from worldsim.simulation.presets import ACCURATE

GATE = Entry(gate=(0.0, 0.0), inward=(1.0, 0.0), at_s=0.0, keep_away_m=0.0)


@pytest.fixture(params=[1.0 / 120.0, 1.0 / 240.0, 1.0 / 480.0], ids=["120 Hz", "240 Hz", "480 Hz"])
def physics(request: pytest.FixtureRequest) -> Iterator[BulletPhysics]:
    made = BulletPhysics(replace(ACCURATE, time_step_s=request.param))
    yield made
    made.close()


def test_a_launch_gives_its_impulse(physics: BulletPhysics) -> None:
    thing = box("thing", (0.0, 0.0, 0.2), friction=0.0)
    physics.reset(Stage((thing,), lambda rng: (Launch({"thing": (3.0, 0.0, 0.0)}),)), seed=0)
    for _ in range(4):
        physics.step(None)
    assert velocity_of(physics, "thing")[0] == pytest.approx(3.0 / thing.mass_kg, rel=1e-3)


def test_what_is_thrown_has_its_speed(physics: BulletPhysics) -> None:
    thing = box("thing", (-1.4, 0.0, 0.2), friction=0.0)
    bulk = Bulk.of_box(thing.mass_kg, thing.extent_m)
    thrown = Stage((thing,), lambda rng: (Thrown("thing", bulk, GATE, Floorplan(()), 1.8, None, 0.1),))
    physics.reset(thrown, seed=0)
    for _ in range(4):
        physics.step(None)
    assert np.linalg.norm(velocity_of(physics, "thing")[:2]) == pytest.approx(1.8, rel=1e-3)


def test_a_load_is_lifted_at_its_speed(physics: BulletPhysics) -> None:
    robot, load = box("robot", (0.0, 0.0, 0.2), mass_kg=20.0), box("load", (0.5, 0.0, 0.2))
    bulks = [Bulk.of_box(body.mass_kg, body.extent_m) for body in (robot, load)]
    loads = (Load("load", bulks[1], load.extent_m),)
    physics.reset(Stage((robot, load), lambda rng: (Robot("robot", bulks[0], robot.extent_m, loads),), ego="robot"), 0)
    for _ in range(5):
        physics.step(np.array([0.0, 0.0, 1.0]))
    halfway = position_of(physics, "load")[2]
    for _ in range(15):
        physics.step(np.array([0.0, 0.0, 1.0]))
    assert halfway - 0.2 == pytest.approx(0.02, abs=0.008)  # 0.25 s at 0.1 m/s, and the spring's lag
    assert position_of(physics, "load")[2] - 0.2 == pytest.approx(0.04, abs=0.005)


def test_a_hoist_goes_at_its_speed(physics: BulletPhysics) -> None:
    thing = box("thing", (0.0, 0.0, 0.2))
    trip = Trip(clear_m=1.2, to=(1.0, 0.0, 0.2), speed_m_s=1.0, from_s=0.0, loaded_kg=thing.mass_kg)
    bulk = Bulk.of_box(thing.mass_kg, thing.extent_m)
    physics.reset(Stage((thing,), lambda rng: (Hoist("thing", bulk, trip),)), seed=0)
    for _ in range(20):
        physics.step(None)
    assert position_of(physics, "thing")[2] == pytest.approx(1.15, abs=0.1)  # 1 s up at 1 m/s, and the ropes' lag
