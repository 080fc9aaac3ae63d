"""Get a thing out from behind a beam that the robot cannot pass under, with the hook that lies at hand."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from worldsim.contracts.scenario import Scenario
from worldsim.errors import ConfigurationError, UnknownNameError
from worldsim.simulation.drivers import Load, Robot, SceneView
from worldsim.simulation.engine import PinholeCamera
from worldsim.simulation.goal_task import GoalTask
from worldsim.simulation.scene import BodySpec, CameraSpec, SceneBuilder, Vector, yaw_quaternion
from worldsim.simulation.task import REWARDS, TaskStep
from worldsim.types.planning import Preferences, PreferredOutcome
from worldsim_assets import appearance
from worldsim_scenarios.push_t import OUTLINE
from worldsim_scenarios.stock import MAST_M, bulk_of, drawn, fence, floor, furnish, plain, tinted, worn

if TYPE_CHECKING:
    from worldsim.contracts.physics import Physics
    from worldsim.types.record import StepRecord

# ---------------------------------------------------------------------- constants

HALF_M = (3.6, 2.6)
"""Half edges of the floor inside its fence."""
FENCE_M = 0.3
BEAM_X_M = 1.4
BEAM_M: Vector = (0.06, 2.0 * HALF_M[1], 0.25)
BEAM_BOTTOM_M = 0.26
"""Hook, board and thing pass below the beam; the robot, 0.3 m high, does not."""
LINE_X_M = BEAM_X_M - 0.25
"""A thing whose middle is west of this line is out."""
HOOK_SCALE = 0.75
HOOK_KG = 2.5
CAMERA_HEIGHT_M, CAMERA_RANGE_M = 5.0, 30.0

# ---------------------------------------------------------------------- assets

FENCE_COLOUR: Vector = (0.30, 0.33, 0.37)
BEAM_COLOUR: Vector = (0.75, 0.60, 0.25)
BOARD_COLOUR: Vector = (0.62, 0.47, 0.30)
THING_COLOUR: Vector = (0.85, 0.30, 0.25)
BOARD_M: Vector = (1.10, 0.16, 0.12)
THING_M: Vector = (0.14, 0.14, 0.14)

# ---------------------------------------------------------------------- variation space

VARIATION: dict[str, tuple[float, float]] = {
    "thing_behind_m": (0.20, 0.32),
    "thing_y_m": (-1.0, 1.0),
    "thing_kg": (0.3, 0.8),
    "hook_x_m": (-1.6, -1.0),
    "hook_y_m": (0.5, 1.1),
    "hook_yaw_rad": (-2.6, -0.5),
    "board_yaw_rad": (-0.5, 0.5),
    "robot_x_m": (-3.0, -2.6),
    "robot_y_m": (-1.0, 1.0),
    "robot_yaw_rad": (-math.pi, math.pi),
}
"""Range of what is drawn evenly at each reset; on which side the hook lies, and on which the board, is drawn too."""


@dataclass(frozen=True)
class ToolReach(Scenario):
    """A thing behind a beam, a T-shaped hook, a board, and a robot with a clamp that fits both.

    Attributes:
        reward: ``dense`` (the thing's way to the line, three times, less a fifth of the robot's way to the hook until
            it is held, and 10 for success) or ``sparse`` (1 for success).
        duration_s: length of an episode, s.
        variation: part of the ranges that is drawn from, one of `worldsim_scenarios.stock.PARTS`.
    """

    reward: str = "dense"
    duration_s: float = 60.0
    variation: str = "all"

    expert: ClassVar[str] = "raker"
    overview: ClassVar[PinholeCamera] = PinholeCamera(
        (0.6, -5.4, 5.2), (-0.2, -0.3, 0.0), vertical_field_rad=0.85, near_m=1.0
    )

    def __post_init__(self) -> None:
        """Check the fields.

        Raises:
            UnknownNameError: no such reward or part of the variation.
            ConfigurationError: the duration cannot work.
        """
        if self.reward not in REWARDS:
            raise UnknownNameError("reward", self.reward, REWARDS)
        drawn(np.random.default_rng(0), VARIATION, "thing_kg", self.variation)
        if not self.duration_s > 0.0:
            raise ConfigurationError(f"ToolReach: duration_s is {self.duration_s}, expected more than 0.")

    # ------------------------------------------------------------------ build

    def build(self, physics: Physics, rng: np.random.Generator) -> None:
        """Put floor, fence, beam, thing, tools and robot into `physics`."""
        if not isinstance(physics, SceneBuilder):
            raise ConfigurationError(f"ToolReach: {type(physics).__name__} cannot be furnished; it is no SceneBuilder.")
        at = (self._drawn(rng, "robot_x_m"), self._drawn(rng, "robot_y_m"), 0.001)
        robot = furnish("robot", "robot", at, self._drawn(rng, "robot_yaw_rad"), rng, scale=1.0)
        side = 1.0 if rng.random() < 0.5 else -1.0
        hook, board, thing = self._hook(side, rng), self._board(-side, rng), self._thing(rng)
        beam = plain("beam", "wall", BEAM_M, (BEAM_X_M, 0.0, BEAM_BOTTOM_M + BEAM_M[2] / 2.0), BEAM_COLOUR, rng)
        physics.add_body(floor(2.0 * HALF_M[0] + 0.4), background=True)
        for spec in (robot, hook, board, thing, beam, *fence(HALF_M, FENCE_M, FENCE_COLOUR, rng)):
            physics.add_body(spec)
        loads = tuple(Load(spec.name, bulk_of(spec), spec.extent_m) for spec in (hook, board))
        physics.add_driver(Robot(robot.name, bulk_of(robot), robot.extent_m, loads))
        physics.add_camera(CameraSpec("mast", (-0.18, 0.0, MAST_M - robot.position[2]), CAMERA_RANGE_M, robot.name))
        for i, at_x in enumerate((-1.5, 2.4)):
            physics.add_camera(CameraSpec(f"ceiling_{i}", (at_x, 0.0, CAMERA_HEIGHT_M), CAMERA_RANGE_M))
        physics.set_task(FetchingTask(robot.name, thing, hook, self.reward), robot.name)

    def _drawn(self, rng: np.random.Generator, name: str) -> float:
        return drawn(rng, VARIATION, name, self.variation)

    def _hook(self, side: float, rng: np.random.Generator) -> BodySpec:
        """Return the T, its stem's end somewhere to the west."""
        at = (self._drawn(rng, "hook_x_m"), side * self._drawn(rng, "hook_y_m"), 0.0005)
        spec = furnish("hook", "t_block", at, self._drawn(rng, "hook_yaw_rad"), rng, scale=HOOK_SCALE)
        return replace(spec, mass_kg=HOOK_KG)

    def _board(self, side: float, rng: np.random.Generator) -> BodySpec:
        at = (-1.3, side * 0.9, BOARD_M[2] / 2.0 + 0.0005)
        return BodySpec(
            name="board", kind="pallet", extent_m=BOARD_M, position=at, mass_kg=1.5, friction=0.5, restitution=0.05,
            orientation_xyzw=yaw_quaternion(self._drawn(rng, "board_yaw_rad")), colour=BOARD_COLOUR,
            appearance=worn(tinted(appearance("pallet"), BOARD_COLOUR), rng),
        )  # fmt: skip

    def _thing(self, rng: np.random.Generator) -> BodySpec:
        at = (BEAM_X_M + self._drawn(rng, "thing_behind_m"), self._drawn(rng, "thing_y_m"), THING_M[2] / 2.0 + 0.0005)
        return BodySpec(
            name="thing", kind="parcel", extent_m=THING_M, position=at, mass_kg=self._drawn(rng, "thing_kg"),
            orientation_xyzw=yaw_quaternion(float(rng.uniform(-0.4, 0.4))), colour=THING_COLOUR, friction=0.5,
            restitution=0.05, appearance=worn(tinted(appearance("parcel"), THING_COLOUR), rng),
        )  # fmt: skip

    # ------------------------------------------------------------------ preferences

    def preferences(self) -> Preferences:
        """Return what is asked of the robot: the thing on the near side of the line; to touch is allowed."""
        fetch = PreferredOutcome("fetch", "object", "line", scale_m=0.2, weight=3.0)
        return Preferences(goal_position=None, goal_tolerance_m=0.1, clearance_m=0.0, outcomes=(fetch,))

    # ------------------------------------------------------------------ is over

    def is_over(self, record: StepRecord) -> bool:
        """Return whether the time is up."""
        return record.time_s >= self.duration_s


# ---------------------------------------------------------------------- task


class FetchingTask(GoalTask):
    """Bring a thing to the near side of a line."""

    def __init__(self, robot: str, thing: BodySpec, hook: BodySpec, reward: str) -> None:
        """Ask `robot` to bring `thing`, for which there is `hook`."""
        super().__init__(robot, reward)
        self.thing, self.hook = thing.name, hook.name
        self.extent_m, self.hook_extent_m = thing.extent_m, hook.extent_m
        self.held = False

    def _beyond_m(self, view: SceneView) -> float:
        return max(0.0, view.place(self.thing)[0] - LINE_X_M)

    def advance(self, view: SceneView, held: frozenset[str], bumped: frozenset[str]) -> TaskStep:
        """Judge one frame."""
        self.held = self.hook in held
        return super().advance(view, held, bumped)

    def progress(self, view: SceneView) -> float:
        """Return how near the thing is to the line, three times, and the robot to the hook, m, less."""
        to_hook = 0.0 if self.held else math.dist(view.place(self.ego), view.place(self.hook))
        return -3.0 * self._beyond_m(view) - 0.2 * to_hook

    def reached(self, view: SceneView) -> bool:
        """Return whether the thing is out."""
        return self._beyond_m(view) == 0.0

    def measures(self, view: SceneView) -> dict[str, float]:
        """Return how far the thing is beyond the line, m."""
        return {"beyond_m": self._beyond_m(view)}

    def observation(self) -> dict[str, np.ndarray]:
        """Return where the line is, the sizes of thing and hook, the outline of the hook, and what the clamp feels."""
        return {
            "task_line_x_m": np.array([LINE_X_M]),
            "task_object_extent_m": np.array(self.extent_m),
            "task_tool_extent_m": np.array(self.hook_extent_m),
            "task_tool_outline_m": HOOK_SCALE * np.array(OUTLINE).reshape(-1),
            "task_holding": np.array([float(self.holding)]),
        }
