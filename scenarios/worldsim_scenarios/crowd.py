"""Cross a floor on which people walk, and touch nobody."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from jaxtyping import Float

from worldsim.contracts.scenario import Scenario
from worldsim.errors import ConfigurationError, UnknownNameError
from worldsim.simulation.drivers import Driver, Followers, Robot, SceneView, Worker
from worldsim.simulation.engine import PinholeCamera
from worldsim.simulation.floorplan import Floorplan, Point
from worldsim.simulation.goal_task import GoalTask
from worldsim.simulation.recordings.crowd import load_crowd
from worldsim.simulation.scene import BodySpec, CameraSpec, SceneBuilder, Vector
from worldsim.simulation.task import REWARDS, TaskStep
from worldsim.types.planning import Preferences, PreferredOutcome
from worldsim_scenarios.stock import MAST_M, bulk_of, drawn, floor, furnish

if TYPE_CHECKING:
    from worldsim.contracts.physics import Physics
    from worldsim.types.record import StepRecord

# ---------------------------------------------------------------------- constants

HALF_M = (5.0, 4.0)
"""Half edges of the floor that people cross; it goes on beyond."""
MOST_PEOPLE = 24
GOAL_M = 0.4
"""The robot's middle so near to the goal's has arrived."""
CAMERA_HEIGHT_M, CAMERA_RANGE_M = 5.0, 30.0
WAITING: Vector = (40.0, 60.0, 0.9)
"""Where recorded people stand before they come in and after they have left, far out of every sensor's range."""

# ---------------------------------------------------------------------- assets

MARK_COLOUR: Vector = (0.45, 0.78, 0.45)

# ---------------------------------------------------------------------- variation space

VARIATION: dict[str, tuple[float, float]] = {
    "robot_y_m": (-2.0, 2.0),
    "robot_yaw_rad": (-math.pi, math.pi),
    "goal_y_m": (-2.0, 2.0),
    "speed_m_s": (0.7, 1.4),
    "start_share": (0.0, 1.0),
}
"""Range of what is drawn evenly at each reset; people's places and ways are drawn too."""


@dataclass(frozen=True)
class Crowd(Scenario):
    """A robot crosses from west to east while people walk about.

    Attributes:
        people: how many, 0 to 24.
        recording: path of a crowd recording (`worldsim.simulation.recordings.crowd`): people then walk as people were
            seen to walk, at a drawn time of a drawn scene, and mind the robot no more than the recording could;
            empty: they walk by the social-force model, from place to place, and step aside.
        reward: ``dense`` (the robot's way to the goal, 10 for success, -5 for touching somebody) or ``sparse``.
        duration_s: length of an episode, s.
        variation: part of the ranges that is drawn from, one of `worldsim_scenarios.stock.PARTS`.
    """

    people: int = 8
    recording: str = ""
    reward: str = "dense"
    duration_s: float = 30.0
    variation: str = "all"

    expert: ClassVar[str] = "strider"
    overview: ClassVar[PinholeCamera] = PinholeCamera(
        (0.0, -6.0, 8.5), (0.0, -0.3, 0.0), vertical_field_rad=0.85, near_m=1.0
    )

    def __post_init__(self) -> None:
        """Check the fields.

        Raises:
            UnknownNameError: no such reward or part of the variation.
            ConfigurationError: a number cannot work.
        """
        if self.reward not in REWARDS:
            raise UnknownNameError("reward", self.reward, REWARDS)
        drawn(np.random.default_rng(0), VARIATION, "goal_y_m", self.variation)
        if not (0 <= self.people <= MOST_PEOPLE and self.duration_s > 0.0):
            raise ConfigurationError(
                f"Crowd: people is {self.people} and duration_s {self.duration_s}, expected 0 to {MOST_PEOPLE} and > 0."
            )

    # ------------------------------------------------------------------ build

    def build(self, physics: Physics, rng: np.random.Generator) -> None:
        """Put floor, mark, people and robot into `physics`.

        Raises:
            DataError: the recording cannot be read.
        """
        if not isinstance(physics, SceneBuilder):
            raise ConfigurationError(f"Crowd: {type(physics).__name__} cannot be furnished; it is no SceneBuilder.")
        goal = (HALF_M[0] - 0.5, self._drawn(rng, "goal_y_m"))
        at = (0.5 - HALF_M[0], self._drawn(rng, "robot_y_m"), 0.001)
        robot = furnish("robot", "robot", at, self._drawn(rng, "robot_yaw_rad"), rng, scale=1.0)
        people, drivers = self._people(rng)
        for spec in (floor(160.0), _mark(goal)):
            physics.add_body(spec, background=True)
        for spec in (robot, *people):
            physics.add_body(spec)
        physics.add_driver(Robot(robot.name, bulk_of(robot), robot.extent_m))
        for driver in drivers:
            physics.add_driver(driver)
        physics.add_camera(CameraSpec("mast", (-0.18, 0.0, MAST_M - robot.position[2]), CAMERA_RANGE_M, robot.name))
        for i, side in enumerate((-1.0, 1.0)):
            physics.add_camera(CameraSpec(f"ceiling_{i}", (side * 2.5, side * 2.0, CAMERA_HEIGHT_M), CAMERA_RANGE_M))
        physics.set_task(CrossingTask(robot.name, goal, self.reward), robot.name)

    def _drawn(self, rng: np.random.Generator, name: str) -> float:
        return drawn(rng, VARIATION, name, self.variation)

    def _people(self, rng: np.random.Generator) -> tuple[list[BodySpec], list[Driver]]:
        """Return bodies and drivers of the people."""
        if self.people == 0:
            return [], []
        if self.recording:
            return self._recorded(rng)
        places, plan = _places(), Floorplan((), ())
        specs: list[BodySpec] = []
        drivers: list[Driver] = []
        spots = rng.permutation(len(places))
        for i in range(self.people):
            x, y = places[spots[i]]
            spec = furnish(f"person_{i}", "worker", (x, y, 0.001), float(rng.uniform(-math.pi, math.pi)), rng)
            specs.append(spec)
            drivers.append(Worker(spec.name, bulk_of(spec), plan, places, self._drawn(rng, "speed_m_s")))
        return specs, drivers

    def _recorded(self, rng: np.random.Generator) -> tuple[list[BodySpec], list[Driver]]:
        """Return people who walk as recorded: a window of a scene, its middle put on the floor's."""
        clips = load_crowd(Path(self.recording))
        clip = clips[int(rng.integers(len(clips)))]
        latest = max(float(clip.time_s[-1]) - self.duration_s, 0.0)
        start = latest * self._drawn(rng, "start_share")
        rows = (clip.time_s >= start) & (clip.time_s <= start + self.duration_s)
        track = clip.position[rows][:, :, :2]
        seen = np.isfinite(track[..., 0]).sum(axis=0)
        chosen = np.argsort(-seen, kind="stable")[: self.people]
        chosen = chosen[seen[chosen] > 1]
        paths = track[:, chosen] - np.nanmean(track[:, chosen], axis=(0, 1))
        specs = [
            furnish(f"person_{i}", "worker", (WAITING[0] + i, WAITING[1], 0.001), 0.0, rng) for i in range(len(chosen))
        ]
        if not specs:
            return [], []
        bulks = tuple(bulk_of(spec) for spec in specs)
        names = tuple(spec.name for spec in specs)
        return specs, [Followers(names, bulks, clip.time_s[rows] - start, paths, WAITING)]

    # ------------------------------------------------------------------ preferences

    def preferences(self) -> Preferences:
        """Return what is asked of the robot: itself at the goal, and room for people."""
        arrive = PreferredOutcome("arrive", "own", "goal", scale_m=0.5)
        return Preferences(goal_position=None, goal_tolerance_m=GOAL_M, clearance_m=0.5, outcomes=(arrive,))

    # ------------------------------------------------------------------ is over

    def is_over(self, record: StepRecord) -> bool:
        """Return whether the time is up."""
        return record.time_s >= self.duration_s


# ---------------------------------------------------------------------- task


class CrossingTask(GoalTask):
    """Get to `goal`; who touches somebody has lost."""

    minds_bumps: ClassVar[bool] = True
    TOUCH_COST = 5.0
    """What touching somebody takes off a dense reward."""

    def __init__(self, robot: str, goal: tuple[float, float], reward: str) -> None:
        """Ask `robot` to get to `goal`."""
        super().__init__(robot, reward)
        self.goal, self.touched = goal, False

    def progress(self, view: SceneView) -> float:
        """Return the distance to the goal, m, less."""
        return -math.dist(view.place(self.ego), self.goal)

    def reached(self, view: SceneView) -> bool:
        """Return whether the robot is there, and touched nobody."""
        return math.dist(view.place(self.ego), self.goal) <= GOAL_M and not self.touched

    def lost(self, view: SceneView) -> bool:
        """Return whether somebody was touched."""
        del view
        return self.touched

    def advance(self, view: SceneView, held: frozenset[str], bumped: frozenset[str]) -> TaskStep:
        """Judge one frame."""
        self.touched = self.touched or any(view.kinds[view.index[name]] == "worker" for name in bumped)
        step = super().advance(view, held, bumped)
        cost = self.TOUCH_COST if self.touched and self.reward == "dense" else 0.0
        return TaskStep(step.reward - cost, step.terminated, step.events)

    def measures(self, view: SceneView) -> dict[str, float]:
        """Return how far it is, m, and whether somebody was touched."""
        return {"away_m": math.dist(view.place(self.ego), self.goal), "touched": float(self.touched)}

    def observation(self) -> dict[str, np.ndarray]:
        """Return the goal."""
        return {"task_goal_position": np.array([*self.goal, 0.15])}


def _places() -> tuple[Point, ...]:
    """Return the places that people walk between: a grid over the floor, less the strip where the robot starts."""
    columns: Float[np.ndarray, " n"] = np.linspace(-2.6, HALF_M[0] - 0.6, 6)
    rows: Float[np.ndarray, " m"] = np.linspace(0.5 - HALF_M[1], HALF_M[1] - 0.5, 5)
    return tuple((float(x), float(y)) for x in columns for y in rows)


def _mark(place: tuple[float, float]) -> BodySpec:
    """Return the goal on the floor: it is drawn, and nothing touches it."""
    edge = 2.0 * GOAL_M
    return BodySpec("mark", "mark", (edge, edge, 0.004), (*place, 0.002), colour=MARK_COLOUR, solid=False)
