"""A trolley on castors that nobody holds."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from worldsim.contracts.object_model import ObjectModel
from worldsim.dynamics.motion import advance, coast, horizontal, noise_density, standing_velocity
from worldsim.types.control import Control
from worldsim.types.states import ObjectStates


class Trolley(ObjectModel):
    """Rolls straight on, slowed by ``rolling_deceleration_m_s2``, bounces dully; its yaw rate fades."""

    family = "trolley"
    parameter_names = ("mass_kg", "rolling_deceleration_m_s2", "restitution", "yaw_damping_per_s")
    stands = True

    def dynamics(
        self,
        state: ObjectStates,
        parameters: Float[Tensor, "N P"],
        wrench: Float[Tensor, "N 6"],
        control: Control,
        dt_s: float,
    ) -> ObjectStates:
        """Return the free motion over `dt_s`; contacts come after it."""
        del control
        mass, deceleration, _, yaw_damping = parameters.unbind(-1)
        velocity = coast(horizontal(state.linear_velocity), deceleration, dt_s)
        velocity = velocity + horizontal(wrench[:, :3]) / mass.unsqueeze(-1) * dt_s
        velocity = torch.cat([velocity[:, :2], standing_velocity(state, dt_s).unsqueeze(-1)], dim=-1)
        yaw_rate = state.angular_velocity[:, 2] * torch.exp(-yaw_damping * dt_s)
        zero = torch.zeros_like(yaw_rate)
        return advance(state, velocity, torch.stack([zero, zero, yaw_rate], dim=-1), dt_s)

    def process_noise(self, state: ObjectStates, parameters: Float[Tensor, "N P"], dt_s: float) -> Float[Tensor, "N 6"]:
        """Return a small density: castors shimmy."""
        del dt_s
        horizontal_psd = 1e-3 + 0.0 * parameters[:, 0]
        return noise_density(state, horizontal_psd, 1e-4, 0.2 + 0.0 * parameters[:, 0])
