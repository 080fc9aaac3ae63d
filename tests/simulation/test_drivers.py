"""Each driver does what its kind does, on an empty floor, by forces."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tests.simulation.stage import Stage, position_of, row_of, velocity_of
from worldsim.simulation.bullet import BulletPhysics
from worldsim.simulation.drivers import Cat, Dog, Driver, Drone, Entry, Load, Robot, Thrown, Tug, Worker
from worldsim.simulation.floorplan import Floorplan
from worldsim.simulation.scene import BodySpec
from worldsim_scenarios.stock import bulk_of, furnish

OPEN = Floorplan(())
GATE = Entry(gate=(0.0, 0.0), inward=(1.0, 0.0), at_s=0.0, keep_away_m=0.0)
RNG = np.random.default_rng(0)


def _body(name: str, kind: str, x: float, y: float = 0.0, yaw: float = 0.0) -> BodySpec:
    return furnish(name, kind, (x, y, 0.001), yaw, np.random.default_rng(7), scale=1.0)


ROBOT = _body("robot", "robot", 3.0)


def _robot(*loads: BodySpec) -> Robot:
    carried = tuple(Load(b.name, bulk_of(b), b.extent_m) for b in loads)
    return Robot("robot", bulk_of(ROBOT), ROBOT.extent_m, carried)


def _speed(physics: BulletPhysics, name: str) -> float:
    return float(np.linalg.norm(velocity_of(physics, name)[:2]))


def _distance(physics: BulletPhysics, a: str, b: str) -> float:
    return math.dist(position_of(physics, a)[:2], position_of(physics, b)[:2])


def test_the_robot_follows_speed_and_yaw_rate_within_its_limits(physics: BulletPhysics) -> None:
    physics.reset(Stage((ROBOT,), lambda rng: (_robot(),), ego="robot"), seed=0)
    speeds = []
    for _ in range(60):
        physics.step(np.array([0.5, 0.4, 0.0]))
        speeds.append(_speed(physics, "robot"))
    truth = physics.truth()
    steps = np.diff([0.0, *speeds]) / 0.05
    assert speeds[-1] == pytest.approx(0.6, abs=0.06)  # the feet's friction of 0.02 g takes 0.04 m/s
    assert truth.angular_velocity[0, 2] == pytest.approx(0.6, abs=0.05)
    assert steps.max() <= 3.05  # of 3 m/s^2, and the solver's residual
    heading = 2.0 * math.atan2(truth.orientation_xyzw[0, 2], truth.orientation_xyzw[0, 3])
    sideways = velocity_of(physics, "robot")[:2] @ (-math.sin(heading), math.cos(heading))
    assert abs(sideways) < 0.03  # wheels do not slip sideways


def test_the_robot_takes_carries_and_lets_go_of_a_parcel_without_a_kick(physics: BulletPhysics) -> None:
    parcel = _body("parcel", "parcel", 3.0 + 0.35 + 0.175 + 0.10, 0.03)
    physics.reset(Stage((ROBOT, parcel), lambda rng: (_robot(parcel),), ego="robot"), seed=0)
    start = position_of(physics, "parcel").copy()
    fastest = 0.0
    for _ in range(20):
        physics.step(np.array([0.0, 0.0, 1.0]))
        fastest = max(fastest, float(np.linalg.norm(velocity_of(physics, "parcel"))))
    assert physics.truth().attachments == (("robot", "parcel"),)
    assert fastest < 0.2  # it is lifted at 0.1 m/s
    assert position_of(physics, "parcel")[2] - start[2] == pytest.approx(0.04, abs=0.005)
    for _ in range(60):
        physics.step(np.array([0.6, 0.3, 1.0]))
    way = _distance(physics, "robot", "parcel")
    assert way == pytest.approx(math.dist(start[:2], (3.0, 0.0)), abs=0.02)  # held stiffly: it sags by a v^2 / (r w^2)
    for _ in range(20):
        physics.step(np.array([0.0, 0.0, -1.0]))
    assert physics.truth().attachments == ()
    assert position_of(physics, "parcel")[2] == pytest.approx(0.15, abs=0.01)
    for _ in range(20):
        physics.step(np.array([-0.6, 0.0, 0.0]))
    assert _speed(physics, "parcel") < 0.01


@pytest.mark.parametrize(("x", "y"), [(4.2, 0.0), (3.6, 0.5), (2.2, 0.0)])
def test_the_gripper_reaches_only_what_is_close_ahead(physics: BulletPhysics, x: float, y: float) -> None:
    parcel = _body("parcel", "parcel", x, y)
    physics.reset(Stage((ROBOT, parcel), lambda rng: (_robot(parcel),), ego="robot"), seed=0)
    for _ in range(4):
        physics.step(np.array([0.0, 0.0, 1.0]))
    assert physics.truth().attachments == ()


def test_the_tug_waits_for_what_stands_in_its_lane(physics: BulletPhysics) -> None:
    tug, crate = _body("agv", "agv", 0.0), _body("crate", "crate", 4.0)
    loop = ((9.0, 0.0), (9.0, 9.0))
    physics.reset(Stage((tug, crate), lambda rng: (Tug("agv", bulk_of(tug), tug.extent_m, loop, 0.8),)), seed=0)
    top = 0.0
    for _ in range(120):
        physics.step(None)
        top = max(top, _speed(physics, "agv"))
    assert top == pytest.approx(0.8, abs=0.1)
    assert _speed(physics, "agv") < 0.03
    assert 0.9 < _distance(physics, "agv", "crate") - 0.6 - 0.25 < 1.4


def test_the_cat_flees_what_nears_it_and_is_not_caught(physics: BulletPhysics) -> None:
    cat = _body("cat", "cat", 1.5)

    def drivers(rng: np.random.Generator) -> tuple[Driver, ...]:
        return _robot(), Cat("cat", bulk_of(cat), GATE, OPEN, rng)

    near = _body("robot", "robot", 3.2, yaw=math.pi)
    physics.reset(Stage((near, cat), drivers, ego="robot"), seed=0)
    closest, fastest = math.inf, 0.0
    for _ in range(100):
        physics.step(np.array([1.0, 0.0, 0.0]))
        closest, fastest = min(closest, _distance(physics, "robot", "cat")), max(fastest, _speed(physics, "cat"))
    assert closest > 0.9
    assert 1.8 < fastest < 2.7
    assert abs(position_of(physics, "cat")[2] - 0.15) < 0.02  # it stays on its feet


def test_the_cat_left_alone_bursts_and_pauses(physics: BulletPhysics) -> None:
    cat = _body("cat", "cat", 1.5)
    physics.reset(Stage((cat,), lambda rng: (Cat("cat", bulk_of(cat), GATE, OPEN, rng),)), seed=1)
    speeds = []
    for _ in range(240):
        physics.step(None)
        speeds.append(_speed(physics, "cat"))
    assert 0.2 < np.mean(np.array(speeds) < 0.1) < 0.9
    assert max(speeds) > 1.0


def test_the_dog_comes_up_and_stops_short(physics: BulletPhysics) -> None:
    dog = _body("dog", "dog", -1.0)

    def drivers(rng: np.random.Generator) -> tuple[Driver, ...]:
        return _robot(), Dog("dog", bulk_of(dog), GATE, OPEN, rng)

    physics.reset(Stage((_body("robot", "robot", 5.0), dog), drivers, ego="robot"), seed=0)
    speeds = []
    for _ in range(160):
        physics.step(np.zeros(3))
        speeds.append(_speed(physics, "dog"))
    assert 1.35 < max(speeds) < 1.9
    assert 1.1 < _distance(physics, "robot", "dog") < 1.55
    assert speeds[-1] < 0.05
    closest = math.inf
    for _ in range(60):  # now the robot drives at the dog, which steps back
        physics.step(np.array([-0.5, 0.0, 0.0]))
        closest = min(closest, _distance(physics, "robot", "dog"))
    assert closest > 0.9


def test_the_drone_hovers_and_circles_at_its_turn_rate(physics: BulletPhysics) -> None:
    drone = _body("drone", "drone", -1.4)
    found: list[Drone] = []

    def drivers(rng: np.random.Generator) -> tuple[Driver, ...]:
        found.append(Drone("drone", bulk_of(drone), GATE, OPEN, rng))
        return (found[-1],)

    physics.reset(Stage((drone,), drivers), seed=3)
    velocities, heights = [], []
    for k in range(400):
        physics.step(None)
        if k >= 200:
            velocities.append(velocity_of(physics, "drone")[:2].copy())
            heights.append(position_of(physics, "drone")[2])
    course = np.unwrap(np.arctan2(*np.array(velocities).T[::-1]))
    rate = np.polyfit(np.arange(len(course)) * 0.05, course, 1)[0]
    assert rate == pytest.approx(found[0].turn_rate_rad_s, rel=0.1)
    assert np.mean(np.linalg.norm(velocities, axis=1)) == pytest.approx(found[0].speed_m_s, rel=0.1)
    np.testing.assert_allclose(heights, found[0].height_m, atol=0.05)


@pytest.mark.parametrize(("kind", "radius", "low", "high"), [("ball", 0.16, 0.02, 0.25), ("trolley", None, 0.20, 0.45)])
def test_what_is_thrown_in_rolls_straight_and_slows_down(
    physics: BulletPhysics, kind: str, radius: float | None, low: float, high: float
) -> None:
    thing = _body("thing", kind, -1.4)
    physics.reset(
        Stage((thing,), lambda rng: (Thrown("thing", bulk_of(thing), GATE, OPEN, 1.8, radius, 0.15),)), seed=0
    )
    for _ in range(8):
        physics.step(None)
    before = velocity_of(physics, "thing").copy()
    for _ in range(20):
        physics.step(None)
    after = velocity_of(physics, "thing")
    assert np.linalg.norm(before) == pytest.approx(1.8, abs=0.15)
    assert low < np.linalg.norm(before) - np.linalg.norm(after) < high  # in one second
    turn = abs(math.atan2(after[1], after[0]) - math.atan2(before[1], before[0]))
    assert turn < 0.05


def test_workers_walk_and_do_not_walk_into_each_other_or_the_robot(physics: BulletPhysics) -> None:
    people = (_body("a", "worker", 0.0), _body("b", "worker", 6.0))
    places = ((0.0, 0.0), (6.0, 0.0))

    def drivers(rng: np.random.Generator) -> tuple[Driver, ...]:
        return (_robot(), *(Worker(p.name, bulk_of(p), OPEN, places, 1.2) for p in people))

    physics.reset(Stage((_body("robot", "robot", 3.0, 0.1), *people), drivers, ego="robot"), seed=0)
    speeds = []
    for _ in range(200):
        physics.step(np.zeros(3))
        speeds.append(_speed(physics, "a"))
        assert physics.truth().contacts == ()
    assert max(speeds) == pytest.approx(1.25, abs=0.35)
    tilt = physics.truth().orientation_xyzw[row_of(physics, "a"), :2]
    assert np.linalg.norm(tilt) < 0.02


def test_an_intruder_waits_while_the_robot_is_at_the_gate_but_not_for_ever(physics: BulletPhysics) -> None:
    dog = _body("dog", "dog", -1.4)
    entry = Entry((0.0, 0.0), (1.0, 0.0), at_s=0.5, patience_s=1.0)

    def drivers(rng: np.random.Generator) -> tuple[Driver, ...]:
        return _robot(), Dog("dog", bulk_of(dog), entry, OPEN, rng)

    physics.reset(Stage((_body("robot", "robot", 2.0), dog), drivers, ego="robot"), seed=0)
    came = None
    for _ in range(80):
        physics.step(np.zeros(3))
        if physics.truth().intruder is not None and came is None:
            came = physics.truth().time_s
    assert came is not None
    assert came > 1.5
    assert physics.truth().intruder == "dog"


def test_a_ball_that_has_to_leave_is_collected(physics: BulletPhysics) -> None:
    ball = _body("ball", "ball", -1.4)
    entry = Entry((0.0, 0.0), (1.0, 0.0), at_s=0.0, leave_after_s=1.0)
    physics.reset(Stage((ball,), lambda rng: (Thrown("ball", bulk_of(ball), entry, OPEN, 2.0, 0.16, 0.1),)), seed=0)
    present = []
    for _ in range(60):
        physics.step(None)
        present.append(physics.truth().intruder)
    assert present[30] == "ball"
    assert present[-1] is None
    assert physics.truth().absent == {"ball"}
    assert position_of(physics, "ball")[0] == pytest.approx(-1.4, abs=0.01)
