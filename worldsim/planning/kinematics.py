"""How the own body answers to a sequence of commands, all samples and steps at once."""

from __future__ import annotations

import math
from typing import Protocol

import torch
from jaxtyping import Float
from torch import Tensor

from worldsim.planning.situation import OwnBody, OwnTrajectories


class Kinematics(Protocol):
    """Rolls the own body out under S sequences of T commands."""

    def __call__(
        self, own: OwnBody, command: Float[Tensor, "S T 2"], limits: tuple[float, float], dt_s: float
    ) -> OwnTrajectories:
        """Return the trajectories at now + dt_s ... now + T dt_s.

        Args:
            own: where the body is, and how fast it answers.
            command: forward speed and yaw rate, each in [-1, 1] of `limits`, held over each step.
            limits: highest speed (m/s) and yaw rate (rad/s).
            dt_s: step, s.
        """
        ...


def unicycle_rollout(
    own: OwnBody, command: Float[Tensor, "S T 2"], limits: tuple[float, float], dt_s: float
) -> OwnTrajectories:
    """Roll out a unicycle whose speed and yaw rate answer to their commands as first-order lags.

    The equations of the vehicle model, dv/dt = r (u - v), solved exactly over each step. A linear recurrence with
    constant coefficients is one product with a lower-triangular matrix, so no loop over steps is needed; the path
    is integrated with the mean speed and the mid-step heading, second order in `dt_s`.
    """
    wanted = command * command.new_tensor(limits)
    speed, travelled = _lag(own.speed_m_s, wanted[..., 0], own.speed_response_per_s, dt_s)
    yaw_rate, turned = _lag(own.yaw_rate_rad_s, wanted[..., 1], own.yaw_response_per_s, dt_s)
    heading = own.heading_rad + torch.cumsum(turned, dim=1)
    middle = heading - turned / 2
    step = torch.stack([travelled * torch.cos(middle), travelled * torch.sin(middle)], dim=-1)
    position = torch.cumsum(step, dim=1) + step.new_tensor(own.position)
    return OwnTrajectories(position, heading, speed, yaw_rate, command)


def _lag(
    now: float, wanted: Float[Tensor, "S T"], response_per_s: float, dt_s: float
) -> tuple[Float[Tensor, "S T"], Float[Tensor, "S T"]]:
    """Return the lagged value after each step, and its integral over each step."""
    t = wanted.shape[1]
    decay = math.exp(-response_per_s * dt_s)
    steps = torch.arange(t, dtype=wanted.dtype, device=wanted.device)
    lower = torch.tril(decay ** (steps[:, None] - steps[None, :]).clamp(min=0)) * (1 - decay)
    after = wanted @ lower.T + now * decay ** (steps + 1)
    before = torch.cat([torch.full_like(after[:, :1], now), after[:, :-1]], dim=1)
    # Exact integral of wanted + (before - wanted) exp(-r t) over the step.
    integral = wanted * dt_s + (before - wanted) * ((1 - decay) / response_per_s)
    return after, integral
