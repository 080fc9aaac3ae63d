"""A leaf on a vertical hinge: a door, a gate, a flap."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from worldsim.contracts.object_model import ObjectModel
from worldsim.dynamics import quaternion
from worldsim.types.control import Control
from worldsim.types.states import ObjectStates


class Hinge(ObjectModel):
    """A body that can only turn about a vertical axis fixed in the world.

    ``axis_x_m`` and ``axis_y_m`` are the axis's offset from the body's centre in the body frame; the angular
    speed decays at ``damping_per_s``.
    """

    family = "hinge"
    parameter_names = ("axis_x_m", "axis_y_m", "damping_per_s")
    collides = False

    def dynamics(
        self,
        state: ObjectStates,
        parameters: Float[Tensor, "N P"],
        wrench: Float[Tensor, "N 6"],
        control: Control,
        dt_s: float,
    ) -> ObjectStates:
        """Turn the body about its axis; the wrench's vertical torque (per unit inertia) speeds it up."""
        del control
        offset = torch.cat([parameters[:, :2], torch.zeros_like(parameters[:, :1])], dim=-1)
        axis = state.position + quaternion.rotate(state.orientation_xyzw, offset)
        rate = (state.angular_velocity[:, 2] + wrench[:, 5] * dt_s) * torch.exp(-parameters[:, 2] * dt_s)
        spin = torch.stack([torch.zeros_like(rate), torch.zeros_like(rate), rate], dim=-1)
        orientation = quaternion.integrate(state.orientation_xyzw, spin, dt_s)
        arm = -quaternion.rotate(orientation, offset)
        velocity = torch.linalg.cross(spin, arm, dim=-1)
        return ObjectStates(axis + arm, orientation, velocity, spin, state.extent_m)

    def process_noise(self, state: ObjectStates, parameters: Float[Tensor, "N P"], dt_s: float) -> Float[Tensor, "N 6"]:
        """Return the density of unknown pushes: they turn the leaf, and hardly shift it."""
        del parameters, dt_s
        density = torch.full_like(state.position, 1e-4).repeat(1, 2)
        density[:, 5] = 0.3
        return density
