"""Find the keys in a park: they are too small for the cameras over the lawn."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from worldsim.types.planning import Preferences
from worldsim_scenarios.errand import builder_of
from worldsim_scenarios.park import Park
from worldsim_scenarios.search import check_search, search_preferences, send_to_search

if TYPE_CHECKING:
    from worldsim.contracts.physics import Physics

# ---------------------------------------------------------------------- constants

MOST_PLACES = 9

# ---------------------------------------------------------------------- variation space

# As in `Park`; where the keys may lie is drawn from its free places, and then at which of these they do.


@dataclass(frozen=True)
class ParkSearch(Park):
    """The park of `Park` in a quiet hour; keys lie at one of the free places, and are seen from 2.2 m.

    Attributes:
        places: at how many places the keys may lie, 2 to 9.
        view_rad: field of view of the robot's eye, which looks ahead; 2 pi: all around. The other fields are those of
            `Park`.
    """

    people: int = 2
    dog: bool = False
    places: int = 8
    view_rad: float = math.tau
    duration_s: float = 60.0

    expert: ClassVar[str] = "searcher"

    def __post_init__(self) -> None:
        """Check the fields.

        Raises:
            UnknownNameError: no such reward.
            ConfigurationError: a number cannot work.
        """
        super().__post_init__()
        check_search(type(self).__name__, self.places, MOST_PLACES, self.view_rad)

    # ------------------------------------------------------------------ build

    def build(self, physics: Physics, rng: np.random.Generator) -> None:
        """Put all that is in `Park` and the keys into `physics`."""
        builder = builder_of(physics, type(self).__name__)
        send_to_search(builder, self.setting(rng), self.places, self.reward, self.view_rad, rng)

    # ------------------------------------------------------------------ preferences

    def preferences(self) -> Preferences:
        """Return what is asked of the robot."""
        return search_preferences()
