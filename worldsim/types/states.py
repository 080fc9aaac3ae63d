"""The kinematic states of a batch of objects: what dynamics maps to what comes next."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True, slots=True)
class ObjectStates:
    """Poses and twists of N objects, struct of arrays.

    Attributes:
        position: [N, 3] m, world frame, centre of the oriented bounding box.
        orientation_xyzw: [N, 4] unit quaternions, body to world.
        linear_velocity: [N, 3] m/s, world frame.
        angular_velocity: [N, 3] rad/s, world frame.
        extent_m: [N, 3] full edge lengths in the body frame (a belief's mean, constant over a step).
    """

    position: Float[Tensor, "N 3"]
    orientation_xyzw: Float[Tensor, "N 4"]
    linear_velocity: Float[Tensor, "N 3"]
    angular_velocity: Float[Tensor, "N 3"]
    extent_m: Float[Tensor, "N 3"]

    def __len__(self) -> int:
        """Return the number of instances N."""
        return self.position.shape[0]

    def select(self, index: Tensor) -> ObjectStates:
        """Return the rows at `index` ([n] int64)."""
        return ObjectStates(
            self.position.index_select(0, index),
            self.orientation_xyzw.index_select(0, index),
            self.linear_velocity.index_select(0, index),
            self.angular_velocity.index_select(0, index),
            self.extent_m.index_select(0, index),
        )

    @classmethod
    def at_rest(cls, position: Float[Tensor, "N 3"], extent_m: Float[Tensor, "N 3"]) -> ObjectStates:
        """Return N upright objects at rest."""
        zero = torch.zeros_like(position)
        upright = torch.cat([zero, torch.ones_like(position[:, :1])], dim=1)
        return cls(position, upright, zero, zero.clone(), extent_m)
