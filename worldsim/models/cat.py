"""A cat: bursts and pauses, flees what nears it."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from worldsim.contracts.object_model import ObjectModel
from worldsim.dynamics.motion import advance, horizontal, noise_density, relax, standing_velocity
from worldsim.types.control import Control
from worldsim.types.states import ObjectStates

_FLEE_EDGE_M = 0.2  # the flight distance is not a knife's edge


class Cat(ObjectModel):
    """Bursts that fade at ``brake_per_s``, and flight straight away from a mover within ``flee_distance_m``.

    Whether a pause ends is not known beforehand: that is noise, of density ``wander_noise`` ((m/s^2)^2 s).
    """

    family = "cat"
    parameter_names = ("burst_speed_m_s", "brake_per_s", "flee_gain_per_s", "flee_distance_m", "wander_noise")
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
        burst, brake, gain, reach, _ = parameters.unbind(-1)
        away = horizontal(state.position - control.neighbour_position)
        distance = (away * away).sum(-1).clamp_min(1e-4).sqrt()
        flee = torch.sigmoid((reach - distance) / _FLEE_EDGE_M) * control.neighbour_known
        velocity = horizontal(state.linear_velocity)
        target = away / distance.unsqueeze(-1) * (burst * flee).unsqueeze(-1)
        velocity = relax(velocity, target, (brake * (1.0 - flee) + gain * flee).unsqueeze(-1), dt_s)
        velocity = velocity + horizontal(wrench[:, :3]) * dt_s
        velocity = torch.cat([velocity[:, :2], standing_velocity(state, dt_s).unsqueeze(-1)], dim=-1)
        return advance(state, velocity, state.angular_velocity * 0.9, dt_s)

    def process_noise(self, state: ObjectStates, parameters: Float[Tensor, "N P"], dt_s: float) -> Float[Tensor, "N 6"]:
        """Return the density of sudden starts and turns."""
        del dt_s
        wander = parameters[:, 4]
        return noise_density(state, wander, 1e-3, 20.0 + 0.0 * wander)
