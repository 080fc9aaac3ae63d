"""What never moves: shelves, walls, pillars."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from worldsim.contracts.object_model import ObjectModel
from worldsim.types.belief import TANGENT_DIM
from worldsim.types.control import Control
from worldsim.types.states import ObjectStates


class Static(ObjectModel):
    """A fixture. It has no parameters and no dynamics; others collide with it."""

    family = "static"
    moves = False
    collides = False

    def dynamics(
        self,
        state: ObjectStates,
        parameters: Float[Tensor, "N P"],
        wrench: Float[Tensor, "N 6"],
        control: Control,
        dt_s: float,
    ) -> ObjectStates:
        """Return the states unchanged, at rest."""
        del parameters, wrench, control, dt_s
        zero = torch.zeros_like(state.linear_velocity)
        return ObjectStates(state.position, state.orientation_xyzw, zero, zero, state.extent_m)

    def transition(
        self,
        state: ObjectStates,
        parameters: Float[Tensor, "N P"],
        wrench: Float[Tensor, "N 6"],
        control: Control,
        dt_s: float,
    ) -> Float[Tensor, "N 12 U"]:
        """Return the derivative of standing still: the pose stays, velocities are forgotten."""
        del parameters, wrench, control, dt_s
        kept = state.position.new_zeros(TANGENT_DIM, TANGENT_DIM)
        kept[:6, :6] = torch.eye(6, dtype=kept.dtype, device=kept.device)
        return kept.expand(len(state), -1, -1)

    def process_noise(self, state: ObjectStates, parameters: Float[Tensor, "N P"], dt_s: float) -> Float[Tensor, "N 6"]:
        """Return zero: nothing moves a fixture."""
        del parameters, dt_s
        return torch.zeros_like(state.position).repeat(1, 2)
