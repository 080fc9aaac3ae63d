"""A camera with a field of view sees what is in its cone, in either engine, and says so in every observation."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import pytest

from tests.simulation.stage import Stage, box
from worldsim.contracts.physics import Physics
from worldsim.errors import ConfigurationError
from worldsim.evaluation.scale_worlds import known_models
from worldsim.loop import WorldModel
from worldsim.simulation.bullet import BulletPhysics
from worldsim.simulation.gym_env import WorldsimEnv
from worldsim.simulation.mujoco_engine import MujocoPhysics
from worldsim.simulation.scene import BodySpec, CameraSpec, yaw_quaternion
from worldsim.simulation.sensors import Detector
from worldsim.types.observation import Observation
from worldsim_scenarios.park_search import ParkSearch

AHEAD, QUARTER = (3.0, 0.0, 0.0), math.pi / 4.0  # of any length; 45 degrees to either side
SURE = Detector(detection_probability=1.0, clutter_per_frame=0.0)


def about(*degrees: float, away_m: float = 3.0, edge: float = 0.2) -> tuple[BodySpec, ...]:
    """Return a cube in each direction from the origin."""
    turns = [(f"at_{d:g}", math.radians(d)) for d in degrees]
    return tuple(box(n, (away_m * math.cos(a), away_m * math.sin(a), 0.5 * edge), edge) for n, a in turns)


def eye(**fields: object) -> CameraSpec:
    given = {"name": "eye", "position": (0.0, 0.0, 0.3), "range_m": 9.0, "axis": AHEAD, "half_angle_rad": QUARTER}
    return CameraSpec(**(given | fields))  # type: ignore[arg-type]


def seen(physics: BulletPhysics | MujocoPhysics, stage: Stage) -> set[str]:
    physics.reset(stage, seed=0)
    truth = physics.truth()
    return {name for name, visible in zip(truth.names, truth.visible, strict=True) if visible}


@dataclass(frozen=True)
class NarrowLater(Stage):
    """In its first world the camera looks all around, in those after it ahead."""

    worlds: list[int] = field(default_factory=list)

    def build(self, physics: Physics, rng: np.random.Generator) -> None:
        stage = Stage(self.bodies, cameras=(eye(),), ego=self.ego) if self.worlds else super()
        self.worlds.append(1)
        stage.build(physics, rng)


@pytest.fixture(params=[BulletPhysics, MujocoPhysics])
def world(request: pytest.FixtureRequest) -> BulletPhysics | MujocoPhysics:
    return request.param(sensor=SURE)  # type: ignore[no-any-return]


def test_what_lies_outside_the_cone_is_not_seen(world: BulletPhysics | MujocoPhysics) -> None:
    bodies = about(0, 40, -40, 55, 90, 180)
    assert seen(world, Stage(bodies, cameras=(eye(),))) == {"at_0", "at_40", "at_-40"}
    assert seen(world, Stage(bodies, cameras=(eye(half_angle_rad=math.pi),))) == {body.name for body in bodies}
    wider = (eye(half_angle_rad=math.radians(60)), eye(name="left", axis=(0.0, 1.0, 0.0)))
    assert seen(world, Stage(bodies, cameras=wider)) == {"at_0", "at_40", "at_-40", "at_55", "at_90"}
    world.close()


def test_a_body_whose_middle_is_out_of_the_picture_is_seen_by_its_edge(physics: BulletPhysics) -> None:
    assert seen(physics, Stage(about(50, edge=1.2), cameras=(eye(),))) == {"at_50"}
    assert seen(physics, Stage(about(50, edge=0.2), cameras=(eye(),))) == set()


def test_a_carried_camera_looks_where_its_body_is_turned_to(physics: BulletPhysics) -> None:
    robot = box("robot", (0.0, 0.0, 0.2), orientation_xyzw=yaw_quaternion(math.pi / 2.0))
    cameras = (eye(position=(0.0, 0.0, 0.3), mounted_on="robot"),)
    assert seen(physics, Stage((robot, *about(0, 90, 180)), cameras=cameras, ego="robot")) - {"robot"} == {"at_90"}
    views = physics.observe().viewpoints
    assert views.axis is not None
    assert views.half_angle_rad is not None
    np.testing.assert_allclose(views.axis, [(0.0, 1.0, 0.0)], atol=1e-6)
    np.testing.assert_allclose(views.half_angle_rad, [QUARTER])


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"axis": (0.0, 0.0, 0.0)}, "expected a direction"),
        ({"axis": (math.nan, 0.0, 0.0)}, "expected a direction"),
        ({"half_angle_rad": 0.0}, r"expected a number in \(0, pi\]"),
        ({"half_angle_rad": 3.2}, r"expected a number in \(0, pi\]"),
        ({"axis": None}, "there is no axis"),
    ],
)
def test_a_field_of_view_that_cannot_be_is_refused(fields: dict[str, object], says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        eye(**fields)


@pytest.mark.parametrize("observation", ["detections", "state"])
def test_an_observation_says_where_the_cameras_look(observation: str) -> None:
    env = WorldsimEnv(ParkSearch(view_rad=2.0), observation=observation)
    env.reset(seed=3)
    for _ in range(20):
        flat, *_ = env.step(np.array([0.3, 1.0, 0.0]))
    assert env.observation_space.contains(flat)
    found, exact = Observation.from_gym(flat).viewpoints, env.physics.observe().viewpoints
    assert found.axis is not None
    assert exact.axis is not None
    np.testing.assert_allclose(found.axis, exact.axis, atol=1e-6)
    np.testing.assert_allclose(found.half_angle_rad, [1.0] + [math.pi] * (len(found.axis) - 1), atol=1e-6)
    place = np.random.default_rng(0).uniform(-5.0, 5.0, (200, 3))
    np.testing.assert_array_equal(found.reach(place), exact.reach(place))
    env.close()


def test_an_environment_whose_cameras_look_all_around_says_nothing_of_axes() -> None:
    env = WorldsimEnv(ParkSearch())
    assert "viewpoint_axis" not in env.observation_space.spaces
    env.close()


def test_a_camera_that_gets_a_field_of_view_in_a_later_world_is_told() -> None:
    bodies = (box("robot", (0.0, 0.0, 0.2)), *about(0))
    env = WorldsimEnv(NarrowLater(bodies, cameras=(eye(axis=None, half_angle_rad=math.pi),), ego="robot"))
    with pytest.raises(ConfigurationError, match=r"half_angle_rad=math\.pi looks all around"):
        env.reset(seed=1)
    env.close()


def test_what_the_robot_turns_away_from_is_remembered(physics: BulletPhysics) -> None:
    robot, there = box("robot", (0.0, 0.0, 0.2)), (*about(0), *about(180, away_m=2.0))
    wm = WorldModel(models=known_models(), device="cpu")
    for frame, turn in enumerate(np.repeat([0.0, math.pi, 0.0], 12)):
        body = box("robot", robot.position, orientation_xyzw=yaw_quaternion(float(turn)))
        physics.reset(Stage((body, *there), cameras=(eye(mounted_on="robot"),), ego="robot"), seed=0)
        found = physics.observe()
        assert len(found.detections) == 1
        found = Observation(0.05 * frame, found.detections, found.viewpoints, found.ego)
        if frame == 0:
            wm.reset(found)
        else:
            wm.step(found)
    believed = wm.belief.position[wm.belief.alive, 0]
    assert sorted(round(float(x)) for x in believed) == [-2, 0, 3]
