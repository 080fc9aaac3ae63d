"""A dog: comes to whoever moves near, and stops short of them."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from worldsim.contracts.object_model import ObjectModel
from worldsim.dynamics.motion import advance, horizontal, noise_density, relax, standing_velocity
from worldsim.types.control import Control
from worldsim.types.states import ObjectStates


class Dog(ObjectModel):
    """Heads for the nearest mover at ``approach_speed_m_s`` and slows to a stop at ``stop_distance_m`` from it."""

    family = "dog"
    parameter_names = ("approach_speed_m_s", "stop_distance_m", "response_per_s", "wander_noise")
    collides = False
    reacts = True

    def dynamics(
        self,
        state: ObjectStates,
        parameters: Float[Tensor, "N P"],
        wrench: Float[Tensor, "N 6"],
        control: Control,
        dt_s: float,
    ) -> ObjectStates:
        """Return the states after `dt_s`; the wrench acts as an acceleration (unit mass)."""
        approach, stop, response, _ = parameters.unbind(-1)
        towards = horizontal(control.neighbour_position - state.position)
        distance = (towards * towards).sum(-1).clamp_min(1e-4).sqrt()
        wanted = torch.minimum((distance - stop) * response, approach).clamp_min(-0.5)
        target = towards / distance.unsqueeze(-1) * (wanted * control.neighbour_known).unsqueeze(-1)
        velocity = relax(horizontal(state.linear_velocity), target, response.unsqueeze(-1), dt_s)
        velocity = velocity + horizontal(wrench[:, :3]) * dt_s
        velocity = torch.cat([velocity[:, :2], standing_velocity(state, dt_s).unsqueeze(-1)], dim=-1)
        return advance(state, velocity, state.angular_velocity * 0.9, dt_s)

    def process_noise(self, state: ObjectStates, parameters: Float[Tensor, "N P"], dt_s: float) -> Float[Tensor, "N 6"]:
        """Return the density of whims."""
        del dt_s
        wander = parameters[:, 3]
        return noise_density(state, wander, 1e-3, 15.0 + 0.0 * wander)
