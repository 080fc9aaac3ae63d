"""The engine obeys mechanics where mechanics has a closed form, and says what is wrong when it cannot."""

from __future__ import annotations

import gc
import re
from pathlib import Path

import numpy as np
import pybullet
import pytest

from tests.simulation.stage import Stage, box, position_of, row_of, velocity_of
from worldsim.errors import ConfigurationError, SimulationError, UnknownNameError
from worldsim.simulation.bullet import BulletEngine, BulletPhysics
from worldsim.simulation.presets import ACCURATE, AS_IT_COMES, EnginePreset, named
from worldsim.simulation.scene import BodySpec, CameraSpec, yaw_quaternion

GRAVITY = 9.81


def _run(physics: BulletPhysics, frames: int) -> None:
    for _ in range(frames):
        physics.step(None)


def test_free_fall_follows_the_semi_implicit_sum_exactly(physics: BulletPhysics) -> None:
    physics.reset(Stage((box("stone", (0.0, 0.0, 30.0)),), floor=False), seed=0)
    _run(physics, 20)
    steps, dt = 240, 1.0 / 240.0
    fallen = GRAVITY * dt * dt * steps * (steps + 1) / 2.0  # velocity first, then position with the new velocity
    assert position_of(physics, "stone")[2] == pytest.approx(30.0 - fallen, abs=1e-9)
    assert velocity_of(physics, "stone")[2] == pytest.approx(-GRAVITY, abs=1e-9)


def test_the_engine_as_it_comes_brakes_what_nothing_brakes() -> None:
    speeds = {}
    for name in ("accurate", "as_it_comes"):
        world = BulletPhysics(preset=name)
        world.reset(Stage((box("stone", (0.0, 0.0, 60.0)),), floor=False), seed=0)
        _run(world, 40)
        speeds[name] = velocity_of(world, "stone")[2]
        world.close()
    assert speeds["accurate"] == pytest.approx(-2.0 * GRAVITY, abs=1e-9)
    assert speeds["as_it_comes"] > speeds["accurate"] + 0.5  # damping of 0.04 takes about 4 % in 2 s


def test_every_difference_of_the_accurate_preset_is_listed() -> None:
    changes = ACCURATE.changes()
    assert changes["linear_damping"] == (0.04, 0.0)
    assert changes["deterministic_overlapping_pairs"] == (False, True)
    assert AS_IT_COMES.changes() == {}
    assert EnginePreset.__doc__ is not None
    for setting in changes:
        assert setting in EnginePreset.__doc__


def test_an_unknown_preset_lists_the_known_ones() -> None:
    with pytest.raises(UnknownNameError, match="accurate"):
        named("acurate")


def test_a_sliding_box_stops_after_v_squared_over_two_mu_g(physics: BulletPhysics) -> None:
    sled = BodySpec(
        "sled", "crate", (1.0, 1.0, 0.2), (0.0, 0.0, 0.1), mass_kg=3.0, friction=0.4, appearance=(0.0,) * 12
    )
    physics.reset(Stage((sled,)), seed=0)
    row = 1  # the floor is body 0
    for _ in range(24):  # a push of 0.1 s to 2 m/s
        physics.engine.push(row, (3.0 * 2.0 / 0.1 + 0.4 * 3.0 * GRAVITY, 0.0, 0.0), (0.0, 0.0, 0.0))
        physics.engine.advance()
    start, speed = physics.engine.state(row).position[0], physics.engine.state(row).linear_velocity[0]
    for _ in range(480):
        physics.engine.advance()
    way = physics.engine.state(row).position[0] - start
    assert speed == pytest.approx(2.0, rel=0.02)
    # the friction cone is linearised and acts in steps of 1/240 s: 3 %
    assert way == pytest.approx(speed**2 / (2.0 * 0.4 * GRAVITY), rel=0.03)


def test_the_position_is_that_of_the_middle_of_the_box_wherever_the_mass_lies(physics: BulletPhysics) -> None:
    low = box("low", (1.0, 2.0, 0.2), centre_of_mass_m=(0.0, 0.0, -0.15), orientation_xyzw=yaw_quaternion(0.5))
    physics.reset(Stage((low,)), seed=0)
    np.testing.assert_allclose(position_of(physics, "low"), (1.0, 2.0, 0.2), atol=1e-9)
    np.testing.assert_allclose(physics.truth().orientation_xyzw[0], yaw_quaternion(0.5), atol=1e-9)


def test_a_push_through_the_centre_of_mass_does_not_turn_a_body(physics: BulletPhysics) -> None:
    low = box("low", (0.0, 0.0, 3.0), centre_of_mass_m=(0.0, 0.0, -0.15))
    physics.reset(Stage((low,), floor=False), seed=0)
    physics.engine.push(0, (10.0, 0.0, 0.0), (0.0, 0.0, 0.0))
    physics.engine.advance()
    assert np.linalg.norm(physics.engine.state(0).angular_velocity) < 1e-9
    assert physics.engine.state(0).linear_velocity[0] == pytest.approx(10.0 / 2.0 / 240.0)


def test_a_stack_is_read_as_support_from_below(physics: BulletPhysics) -> None:
    bodies = tuple(box(f"box_{i}", (0.0, 0.0, 0.2 + 0.4 * i)) for i in range(3))
    physics.reset(Stage(bodies), seed=0)
    _run(physics, 10)
    truth = physics.truth()
    assert set(truth.supports) == {("box_0", "box_1"), ("box_1", "box_2")}
    forces = {(a, b): force for a, b, force in truth.contacts}
    assert forces["box_1", "box_2"] == pytest.approx(2.0 * GRAVITY, rel=0.05)  # the solver's residual
    assert forces["box_0", "box_1"] == pytest.approx(4.0 * GRAVITY, rel=0.05)


def test_side_by_side_is_contact_and_not_support(physics: BulletPhysics) -> None:
    wall = BodySpec("wall", "wall", (0.2, 2.0, 1.0), (0.3, 0.0, 0.5), appearance=(0.0,) * 12)
    physics.reset(Stage((box("leaning", (0.0, 0.0, 0.2)), wall)), seed=0)
    for _ in range(6):
        physics.engine.push(1, (20.0, 0.0, 0.0), (0.0, 0.0, 0.0))
        physics.engine.advance()
    physics._finish_frame()
    truth = physics.truth()
    assert [(a, b) for a, b, _ in truth.contacts] == [("leaning", "wall")]
    assert truth.supports == ()


def test_a_curtain_blocks_the_view_and_nothing_else(physics: BulletPhysics) -> None:
    curtain = BodySpec("curtain", "curtain", (0.05, 4.0, 4.0), (0.0, 0.0, 2.0), solid=False, appearance=(0.0,) * 12)
    here = CameraSpec("here", (-3.0, 0.0, 1.0), 20.0)
    ball = BodySpec(
        "ball", "ball", (0.4, 0.4, 0.4), (1.0, 0.0, 0.2), mass_kg=1.0, shape="sphere", appearance=(0.0,) * 12
    )
    physics.reset(Stage((curtain, ball), cameras=(here,)), seed=0)
    assert not physics.truth().visible[row_of(physics, "ball")]
    for _ in range(24):
        physics.engine.push(2, (-30.0, 0.0, 0.0), (0.0, 0.0, 0.0))
        physics.engine.advance()
    _run(physics, 20)
    assert position_of(physics, "ball")[0] < -0.5
    assert physics.truth().visible[row_of(physics, "ball")]


def test_what_stands_behind_a_wall_is_not_seen(physics: BulletPhysics) -> None:
    wall = BodySpec("wall", "wall", (0.2, 3.0, 2.0), (0.0, 0.0, 1.0), appearance=(0.0,) * 12)
    front, behind = box("front", (-1.0, 0.0, 0.2)), box("behind", (1.0, 0.0, 0.2))
    far = box("far", (-1.0, 9.0, 0.2))
    physics.reset(Stage((wall, front, behind, far), cameras=(CameraSpec("eye", (-4.0, 0.0, 1.0), 8.0),)), seed=0)
    seen = dict(zip(physics.truth().names, physics.truth().visible.tolist(), strict=True))
    assert seen == {"wall": True, "front": True, "behind": False, "far": False}  # far is out of range


def test_a_camera_travels_with_the_body_that_carries_it(physics: BulletPhysics) -> None:
    carrier = box("carrier", (2.0, 1.0, 0.2), orientation_xyzw=yaw_quaternion(np.pi / 2.0))
    physics.reset(Stage((carrier,), cameras=(CameraSpec("mast", (0.5, 0.0, 1.0), 9.0, "carrier"),)), seed=0)
    np.testing.assert_allclose(physics.truth().viewpoints.position, [[2.0, 1.5, 1.2]], atol=1e-9)


def test_a_missing_urdf_is_an_error_that_names_it(physics: BulletPhysics, tmp_path: Path) -> None:
    ghost = BodySpec("ghost", "cat", (0.1, 0.1, 0.1), (0.0, 0.0, 1.0), urdf=str(tmp_path / "ghost.urdf"))
    with pytest.raises(SimulationError, match=r"'ghost' .*ghost\.urdf"):
        physics.reset(Stage((ghost,)), seed=0)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"shape": "torus"}, "shape is 'torus'"),
        ({"mass_kg": -1.0}, "mass_kg is -1.0"),
        ({"friction": float("nan")}, "friction is nan"),
        ({"orientation_xyzw": (0.0, 0.0, 0.0, 2.0)}, "has length 2.0"),
    ],
)
def test_a_body_that_cannot_be_is_refused_with_its_name(fields: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigurationError, match=f"'odd'.*{re.escape(message)}"):
        box("odd", (0.0, 0.0, 0.2), **fields)  # type: ignore[arg-type]


def test_two_bodies_of_one_name_are_refused(physics: BulletPhysics) -> None:
    with pytest.raises(ConfigurationError, match="two bodies are called 'twin'"):
        physics.reset(Stage((box("twin", (0.0, 0.0, 0.2)), box("twin", (1.0, 0.0, 0.2)))), seed=0)


def test_a_step_before_reset_says_what_to_do(physics: BulletPhysics) -> None:
    with pytest.raises(SimulationError, match="Call reset"):
        physics.step(None)
    with pytest.raises(SimulationError, match="Call reset"):
        physics.observe()


def test_an_action_that_is_not_finite_is_refused(physics: BulletPhysics) -> None:
    physics.reset(Stage((box("box", (0.0, 0.0, 0.2)),)), seed=0)
    with pytest.raises(SimulationError, match="not finite"):
        physics.step(np.array([0.0, np.nan, 0.0]))


def test_a_closed_world_refuses_a_step_and_comes_back_with_a_reset(physics: BulletPhysics) -> None:
    stage = Stage((box("box", (0.0, 0.0, 0.2)),))
    physics.reset(stage, seed=0)
    physics.close()
    physics.close()
    with pytest.raises(SimulationError, match="closed"):
        physics.step(None)
    physics.reset(stage, seed=0)
    physics.step(None)


def test_engines_do_not_share_a_world_and_leave_no_client_behind() -> None:
    first, second = BulletEngine(ACCURATE), BulletEngine(ACCURATE)
    first.add(box("only_here", (0.0, 0.0, 1.0)))
    assert len(second.states().position) == 0
    client = first._client
    del first
    gc.collect()
    assert not pybullet.isConnected(client)
    assert pybullet.isConnected(second._client)
    second.close()


def test_a_scene_that_cannot_stand_is_refused(physics: BulletPhysics) -> None:
    class Falling(Stage):
        def build(self, physics, rng):  # type: ignore[no-untyped-def]
            super().build(physics, rng)
            physics.settle(0.1)

    with pytest.raises(SimulationError, match=r"\['stone'\] still move"):
        physics.reset(Falling((box("stone", (0.0, 0.0, 5.0)),)), seed=0)
