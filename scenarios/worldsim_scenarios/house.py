"""An errand through a house of two rooms: furniture, a door and a drawer that come open, and a cat."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from worldsim.contracts.scenario import Scenario
from worldsim.errors import ConfigurationError, UnknownNameError
from worldsim.simulation.engine import PinholeCamera
from worldsim.simulation.task import REWARDS
from worldsim.types.planning import Preferences
from worldsim_scenarios.errand import Setting, builder_of, errand_preferences, send_on_errand
from worldsim_scenarios.grounds import house, leaf_drivers, pet
from worldsim_scenarios.stock import furnish

if TYPE_CHECKING:
    from worldsim.contracts.physics import Physics
    from worldsim.types.record import StepRecord

# ---------------------------------------------------------------------- constants

CAMERAS = ((-2.2, 0.0), (2.2, 0.0))

# ---------------------------------------------------------------------- variation space

VARIATION: dict[str, tuple[float, float]] = {"robot_yaw_rad": (-math.pi, math.pi)}
"""Range of what is drawn evenly at each reset; who starts where, and where the marks are, is drawn from the free
places of `worldsim_scenarios.grounds`, which also draws sizes, furniture, and when door and drawer come open."""


@dataclass(frozen=True)
class House(Scenario):
    """Two marks, one in each room; a cat flees from what comes near, and is not to be touched.

    Attributes:
        cat: whether there is one.
        reward: ``dense`` (the way, m; 10 for success, -5 for touching a living thing) or ``sparse``.
        duration_s: length of an episode, s.
    """

    cat: bool = True
    reward: str = "dense"
    duration_s: float = 60.0

    expert: ClassVar[str] = "walker"
    overview: ClassVar[PinholeCamera] = PinholeCamera(
        (0.0, -5.5, 8.5), (0.0, -0.3, 0.0), vertical_field_rad=0.80, near_m=1.0
    )

    def __post_init__(self) -> None:
        """Check the fields.

        Raises:
            UnknownNameError: no such reward.
            ConfigurationError: the duration cannot work.
        """
        if self.reward not in REWARDS:
            raise UnknownNameError("reward", self.reward, REWARDS)
        if not self.duration_s > 0.0:
            raise ConfigurationError(f"{type(self).__name__}: duration_s is {self.duration_s}, expected more than 0.")

    # ------------------------------------------------------------------ build

    def build(self, physics: Physics, rng: np.random.Generator) -> None:
        """Put floor, walls, furniture, cat and robot into `physics`."""
        builder = builder_of(physics, type(self).__name__)
        send_on_errand(builder, self.setting(rng), self.reward)

    def setting(self, rng: np.random.Generator) -> Setting:
        """Return the drawn place: who and what is where."""
        ground = house((0.0, 0.0), garden_door=False, rng=rng)
        half = len(ground.places) // 2
        rooms = [[ground.places[first + i] for i in rng.permutation(half)] for first in (0, half)]
        near, far = rooms if rng.random() < 0.5 else rooms[::-1]
        robot = furnish(
            "robot", "robot", (*near[0], 0.001), float(rng.uniform(*VARIATION["robot_yaw_rad"])), rng, scale=1.0
        )
        bodies, drivers = leaf_drivers(ground)
        if self.cat:
            spec, driver = pet("cat", far[-1], ground.plan(), rng)
            bodies, drivers = [*bodies, spec], [*drivers, driver]
        free = tuple(place for place in ground.places if place != near[0])
        return Setting(robot, (far[0], near[1]), free, (*bodies, *ground.standing), tuple(drivers), CAMERAS)

    # ------------------------------------------------------------------ preferences

    def preferences(self) -> Preferences:
        """Return what is asked of the robot."""
        return errand_preferences()

    # ------------------------------------------------------------------ is over

    def is_over(self, record: StepRecord) -> bool:
        """Return whether the time is up."""
        return record.time_s >= self.duration_s
