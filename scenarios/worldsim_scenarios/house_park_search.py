"""Find the keys in a house or in the park before it: they are too small for the cameras."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from worldsim.types.planning import Preferences
from worldsim_scenarios.errand import builder_of
from worldsim_scenarios.house_park import HousePark
from worldsim_scenarios.search import check_search, search_preferences, send_to_search

if TYPE_CHECKING:
    from worldsim.contracts.physics import Physics

# ---------------------------------------------------------------------- constants

MOST_PLACES = 17

# ---------------------------------------------------------------------- variation space

# As in `HousePark`; where the keys may lie is drawn from its free places, and then at which of these they do.


@dataclass(frozen=True)
class HouseParkSearch(HousePark):
    """House and park of `HousePark` in a quiet hour; keys lie at one of the free places of both, seen from 2.2 m.

    Attributes:
        places: at how many places the keys may lie, 2 to 17.
        view_rad: field of view of the robot's eye, which looks ahead; 2 pi: all around. The other fields are those of
            `HousePark`.
    """

    people: int = 2
    dog: bool = False
    places: int = 8
    view_rad: float = math.tau
    duration_s: float = 90.0

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
        """Put all that is in `HousePark` and the keys into `physics`."""
        builder = builder_of(physics, type(self).__name__)
        send_to_search(builder, self.setting(rng), self.places, self.reward, self.view_rad, rng)

    # ------------------------------------------------------------------ preferences

    def preferences(self) -> Preferences:
        """Return what is asked of the robot."""
        return search_preferences()
