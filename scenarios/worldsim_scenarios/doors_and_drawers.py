"""Open the front that is asked for; whether it swings, slides or pulls out, nobody says."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from worldsim.contracts.scenario import Scenario
from worldsim.errors import ConfigurationError, UnknownNameError
from worldsim.simulation.drivers import Leaf, Leaves, Load, Robot, SceneView
from worldsim.simulation.engine import PinholeCamera
from worldsim.simulation.goal_task import GoalTask
from worldsim.simulation.scene import BodySpec, CameraSpec, Mount, SceneBuilder, Vector
from worldsim.simulation.task import REWARDS
from worldsim.types.planning import Preferences, PreferredOutcome
from worldsim_assets import appearance
from worldsim_scenarios.stock import MAST_M, bulk_of, drawn, fence, floor, furnish, plain, tinted, worn

if TYPE_CHECKING:
    from worldsim.contracts.physics import Physics
    from worldsim.types.record import StepRecord

# ---------------------------------------------------------------------- constants

HALF_M = 3.5
"""Half an edge of the square floor inside its fence."""
FENCE_M = 0.3
ROW_Y_M = 2.4
"""The fronts stand on this line, and open to the south of it."""
PITCH_M = 1.5
MOST_FRONTS = 4
FRONT_M: Vector = (0.60, 0.05, 0.26)
FRONT_Z_M = 0.18
"""Height of a front's middle: the clamp is as high."""
OPENED_M = 0.25
"""A front whose middle is so far from where it is when shut is open."""
STOP_RAD, STOP_M = 1.4, 0.42
"""How far a hinge and a slider give way."""
CAMERA_HEIGHT_M, CAMERA_RANGE_M = 5.0, 30.0

KINDS: dict[str, Mount] = {
    "hinge_west": Mount("hinge", (0.0, 0.0, -1.0), (-0.5 * FRONT_M[0], 0.0, 0.0)),
    "hinge_east": Mount("hinge", (0.0, 0.0, 1.0), (0.5 * FRONT_M[0], 0.0, 0.0)),
    "drawer": Mount("slider", (0.0, -1.0, 0.0)),
    "slides_west": Mount("slider", (-1.0, 0.0, 0.0)),
    "slides_east": Mount("slider", (1.0, 0.0, 0.0)),
}
"""How a front may give way; along, or about, its axis the joint grows from 0 to its stop."""

# ---------------------------------------------------------------------- assets

FENCE_COLOUR: Vector = (0.30, 0.33, 0.37)
FRONT_COLOUR: Vector = (0.80, 0.65, 0.35)
CABINET_COLOUR: Vector = (0.45, 0.42, 0.40)
CABINET_M: Vector = (FRONT_M[0] + 0.1, 0.5, 0.45)

# ---------------------------------------------------------------------- variation space

VARIATION: dict[str, tuple[float, float]] = {
    "robot_x_m": (-2.0, 2.0),
    "robot_y_m": (-2.5, -0.5),
    "robot_yaw_rad": (-math.pi, math.pi),
    "mass_kg": (1.5, 3.0),
    "damping_nms": (0.2, 0.8),
    "damping_n_s_m": (5.0, 15.0),
}
"""Range of what is drawn evenly at each reset; what each front is, and which one is asked for, is drawn too."""


@dataclass(frozen=True)
class DoorsAndDrawers(Scenario):
    """N fronts of one look in a row; the robot has a clamp, and finds out how the one that it is to open gives way.

    Attributes:
        fronts: N, 1 to 4.
        kinds: of `KINDS`; what the fronts are is drawn from them.
        reward: ``dense`` (the front's way, four times, a fifth of the robot's to it, and 10 for success) or ``sparse``
            (1 for success).
        duration_s: length of an episode, s.
        variation: part of the ranges that is drawn from, one of `worldsim_scenarios.stock.PARTS`.
    """

    fronts: int = 4
    kinds: tuple[str, ...] = tuple(KINDS)
    reward: str = "dense"
    duration_s: float = 40.0
    variation: str = "all"

    expert: ClassVar[str] = "opener"
    overview: ClassVar[PinholeCamera] = PinholeCamera(
        (0.0, -3.6, 6.0), (0.0, 0.5, 0.0), vertical_field_rad=0.95, near_m=1.0
    )

    def __post_init__(self) -> None:
        """Check the fields.

        Raises:
            UnknownNameError: no such kind, reward or part of the variation.
            ConfigurationError: a number cannot work.
        """
        object.__setattr__(self, "kinds", tuple(self.kinds))  # a list is fine too
        for kind in self.kinds:
            if kind not in KINDS:
                raise UnknownNameError("front", kind, KINDS)
        if self.reward not in REWARDS:
            raise UnknownNameError("reward", self.reward, REWARDS)
        drawn(np.random.default_rng(0), VARIATION, "mass_kg", self.variation)
        if not (self.kinds and 1 <= self.fronts <= MOST_FRONTS and self.duration_s > 0.0):
            raise ConfigurationError(
                f"DoorsAndDrawers: fronts is {self.fronts} of {len(self.kinds)} kinds and duration_s "
                f"{self.duration_s}, expected 1 to {MOST_FRONTS}, at least one, and more than 0."
            )

    # ------------------------------------------------------------------ build

    def build(self, physics: Physics, rng: np.random.Generator) -> None:
        """Put floor, fence, cabinets, fronts and robot into `physics`."""
        if not isinstance(physics, SceneBuilder):
            raise ConfigurationError(
                f"DoorsAndDrawers: {type(physics).__name__} cannot be furnished; it is no SceneBuilder."
            )
        at = (self._drawn(rng, "robot_x_m"), self._drawn(rng, "robot_y_m"), 0.001)
        robot = furnish("robot", "robot", at, self._drawn(rng, "robot_yaw_rad"), rng, scale=1.0)
        asked = int(rng.integers(self.fronts))
        cabinets, leaves = [], []
        for i in range(self.fronts):
            x = PITCH_M * (i - 0.5 * (self.fronts - 1))
            cabinet, leaf = self._front(i, x, rng)
            cabinets.append(cabinet)
            leaves.append(leaf)
        physics.add_body(floor(2.0 * HALF_M + 0.4), background=True)
        fronts = [leaf.spec for leaf in leaves]
        for spec in (robot, *cabinets, *fronts, *fence((HALF_M, HALF_M), FENCE_M, FENCE_COLOUR, rng)):
            physics.add_body(spec)
        loads = tuple(Load(spec.name, bulk_of(spec), spec.extent_m, by_a_knob=True) for spec in fronts)
        physics.add_driver(Robot(robot.name, bulk_of(robot), robot.extent_m, loads))
        physics.add_driver(Leaves(tuple(leaves)))
        physics.add_camera(CameraSpec("mast", (-0.18, 0.0, MAST_M - robot.position[2]), CAMERA_RANGE_M, robot.name))
        for i, side in enumerate((-1.0, 1.0)):
            physics.add_camera(CameraSpec(f"ceiling_{i}", (side * HALF_M / 2.0, -0.5, CAMERA_HEIGHT_M), CAMERA_RANGE_M))
        physics.set_task(OpeningTask(robot.name, fronts[asked], self.reward), robot.name)

    def _drawn(self, rng: np.random.Generator, name: str) -> float:
        return drawn(rng, VARIATION, name, self.variation)

    def _front(self, number: int, x_m: float, rng: np.random.Generator) -> tuple[BodySpec, Leaf]:
        """Return a cabinet and its front; the front's kind is drawn, and it is nowhere but in its joint."""
        kind = self.kinds[int(rng.integers(len(self.kinds)))]
        mount = KINDS[kind]
        swings = mount.kind == "hinge"
        damping = (self._drawn(rng, "damping_nms"), self._drawn(rng, "damping_n_s_m"))
        behind = ROW_Y_M + 0.5 * (FRONT_M[1] + CABINET_M[1]) + 0.02
        cabinet = plain(
            f"cabinet_{number}", "station", CABINET_M, (x_m, behind, CABINET_M[2] / 2.0), CABINET_COLOUR, rng
        )
        spec = BodySpec(
            name=f"front_{number}", kind="door", extent_m=FRONT_M, position=(x_m, ROW_Y_M, FRONT_Z_M),
            mass_kg=self._drawn(rng, "mass_kg"), colour=FRONT_COLOUR, joint_damping_nms=damping[0 if swings else 1],
            appearance=worn(tinted(appearance("door"), FRONT_COLOUR), rng), mount=mount,
        )  # fmt: skip
        return cabinet, Leaf(cabinet.name, spec, (), 0.0, STOP_RAD if swings else STOP_M)

    # ------------------------------------------------------------------ preferences

    def preferences(self) -> Preferences:
        """Return what is asked of the robot: the front away from where it is when shut; to touch is allowed."""
        opened = PreferredOutcome("open", "object", "shut", scale_m=0.1, distance_m=1.2 * OPENED_M)
        return Preferences(goal_position=None, goal_tolerance_m=OPENED_M, clearance_m=0.0, outcomes=(opened,))

    # ------------------------------------------------------------------ is over

    def is_over(self, record: StepRecord) -> bool:
        """Return whether the time is up."""
        return record.time_s >= self.duration_s


# ---------------------------------------------------------------------- task


class OpeningTask(GoalTask):
    """Move the middle of a front `OPENED_M` away from where it is when shut."""

    def __init__(self, robot: str, front: BodySpec, reward: str) -> None:
        """Ask `robot` to open `front`."""
        super().__init__(robot, reward)
        self.front, self.shut, self.extent_m = front.name, front.position, front.extent_m

    def _opened_m(self, view: SceneView) -> float:
        return math.dist(view.place(self.front), self.shut[:2])

    def progress(self, view: SceneView) -> float:
        """Return how far the front is open, four times, less a fifth of the robot's distance from it, m."""
        return 4.0 * min(self._opened_m(view), OPENED_M) - 0.2 * math.dist(view.place(self.ego), self.shut[:2])

    def reached(self, view: SceneView) -> bool:
        """Return whether the front is open."""
        return self._opened_m(view) >= OPENED_M

    def measures(self, view: SceneView) -> dict[str, float]:
        """Return how far the front is open, m."""
        return {"opened_m": self._opened_m(view)}

    def observation(self) -> dict[str, np.ndarray]:
        """Return where the front is when shut, its size, how far it has to be moved, and what the clamp feels."""
        return {
            "task_shut_position": np.array(self.shut),
            "task_object_extent_m": np.array(self.extent_m),
            "task_opened_m": np.array([OPENED_M]),
            "task_holding": np.array([float(self.holding)]),
        }
