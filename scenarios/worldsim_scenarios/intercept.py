"""Meet a ball that rolls, bounces or flees, before it leaves the floor."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from worldsim.contracts.scenario import Scenario
from worldsim.errors import ConfigurationError, UnknownNameError
from worldsim.simulation.drivers import Driver, Launch, Robot, Runaway, SceneView
from worldsim.simulation.engine import PinholeCamera
from worldsim.simulation.goal_task import GoalTask
from worldsim.simulation.scene import BodySpec, CameraSpec, SceneBuilder, Vector
from worldsim.simulation.task import REWARDS
from worldsim.types.planning import Preferences, PreferredOutcome
from worldsim_scenarios.stock import bulk_of, furnish, plain

if TYPE_CHECKING:
    from worldsim.contracts.physics import Physics
    from worldsim.types.record import StepRecord

# ---------------------------------------------------------------------- constants

TARGETS = ("rolling", "bouncing", "fleeing")
HALF_LENGTH_M, HALF_WIDTH_M = 4.5, 4.0
"""Half edges of the floor; its east end, at +x, is open."""
APRON_M = 1.5
"""Floor beyond the open end."""
FENCE_M = 0.5
CAMERA_HEIGHT_M = 5.0
CAMERA_RANGE_M = 30.0
MAST_M = 1.4
ELASTIC = 0.92
"""Restitution of the ball."""
FLEE_DISTANCE_M = 1.3

# ---------------------------------------------------------------------- assets

FENCE_COLOUR: Vector = (0.30, 0.33, 0.37)
FLOOR_COLOUR: Vector = (0.70, 0.72, 0.74)

# ---------------------------------------------------------------------- variation space

VARIATION: dict[str, tuple[float, float]] = {
    "speed_m_s": (0.8, 1.4),
    "fleeing_speed_m_s": (0.5, 0.75),
    "direction_rad": (-0.8, 0.8),
    "drop_m": (0.25, 0.5),
    "target_y_m": (-3.2, 3.2),
    "robot_x_m": (0.5, 3.0),
    "robot_y_m": (-2.2, 2.2),
    "robot_yaw_rad": (-math.pi, math.pi),
}
"""Range of what is drawn evenly at each reset; size, mass and tint of the ball vary as `stock` says."""


@dataclass(frozen=True)
class Intercept(Scenario):
    """A ball crosses the floor from the west; the robot is to meet it with its front before it is out in the east.

    Attributes:
        target: one of `TARGETS`, or ``auto`` (drawn from the seed).
        reward: ``dense`` (metres that the front gets nearer to the ball, and 10 for success) or ``sparse`` (1 for
            success).
        reach_m: largest gap between the middle of the robot's front and the ball that counts as met.
        duration_s: length of an episode, s.
    """

    target: str = "auto"
    reward: str = "dense"
    reach_m: float = 0.15
    duration_s: float = 20.0

    expert: ClassVar[str] = "interceptor"
    overview: ClassVar[PinholeCamera] = PinholeCamera(
        (0.5, -7.5, 9.8), (0.5, -0.3, 0.0), vertical_field_rad=0.80, near_m=1.0
    )

    def __post_init__(self) -> None:
        """Check the fields.

        Raises:
            UnknownNameError: no such target or reward.
            ConfigurationError: a number cannot work.
        """
        if self.target not in (*TARGETS, "auto"):
            raise UnknownNameError("target", self.target, (*TARGETS, "auto"))
        if self.reward not in REWARDS:
            raise UnknownNameError("reward", self.reward, REWARDS)
        if not (self.reach_m > 0.0 and self.duration_s > 0.0):
            raise ConfigurationError(
                f"Intercept: reach_m is {self.reach_m} and duration_s {self.duration_s}, expected both > 0."
            )

    # ------------------------------------------------------------------ build

    def build(self, physics: Physics, rng: np.random.Generator) -> None:
        """Put floor, walls, ball and robot into `physics`."""
        if not isinstance(physics, SceneBuilder):
            raise ConfigurationError(f"Intercept: {type(physics).__name__} cannot be furnished; it is no SceneBuilder.")
        kind = TARGETS[int(rng.integers(len(TARGETS)))]
        kind = kind if self.target == "auto" else self.target
        ball, driver = _target(kind, rng)
        at = (_drawn(rng, "robot_x_m"), _drawn(rng, "robot_y_m"), 0.001)
        robot = furnish("robot", "robot", at, _drawn(rng, "robot_yaw_rad"), rng, scale=1.0)
        physics.add_body(_floor(), background=True)
        for spec in (robot, ball, *_fence(rng)):
            physics.add_body(spec)
        physics.add_driver(Robot(robot.name, bulk_of(robot), robot.extent_m))
        physics.add_driver(driver)
        physics.add_camera(CameraSpec("mast", (-0.18, 0.0, MAST_M - robot.position[2]), CAMERA_RANGE_M, robot.name))
        for i, side in enumerate((-1.0, 1.0)):
            physics.add_camera(CameraSpec(f"ceiling_{i}", (side * 2.5, side * 1.5, CAMERA_HEIGHT_M), CAMERA_RANGE_M))
        physics.set_task(InterceptTask(robot, ball, self.reach_m, self.reward), robot.name)

    # ------------------------------------------------------------------ preferences

    def preferences(self) -> Preferences:
        """Return what is asked of the robot: the ball before its front, soon; to touch is allowed."""
        meet = PreferredOutcome("meet", "own_front", "object", scale_m=0.3)
        return Preferences(goal_position=None, goal_tolerance_m=self.reach_m, clearance_m=0.0, outcomes=(meet,))

    # ------------------------------------------------------------------ is over

    def is_over(self, record: StepRecord) -> bool:
        """Return whether the time is up."""
        return record.time_s >= self.duration_s


# ---------------------------------------------------------------------- task


class InterceptTask(GoalTask):
    """Bring the middle of the robot's front to within `reach_m` of the ball; progress is their distance, less."""

    def __init__(self, robot: BodySpec, ball: BodySpec, reach_m: float, reward: str) -> None:
        """Ask `robot` to meet `ball`."""
        super().__init__(robot.name, reward)
        self.ball, self.radius_m, self.extent_m = ball.name, ball.extent_m[0] / 2.0, ball.extent_m
        self.front_m, self.reach_m = robot.extent_m[0] / 2.0, reach_m

    def _gap_m(self, view: SceneView) -> float:
        x, y, z = (float(v) for v in view.states.position[view.index[self.ego]])
        yaw = view.heading(self.ego)
        front = (x + self.front_m * math.cos(yaw), y + self.front_m * math.sin(yaw), z)
        return math.dist(front, view.states.position[view.index[self.ball]].tolist()) - self.radius_m

    def progress(self, view: SceneView) -> float:
        """Return how far the task is."""
        return -self._gap_m(view)

    def reached(self, view: SceneView) -> bool:
        """Return whether they meet, on the floor."""
        return self._gap_m(view) <= self.reach_m and not self.lost(view)

    def lost(self, view: SceneView) -> bool:
        """Return whether the ball has left the floor."""
        return view.place(self.ball)[0] > HALF_LENGTH_M

    def measures(self, view: SceneView) -> dict[str, float]:
        """Return the gap, m."""
        return {"gap_m": self._gap_m(view)}

    def observation(self) -> dict[str, np.ndarray]:
        """Return half edges of the floor, the size of the ball, and how near is near enough."""
        return {
            "task_floor_half_m": np.array([HALF_LENGTH_M, HALF_WIDTH_M]),
            "task_object_extent_m": np.array(self.extent_m),
            "task_reach_m": np.array([self.reach_m]),
        }


def _drawn(rng: np.random.Generator, name: str) -> float:
    return float(rng.uniform(*VARIATION[name]))


def _target(kind: str, rng: np.random.Generator) -> tuple[BodySpec, Driver]:
    """Return the ball and what sets it going; draws the same numbers whatever the kind."""
    speed, flight, angle = _drawn(rng, "speed_m_s"), _drawn(rng, "fleeing_speed_m_s"), _drawn(rng, "direction_rad")
    drop_m, y = _drawn(rng, "drop_m"), _drawn(rng, "target_y_m")
    height = drop_m if kind == "bouncing" else 0.0005
    ball = furnish("target", "ball", (0.5 - HALF_LENGTH_M, y, height), 0.0, rng)
    ball = replace(ball, restitution=ELASTIC, rolling_friction=0.1 * ball.rolling_friction)
    if kind == "fleeing":
        return ball, Runaway(ball.name, ball.mass_kg, flight, FLEE_DISTANCE_M, HALF_WIDTH_M)
    # on the floor a ball slides until it rolls, which leaves it 5/7 of its speed (a solid sphere)
    impulse = ball.mass_kg * speed * (7.0 / 5.0 if kind == "rolling" else 1.0)
    return ball, Launch({ball.name: (impulse * math.cos(angle), impulse * math.sin(angle), 0.0)})


def _fence(rng: np.random.Generator) -> list[BodySpec]:
    length, width, middle = 2.0 * HALF_LENGTH_M, 2.0 * HALF_WIDTH_M + 0.2, HALF_WIDTH_M + 0.05
    parts = {
        "west": ((0.1, width, FENCE_M), (-HALF_LENGTH_M - 0.05, 0.0, FENCE_M / 2.0)),
        "north": ((length, 0.1, FENCE_M), (0.0, middle, FENCE_M / 2.0)),
        "south": ((length, 0.1, FENCE_M), (0.0, -middle, FENCE_M / 2.0)),
    }
    return [plain(f"fence_{name}", "wall", edges, at, FENCE_COLOUR, rng) for name, (edges, at) in parts.items()]


def _floor() -> BodySpec:
    edges = (2.0 * HALF_LENGTH_M + APRON_M + 0.2, 2.0 * HALF_WIDTH_M + 0.4, 1.0)
    return BodySpec("floor", "floor", edges, (APRON_M / 2.0, 0.0, -0.5), colour=FLOOR_COLOUR, friction=1.0,
                    restitution=1.0)  # fmt: skip
