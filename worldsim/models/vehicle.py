"""A wheeled vehicle: the own body under known commands, or another one under an unknown hand."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from worldsim.contracts.object_model import ObjectModel
from worldsim.dynamics.motion import advance, heading, noise_density, relax, standing_velocity
from worldsim.types.control import Control
from worldsim.types.states import ObjectStates


class Vehicle(ObjectModel):
    """A unicycle with first-order response to commanded forward speed and yaw rate; wheels do not slip sideways.

    Without a known command the speed and yaw rate persist, slowed by ``rolling_deceleration_m_s2``, under noise
    of density ``drive_noise`` ((m/s^2)^2 s): somebody else drives.
    """

    family = "vehicle"
    parameter_names = ("speed_response_per_s", "yaw_response_per_s", "drive_noise", "rolling_deceleration_m_s2")
    collides = False

    def dynamics(
        self,
        state: ObjectStates,
        parameters: Float[Tensor, "N P"],
        wrench: Float[Tensor, "N 6"],
        control: Control,
        dt_s: float,
    ) -> ObjectStates:
        """Return the states after `dt_s` of driving; the wrench acts as an acceleration (unit mass)."""
        speed_response, yaw_response, _, deceleration = parameters.unbind(-1)
        forward = (state.linear_velocity * heading(state)).sum(-1)
        yaw_rate = state.angular_velocity[:, 2]
        coasting = forward * (1.0 - deceleration * dt_s / forward.abs().clamp_min(1e-6)).clamp_min(0.0)
        forward = torch.where(control.commanded, relax(forward, control.command[:, 0], speed_response, dt_s), coasting)
        yaw_rate = torch.where(control.commanded, relax(yaw_rate, control.command[:, 1], yaw_response, dt_s), yaw_rate)
        zero = torch.zeros_like(yaw_rate)
        spin = torch.stack([zero, zero, yaw_rate], dim=-1)
        turned = advance(state, state.linear_velocity, spin, dt_s)
        velocity = heading(turned) * forward.unsqueeze(-1) + wrench[:, :3] * dt_s
        velocity = torch.cat([velocity[:, :2], standing_velocity(state, dt_s).unsqueeze(-1)], dim=-1)
        return ObjectStates(state.position + velocity * dt_s, turned.orientation_xyzw, velocity, spin, state.extent_m)

    def process_noise(self, state: ObjectStates, parameters: Float[Tensor, "N P"], dt_s: float) -> Float[Tensor, "N 6"]:
        """Return the density of unmodelled driving and steering."""
        del dt_s
        drive = parameters[:, 2]
        return noise_density(state, drive, 1e-4, 2.0 * drive)
