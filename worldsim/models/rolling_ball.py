"""A ball that rolls, flies and bounces."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from worldsim.contracts.object_model import ObjectModel
from worldsim.dynamics.motion import GRAVITY_M_S2, advance, coast, horizontal, standing_velocity
from worldsim.types.control import Control
from worldsim.types.states import ObjectStates

_FLOOR_GAP_SHARE = 0.1  # within a tenth of its radius of the floor it rolls
_BOUNCE_M_S = 0.5  # slower than this, up or down, it has stopped bouncing
_SLIP_PSD = 300.0  # (rad/s^2)^2 s: a ball slips and is spun by what it touches; its turning tells little


class RollingBall(ObjectModel):
    """A sphere under gravity; on the floor it rolls without slipping, slowed by ``rolling_deceleration_m_s2``."""

    family = "rolling_ball"
    parameter_names = ("mass_kg", "rolling_deceleration_m_s2", "restitution", "friction")
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
        mass, deceleration = parameters[:, 0:1], parameters[:, 1]
        radius = 0.5 * state.extent_m[:, 2]
        on_floor = (radius * (1.0 + _FLOOR_GAP_SHARE) - state.position[:, 2] > 0.0).to(radius.dtype)
        velocity = coast(horizontal(state.linear_velocity), deceleration * on_floor, dt_s)
        rests = (on_floor > 0.0) & (state.linear_velocity[:, 2].abs() < _BOUNCE_M_S)
        fall = torch.where(rests, standing_velocity(state, dt_s), state.linear_velocity[:, 2] - GRAVITY_M_S2 * dt_s)
        velocity = torch.cat([velocity[:, :2], fall.unsqueeze(-1)], dim=-1) + wrench[:, :3] / mass * dt_s
        up = torch.zeros_like(velocity)
        up[:, 2] = 1.0
        rolling = torch.linalg.cross(up, velocity, dim=-1) / radius.unsqueeze(-1)
        share = on_floor.unsqueeze(-1)
        spin = rolling * share + state.angular_velocity * (1.0 - share)
        return advance(state, velocity, spin, dt_s)

    def process_noise(self, state: ObjectStates, parameters: Float[Tensor, "N P"], dt_s: float) -> Float[Tensor, "N 6"]:
        """Return a small density: a ball has no will, but the floor has bumps and it may slip."""
        del parameters, dt_s
        return torch.cat([torch.full_like(state.position, 1.5e-3), torch.full_like(state.position, _SLIP_PSD)], dim=-1)
