"""Push a T-shaped block over the floor to where its outline is drawn."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from worldsim.contracts.scenario import Scenario
from worldsim.errors import ConfigurationError, UnknownNameError
from worldsim.simulation.drivers import Robot, SceneView
from worldsim.simulation.engine import PinholeCamera
from worldsim.simulation.goal_task import GoalTask
from worldsim.simulation.overlap import Box, Pose, overlap_share
from worldsim.simulation.scene import BodySpec, CameraSpec, SceneBuilder, Vector, yaw_quaternion
from worldsim.simulation.task import REWARDS
from worldsim.types.planning import Preferences, PreferredOutcome
from worldsim_scenarios.stock import article, bulk_of, furnish, plain

if TYPE_CHECKING:
    from worldsim.contracts.physics import Physics
    from worldsim.types.record import StepRecord

# ---------------------------------------------------------------------- constants

HALF_M = 4.0
"""Half an edge of the square floor inside its fence."""
FENCE_M = 0.3
CAMERA_HEIGHT_M = 5.0
CAMERA_RANGE_M = 30.0
MAST_M = 1.4
SETTLE_S = 0.25
MARK_M = 0.004
"""Height of the drawn goal."""
START_OVERLAP = 0.3
"""Largest overlap at the start."""

# ---------------------------------------------------------------------- assets

OUTLINE: tuple[Box, ...] = ((0.0, 0.45, 1.2, 0.3), (0.0, -0.15, 0.3, 0.9))
"""Bar and stem of the T: (x, y, length, width), m, in the frame of its bounding box."""
FENCE_COLOUR: Vector = (0.30, 0.33, 0.37)
FLOOR_COLOUR: Vector = (0.72, 0.73, 0.72)
MARK_COLOUR: Vector = (0.45, 0.78, 0.45)

# ---------------------------------------------------------------------- variation space

VARIATION: dict[str, tuple[float, float]] = {
    "place_m": (-1.2, 1.2),
    "yaw_rad": (-math.pi, math.pi),
    "robot_start_distance_m": (1.5, 2.2),
}
"""Range of what is drawn evenly at each reset, for block and goal alike; mass and friction vary as `stock` says."""


@dataclass(frozen=True)
class PushT(Scenario):
    """A T of four and three squares, a drawn goal, and a robot that can do nothing but push.

    Attributes:
        reward: ``dense`` (change of overlap, distance, angle and the robot's distance from the block, and 10 for
            success) or ``sparse`` (1 for success).
        success_overlap: share of the block's outline that must lie on the goal's.
        duration_s: length of an episode, s.
    """

    reward: str = "dense"
    success_overlap: float = 0.9
    duration_s: float = 90.0

    expert: ClassVar[str] = "pusher"
    overview: ClassVar[PinholeCamera] = PinholeCamera(
        (0.0, -4.6, 8.2), (0.0, -0.3, 0.0), vertical_field_rad=0.85, near_m=1.0
    )

    def __post_init__(self) -> None:
        """Check the fields.

        Raises:
            UnknownNameError: no such reward.
            ConfigurationError: a number cannot work.
        """
        if self.reward not in REWARDS:
            raise UnknownNameError("reward", self.reward, REWARDS)
        if not START_OVERLAP < self.success_overlap < 1.0:
            raise ConfigurationError(
                f"PushT: success_overlap is {self.success_overlap}, expected more than {START_OVERLAP} and less than 1."
            )
        if not self.duration_s > 0.0:
            raise ConfigurationError(f"PushT: duration_s is {self.duration_s}, expected > 0.")

    # ------------------------------------------------------------------ build

    def build(self, physics: Physics, rng: np.random.Generator) -> None:
        """Put floor, fence, goal, block and robot into `physics`."""
        if not isinstance(physics, SceneBuilder):
            raise ConfigurationError(f"PushT: {type(physics).__name__} cannot be furnished; it is no SceneBuilder.")
        start, goal = _pose(rng), _pose(rng)
        while overlap_share(OUTLINE, start, goal) > START_OVERLAP:
            goal = _pose(rng)
        block = furnish("block", "t_block", (start[0], start[1], 0.0005), start[2], rng, scale=1.0)
        robot = furnish("robot", "robot", (*_robot_place(start, rng), 0.001), _drawn(rng, "yaw_rad"), rng, scale=1.0)
        for spec in (_floor(), *_marks(goal)):
            physics.add_body(spec, background=True)
        for spec in (robot, block, *_fence(rng)):
            physics.add_body(spec)
        physics.add_driver(Robot(robot.name, bulk_of(robot), robot.extent_m))
        physics.add_camera(CameraSpec("mast", (-0.18, 0.0, MAST_M - robot.position[2]), CAMERA_RANGE_M, robot.name))
        for i, side in enumerate((-1.0, 1.0)):
            at = (side * HALF_M / 2.0, side * HALF_M / 2.0, CAMERA_HEIGHT_M)
            physics.add_camera(CameraSpec(f"ceiling_{i}", at, CAMERA_RANGE_M))
        physics.settle(SETTLE_S)
        physics.set_task(PushTask(robot.name, block.name, goal, self.success_overlap, self.reward), robot.name)

    # ------------------------------------------------------------------ preferences

    def preferences(self) -> Preferences:
        """Return what is asked of the robot: the block at its goal, and itself near the block; no room is kept."""
        home = PreferredOutcome("home", "object", "goal", scale_m=0.15, scale_rad=0.25, weight=1.0)
        near = PreferredOutcome("near", "own", "object", scale_m=0.8, distance_m=0.7, weight=0.3)
        return Preferences(goal_position=None, goal_tolerance_m=0.05, clearance_m=0.0, outcomes=(home, near))

    # ------------------------------------------------------------------ is over

    def is_over(self, record: StepRecord) -> bool:
        """Return whether the time is up."""
        return record.time_s >= self.duration_s


# ---------------------------------------------------------------------- task


class PushTask(GoalTask):
    """Bring `block` to `goal`.

    Progress: 5 for the whole overlap, less 1 a metre and 1 a half turn that the block is away from its goal, less 0.2
    a metre between robot and block.
    """

    def __init__(self, ego: str, block: str, goal: Pose, success_overlap: float, reward: str) -> None:
        """Ask `ego` to push."""
        super().__init__(ego, reward)
        self.block, self.goal, self.success_overlap = block, goal, success_overlap
        self.overlap = self.best_overlap = 0.0

    def progress(self, view: SceneView) -> float:
        """Measure the overlap, and return how far the task is."""
        here = (*view.place(self.block), view.heading(self.block))
        self.overlap = overlap_share(OUTLINE, here, self.goal)
        self.best_overlap = max(self.best_overlap, self.overlap)
        away_m = math.dist(here[:2], self.goal[:2])
        turn_rad = abs(math.remainder(here[2] - self.goal[2], 2.0 * math.pi))
        robot_m = math.dist(view.place(self.ego), here[:2])
        return 5.0 * self.overlap - away_m - turn_rad / math.pi - 0.2 * robot_m

    def reached(self, view: SceneView) -> bool:
        """Return whether the overlap is large enough."""
        del view
        return self.overlap >= self.success_overlap

    def measures(self, view: SceneView) -> dict[str, float]:
        """Return the overlap now, and the largest so far."""
        del view
        return {"overlap": self.overlap, "best_overlap": self.best_overlap}

    def observation(self) -> dict[str, np.ndarray]:
        """Return the goal's pose, and size and outline (rectangles x, y, length, width) of what is to be pushed."""
        extent = article("t_block").extent_m
        return {
            "task_goal_position": np.array([*self.goal[:2], extent[2] / 2.0]),
            "task_goal_orientation_xyzw": np.array(yaw_quaternion(self.goal[2])),
            "task_object_extent_m": np.array(extent),
            "task_object_outline_m": np.array(OUTLINE).reshape(-1),
        }


def _drawn(rng: np.random.Generator, name: str) -> float:
    return float(rng.uniform(*VARIATION[name]))


def _pose(rng: np.random.Generator) -> Pose:
    return _drawn(rng, "place_m"), _drawn(rng, "place_m"), _drawn(rng, "yaw_rad")


def _robot_place(block: Pose, rng: np.random.Generator) -> tuple[float, float]:
    """Return a place near the block, on its side of the floor's middle where there is more room."""
    inward = math.atan2(-block[1], -block[0])
    angle = inward + float(rng.uniform(-0.5, 0.5)) * math.pi
    distance = _drawn(rng, "robot_start_distance_m")
    return block[0] + distance * math.cos(angle), block[1] + distance * math.sin(angle)


def _marks(goal: Pose) -> list[BodySpec]:
    """Return the goal's outline on the floor: it is drawn, and nothing touches it."""
    c, s = math.cos(goal[2]), math.sin(goal[2])
    return [
        BodySpec(
            f"mark_{i}",
            "mark",
            (length, width, MARK_M),
            (goal[0] + c * x - s * y, goal[1] + s * x + c * y, MARK_M / 2.0),
            yaw_quaternion(goal[2]),
            colour=MARK_COLOUR,
            solid=False,
        )
        for i, (x, y, length, width) in enumerate(OUTLINE)
    ]


def _fence(rng: np.random.Generator) -> list[BodySpec]:
    middle, length = HALF_M + 0.05, 2.0 * HALF_M + 0.2
    parts = {
        "east": ((0.1, length, FENCE_M), (middle, 0.0, FENCE_M / 2.0)),
        "west": ((0.1, length, FENCE_M), (-middle, 0.0, FENCE_M / 2.0)),
        "north": ((2.0 * HALF_M, 0.1, FENCE_M), (0.0, middle, FENCE_M / 2.0)),
        "south": ((2.0 * HALF_M, 0.1, FENCE_M), (0.0, -middle, FENCE_M / 2.0)),
    }
    return [plain(f"fence_{name}", "wall", edges, at, FENCE_COLOUR, rng) for name, (edges, at) in parts.items()]


def _floor() -> BodySpec:
    edge = 2.0 * HALF_M + 0.4
    return BodySpec("floor", "floor", (edge, edge, 1.0), (0.0, 0.0, -0.5), colour=FLOOR_COLOUR, friction=1.0,
                    restitution=0.0)  # fmt: skip
