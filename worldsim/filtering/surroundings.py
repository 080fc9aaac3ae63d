"""What surrounds each row during a step: what may be bumped into, what is responded to, what pushes."""

from __future__ import annotations

from dataclasses import dataclass, field

from jaxtyping import Float
from torch import Tensor

from worldsim.dynamics import ContactSettings, Obstacles
from worldsim.types.control import Control


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Inputs of N rows over one step.

    Attributes:
        control: commands and the nearest mover.
        wrench: [N, 6] N and N m from interactions, world frame.
        obstacles: what may be bumped into, None where contacts are out of the question this step.
        contact: how contacts are resolved.
    """

    control: Control
    wrench: Float[Tensor, "N 6"]
    obstacles: Obstacles | None
    contact: ContactSettings = field(default_factory=ContactSettings)

    def select(self, index: Tensor) -> Surroundings:
        """Return the rows at `index`."""
        obstacles = None if self.obstacles is None else self.obstacles.select(index)
        return Surroundings(self.control.select(index), self.wrench.index_select(0, index), obstacles, self.contact)

    @classmethod
    def empty(cls, position: Float[Tensor, "N 3"]) -> Surroundings:
        """Return the surroundings of N rows that are alone above the floor."""
        return cls(Control.none(position), position.new_zeros(position.shape[0], 6), Obstacles.only_floor(position))
