"""What acts on an instance from outside and is known or believed: commands, and what it may respond to."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

COMMAND_DIM = 2
"""U: forward speed (m/s) and yaw rate (rad/s)."""


@dataclass(frozen=True, slots=True)
class Control:
    """Inputs of N instances over one step.

    Creatures respond to what is near them; that thing is part of the input, so that a model of a cat can say
    "flees what nears it" without knowing about the rest of the world.

    Attributes:
        command: [N, U] the known command (for example forward speed m/s and yaw rate rad/s); zero where unknown.
        commanded: [N] True where `command` is known (the own body), False where an unknown hand drives.
        neighbour_position: [N, 3] m, world frame: the nearest other mover (itself where there is none).
        neighbour_velocity: [N, 3] m/s, world frame.
        neighbour_known: [N] False where no mover is in reach.
    """

    command: Float[Tensor, "N U"]
    commanded: Bool[Tensor, " N"]
    neighbour_position: Float[Tensor, "N 3"]
    neighbour_velocity: Float[Tensor, "N 3"]
    neighbour_known: Bool[Tensor, " N"]

    def select(self, index: Tensor) -> Control:
        """Return the rows at `index` ([n] int64)."""
        return Control(
            self.command.index_select(0, index),
            self.commanded.index_select(0, index),
            self.neighbour_position.index_select(0, index),
            self.neighbour_velocity.index_select(0, index),
            self.neighbour_known.index_select(0, index),
        )

    @classmethod
    def none(cls, position: Float[Tensor, "N 3"]) -> Control:
        """Return the control of N instances that nobody drives and nothing is near."""
        n = position.shape[0]
        no = torch.zeros(n, dtype=torch.bool, device=position.device)
        return cls(position.new_zeros(n, COMMAND_DIM), no, position, torch.zeros_like(position), no)
