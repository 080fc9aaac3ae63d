"""Searches: keys lie at one of several places, and the robot has to come near to see where."""

from __future__ import annotations

import math
from typing import ClassVar

import numpy as np

from worldsim.errors import ConfigurationError
from worldsim.simulation.drivers import SceneView
from worldsim.simulation.floorplan import Point
from worldsim.simulation.goal_task import GoalTask
from worldsim.simulation.scene import BodySpec, SceneBuilder, Vector, yaw_quaternion
from worldsim.simulation.task import TaskStep
from worldsim.types.planning import Preferences, PreferredOutcome
from worldsim_assets import appearance
from worldsim_scenarios.errand import LIVING, Setting, furnish_setting
from worldsim_scenarios.stock import tinted, worn

KEYS_M: Vector = (0.055, 0.035, 0.018)
KEYS_KG = 0.05
KEYS_COLOUR: Vector = (0.85, 0.72, 0.20)
FINEST_RAD = 0.025
"""Of every camera: it makes out keys from 2.2 m, a ball from 13 m and a person from 70 m."""
SIGHT_M = max(KEYS_M) / FINEST_RAD
"""How near to an eye the keys have to be."""
REACH_M = 0.6
"""The robot's middle so near to the keys has found them: they lie a quarter of a metre before its front, or nearer."""
ASIDE_M = 0.2
"""The keys lie no farther from the middle of their place, along x and along y."""


def check_search(scenario: str, places: int, most: int, view_rad: float) -> None:
    """Refuse numbers that cannot work.

    Raises:
        ConfigurationError: the places are not between 2 and `most`, or the robot's eye sees nothing.
    """
    if not 2 <= places <= most:
        raise ConfigurationError(f"{scenario}: places is {places}, expected 2 to {most}.")
    if not 0.0 < view_rad <= math.tau:
        raise ConfigurationError(
            f"{scenario}: view_rad is {view_rad}, expected a number in (0, {math.tau:.4f}]; that looks all around."
        )


def send_to_search(
    physics: SceneBuilder, setting: Setting, places: int, reward: str, view_rad: float, rng: np.random.Generator
) -> None:
    """Furnish `physics`, lay the keys at one of `places` drawn free places, and ask the robot to get to them."""
    chosen = sorted(int(i) for i in rng.choice(len(setting.free), size=places, replace=False))
    told = tuple(setting.free[i] for i in chosen)
    at = told[int(rng.integers(places))]
    x, y = (float(v + rng.uniform(-ASIDE_M, ASIDE_M)) for v in at)
    furnish_setting(physics, setting, finest_rad=FINEST_RAD, own_view_rad=view_rad)
    physics.add_body(_keys((x, y), rng))
    physics.set_task(SearchTask(setting.robot.name, told, reward), setting.robot.name)


def search_preferences() -> Preferences:
    """Return what is asked of the robot: itself at the keys, wherever they are, and room for who lives there."""
    find = PreferredOutcome("find", "own", "object", scale_m=0.3)
    return Preferences(goal_position=None, goal_tolerance_m=REACH_M, clearance_m=0.4, outcomes=(find,))


class SearchTask(GoalTask):
    """Get to the keys; who touches a living thing has lost."""

    minds_bumps: ClassVar[bool] = True
    TOUCH_COST = 5.0
    """What touching a living thing takes off a dense reward."""

    def __init__(self, robot: str, places: tuple[Point, ...], reward: str) -> None:
        """Ask `robot` to get to the keys, which lie at one of `places`."""
        super().__init__(robot, reward)
        self.places, self.touched = places, False

    def _away_m(self, view: SceneView) -> float:
        return math.dist(view.place(self.ego), view.place("keys"))

    def advance(self, view: SceneView, held: frozenset[str], bumped: frozenset[str]) -> TaskStep:
        """Judge one frame."""
        self.touched = self.touched or any(view.kinds[view.index[name]] in LIVING for name in bumped)
        step = super().advance(view, held, bumped)
        cost = self.TOUCH_COST if self.touched and self.reward == "dense" else 0.0
        return TaskStep(step.reward - cost, step.terminated, step.events)

    def progress(self, view: SceneView) -> float:
        """Return how far it is to the keys, m, as the crow flies, less."""
        return -self._away_m(view)

    def reached(self, view: SceneView) -> bool:
        """Return whether the robot is at the keys, and touched nobody."""
        return self._away_m(view) <= REACH_M and not self.touched

    def lost(self, view: SceneView) -> bool:
        """Return whether somebody was touched."""
        del view
        return self.touched

    def measures(self, view: SceneView) -> dict[str, float]:
        """Return how far the keys are, m, and whether somebody was touched."""
        return {"away_m": self._away_m(view), "touched": float(self.touched)}

    def observation(self) -> dict[str, np.ndarray]:
        """Return where the keys may lie (x and y of each place in turn), their size, and from how far they are seen."""
        return {
            "task_place_positions": np.array(self.places, dtype=np.float64).reshape(-1),
            "task_object_extent_m": np.array(KEYS_M),
            "task_sight_m": np.array([SIGHT_M]),
        }


def _keys(place: Point, rng: np.random.Generator) -> BodySpec:
    look = worn(tinted(appearance("parcel"), KEYS_COLOUR), rng)
    turn = yaw_quaternion(float(rng.uniform(-math.pi, math.pi)))
    return BodySpec(
        "keys", "keys", KEYS_M, (*place, 0.5 * KEYS_M[2] + 0.0005), turn, mass_kg=KEYS_KG, colour=KEYS_COLOUR,
        friction=0.7, appearance=look,
    )  # fmt: skip
