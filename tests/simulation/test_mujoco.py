"""The second engine: masses as in the files, motion by the laws, contacts that carry, states that come back."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.simulation.stage import Stage, box, position_of, velocity_of
from worldsim.errors import SimulationError
from worldsim.simulation.engine import PinholeCamera
from worldsim.simulation.mujoco_engine import MujocoEngine, MujocoPhysics
from worldsim.simulation.scene import BodySpec, yaw_quaternion
from worldsim_assets import urdf_path
from worldsim_scenarios.warehouse import Warehouse

URDFS = sorted(Path(urdf_path("robot")).parent.glob("*.urdf"))


@pytest.fixture
def world() -> Iterator[MujocoPhysics]:
    physics = MujocoPhysics()
    yield physics
    physics.close()


def links_of(file: Path) -> dict[str, tuple[float, np.ndarray]]:
    """Name -> mass and moments (xx, yy, zz) of every link, read by another parser than MuJoCo's."""
    found = {}
    for link in ElementTree.parse(file).getroot().iter("link"):
        inertial = link.find("inertial")
        if inertial is not None:
            mass, inertia = inertial.find("mass"), inertial.find("inertia")
            assert mass is not None
            assert inertia is not None
            moments = np.array([float(inertia.attrib[name]) for name in ("ixx", "iyy", "izz")])
            found[link.attrib["name"]] = (float(mass.attrib["value"]), moments)
    return found


@pytest.mark.parametrize("file", URDFS, ids=lambda file: file.stem)
def test_every_link_of_every_file_keeps_its_mass_and_moments(file: Path) -> None:
    links = links_of(file)
    total = sum(mass for mass, _ in links.values())
    engine = MujocoEngine()
    engine.add(BodySpec("thing", "thing", (1.0, 1.0, 1.0), (0.0, 0.0, 3.0), mass_kg=total or 1.0, urdf=str(file)))
    engine.states()
    model = engine._model
    for name, (mass, moments) in links.items():
        body = model.body(f"b0_{name}")
        assert body.mass[0] == pytest.approx(mass, rel=1e-9), name
        # MuJoCo turns the body's inertial frame into principal axes: the trace is what no turn changes
        assert body.inertia.sum() == pytest.approx(moments.sum(), rel=1e-6), name
    engine.close()


def test_a_scaled_file_has_the_mass_that_was_asked_for() -> None:
    engine = MujocoEngine()
    engine.add(
        BodySpec("ball", "ball", (0.3,) * 3, (0.0, 0.0, 3.0), mass_kg=0.7, urdf=str(urdf_path("ball")), scale=1.5)
    )
    engine.states()
    assert engine._model.body_mass.sum() == pytest.approx(0.7)
    engine.close()


def test_a_body_falls_by_the_law(world: MujocoPhysics) -> None:
    world.reset(Stage((box("crate", (0.0, 0.0, 5.0)),)), seed=0)
    for _ in range(10):
        world.step(None)
    # MuJoCo moves with the new velocity too: half a step of 1/240 s ahead of the parabola
    assert position_of(world, "crate")[2] == pytest.approx(5.0 - 9.81 * 0.5 * (0.5 + 1.0 / 240.0) / 2.0, abs=1e-3)
    assert velocity_of(world, "crate")[2] == pytest.approx(-9.81 * 0.5, abs=1e-3)


def test_who_carries_whom_is_told_with_the_weight(world: MujocoPhysics) -> None:
    world.reset(Stage((box("lower", (0.0, 0.0, 0.2)), box("upper", (0.0, 0.0, 0.6)))), seed=0)
    for _ in range(20):
        world.step(None)
    truth = world.truth()
    assert ("lower", "upper") in truth.supports
    force = next(force for a, b, force in truth.contacts if {a, b} == {"lower", "upper"})
    assert force == pytest.approx(2.0 * 9.81, rel=0.02)
    assert position_of(world, "upper")[2] == pytest.approx(0.6, abs=2e-3)  # soft contacts sink in a little


def test_a_push_lasts_one_step() -> None:
    engine = MujocoEngine()
    body = engine.add(box("crate", (0.0, 0.0, 5.0)))
    for _ in range(2):
        engine.push(body, (240.0, 0.0, 0.0), (0.0, 0.0, 0.0))
        engine.advance()
    engine.advance()
    assert engine.state(body).linear_velocity[0] == pytest.approx(2 * 240.0 / 2.0 / 240.0, rel=1e-9)
    engine.close()


def test_a_ray_meets_the_first_body_on_its_way() -> None:
    engine = MujocoEngine()
    engine.add(box("near", (2.0, 0.0, 1.0)))
    engine.add(box("far", (4.0, 0.0, 1.0)))
    start = np.tile([0.0, 0.0, 1.0], (3, 1))
    end = np.array([[5.0, 0.0, 1.0], [1.5, 0.0, 1.0], [0.0, 5.0, 1.0]])
    assert engine.first_hits(start, end).tolist() == [0, -1, -1]
    engine.close()


def test_a_restored_state_goes_on_bit_for_bit(world: MujocoPhysics) -> None:
    world.reset(Stage((box("a", (0.0, 0.0, 0.5)), box("b", (0.1, 0.05, 1.2)))), seed=0)
    for _ in range(4):
        world.step(None)
    token = world.snapshot()
    runs = []
    for _ in range(2):
        for _ in range(15):
            world.step(None)
        truth = world.truth()
        runs.append((truth.position.tobytes(), truth.linear_velocity.tobytes(), repr(truth.contacts)))
        world.restore(token)
    assert runs[0] == runs[1]


def test_a_door_hangs_where_it_was_put_and_swings_when_pushed() -> None:
    engine = MujocoEngine()
    leaf = BodySpec("door", "door", (1.4, 0.06, 2.0), (1.0, 2.0, 1.1), yaw_quaternion(0.5), 25.0,
                    urdf=str(urdf_path("door")), part="leaf", joint_damping_nms=2.0)  # fmt: skip
    door = engine.add(leaf)
    np.testing.assert_allclose(engine.state(door).position, leaf.position, atol=1e-9)
    np.testing.assert_allclose(engine.state(door).orientation_xyzw, leaf.orientation_xyzw, atol=1e-9)
    before = np.asarray(engine.state(door).position)
    hinge = before - 0.7 * np.array([np.cos(0.5), np.sin(0.5), 0.0])
    engine._data.qvel[0] = 1.0
    for _ in range(60):
        engine.advance()
    after = np.asarray(engine.state(door).position)
    assert np.linalg.norm(after - before) > 0.05
    assert np.linalg.norm(after - hinge) == pytest.approx(0.7, abs=1e-9)
    engine.close()


@pytest.mark.parametrize("intruder", ["cat", "none"])
def test_the_warehouse_runs_in_it_and_repeats(world: MujocoPhysics, intruder: str) -> None:
    scenario = Warehouse(intruder=intruder, intruder_time_s=(0.1, 0.1))
    ends = []
    for _ in range(2):
        world.reset(scenario, seed=1)
        for _ in range(12):
            world.step(np.array([0.5, 0.1, -1.0]))
        ends.append(world.truth().position.tobytes())
    truth = world.truth()
    assert len(truth.names) > 50
    assert np.isfinite(truth.position).all()
    assert truth.visible.sum() > 10
    assert len(truth.supports) > 5
    assert ends[0] == ends[1]


def test_what_it_cannot_do_is_said(world: MujocoPhysics) -> None:
    world.reset(Stage((box("crate", (0.0, 0.0, 1.0)),)), seed=0)
    world.step(None)
    with pytest.raises(SimulationError, match="before the first step"):
        world.engine.add(box("late", (2.0, 0.0, 1.0)))
    with pytest.raises(SimulationError, match="Use BulletPhysics"):
        world.picture(PinholeCamera((0.0, 0.0, 3.0), (0.0, 0.0, 0.0)))
    token = world.snapshot()
    world.reset(Stage((box("crate", (0.0, 0.0, 1.0)),)), seed=0)
    with pytest.raises(SimulationError, match="take a new one"):
        world.restore(token)
