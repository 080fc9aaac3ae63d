"""A passive rigid body: box, sphere, cylinder or capsule (the card's shape says which)."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from worldsim.contracts.object_model import ObjectModel
from worldsim.dynamics.motion import GRAVITY_M_S2, advance
from worldsim.dynamics.transition import ANGULAR, LINEAR, advance_transition
from worldsim.types.belief import TANGENT_DIM
from worldsim.types.control import Control
from worldsim.types.states import ObjectStates

_UNFORESEEN_LINEAR, _UNFORESEEN_ANGULAR = 1.6e-4, 0.17  # m^2/s^3, rad^2/s^3
_OFF_CENTRE = 0.008  # of the size: how far from the middle the centre of mass may be


class RigidBody(ObjectModel):
    """Newton's laws with linear drag: ``dv/dt = F/m - g - drag v``. Contacts are resolved after it.

    Mass, friction, restitution and drag are beliefs; friction and restitution act in the contact solver.
    """

    family = "rigid_body"
    parameter_names = ("mass_kg", "friction", "restitution", "drag_per_s")

    def dynamics(
        self,
        state: ObjectStates,
        parameters: Float[Tensor, "N P"],
        wrench: Float[Tensor, "N 6"],
        control: Control,
        dt_s: float,
    ) -> ObjectStates:
        """Return the free motion over `dt_s`: gravity, drag and the wrench."""
        del control
        mass, drag = parameters[:, 0:1], parameters[:, 3:4]
        kept = torch.exp(-drag * dt_s)
        down = torch.zeros_like(state.linear_velocity)
        down[:, 2] = GRAVITY_M_S2
        velocity = (state.linear_velocity + (wrench[:, :3] / mass - down) * dt_s) * kept
        # inertia of a solid box about its mean axis: enough for what a wrench on a passive body tells
        inertia = mass * (state.extent_m**2).sum(-1, keepdim=True) / 18.0
        spin = (state.angular_velocity + wrench[:, 3:] / inertia * dt_s) * kept
        return advance(state, velocity, spin, dt_s)

    def transition(
        self,
        state: ObjectStates,
        parameters: Float[Tensor, "N P"],
        wrench: Float[Tensor, "N 6"],
        control: Control,
        dt_s: float,
    ) -> Float[Tensor, "N 12 U"]:
        """Return the derivative of the free motion."""
        del control
        mass, drag = parameters[:, 0:1], parameters[:, 3:4]
        kept = torch.exp(-drag * dt_s)
        inertia = mass * (state.extent_m**2).sum(-1, keepdim=True) / 18.0
        thrust, torque = wrench[:, :3] / mass * dt_s * kept, wrench[:, 3:] / inertia * dt_s * kept
        down = torch.zeros_like(state.linear_velocity)
        down[:, 2] = GRAVITY_M_S2 * dt_s
        spin = state.angular_velocity * kept + torque
        eye = kept.unsqueeze(-1) * torch.eye(3, dtype=kept.dtype, device=kept.device)
        linear = kept.new_zeros(len(state), 3, TANGENT_DIM + len(self.parameter_names))
        angular = torch.zeros_like(linear)
        linear[:, :, LINEAR], angular[:, :, ANGULAR] = eye, eye
        linear[:, :, 12], angular[:, :, 12] = -thrust / mass, -torque / mass
        linear[:, :, 15] = -dt_s * ((state.linear_velocity - down) * kept + thrust)
        angular[:, :, 15] = -dt_s * spin
        return advance_transition(linear, angular, spin, dt_s)

    def process_noise(self, state: ObjectStates, parameters: Float[Tensor, "N P"], dt_s: float) -> Float[Tensor, "N 6"]:
        """Return a small density (what pushes a passive body is other things, not itself), larger where it spins.

        The centre that is seen is not quite the centre of mass: it circles it with an acceleration of ``w^2 c``, whose
        direction lasts about ``1/w``.
        """
        del parameters, dt_s
        spin = state.angular_velocity.norm(dim=-1, keepdim=True)
        circling = (_OFF_CENTRE * state.extent_m.mean(dim=-1, keepdim=True)) ** 2 * spin**3
        linear = (_UNFORESEEN_LINEAR + circling).expand(-1, 3)
        return torch.cat([linear, torch.full_like(state.position, _UNFORESEEN_ANGULAR)], dim=-1)
