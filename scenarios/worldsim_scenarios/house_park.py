"""A house whose garden door leads into a park: for what was learned in each of the two; nothing is trained here."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from worldsim.contracts.scenario import Scenario
from worldsim.errors import ConfigurationError, UnknownNameError
from worldsim.simulation.drivers import Driver
from worldsim.simulation.engine import PinholeCamera
from worldsim.simulation.floorplan import Floorplan, Point
from worldsim.simulation.scene import BodySpec, Vector
from worldsim.simulation.task import REWARDS
from worldsim.types.planning import Preferences
from worldsim_scenarios.errand import Setting, builder_of, errand_preferences, send_on_errand
from worldsim_scenarios.grounds import HOUSE_HALF_M, PARK_HALF_M, balls, house, leaf_drivers, park, people, pet
from worldsim_scenarios.stock import furnish, plain

if TYPE_CHECKING:
    from worldsim.contracts.physics import Physics
    from worldsim.types.record import StepRecord

# ---------------------------------------------------------------------- constants

HOUSE_MIDDLE, PARK_MIDDLE = (-PARK_HALF_M[0], 0.0), (HOUSE_HALF_M[0], 0.0)
"""They meet at x = -1.5 m, where the garden door is."""
FENCE_M = 0.5
MOST_PEOPLE = 4
CAMERAS = ((-8.2, 0.0), (-3.8, 0.0), (1.5, -1.5), (7.5, 1.5))

# ---------------------------------------------------------------------- assets

FENCE_COLOUR: Vector = (0.35, 0.45, 0.32)

# ---------------------------------------------------------------------- variation space

VARIATION: dict[str, tuple[float, float]] = {"robot_yaw_rad": (-math.pi, math.pi)}
"""Range of what is drawn evenly at each reset; the rest is drawn as in `House` and `Park`."""


@dataclass(frozen=True)
class HousePark(Scenario):
    """Two marks, one in the house and one in the park, in a drawn order; cat, dog and people are not to be touched.

    Attributes:
        people: how many, 0 to 4.
        balls: how many, 0 to 3.
        dog: whether there is one in the park; the cat is always in the house.
        reward: ``dense`` (the way, m; 10 for success, -5 for touching a living thing) or ``sparse``.
        duration_s: length of an episode, s.
    """

    people: int = 3
    balls: int = 2
    dog: bool = True
    reward: str = "dense"
    duration_s: float = 90.0

    expert: ClassVar[str] = "walker"
    overview: ClassVar[PinholeCamera] = PinholeCamera(
        (0.0, -10.5, 15.5), (0.0, -0.2, 0.0), vertical_field_rad=0.85, near_m=1.0
    )

    def __post_init__(self) -> None:
        """Check the fields.

        Raises:
            UnknownNameError: no such reward.
            ConfigurationError: a number cannot work.
        """
        if self.reward not in REWARDS:
            raise UnknownNameError("reward", self.reward, REWARDS)
        if not (0 <= self.people <= MOST_PEOPLE and 0 <= self.balls <= 3 and self.duration_s > 0.0):
            raise ConfigurationError(
                f"{type(self).__name__}: people is {self.people}, balls {self.balls} and duration_s {self.duration_s}, "
                f"expected 0 to {MOST_PEOPLE}, 0 to 3 and more than 0."
            )

    # ------------------------------------------------------------------ build

    def build(self, physics: Physics, rng: np.random.Generator) -> None:
        """Put floor, house, park, who is there and the robot into `physics`."""
        builder = builder_of(physics, type(self).__name__)
        send_on_errand(builder, self.setting(rng), self.reward)

    def setting(self, rng: np.random.Generator) -> Setting:
        """Return the drawn place: who and what is where."""
        home, lawn = house(HOUSE_MIDDLE, garden_door=True, rng=rng), park(PARK_MIDDLE, rng)
        inside = [home.places[i] for i in rng.permutation(len(home.places))]
        outside = [lawn.places[i] for i in rng.permutation(len(lawn.places))]
        begins_inside = bool(rng.random() < 0.5)
        here, there = (inside, outside) if begins_inside else (outside, inside)
        robot = furnish(
            "robot", "robot", (*here[0], 0.001), float(rng.uniform(*VARIATION["robot_yaw_rad"])), rng, scale=1.0
        )
        goals = (there[0], here[1])
        bodies, drivers = leaf_drivers(home)
        for specs, movers in (
            people(self.people, outside[2:], lawn.plan(), rng),
            self._pets(inside[-1], outside[-1], home.plan(), lawn.plan(), rng),
            balls(self.balls, [(x + 0.7, y) for x, y in outside[:3]], rng) if self.balls else ([], []),
        ):
            bodies, drivers = [*bodies, *specs], [*drivers, *movers]
        bodies = [*bodies, *home.standing, *lawn.standing, *_fence(rng)]
        free = tuple(place for place in (*home.places, *lawn.places) if place != here[0])
        return Setting(robot, goals, free, tuple(bodies), tuple(drivers), CAMERAS)

    def _pets(
        self, indoors: Point, outdoors: Point, home: Floorplan, lawn: Floorplan, rng: np.random.Generator
    ) -> tuple[list[BodySpec], list[Driver]]:
        """Return the cat in the house and the dog in the park, and what drives them."""
        found = [pet("cat", indoors, home, rng)]
        if self.dog:
            found.append(pet("dog", outdoors, lawn, rng))
        return [spec for spec, _ in found], [driver for _, driver in found]

    # ------------------------------------------------------------------ preferences

    def preferences(self) -> Preferences:
        """Return what is asked of the robot."""
        return errand_preferences()

    # ------------------------------------------------------------------ is over

    def is_over(self, record: StepRecord) -> bool:
        """Return whether the time is up."""
        return record.time_s >= self.duration_s


def _fence(rng: np.random.Generator) -> list[BodySpec]:
    """Return the fence about the park's three free sides, and beside the house."""
    (hx, hy), (x, y), thick, beside = PARK_HALF_M, PARK_MIDDLE, 0.1, PARK_HALF_M[1] - HOUSE_HALF_M[1]
    west, middle = x - hx, HOUSE_HALF_M[1] + beside / 2.0
    parts = {
        "east": ((thick, 2.0 * hy, FENCE_M), (x + hx + thick / 2.0, y, FENCE_M / 2.0)),
        "north": ((2.0 * hx, thick, FENCE_M), (x, y + hy + thick / 2.0, FENCE_M / 2.0)),
        "south": ((2.0 * hx, thick, FENCE_M), (x, y - hy - thick / 2.0, FENCE_M / 2.0)),
        "west_north": ((thick, beside, FENCE_M), (west, middle, FENCE_M / 2.0)),
        "west_south": ((thick, beside, FENCE_M), (west, -middle, FENCE_M / 2.0)),
    }
    return [plain(f"fence_{name}", "wall", edges, at, FENCE_COLOUR, rng) for name, (edges, at) in parts.items()]
