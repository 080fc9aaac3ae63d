"""Lift a box together with what stands on it, and set both down on a crate: a stack of three that stands."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from worldsim.contracts.scenario import Scenario
from worldsim.errors import ConfigurationError, UnknownNameError
from worldsim.simulation.drivers import Gripper, Load, Robot, SceneView
from worldsim.simulation.engine import PinholeCamera
from worldsim.simulation.goal_task import GoalTask
from worldsim.simulation.scene import BodySpec, CameraSpec, SceneBuilder, Vector, yaw_quaternion
from worldsim.simulation.task import REWARDS, TaskStep
from worldsim.types.planning import Preferences, PreferredOutcome
from worldsim_assets import appearance
from worldsim_scenarios.stock import MAST_M, bulk_of, drawn, fence, floor, furnish, on_top, tinted, worn

if TYPE_CHECKING:
    from worldsim.contracts.physics import Physics
    from worldsim.types.record import StepRecord

# ---------------------------------------------------------------------- constants

HALF_M = (3.0, 2.4)
"""Half edges of the floor inside its fence."""
FENCE_M = 0.3
MOST_BURDENS = 2
TOLERANCE_M = 0.17
"""Farthest that the box's middle may be from the crate's: well over its support."""
_RESTS_M_S = 0.05  # slower than this, it stands
_SEATED_M = 0.03  # between undersides and tops that belong together
SETTLE_S = 0.5
LIFT = Gripper(force_n=220.0, torque_nm=40.0, lift_m=0.40, lift_speed_m_s=0.20, slip_m=0.14)
"""A clamp that lifts its load over a crate."""
CAMERA_HEIGHT_M, CAMERA_RANGE_M = 5.0, 30.0

# ---------------------------------------------------------------------- assets

FENCE_COLOUR: Vector = (0.30, 0.33, 0.37)
BURDEN_COLOURS: tuple[Vector, ...] = ((0.85, 0.32, 0.25), (0.25, 0.50, 0.82))
BURDEN_M: Vector = (0.20, 0.20, 0.22)

# ---------------------------------------------------------------------- variation space

VARIATION: dict[str, tuple[float, float]] = {
    "crate_x_m": (0.7, 1.6),
    "crate_y_m": (-1.0, 1.0),
    "crate_yaw_rad": (-math.pi, math.pi),
    "box_x_m": (-0.9, -0.4),
    "box_y_m": (-1.0, 1.0),
    "box_yaw_rad": (-math.pi, math.pi),
    "robot_x_m": (-2.4, -2.0),
    "robot_y_m": (-1.2, 1.2),
    "robot_yaw_rad": (-math.pi, math.pi),
    "burden_kg": (0.5, 1.2),
    "grip": (0.08, 0.18),
    "askew_m": (-0.04, 0.04),
}
"""Range of what is drawn evenly at each reset; masses and frictions of crate and box vary as `stock` says.

`grip` is the friction between a burden and what it stands on, of both surfaces together: with 0.1, it slides where the
box gains more than 1 m/s each second.
"""


@dataclass(frozen=True)
class StackAndSupport(Scenario):
    """A crate, a parcel with smaller boxes loose on top of it, and a robot with a clamp that lifts.

    Attributes:
        burdens: how many boxes stand on the parcel, one on the other, 1 or 2.
        reward: ``dense`` (the parcel's way to the crate, twice, a fifth of the robot's way to the parcel, and 10 for
            success) or ``sparse`` (1 for success).
        duration_s: length of an episode, s.
        variation: part of the ranges that is drawn from, one of `worldsim_scenarios.stock.PARTS`.
    """

    burdens: int = 1
    reward: str = "dense"
    duration_s: float = 60.0
    variation: str = "all"

    expert: ClassVar[str] = "stacker"
    overview: ClassVar[PinholeCamera] = PinholeCamera(
        (0.2, -4.7, 4.0), (0.0, -0.2, 0.1), vertical_field_rad=0.85, near_m=1.0
    )

    def __post_init__(self) -> None:
        """Check the fields.

        Raises:
            UnknownNameError: no such reward or part of the variation.
            ConfigurationError: a number cannot work.
        """
        if self.reward not in REWARDS:
            raise UnknownNameError("reward", self.reward, REWARDS)
        drawn(np.random.default_rng(0), VARIATION, "crate_x_m", self.variation)
        if not (1 <= self.burdens <= MOST_BURDENS and self.duration_s > 0.0):
            raise ConfigurationError(
                f"StackAndSupport: burdens is {self.burdens} and duration_s {self.duration_s}, expected 1 to "
                f"{MOST_BURDENS} and more than 0."
            )

    # ------------------------------------------------------------------ build

    def build(self, physics: Physics, rng: np.random.Generator) -> None:
        """Put floor, fence, crate, parcel, burdens and robot into `physics`."""
        if not isinstance(physics, SceneBuilder):
            raise ConfigurationError(
                f"StackAndSupport: {type(physics).__name__} cannot be furnished; it is no SceneBuilder."
            )
        at = (self._drawn(rng, "robot_x_m"), self._drawn(rng, "robot_y_m"), 0.001)
        robot = furnish("robot", "robot", at, self._drawn(rng, "robot_yaw_rad"), rng, scale=1.0)
        crate = self._standing("crate", "crate", rng)
        stack = [self._standing("box", "parcel", rng)]
        for number in range(self.burdens):
            stack.append(self._burden(number, stack[-1], rng))
        physics.add_body(floor(2.0 * HALF_M[0] + 0.4), background=True)
        for spec in (robot, crate, *stack, *fence(HALF_M, FENCE_M, FENCE_COLOUR, rng)):
            physics.add_body(spec)
        load = Load("box", bulk_of(stack[0]), stack[0].extent_m)
        physics.add_driver(Robot(robot.name, bulk_of(robot), robot.extent_m, (load,), LIFT))
        physics.add_camera(CameraSpec("mast", (-0.18, 0.0, MAST_M - robot.position[2]), CAMERA_RANGE_M, robot.name))
        for i, side in enumerate((-1.0, 1.0)):
            place = (side * HALF_M[0] / 2.0, side * HALF_M[1] / 2.0, CAMERA_HEIGHT_M)
            physics.add_camera(CameraSpec(f"ceiling_{i}", place, CAMERA_RANGE_M))
        physics.settle(SETTLE_S)
        physics.set_task(StackingTask(robot.name, crate, tuple(stack), self.reward), robot.name)

    def _drawn(self, rng: np.random.Generator, name: str) -> float:
        return drawn(rng, VARIATION, name, self.variation)

    def _standing(self, name: str, kind: str, rng: np.random.Generator) -> BodySpec:
        at = (self._drawn(rng, f"{name}_x_m"), self._drawn(rng, f"{name}_y_m"), 0.0005)
        return furnish(name, kind, at, self._drawn(rng, f"{name}_yaw_rad"), rng, scale=1.0)

    def _burden(self, number: int, below: BodySpec, rng: np.random.Generator) -> BodySpec:
        """Return a box that stands loose, a little askew, on `below`."""
        x, y, _ = below.position
        colour = BURDEN_COLOURS[number % len(BURDEN_COLOURS)]
        scale = 1.0 - 0.15 * number
        extent = (scale * BURDEN_M[0], scale * BURDEN_M[1], scale * BURDEN_M[2])
        place = (x + self._drawn(rng, "askew_m"), y + self._drawn(rng, "askew_m"), on_top(below) + extent[2] / 2.0)
        spec = BodySpec(
            name=f"burden_{number}", kind="parcel", extent_m=extent, position=place,
            orientation_xyzw=yaw_quaternion(float(rng.uniform(-0.5, 0.5))), colour=colour, restitution=0.05,
            appearance=worn(tinted(appearance("parcel"), colour), rng),
        )  # fmt: skip
        return replace(spec, mass_kg=self._drawn(rng, "burden_kg"), friction=self._drawn(rng, "grip") / below.friction)

    # ------------------------------------------------------------------ preferences

    def preferences(self) -> Preferences:
        """Return what is asked of the robot: the parcel over the crate, and itself near it; to touch is allowed."""
        stack = PreferredOutcome("stack", "object", "base", scale_m=0.1)
        near = PreferredOutcome("near", "own", "object", scale_m=0.8, distance_m=0.6, weight=0.3)
        return Preferences(goal_position=None, goal_tolerance_m=TOLERANCE_M, clearance_m=0.0, outcomes=(stack, near))

    # ------------------------------------------------------------------ is over

    def is_over(self, record: StepRecord) -> bool:
        """Return whether the time is up."""
        return record.time_s >= self.duration_s


# ---------------------------------------------------------------------- task


class StackingTask(GoalTask):
    """Have the crate bear the box, and the box its burdens, with nobody holding them.

    Lost: a burden is on the floor. Progress: 2 a metre that the box is nearer to its place on the crate, and 0.2 a
    metre that the robot is nearer to the box until it holds it.
    """

    def __init__(self, robot: str, crate: BodySpec, stack: tuple[BodySpec, ...], reward: str) -> None:
        """Ask `robot` to put `stack`, given from the ground up, onto `crate`."""
        super().__init__(robot, reward)
        self.pile = (crate.name, *(spec.name for spec in stack))
        self.height_m = (crate.extent_m[2], *(spec.extent_m[2] for spec in stack))
        self.reach_m = (0.0, TOLERANCE_M, *(0.5 * below.extent_m[0] for below in stack[:-1]))
        self.crate_extent_m, self.extent_m = crate.extent_m, stack[0].extent_m
        self.held = False

    def _at(self, view: SceneView, name: str) -> tuple[float, float, float]:
        x, y, z = (float(value) for value in view.states.position[view.index[name]])
        return x, y, z

    def _away_m(self, view: SceneView) -> float:
        """Return how far the box's middle is from where it would be on the crate."""
        x, y, z = self._at(view, self.pile[0])
        place = (x, y, z + (self.height_m[0] + self.height_m[1]) / 2.0)
        return math.dist(self._at(view, self.pile[1]), place)

    def _bears(self, view: SceneView, level: int) -> bool:
        """Return whether the thing on `level` stands on the one below it."""
        (x, y, z), (on_x, on_y, on_z) = (self._at(view, self.pile[i]) for i in (level - 1, level))
        seat = on_z - z - (self.height_m[level - 1] + self.height_m[level]) / 2.0
        return abs(seat) < _SEATED_M and math.dist((x, y), (on_x, on_y)) <= self.reach_m[level]

    def advance(self, view: SceneView, held: frozenset[str], bumped: frozenset[str]) -> TaskStep:
        """Judge one frame."""
        self.held = self.pile[1] in held
        return super().advance(view, held, bumped)

    def progress(self, view: SceneView) -> float:
        """Return how far the task is."""
        to_box = 0.0 if self.held else math.dist(view.place(self.ego), view.place(self.pile[1]))
        return -2.0 * self._away_m(view) - 0.2 * to_box

    def reached(self, view: SceneView) -> bool:
        """Return whether the whole pile stands, let go and at rest."""
        speeds = [float(np.linalg.norm(view.states.linear_velocity[view.index[name]])) for name in self.pile]
        stands = all(self._bears(view, level) for level in range(1, len(self.pile)))
        return stands and not self.held and max(speeds) < _RESTS_M_S

    def lost(self, view: SceneView) -> bool:
        """Return whether a burden has fallen to the floor."""
        half = [height / 2.0 for height in self.height_m[2:]]
        low = zip(self.pile[2:], half, strict=True)
        return any(self._at(view, name)[2] < 1.5 * edge for name, edge in low)

    def measures(self, view: SceneView) -> dict[str, float]:
        """Return how far the box is from its place (m), and on how many levels the pile stands."""
        levels = [self._bears(view, level) for level in range(1, len(self.pile))]
        return {"away_m": self._away_m(view), "levels": float(sum(levels))}

    def observation(self) -> dict[str, np.ndarray]:
        """Return the sizes of box and crate, how near to its middle the box is to be, and what the clamp feels."""
        return {
            "task_object_extent_m": np.array(self.extent_m),
            "task_base_extent_m": np.array(self.crate_extent_m),
            "task_reach_m": np.array([TOLERANCE_M]),
            "task_holding": np.array([float(self.holding)]),
        }
