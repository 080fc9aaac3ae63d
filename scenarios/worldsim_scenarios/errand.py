"""Errands: from mark to mark through a place where somebody lives, touching nobody."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from worldsim.errors import ConfigurationError
from worldsim.simulation.drivers import Driver, Robot, SceneView
from worldsim.simulation.floorplan import Point
from worldsim.simulation.goal_task import GoalTask
from worldsim.simulation.scene import BodySpec, CameraSpec, SceneBuilder, Vector, yaw_quaternion
from worldsim.simulation.task import TaskStep
from worldsim.types.planning import Preferences, PreferredOutcome
from worldsim_scenarios.stock import MAST_M, bulk_of, floor

if TYPE_CHECKING:
    from worldsim.contracts.physics import Physics

MARK_M = 0.45
"""The robot's middle so near to a mark has been there."""
MARK_COLOURS: tuple[Vector, Vector] = ((0.45, 0.78, 0.45), (0.40, 0.62, 0.85))
LIVING = frozenset({"worker", "cat", "dog"})
CAMERA_HEIGHT_M, CAMERA_RANGE_M = 5.0, 40.0


@dataclass(frozen=True)
class Setting:
    """A place as it was drawn, before anybody is asked for anything.

    Attributes:
        robot: where it starts.
        goals: places to be sent to, in their order.
        free: places where something may lie, the robot's start not among them.
        bodies, drivers: what else is there, and what drives it.
        cameras: places above which a camera hangs.
    """

    robot: BodySpec
    goals: tuple[Point, ...]
    free: tuple[Point, ...]
    bodies: tuple[BodySpec, ...]
    drivers: tuple[Driver, ...]
    cameras: tuple[Point, ...]


def builder_of(physics: Physics, name: str) -> SceneBuilder:
    """Return `physics` as what the scenario `name` can furnish.

    Raises:
        ConfigurationError: it cannot be furnished.
    """
    if not isinstance(physics, SceneBuilder):
        raise ConfigurationError(f"{name}: {type(physics).__name__} cannot be furnished; it is no SceneBuilder.")
    return physics


def furnish_setting(
    physics: SceneBuilder,
    setting: Setting,
    drawn: Sequence[BodySpec] = (),
    finest_rad: float = 0.0,
    own_view_rad: float = math.tau,
) -> None:
    """Put floor, bodies, robot and cameras into `physics`.

    Args:
        physics: to be furnished.
        setting: what stands and lives there.
        drawn: what is drawn on the floor.
        finest_rad: of the cameras.
        own_view_rad: field of view of the robot's, which looks ahead; 2 pi: all around.
    """
    for spec in (floor(40.0), *drawn):
        physics.add_body(spec, background=True)
    robot = setting.robot
    for spec in (robot, *setting.bodies):
        physics.add_body(spec)
    physics.add_driver(Robot(robot.name, bulk_of(robot), robot.extent_m))
    for driver in setting.drivers:
        physics.add_driver(driver)
    mast = (-0.18, 0.0, MAST_M - robot.position[2])
    ahead = None if own_view_rad >= math.tau else (1.0, 0.0, 0.0)
    physics.add_camera(CameraSpec("mast", mast, CAMERA_RANGE_M, robot.name, finest_rad, ahead, 0.5 * own_view_rad))
    for i, place in enumerate(setting.cameras):
        physics.add_camera(CameraSpec(f"above_{i}", (*place, CAMERA_HEIGHT_M), CAMERA_RANGE_M, None, finest_rad))


def send_on_errand(physics: SceneBuilder, setting: Setting, reward: str) -> None:
    """Furnish `physics`, and ask the robot to go to the setting's goals in their order."""
    furnish_setting(physics, setting, marks(setting.goals))
    physics.set_task(ErrandTask(setting.robot.name, setting.goals, reward), setting.robot.name)


def errand_preferences() -> Preferences:
    """Return what is asked of the robot: itself at the mark, and room for who lives there."""
    arrive = PreferredOutcome("arrive", "own", "goal", scale_m=0.5)
    return Preferences(goal_position=None, goal_tolerance_m=MARK_M, clearance_m=0.4, outcomes=(arrive,))


def marks(goals: Sequence[Point]) -> list[BodySpec]:
    """Return the marks on the floor, in their order of colours: they are drawn, and nothing touches them."""
    edge = 2.0 * MARK_M
    return [
        BodySpec(f"mark_{i}", "mark", (edge, edge, 0.004), (*goal, 0.002), yaw_quaternion(0.0),
                 colour=MARK_COLOURS[i % len(MARK_COLOURS)], solid=False)
        for i, goal in enumerate(goals)
    ]  # fmt: skip


class ErrandTask(GoalTask):
    """Go to one mark after the other; who touches a living thing has lost."""

    minds_bumps: ClassVar[bool] = True
    TOUCH_COST = 5.0
    """What touching a living thing takes off a dense reward."""

    def __init__(self, robot: str, goals: Sequence[Point], reward: str) -> None:
        """Ask `robot` to go to `goals`, in their order.

        Raises:
            ConfigurationError: there is no goal.
        """
        super().__init__(robot, reward)
        if not goals:
            raise ConfigurationError("ErrandTask: no goal was given.")
        self.goals, self.done, self.touched = tuple(goals), 0, False

    def advance(self, view: SceneView, held: frozenset[str], bumped: frozenset[str]) -> TaskStep:
        """Judge one frame."""
        self.touched = self.touched or any(view.kinds[view.index[name]] in LIVING for name in bumped)
        if self.done < len(self.goals) and math.dist(view.place(self.ego), self.goals[self.done]) <= MARK_M:
            self.done += 1
        step = super().advance(view, held, bumped)
        cost = self.TOUCH_COST if self.touched and self.reward == "dense" else 0.0
        return TaskStep(step.reward - cost, step.terminated, step.events)

    def progress(self, view: SceneView) -> float:
        """Return how far it is to the goals that are left, one after the other and as the crow flies, m, less."""
        stops = [view.place(self.ego), *self.goals[self.done :]]
        return -sum(math.dist(a, b) for a, b in itertools.pairwise(stops))

    def reached(self, view: SceneView) -> bool:
        """Return whether the robot was everywhere, and touched nobody."""
        del view
        return self.done == len(self.goals) and not self.touched

    def lost(self, view: SceneView) -> bool:
        """Return whether somebody was touched."""
        del view
        return self.touched

    def measures(self, view: SceneView) -> dict[str, float]:
        """Return how many goals were reached, and whether somebody was touched."""
        del view
        return {"visited": float(self.done), "touched": float(self.touched)}

    def observation(self) -> dict[str, np.ndarray]:
        """Return the goal to go to now, and how many are left."""
        at = self.goals[min(self.done, len(self.goals) - 1)]
        return {
            "task_goal_position": np.array([*at, 0.15]),
            "task_goals_left": np.array([float(len(self.goals) - self.done)]),
        }
