"""The warehouse: it stands, it varies, its intruders come in, and its deliveries can be done."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from worldsim.errors import ConfigurationError, UnknownNameError
from worldsim.evaluation.sweep import play_episode
from worldsim.simulation.bullet import BulletPhysics
from worldsim.simulation.drivers import Worker
from worldsim.simulation.floorplan import Floorplan
from worldsim.simulation.gym_env import WorldsimEnv
from worldsim.simulation.task import DeliveryTask
from worldsim_agents.carrier import Carrier
from worldsim_scenarios.park import Park
from worldsim_scenarios.warehouse import INTRUDERS, Warehouse, _parcels

KNOWN_KINDS = {
    "wall": 9, "shelf": 10, "pillar": 4, "station": 4, "door_frame": 2, "door": 1, "pallet": 5, "crate": 18,
    "parcel": 3, "barrel": 4, "robot": 1, "agv": 1, "worker": 2,
}  # fmt: skip


@pytest.fixture(scope="module")
def physics():  # type: ignore[no-untyped-def]
    world = BulletPhysics()
    yield world
    world.close()


def test_it_holds_what_it_says(physics: BulletPhysics) -> None:
    physics.reset(Warehouse(intruder="none"), seed=0)
    kinds = list(physics.truth().kinds)
    assert {kind: kinds.count(kind) for kind in set(kinds)} == KNOWN_KINDS


def test_it_is_frozen_hashable_and_prints_itself() -> None:
    scenario = Warehouse(intruder="cat")
    assert hash(scenario) == hash(Warehouse(intruder="cat"))
    assert "intruder='cat'" in repr(scenario)
    with pytest.raises(dataclasses.FrozenInstanceError):
        scenario.intruder = "dog"  # type: ignore[misc]


@pytest.mark.parametrize("seed", range(4))
def test_nothing_but_what_drives_moves_and_nothing_falls(physics: BulletPhysics, seed: int) -> None:
    physics.reset(Warehouse(intruder="none"), seed)
    before = physics.truth()
    for _ in range(20):
        physics.step(np.zeros(3))
    after = physics.truth()
    still = [i for i, kind in enumerate(before.kinds) if kind not in ("agv", "worker", "door", "robot")]
    moved = np.linalg.norm(after.position[still] - before.position[still], axis=1)
    assert moved.max() < 1e-3
    assert len(before.supports) >= 18 - 1  # every crate but the lowest of the floor stack stands on something
    assert not [c for c in before.contacts if "robot" in c[:2]]


def test_seeds_differ_in_intruder_gate_time_task_and_sizes(physics: BulletPhysics) -> None:
    kinds, gates, goals, looks = set(), set(), set(), set()
    for seed in range(30):
        # five kinds: all missed by some kind in 30 draws happens once in 160 worlds, and the seeds are fixed
        physics.reset(Warehouse(), seed)
        truth = physics.truth()
        row = truth.names.index("intruder")
        kinds.add(truth.kinds[row])
        gates.add(truth.position[row, 0] > 0.0)
        goals.add(tuple(physics.observe().task["task_dropoff_position"]))  # type: ignore[index]
        looks.add(truth.appearance[0].tobytes())  # type: ignore[index]
        assert not truth.visible[row]
    assert len(kinds) >= 4  # of five, in twelve draws
    assert gates == {True, False}
    assert len(goals) >= 3
    assert len(looks) == 30


@pytest.mark.parametrize("kind", INTRUDERS)
def test_every_intruder_comes_in_through_the_gate_and_is_seen(physics: BulletPhysics, kind: str) -> None:
    physics.reset(Warehouse(intruder=kind, intruder_time_s=(0.2, 0.4)), seed=2)
    seen_first, came_first = None, None
    for _ in range(110):
        physics.step(np.zeros(3))
        truth = physics.truth()
        row = truth.names.index("intruder")
        if came_first is None and truth.intruder == "intruder":
            came_first = truth.time_s
        if seen_first is None and truth.visible[row]:
            seen_first = truth.time_s
            x, y = truth.position[row, :2]
            assert abs(x) > 9.2
            assert abs(y) < 2.0
    assert came_first is not None
    assert seen_first is not None
    assert 0.0 <= seen_first - came_first < 0.5
    assert abs(physics.truth().position[row, 0]) < 9.6
    assert not [c for c in physics.truth().contacts if {"robot", "intruder"} == set(c[:2])]


def test_nothing_comes_in_before_its_time(physics: BulletPhysics) -> None:
    physics.reset(Warehouse(intruder="drone", intruder_time_s=(2.0, 3.0)), seed=0)
    for _ in range(38):
        physics.step(np.zeros(3))
        assert physics.truth().intruder is None
        assert physics.truth().absent == {"intruder"}


def test_the_intruder_changes_nothing_else_of_the_scene(physics: BulletPhysics) -> None:
    found = []
    for kind in ("none", "cat", "ball"):
        physics.reset(Warehouse(intruder=kind), seed=3)
        truth = physics.truth()
        rows = [i for i, name in enumerate(truth.names) if name != "intruder"]
        found.append(truth.position[rows])
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[0], found[2])


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_a_simple_hand_written_driver_delivers_every_parcel(physics: BulletPhysics, seed: int) -> None:
    scenario = Warehouse(intruder="none", deliveries=2, end_when_done=True, duration_s=70.0)
    physics.reset(scenario, seed)
    plan = next(d.floorplan for d in physics._drivers if isinstance(d, Worker))
    task = physics.task
    assert isinstance(task, DeliveryTask)
    bumped: set[str] = set()
    while physics.time_s < scenario.duration_s and not physics.last_task_step.terminated:
        physics.step(_drive_by_hand(physics, task, plan))
        bumped |= physics._bumped
    assert physics.last_task_step.events["is_success"] is True
    assert task.done == 2
    assert not bumped & {"worker_0", "worker_1"}  # people step aside, even for who looks at nobody


def _drive_by_hand(physics: BulletPhysics, task: DeliveryTask, plan: Floorplan) -> np.ndarray:
    """Turn towards the next point of a route, drive, take and let go; it knows the truth and avoids nobody."""
    truth, told = physics.truth(), task.observation()
    row = truth.names.index("robot")
    x, y = (float(v) for v in truth.position[row, :2])
    yaw = 2.0 * math.atan2(truth.orientation_xyzw[row, 2], truth.orientation_xyzw[row, 3])
    goal = (float(told["task_goal_position"][0]), float(told["task_goal_position"][1]))
    distance = math.dist((x, y), goal)
    ahead = plan.route((x, y), goal, 0.5)[0] if distance > 1.2 else goal
    turn = math.atan2(ahead[1] - y, ahead[0] - x) - yaw
    turn = math.atan2(math.sin(turn), math.cos(turn))
    speed = 0.9 * math.cos(turn) if abs(turn) < 0.6 else 0.0
    hold = 0.0
    if task.holding:
        if math.dist(told["task_pickup_position"][:2], goal) < 0.3:
            speed, turn, hold = 0.0, 0.0, -1.0
    elif distance < 0.9:
        speed, hold = min(speed, 0.3), float(distance < 0.72)
    return np.array([speed / 1.2, np.clip(2.5 * turn / 1.5, -1.0, 1.0), hold])


def test_a_sparse_reward_is_one_for_the_last_delivery_alone(physics: BulletPhysics) -> None:
    paid = []
    physics.reset(Warehouse(intruder="none", deliveries=2, reward="sparse", end_when_done=True), seed=0)
    for number in range(2):
        for _ in range(5):
            physics.step(np.array([1.0, 0.3, -1.0]))
            paid.append(physics.last_task_step.reward)
        physics.truth()  # what drivers read of this moment is read before a hand reaches in
        x, y, _ = physics.observe().task["task_dropoff_position"].tolist()  # type: ignore[index]
        physics.withdraw(f"parcel_{number}", (x, y, 0.2))
        physics.step(np.zeros(3))
        paid.append(physics.last_task_step.reward)
    assert paid == [0.0] * 11 + [1.0]
    assert physics.last_task_step.terminated


@pytest.mark.slow
def test_the_expert_carries_the_parcel_home_by_its_detections() -> None:
    env = WorldsimEnv(Warehouse(**Warehouse.scoring))
    try:
        score = play_episode(env, Carrier(), seed=0)
    finally:
        env.close()
    assert score.success
    assert score.total > 10.0
    assert score.seconds < 40.0


def test_an_expert_of_another_task_is_told(physics: BulletPhysics) -> None:
    physics.reset(Park(), seed=0)
    with pytest.raises(ConfigurationError, match="of no delivery"):
        Carrier().act(physics.observe(), None, np.random.default_rng(0))


def test_any_number_of_deliveries_can_be_drawn() -> None:
    for seed in range(60):
        for deliveries in (1, 2, 3):
            orders, parcels = _parcels(np.random.default_rng(seed), deliveries)
            starts, ends = zip(*orders, strict=True)
            assert len(set(starts)) == len(set(ends)) == deliveries
            assert len(parcels) == 3


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["cat", "dog", "drone"])
def test_the_encore_brings_a_second_one_after_the_first_has_left(physics: BulletPhysics, kind: str) -> None:
    physics.reset(Warehouse(intruder=kind, encore=True, intruder_time_s=(1.0, 1.0), duration_s=50.0), seed=0)
    order: list[str | None] = []
    for _ in range(700):
        physics.step(np.zeros(3))
        now = physics._truth.intruder if physics._truth is not None else None
        if not order or order[-1] != now:
            order.append(now)
    assert order == [None, "intruder", None, "intruder_2"]


@pytest.mark.parametrize(
    ("fields", "error", "message"),
    [
        ({"intruder": "bear"}, UnknownNameError, "unknown intruder 'bear'"),
        ({"intruder_time_s": (9.0, 3.0)}, ConfigurationError, "intruder_time_s"),
        ({"deliveries": 4}, ConfigurationError, "1 to 3"),
        ({"duration_s": 0.0}, ConfigurationError, "duration_s is 0"),
    ],
)
def test_fields_that_cannot_work_are_refused(fields: dict[str, object], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        Warehouse(**fields)  # type: ignore[arg-type]
