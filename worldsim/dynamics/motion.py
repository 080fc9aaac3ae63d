"""Small pieces of motion that several object models share: stepping, headings, standing on the floor."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from worldsim.dynamics import quaternion
from worldsim.types.states import ObjectStates

GRAVITY_M_S2 = 9.81

STANDING_RATE_PER_S = 10.0
"""Of the critically damped spring that keeps what stands on legs or wheels at its height."""


def advance(
    state: ObjectStates,
    linear_velocity: Float[Tensor, "N 3"],
    angular_velocity: Float[Tensor, "N 3"],
    dt_s: float,
) -> ObjectStates:
    """Move with the new velocities for `dt_s` (the second half of a semi-implicit Euler step)."""
    return ObjectStates(
        state.position + linear_velocity * dt_s,
        quaternion.integrate(state.orientation_xyzw, angular_velocity, dt_s),
        linear_velocity,
        angular_velocity,
        state.extent_m,
    )


def heading(state: ObjectStates) -> Float[Tensor, "N 3"]:
    """Return the unit vector in the floor plane that the body's x axis points along."""
    x, y, z, w = state.orientation_xyzw.unbind(-1)
    forward = torch.stack([1 - 2 * (y * y + z * z), 2 * (x * y + z * w), torch.zeros_like(x)], dim=-1)
    return forward / forward.norm(dim=-1, keepdim=True).clamp_min(1e-9)


def horizontal(v: Float[Tensor, "N 3"]) -> Float[Tensor, "N 3"]:
    """Return the part of a vector in the floor plane."""
    return torch.cat([v[..., :2], torch.zeros_like(v[..., 2:])], dim=-1)


def relax(value: Tensor, target: Tensor, rate_per_s: Tensor, dt_s: float) -> Tensor:
    """Return the exact solution after `dt_s` of ``dx/dt = -rate (x - target)``."""
    return target + (value - target) * torch.exp(-rate_per_s * dt_s)


def standing_velocity(state: ObjectStates, dt_s: float) -> Float[Tensor, " N"]:
    """Return the vertical velocity of a body that stands on the floor (z = 0) on legs or wheels.

    A critically damped spring holds the centre at half the body's height, so that a thing in the air is a
    surprise to whoever believes that it walks.
    """
    gap = state.position[:, 2] - 0.5 * state.extent_m[:, 2]
    rate = STANDING_RATE_PER_S
    decay = math.exp(-rate * dt_s)
    speed = state.linear_velocity[:, 2]
    # exact critically damped step: x(t) = (x0 + (v0 + w x0) t) e^{-wt}; the mean velocity over the step keeps
    # position = old position + velocity dt consistent with `advance`
    gap_after = (gap + (speed + rate * gap) * dt_s) * decay
    return (gap_after - gap) / dt_s


def coast(velocity: Float[Tensor, "N 3"], deceleration_m_s2: Float[Tensor, " N"], dt_s: float) -> Float[Tensor, "N 3"]:
    """Slow a horizontal velocity by a constant deceleration, down to rest and not beyond."""
    speed = (velocity * velocity).sum(-1).clamp_min(1e-12).sqrt()
    kept = (1.0 - deceleration_m_s2 * dt_s / speed).clamp_min(0.0)
    return velocity * kept.unsqueeze(-1)


def noise_density(
    state: ObjectStates, horizontal_psd: Float[Tensor, " N"], vertical_psd: float, yaw_psd: Float[Tensor, " N"]
) -> Float[Tensor, "N 6"]:
    """Return acceleration noise densities of a thing that moves on the floor and stays upright."""
    tilt = torch.full_like(state.position[:, :2], 1e-3)
    vertical = torch.full_like(horizontal_psd, vertical_psd)
    return torch.cat(
        [torch.stack([horizontal_psd, horizontal_psd, vertical], dim=-1), tilt, yaw_psd.unsqueeze(-1)], dim=-1
    )
