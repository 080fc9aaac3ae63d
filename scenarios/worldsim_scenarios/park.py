"""An errand through a park: people, a dog, kicked balls, benches and trees."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from worldsim.contracts.scenario import Scenario
from worldsim.errors import ConfigurationError, UnknownNameError
from worldsim.simulation.engine import PinholeCamera
from worldsim.simulation.scene import Vector
from worldsim.simulation.task import REWARDS
from worldsim.types.planning import Preferences
from worldsim_scenarios.errand import Setting, builder_of, errand_preferences, send_on_errand
from worldsim_scenarios.grounds import PARK_HALF_M, balls, park, people, pet
from worldsim_scenarios.stock import fence, furnish

if TYPE_CHECKING:
    from worldsim.contracts.physics import Physics
    from worldsim.types.record import StepRecord

# ---------------------------------------------------------------------- constants

FENCE_M = 0.5
MARKS = 2
MOST_PEOPLE, MOST_BALLS = 4, 3
CAMERAS = ((-3.0, -1.5), (3.0, 1.5))

# ---------------------------------------------------------------------- assets

FENCE_COLOUR: Vector = (0.35, 0.45, 0.32)

# ---------------------------------------------------------------------- variation space

VARIATION: dict[str, tuple[float, float]] = {"robot_yaw_rad": (-math.pi, math.pi)}
"""Range of what is drawn evenly at each reset; who starts where, and where the marks are, is drawn from the free
places of `worldsim_scenarios.grounds`, which also draws sizes, speeds and manners."""


@dataclass(frozen=True)
class Park(Scenario):
    """Two marks, one after the other; people, a dog and balls go their own ways, and none alive may be touched.

    Attributes:
        people: how many, 0 to 4.
        balls: how many, 0 to 3.
        dog: whether there is one.
        reward: ``dense`` (the way, m; 10 for success, -5 for touching a living thing) or ``sparse``.
        duration_s: length of an episode, s.
    """

    people: int = 3
    balls: int = 2
    dog: bool = True
    reward: str = "dense"
    duration_s: float = 60.0

    expert: ClassVar[str] = "walker"
    overview: ClassVar[PinholeCamera] = PinholeCamera(
        (0.0, -7.5, 9.5), (0.0, -0.5, 0.0), vertical_field_rad=0.85, near_m=1.0
    )

    def __post_init__(self) -> None:
        """Check the fields.

        Raises:
            UnknownNameError: no such reward.
            ConfigurationError: a number cannot work.
        """
        if self.reward not in REWARDS:
            raise UnknownNameError("reward", self.reward, REWARDS)
        if not (0 <= self.people <= MOST_PEOPLE and 0 <= self.balls <= MOST_BALLS and self.duration_s > 0.0):
            raise ConfigurationError(
                f"{type(self).__name__}: people is {self.people}, balls {self.balls} and duration_s {self.duration_s}, "
                f"expected 0 to {MOST_PEOPLE}, 0 to {MOST_BALLS} and more than 0."
            )

    # ------------------------------------------------------------------ build

    def build(self, physics: Physics, rng: np.random.Generator) -> None:
        """Put floor, fence, benches, trees, who is there and the robot into `physics`."""
        builder = builder_of(physics, type(self).__name__)
        send_on_errand(builder, self.setting(rng), self.reward)

    def setting(self, rng: np.random.Generator) -> Setting:
        """Return the drawn place: who and what is where."""
        ground = park((0.0, 0.0), rng)
        plan = ground.plan()
        spots = [ground.places[i] for i in rng.permutation(len(ground.places))]
        start, goals, others = spots[0], spots[1 : 1 + MARKS], spots[1 + MARKS :]
        robot = furnish(
            "robot", "robot", (*start, 0.001), float(rng.uniform(*VARIATION["robot_yaw_rad"])), rng, scale=1.0
        )
        bodies, drivers = people(self.people, others, plan, rng)
        if self.dog:
            spec, driver = pet("dog", others[MOST_PEOPLE], plan, rng)
            bodies, drivers = [*bodies, spec], [*drivers, driver]
        if self.balls:
            specs, kicks = balls(self.balls, [(x + 0.7, y) for x, y in [*goals, start]], rng)
            bodies, drivers = [*bodies, *specs], [*drivers, *kicks]
        bodies = [*bodies, *ground.standing, *fence(PARK_HALF_M, FENCE_M, FENCE_COLOUR, rng)]
        free = tuple(place for place in ground.places if place != start)
        return Setting(robot, tuple(goals), free, tuple(bodies), tuple(drivers), CAMERAS)

    # ------------------------------------------------------------------ preferences

    def preferences(self) -> Preferences:
        """Return what is asked of the robot."""
        return errand_preferences()

    # ------------------------------------------------------------------ is over

    def is_over(self, record: StepRecord) -> bool:
        """Return whether the time is up."""
        return record.time_s >= self.duration_s
