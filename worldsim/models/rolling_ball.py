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
_SPIN_PSD = 0.02  # rad^2/s^3: what bumps in the floor do to its turning; a table's ball at rest or rolling has less
_TINY = 1e-9  # m/s
_SPIN_SHARE = 2.5  # m r^2 over a solid sphere's moment: friction turns it by so much more than it drives it on


class RollingBall(ObjectModel):
    """A sphere under gravity; on the floor it rolls, slowed by ``rolling_deceleration_m_s2``.

    Where it turns faster or slower than it rolls (it was struck, or thrown), it slips, and friction drives it on or
    brakes it until it rolls: by 2/7 of the slip, at no more than ``friction`` times gravity.
    """

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
        up = torch.zeros_like(state.linear_velocity)
        up[:, 2] = 1.0
        share = on_floor.unsqueeze(-1)
        slip = self._slip(state, up, radius) * share
        size = slip.norm(dim=-1, keepdim=True)
        most = parameters[:, 3:4] * (GRAVITY_M_S2 * dt_s)
        gripped = torch.minimum((1.0 + _SPIN_SHARE) * most / (size + _TINY), torch.ones_like(size))  # share of it ended
        pulled = -slip * gripped / (1.0 + _SPIN_SHARE)
        velocity = coast(horizontal(state.linear_velocity) + pulled, deceleration * on_floor, dt_s)
        rests = (on_floor > 0.0) & (state.linear_velocity[:, 2].abs() < _BOUNCE_M_S)
        fall = torch.where(rests, standing_velocity(state, dt_s), state.linear_velocity[:, 2] - GRAVITY_M_S2 * dt_s)
        velocity = torch.cat([velocity[:, :2], fall.unsqueeze(-1)], dim=-1) + wrench[:, :3] / mass * dt_s
        rolling = torch.linalg.cross(up, velocity - slip * (1.0 - gripped), dim=-1) / radius.unsqueeze(-1)
        rolling = rolling + state.angular_velocity * up
        spin = rolling * share + state.angular_velocity * (1.0 - share)
        # friction acts until it rolls: on the average over that time, half of the change is not yet there
        early = 0.5 * torch.minimum(size / ((1.0 + _SPIN_SHARE) * most + _TINY), torch.ones_like(size))
        moved = advance(
            state, velocity - early * pulled, spin + (state.angular_velocity - spin) * (early * share), dt_s
        )
        return ObjectStates(moved.position, moved.orientation_xyzw, velocity, spin, state.extent_m)

    def _slip(self, state: ObjectStates, up: Float[Tensor, "N 3"], radius: Float[Tensor, " N"]) -> Float[Tensor, "N 3"]:
        """Return how fast the lowest point slides over the floor, m/s."""
        turning = torch.linalg.cross(state.angular_velocity, up, dim=-1)
        return horizontal(state.linear_velocity - radius.unsqueeze(-1) * turning)

    def process_noise(self, state: ObjectStates, parameters: Float[Tensor, "N P"], dt_s: float) -> Float[Tensor, "N 6"]:
        """Return a small density: a ball has no will, but the floor has bumps."""
        del parameters, dt_s
        return torch.cat([torch.full_like(state.position, 1.5e-3), torch.full_like(state.position, _SPIN_PSD)], dim=-1)
