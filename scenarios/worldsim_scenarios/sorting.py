"""Find the heavy one among crates that look alike, and push it onto the mark."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from worldsim.contracts.scenario import Scenario
from worldsim.errors import ConfigurationError, UnknownNameError
from worldsim.simulation.drivers import Robot, SceneView
from worldsim.simulation.drivers.vehicles import GRAVITY_M_S2, DriveLimits
from worldsim.simulation.engine import PinholeCamera
from worldsim.simulation.goal_task import GoalTask
from worldsim.simulation.scene import BodySpec, CameraSpec, SceneBuilder, Vector
from worldsim.simulation.task import REWARDS
from worldsim.types.planning import OTHERS, Preferences, PreferredOutcome
from worldsim_scenarios.stock import MAST_M, article, bulk_of, drawn, fence, floor, furnish, places_apart

if TYPE_CHECKING:
    from worldsim.contracts.physics import Physics
    from worldsim.types.record import StepRecord

# ---------------------------------------------------------------------- constants

HALF_M = 4.0
"""Half an edge of the square floor inside its fence."""
FENCE_M = 0.3
FRICTION = 0.5
"""Nominal, of every crate."""
LIGHT_KG, HEAVY_KG = 6.0, 22.0
"""Nominal masses."""
TOLERANCE_M = 0.35
"""A crate whose middle is so near to the mark's lies on it."""
SAFE_M = 0.3
"""Farther than that the light ones are wanted from there."""
MOST_CRATES = 5
CAMERA_HEIGHT_M, CAMERA_RANGE_M = 5.0, 30.0

# ---------------------------------------------------------------------- assets

FENCE_COLOUR: Vector = (0.30, 0.33, 0.37)
MARK_COLOUR: Vector = (0.45, 0.78, 0.45)

# ---------------------------------------------------------------------- variation space

VARIATION: dict[str, tuple[float, float]] = {
    "mark_x_m": (2.0, 2.6),
    "mark_y_m": (-1.5, 1.5),
    "robot_x_m": (-3.0, -2.4),
    "robot_y_m": (-1.5, 1.5),
    "robot_yaw_rad": (-math.pi, math.pi),
    "mass_factor": (0.85, 1.15),
    "friction_factor": (0.85, 1.15),
}
"""Range of what is drawn evenly at each reset; which crate is the heavy one is drawn too, and its place."""


@dataclass(frozen=True)
class Sorting(Scenario):
    """N crates of one look, one of them heavy, and a robot that can only push: it feels what it pushes.

    Attributes:
        crates: N, 2 to 5.
        reward: ``dense`` (the heavy crate's way to the mark, a tenth of the robot's to it, and 10 for success) or
            ``sparse`` (1 for success).
        duration_s: length of an episode, s.
        variation: part of the ranges that is drawn from, one of `worldsim_scenarios.stock.PARTS`.
    """

    crates: int = 3
    reward: str = "dense"
    duration_s: float = 60.0
    variation: str = "all"

    expert: ClassVar[str] = "sorter"
    overview: ClassVar[PinholeCamera] = PinholeCamera(
        (0.0, -4.6, 8.2), (0.0, -0.3, 0.0), vertical_field_rad=0.85, near_m=1.0
    )

    def __post_init__(self) -> None:
        """Check the fields.

        Raises:
            UnknownNameError: no such reward or part of the variation.
            ConfigurationError: a number cannot work.
        """
        if self.reward not in REWARDS:
            raise UnknownNameError("reward", self.reward, REWARDS)
        drawn(np.random.default_rng(0), VARIATION, "mark_x_m", self.variation)
        if not (2 <= self.crates <= MOST_CRATES and self.duration_s > 0.0):
            raise ConfigurationError(
                f"Sorting: crates is {self.crates} and duration_s {self.duration_s}, expected 2 to {MOST_CRATES} and "
                "more than 0."
            )

    # ------------------------------------------------------------------ build

    def build(self, physics: Physics, rng: np.random.Generator) -> None:
        """Put floor, fence, mark, crates and robot into `physics`."""
        if not isinstance(physics, SceneBuilder):
            raise ConfigurationError(f"Sorting: {type(physics).__name__} cannot be furnished; it is no SceneBuilder.")
        mark = (self._drawn(rng, "mark_x_m"), self._drawn(rng, "mark_y_m"))
        at = (self._drawn(rng, "robot_x_m"), self._drawn(rng, "robot_y_m"), 0.001)
        robot = furnish("robot", "robot", at, self._drawn(rng, "robot_yaw_rad"), rng, scale=1.0)
        heavy = int(rng.integers(self.crates))
        crates = [
            self._crate(i, place, HEAVY_KG if i == heavy else LIGHT_KG, rng)
            for i, place in enumerate(places_apart(self.crates, (1.2, 2.4), 1.5, rng))
        ]
        for spec in (floor(2.0 * HALF_M + 0.4), _mark(mark)):
            physics.add_body(spec, background=True)
        for spec in (robot, *crates, *fence((HALF_M, HALF_M), FENCE_M, FENCE_COLOUR, rng)):
            physics.add_body(spec)
        physics.add_driver(Robot(robot.name, bulk_of(robot), robot.extent_m))
        physics.add_camera(CameraSpec("mast", (-0.18, 0.0, MAST_M - robot.position[2]), CAMERA_RANGE_M, robot.name))
        for i, side in enumerate((-1.0, 1.0)):
            place = (side * HALF_M / 2.0, side * HALF_M / 2.0, CAMERA_HEIGHT_M)
            physics.add_camera(CameraSpec(f"ceiling_{i}", place, CAMERA_RANGE_M))
        names = tuple(crate.name for crate in crates)
        physics.set_task(SortingTask(robot, names, names[heavy], mark, self.reward), robot.name)

    def _drawn(self, rng: np.random.Generator, name: str) -> float:
        return drawn(rng, VARIATION, name, self.variation)

    def _crate(self, number: int, place: np.ndarray, mass_kg: float, rng: np.random.Generator) -> BodySpec:
        """Return a crate of the one size and look, with its own mass and friction."""
        x, y = float(place[0]) - 0.3, float(place[1])
        spec = furnish(f"crate_{number}", "crate", (x, y, 0.0005), float(rng.uniform(-0.3, 0.3)), rng, scale=1.0)
        mass, friction = self._drawn(rng, "mass_factor"), self._drawn(rng, "friction_factor")
        return replace(spec, mass_kg=mass_kg * mass, friction=FRICTION * friction)

    # ------------------------------------------------------------------ preferences

    def preferences(self) -> Preferences:
        """Return what is asked of the robot: the heavy one on the mark, whichever it is, no other, itself near."""
        home = PreferredOutcome("home", "heaviest", "goal", scale_m=0.3, weight=3.0)
        near = PreferredOutcome("near", "own", "heaviest", scale_m=0.8, distance_m=0.6, weight=0.3)
        clear = PreferredOutcome(
            "clear", OTHERS, "goal", scale_m=0.1, distance_m=TOLERANCE_M + SAFE_M, weight=10.0, or_farther=True
        )
        return Preferences(
            goal_position=None, goal_tolerance_m=TOLERANCE_M, clearance_m=0.0, outcomes=(home, near, clear)
        )

    # ------------------------------------------------------------------ is over

    def is_over(self, record: StepRecord) -> bool:
        """Return whether the time is up."""
        return record.time_s >= self.duration_s


# ---------------------------------------------------------------------- task


class SortingTask(GoalTask):
    """Bring the heavy crate onto the mark; with another one on it, all is lost."""

    def __init__(
        self, robot: BodySpec, crates: tuple[str, ...], heavy: str, mark: tuple[float, float], reward: str
    ) -> None:
        """Ask `robot` to push `heavy` to `mark`."""
        super().__init__(robot.name, reward)
        self.crates, self.heavy, self.mark = crates, heavy, mark
        # what a steady push takes off the robot's speed, m/s: friction over the wheels' answer
        self.loss_m_s = tuple(
            FRICTION * mass * GRAVITY_M_S2 / (robot.mass_kg * DriveLimits().speed_response_per_s)
            for mass in (LIGHT_KG, HEAVY_KG)
        )

    def progress(self, view: SceneView) -> float:
        """Return how near the heavy one is to the mark, and the robot to it, m, less."""
        here = view.place(self.heavy)
        return -math.dist(here, self.mark) - 0.1 * math.dist(here, view.place(self.ego))

    def reached(self, view: SceneView) -> bool:
        """Return whether the heavy one lies on the mark."""
        return math.dist(view.place(self.heavy), self.mark) <= TOLERANCE_M

    def lost(self, view: SceneView) -> bool:
        """Return whether a light one does."""
        light = (name for name in self.crates if name != self.heavy)
        return any(math.dist(view.place(name), self.mark) <= TOLERANCE_M for name in light)

    def measures(self, view: SceneView) -> dict[str, float]:
        """Return how far the heavy one is from the mark, m."""
        return {"away_m": math.dist(view.place(self.heavy), self.mark)}

    def observation(self) -> dict[str, np.ndarray]:
        """Return the mark, the crates' size, and by how much a light and a heavy one slow the robot, nominally."""
        extent = article("crate").extent_m
        return {
            "task_goal_position": np.array([*self.mark, extent[2] / 2.0]),
            "task_object_extent_m": np.array(extent),
            "task_push_loss_m_s": np.array(self.loss_m_s),
        }


def _mark(place: tuple[float, float]) -> BodySpec:
    """Return the mark on the floor: it is drawn, and nothing touches it."""
    edge = 2.0 * TOLERANCE_M
    return BodySpec("mark", "mark", (edge, edge, 0.004), (*place, 0.002), colour=MARK_COLOUR, solid=False)
