"""What everything unknown starts as, and what a newly learned kind is a sharper version of."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from worldsim.contracts.object_model import ObjectModel
from worldsim.dynamics.motion import advance
from worldsim.dynamics.transition import advance_transition, outer
from worldsim.types.belief import TANGENT_DIM
from worldsim.types.control import Control
from worldsim.types.states import ObjectStates

_SLOW_M_S = 0.1  # thrust needs a direction; it fades out below this speed


class Generic(ObjectModel):
    """Self-propelled motion that is linear in its coefficients, so that it is learned by the filter itself.

    Horizontal: ``a = -drag_h v + turn_rate (up x v) + thrust v/|v|``. Vertical: ``a = -stiffness (z - height)
    - drag_v v_z``. With its broad prior it is the alternative against which every other model must prove itself;
    with a sharp posterior it *is* a new model: a card of this family.
    """

    family = "generic"
    parameter_names = (
        "drag_h_per_s",
        "turn_rate_per_s",
        "thrust_m_s2",
        "height_stiffness_per_s2",
        "height_m",
        "drag_v_per_s",
        "noise_h",
        "noise_v",
    )
    collides = False

    def dynamics(
        self,
        state: ObjectStates,
        parameters: Float[Tensor, "N P"],
        wrench: Float[Tensor, "N 6"],
        control: Control,
        dt_s: float,
    ) -> ObjectStates:
        """Return the states after `dt_s`; the wrench acts as an acceleration (unit mass)."""
        del control
        drag_h, turn, thrust, stiffness, height, drag_v, _, _ = parameters.unbind(-1)
        vx, vy, vz = state.linear_velocity.unbind(-1)
        speed = (vx * vx + vy * vy + _SLOW_M_S**2).sqrt()
        along = thrust / speed - drag_h
        # the velocity is turned exactly, so that a constant turn keeps the speed at any step length
        cosine, sine = torch.cos(turn * dt_s), torch.sin(turn * dt_s)
        growth = torch.exp((along * dt_s).clamp(-1.0, 1.0))
        new_x = (vx * cosine - vy * sine) * growth
        new_y = (vx * sine + vy * cosine) * growth
        lift = -stiffness * (state.position[:, 2] - height) - drag_v * vz
        new_z = vz + lift * dt_s
        velocity = torch.stack([new_x, new_y, new_z], dim=-1) + wrench[:, :3] * dt_s
        return advance(state, velocity, state.angular_velocity, dt_s)

    def transition(
        self,
        state: ObjectStates,
        parameters: Float[Tensor, "N P"],
        wrench: Float[Tensor, "N 6"],
        control: Control,
        dt_s: float,
    ) -> Float[Tensor, "N 12 U"]:
        """Return the derivative of `dynamics`; thrust's growth is flat beyond its limits, as there."""
        del wrench, control
        drag_h, turn, thrust, stiffness, height, drag_v, _, _ = parameters.unbind(-1)
        vx, vy, vz = state.linear_velocity.unbind(-1)
        speed = (vx * vx + vy * vy + _SLOW_M_S**2).sqrt()
        raw = (thrust / speed - drag_h) * dt_s
        free = (raw.abs() < 1.0).to(raw.dtype) * dt_s
        growth = torch.exp(raw.clamp(-1.0, 1.0))
        cosine, sine = torch.cos(turn * dt_s) * growth, torch.sin(turn * dt_s) * growth
        new = torch.stack([vx * cosine - vy * sine, vx * sine + vy * cosine], dim=-1)
        linear = speed.new_zeros(len(speed), 3, TANGENT_DIM + len(self.parameter_names))
        linear[:, 0, 6], linear[:, 0, 7] = cosine, -sine
        linear[:, 1, 6], linear[:, 1, 7] = sine, cosine
        braking = free * thrust / speed**3
        linear[:, :2, 6:8] = linear[:, :2, 6:8] - outer(new, state.linear_velocity[:, :2] * braking.unsqueeze(-1))
        linear[:, :2, 12] = -new * free.unsqueeze(-1)
        linear[:, 0, 13], linear[:, 1, 13] = -new[:, 1] * dt_s, new[:, 0] * dt_s
        linear[:, :2, 14] = new * (free / speed).unsqueeze(-1)
        linear[:, 2, 2], linear[:, 2, 8] = -stiffness * dt_s, 1.0 - drag_v * dt_s
        linear[:, 2, 15] = -(state.position[:, 2] - height) * dt_s
        linear[:, 2, 16], linear[:, 2, 17] = stiffness * dt_s, -vz * dt_s
        return advance_transition(linear, 1.0, state.angular_velocity, dt_s)

    def stable(self, parameters: Float[Tensor, "N P"], dt_s: float) -> Float[Tensor, "N P"]:
        """Return them with drags that brake, and with a spring that pulls back and swings slower than the steps.

        Along the vertical, semi-implicit steps stay bounded where ``0 <= drag_v dt <= 2`` and
        ``0 <= stiffness dt^2 <= 4 - 2 drag_v dt``; half of each leaves no ringing from step to step.
        """
        drag_h, turn, thrust, stiffness, height, drag_v, noise_h, noise_v = parameters.unbind(-1)
        drag_h, drag_v = drag_h.clamp_min(0.0), drag_v.clamp(0.0, 1.0 / dt_s)
        stiffness = stiffness.clamp(0.0, 1.0 / dt_s**2)
        return torch.stack([drag_h, turn, thrust, stiffness, height, drag_v, noise_h, noise_v], dim=-1)

    def process_noise(self, state: ObjectStates, parameters: Float[Tensor, "N P"], dt_s: float) -> Float[Tensor, "N 6"]:
        """Return the densities ``noise_h`` (horizontal), ``noise_v`` (vertical) and a broad one for turning."""
        del dt_s
        noise_h, noise_v = parameters[:, 6], parameters[:, 7]
        turning = torch.full_like(state.position, 5.0)
        return torch.cat([torch.stack([noise_h, noise_h, noise_v], dim=-1), turning], dim=-1)
