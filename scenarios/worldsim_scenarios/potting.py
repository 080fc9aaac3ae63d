"""The game of `Billiards`: the robot strikes the cue ball so that another ball ends in a pocket."""

from __future__ import annotations

import math
from typing import ClassVar

import numpy as np

from worldsim.errors import ConfigurationError
from worldsim.simulation.drivers import Robot, SceneView
from worldsim.simulation.goal_task import GoalTask
from worldsim.simulation.scene import BodySpec, CameraSpec, SceneBuilder, Vector
from worldsim.simulation.task import TaskStep
from worldsim_assets import appearance
from worldsim_scenarios.stock import MAST_M, bulk_of, fence, floor, furnish, places_apart, tinted, worn

# ---------------------------------------------------------------------- constants

HALF_M = (3.2, 2.0)
"""Half edges of the table: a robot has to get round behind the cue ball."""
MOST_OBJECT_BALLS = 6
POCKET_M = 0.24
"""Radius of a pocket: a ball whose centre is inside is in it."""
_CORNER_M, _MIDDLE_M = 0.20, 0.14  # from the cushions to the middle of a pocket
POCKETS: tuple[tuple[float, float], ...] = tuple(
    (sx * (HALF_M[0] - _CORNER_M) if sx else 0.0, sy * (HALF_M[1] - (_CORNER_M if sx else _MIDDLE_M)))
    for sx in (-1.0, 0.0, 1.0)
    for sy in (-1.0, 1.0)
)
"""Middles of the six pockets: the corners, and the middles of the long sides."""
CUSHION_M = 0.3
CUSHION_FRICTION, CUSHION_RESTITUTION = 0.2, 0.95
_GAP_M = 0.6  # centres of object balls start at least so far apart
_OBJECTS_FROM_X_M = -0.3  # they lie east of this line
CAMERA_HEIGHT_M, CAMERA_RANGE_M = 5.0, 30.0

# ---------------------------------------------------------------------- assets

CUE_COLOUR: Vector = (0.93, 0.92, 0.88)
OBJECT_COLOURS: tuple[Vector, ...] = ((0.85, 0.25, 0.20), (0.20, 0.42, 0.80), (0.92, 0.72, 0.15))
CUSHION_COLOUR: Vector = (0.16, 0.38, 0.25)
POCKET_COLOUR: Vector = (0.10, 0.10, 0.12)

# ---------------------------------------------------------------------- variation space

VARIATION: dict[str, tuple[float, float]] = {
    "diameter_m": (0.18, 0.22),
    "mass_kg": (0.5, 0.8),
    "restitution": (0.85, 0.98),
    "friction": (0.2, 0.4),
    "rolling_friction_m": (0.0003, 0.0006),
    "cue_x_m": (-1.6, -1.1),
    "cue_y_m": (-0.7, 0.7),
    "robot_x_m": (-2.7, -2.4),
    "robot_y_m": (-0.8, 0.8),
    "robot_yaw_rad": (-math.pi, math.pi),
}
"""Range of what is drawn evenly at each reset; the object balls lie anywhere on their side of the table."""


# ---------------------------------------------------------------------- build


def build_game(physics: SceneBuilder, object_balls: int, reward: str, rng: np.random.Generator) -> None:
    """Put table, pockets, balls and robot into `physics`; the balls lie still."""
    at = (_drawn(rng, "robot_x_m"), _drawn(rng, "robot_y_m"), 0.001)
    robot = furnish("robot", "robot", at, _drawn(rng, "robot_yaw_rad"), rng, scale=1.0)
    cue = _ball("cue_ball", (_drawn(rng, "cue_x_m"), _drawn(rng, "cue_y_m")), CUE_COLOUR, rng)
    objects = [
        _ball(f"ball_{i}", place, OBJECT_COLOURS[i % len(OBJECT_COLOURS)], rng)
        for i, place in enumerate(_object_places(object_balls, rng))
    ]
    physics.add_body(floor(2.0 * HALF_M[0] + 0.6), background=True)
    for number, place in enumerate(POCKETS):
        physics.add_body(_pocket(number, place), background=True)
    cushions = fence(HALF_M, CUSHION_M, CUSHION_COLOUR, rng, CUSHION_FRICTION, CUSHION_RESTITUTION)
    for spec in (robot, *cushions, cue, *objects):
        physics.add_body(spec)
    physics.watch_contacts()
    physics.add_driver(Robot(robot.name, bulk_of(robot), robot.extent_m))
    physics.add_camera(CameraSpec("mast", (-0.18, 0.0, MAST_M - robot.position[2]), CAMERA_RANGE_M, robot.name))
    for i, side in enumerate((-1.0, 1.0)):
        physics.add_camera(CameraSpec(f"ceiling_{i}", (side * HALF_M[0] / 2.0, 0.0, CAMERA_HEIGHT_M), CAMERA_RANGE_M))
    physics.set_task(PottingTask(robot.name, cue, tuple(ball.name for ball in objects), reward), robot.name)


def _object_places(count: int, rng: np.random.Generator) -> np.ndarray:
    """Return places [N, 2] on the east side, none of them in a pocket or at a cushion."""
    half_x, half_y = (HALF_M[0] - _OBJECTS_FROM_X_M) / 2.0, HALF_M[1]
    edge = VARIATION["diameter_m"][1] / 2.0 + POCKET_M
    places = places_apart(count, (half_x - edge, half_y - edge), _GAP_M, rng)
    return places + np.array([_OBJECTS_FROM_X_M + half_x, 0.0])


def _ball(name: str, place: np.ndarray | tuple[float, float], colour: Vector, rng: np.random.Generator) -> BodySpec:
    diameter = _drawn(rng, "diameter_m")
    return BodySpec(
        name=name,
        kind="ball",
        extent_m=(diameter, diameter, diameter),
        position=(float(place[0]), float(place[1]), diameter / 2.0),
        mass_kg=_drawn(rng, "mass_kg"),
        shape="sphere",
        colour=colour,
        friction=_drawn(rng, "friction"),
        restitution=_drawn(rng, "restitution"),
        rolling_friction=_drawn(rng, "rolling_friction_m"),
        appearance=worn(tinted(appearance("ball"), colour), rng),
    )


def _pocket(number: int, place: tuple[float, float]) -> BodySpec:
    """Return a drawn pocket: nothing touches it."""
    edge = 2.0 * POCKET_M
    return BodySpec(f"pocket_{number}", "mark", (edge, edge, 0.004), (*place, 0.002), shape="cylinder",
                    colour=POCKET_COLOUR, solid=False)  # fmt: skip


def _drawn(rng: np.random.Generator, name: str) -> float:
    return float(rng.uniform(*VARIATION[name]))


# ---------------------------------------------------------------------- task


class PottingTask(GoalTask):
    """Bring an object ball into a pocket by the cue ball alone.

    An object ball that the robot touches is out of the game. Lost: the cue ball is in a pocket, or no object ball is
    left. Progress: 2 a metre that the object ball in the game that is nearest to a pocket is nearer to it, and 0.2 a
    metre that the robot is nearer to the cue ball.
    """

    minds_bumps: ClassVar[bool] = True

    def __init__(self, robot: str, cue: BodySpec, objects: tuple[str, ...], reward: str) -> None:
        """Ask `robot` to pot one of `objects` by means of `cue`."""
        super().__init__(robot, reward)
        self.cue, self.objects = cue.name, objects
        self.cue_extent_m = cue.extent_m
        look = cue.appearance
        if look is None:
            raise ConfigurationError("PottingTask: the cue ball has no appearance; nobody could tell it apart.")
        self.cue_colour = tuple(float(channel) for channel in look[:3])
        self.in_game: tuple[str, ...] = objects

    def advance(self, view: SceneView, held: frozenset[str], bumped: frozenset[str]) -> TaskStep:
        """Judge one frame; whom the robot touched is out, and that is no progress."""
        left = tuple(name for name in self.in_game if name not in bumped)
        if left != self.in_game:
            self.in_game = left
            self.progress_before = self.progress(view)
        return super().advance(view, held, bumped)

    def _gap_m(self, view: SceneView) -> float:
        """Return how far the nearest ball in the game is from the edge of a pocket, m; 0 when it is in one."""
        return min((_to_pocket_m(view, name) for name in self.in_game), default=2.0 * HALF_M[0])

    def progress(self, view: SceneView) -> float:
        """Return how far the task is."""
        return -2.0 * self._gap_m(view) - 0.2 * math.dist(view.place(self.ego), view.place(self.cue))

    def reached(self, view: SceneView) -> bool:
        """Return whether a ball in the game is in a pocket."""
        return self._gap_m(view) == 0.0

    def lost(self, view: SceneView) -> bool:
        """Return whether the cue ball is in a pocket, or no ball is left."""
        return not self.in_game or _to_pocket_m(view, self.cue) == 0.0

    def measures(self, view: SceneView) -> dict[str, float]:
        """Return how far the nearest ball is from a pocket (m), and how many are in the game."""
        return {"gap_m": self._gap_m(view), "in_game": float(len(self.in_game))}

    def observation(self) -> dict[str, np.ndarray]:
        """Return the pockets (x, y of each), their radius, half edges of the table, size and colour of the cue ball."""
        return {
            "task_pockets_m": np.array(POCKETS).reshape(-1),
            "task_pocket_radius_m": np.array([POCKET_M]),
            "task_floor_half_m": np.array(HALF_M),
            "task_cue_extent_m": np.array(self.cue_extent_m),
            "task_cue_colour": np.array(self.cue_colour),
        }


def _to_pocket_m(view: SceneView, ball: str) -> float:
    here = view.place(ball)
    return max(0.0, min(math.dist(here, pocket) for pocket in POCKETS) - POCKET_M)
