"""A dog: comes to whoever moves near, and stops short of them."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from worldsim.contracts.object_model import ObjectModel
from worldsim.dynamics.motion import advance, horizontal, noise_density, relax, standing_velocity
from worldsim.types.control import Control
from worldsim.types.states import ObjectStates

_NEAR_M, _EDGE_M = 0.7, 0.1  # how near its distance counts as being with somebody
_STANDING_SHARE, _STROLL_M_S = 0.1, 0.3  # of the whims, for one that stands; half of them at a stroll
_GAIN = 2.0  # how much faster it corrects its pace than it plans it


class Dog(ObjectModel):
    """Goes its way at its pace, slows to a stop at ``stop_distance_m`` from the mover it walks up to, and stays.

    Whom it means shows in where it walks: only a mover ahead of it slows it, one that comes too near it steps back
    from. When it sets off again is a whim: noise of density ``wander_noise`` ((m/s^2)^2 s).
    """

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
        direction = towards / distance.unsqueeze(-1)
        velocity = horizontal(state.linear_velocity)
        closing = (velocity * direction).sum(-1)
        # as fast as leaves it time to stop at its distance, and backwards where somebody is nearer than that
        allowed = torch.minimum((distance - stop) * response, approach)
        excess = (closing - allowed).clamp_min(0.0) * control.neighbour_known
        velocity = velocity - direction * (excess * (1.0 - torch.exp(-_GAIN * response * dt_s))).unsqueeze(-1)
        # having arrived it keeps its distance: stands while the other stands, follows where the other goes
        with_them = (torch.sigmoid((stop + _NEAR_M - distance) / _EDGE_M) * control.neighbour_known).unsqueeze(-1)
        target = direction * allowed.clamp_min(-1.0).unsqueeze(-1)
        velocity = relax(velocity, target, _GAIN * response.unsqueeze(-1) * with_them, dt_s)
        velocity = velocity + horizontal(wrench[:, :3]) * dt_s
        velocity = torch.cat([velocity[:, :2], standing_velocity(state, dt_s).unsqueeze(-1)], dim=-1)
        return advance(state, velocity, state.angular_velocity * 0.9, dt_s)

    def process_noise(self, state: ObjectStates, parameters: Float[Tensor, "N P"], dt_s: float) -> Float[Tensor, "N 6"]:
        """Return the density of whims: a dog that stands mostly goes on standing."""
        del dt_s
        squared = (state.linear_velocity[:, :2] ** 2).sum(-1)
        lively = _STANDING_SHARE + (1.0 - _STANDING_SHARE) * squared / (squared + _STROLL_M_S**2)
        wander = parameters[:, 3] * lively
        return noise_density(state, wander, 1e-3, 15.0 + 0.0 * wander)
