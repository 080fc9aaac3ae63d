"""Two spheres that meet within a step: when, along which line, and what each of them gains by it.

Where a body and an immovable obstacle are the contact solver's, here both give way, each by its mass, and the time of
the impact within the step counts.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from worldsim.dynamics.geometry import TINY
from worldsim.dynamics.motion import GRAVITY_M_S2

_SPIN_SHARE = 2.5  # 1 / (2/5): what a push along the surface does to the surface, by spin, over what it does by motion
_STANDS_M = 0.02  # a ball no higher than this above the floor stands on it


@dataclass(frozen=True, slots=True)
class Spheres:
    """N spheres over one step, as they would move if they met nobody.

    Attributes:
        start: [N, 3] m, centres at the start; end: [N, 3] at the end.
        spin: [N, 3] rad/s, world frame.
        radius_m, mass_kg: [N].
        restitution, friction: [N] against a surface whose own is 1: of two spheres, the products count.
    """

    start: Float[Tensor, "N 3"]
    end: Float[Tensor, "N 3"]
    spin: Float[Tensor, "N 3"]
    radius_m: Float[Tensor, " N"]
    mass_kg: Float[Tensor, " N"]
    restitution: Float[Tensor, " N"]
    friction: Float[Tensor, " N"]


def meet(
    a: Spheres, b: Spheres, dt_s: float
) -> tuple[Bool[Tensor, " N"], Float[Tensor, "N 12"], Float[Tensor, "N 12"]]:
    """Return which of N pairs meet within `dt_s`, and what that adds to the end of the step of each sphere.

    What is added is on the tangent space (position, rotation vector, linear and angular velocity), zero where they do
    not meet.

    The spheres move evenly until they touch. Along the line of centres the approach is turned round by the product of
    the restitutions; along the surface Coulomb friction acts, until the surfaces no longer slip on each other. What
    then slips on the floor (a ball struck goes faster or slower than it rolls) is braked by it for the rest of the
    step.

    Source: rigid impact with Coulomb friction, Goldstein, Poole and Safko 2002, section 3.11, with the tangential
        impulse of two solid spheres (Stronge 2000, eq. 4.15 with moments of 2/5 m r^2).
    """
    velocity_a, velocity_b = (a.end - a.start) / dt_s, (b.end - b.start) / dt_s
    time, meets = _first_touch(a.start - b.start, velocity_a - velocity_b, a.radius_m + b.radius_m, dt_s)
    apart = (a.start - b.start) + (velocity_a - velocity_b) * time[:, None]
    normal = apart / (apart.norm(dim=-1, keepdim=True) + TINY)  # from the second to the first
    slip = (velocity_a - velocity_b) - torch.linalg.cross(
        a.radius_m[:, None] * a.spin + b.radius_m[:, None] * b.spin, normal, dim=-1
    )
    closing = (slip * normal).sum(-1)
    slip = slip - closing[:, None] * normal
    shared = 1.0 / (1.0 / a.mass_kg + 1.0 / b.mass_kg)
    push = -(1.0 + a.restitution * b.restitution) * closing * shared
    size = slip.norm(dim=-1)
    grip = torch.minimum(a.friction * b.friction * push, size * shared / (1.0 + _SPIN_SHARE))
    along = -slip / (size[:, None] + TINY) * grip[:, None]
    impulse = (push[:, None] * normal + along) * meets[:, None]
    turning = torch.linalg.cross(normal, along * meets[:, None], dim=-1)
    left = (dt_s - time) * meets
    return meets, _gains(a, impulse, -turning, left, velocity_a), _gains(b, -impulse, -turning, left, velocity_b)


def _first_touch(
    apart: Float[Tensor, "N 3"], velocity: Float[Tensor, "N 3"], reach_m: Float[Tensor, " N"], dt_s: float
) -> tuple[Float[Tensor, " N"], Bool[Tensor, " N"]]:
    """Return when the distance first falls to `reach_m`, s, and whether it does within the step.

    What overlaps at the start and still approaches touches at once.
    """
    speed2 = (velocity * velocity).sum(-1)
    closing = (apart * velocity).sum(-1)
    beyond = (apart * apart).sum(-1) - reach_m**2
    root = closing * closing - speed2 * beyond
    time = (-closing - root.clamp_min(0.0).sqrt()) / (speed2 + TINY)
    meets = (closing < 0.0) & (root > 0.0) & (time < dt_s)
    return time.clamp(0.0, dt_s), meets


def _gains(
    ball: Spheres,
    impulse: Float[Tensor, "N 3"],
    turning: Float[Tensor, "N 3"],
    left_s: Float[Tensor, " N"],
    before: Float[Tensor, "N 3"],
) -> Float[Tensor, "N 12"]:
    """Return what an impulse (N s, and its turning part over the radius) adds in the `left_s` that are left."""
    left = left_s[:, None]
    change = impulse / ball.mass_kg[:, None]
    spun = _SPIN_SHARE * turning / (ball.mass_kg * ball.radius_m)[:, None]
    stands = (torch.minimum(ball.start[:, 2], ball.end[:, 2]) - ball.radius_m < _STANDS_M)[:, None]
    upright = torch.zeros_like(change)
    upright[:, 2] = 1.0
    # on the floor: nothing is pressed through it, and what hops is drawn down again
    rise = change[:, 2:]
    aloft = torch.where(stands, (2.0 / GRAVITY_M_S2) * rise.clamp_min(0.0), left).minimum(left)
    lands = stands & (aloft < left)
    height = torch.where(lands, 0.0, (rise - 0.5 * stands * GRAVITY_M_S2 * left) * left)
    rising = torch.where(lands, 0.0, rise - stands * GRAVITY_M_S2 * left)
    after = torch.cat([(before + change)[:, :2], torch.zeros_like(rise)], dim=-1)
    slip = after - ball.radius_m[:, None] * torch.linalg.cross(ball.spin + spun, upright, dim=-1)
    slip[:, 2] = 0.0
    size = slip.norm(dim=-1, keepdim=True)
    # what presses it down, or its fall from a hop, grips the floor at once; then its weight does, until it rolls
    needed, grip = size / (1.0 + _SPIN_SHARE), ball.friction[:, None] * lands
    pressed = torch.minimum(needed, grip * rise.abs())
    braking = ((needed - pressed) / (grip * GRAVITY_M_S2 + TINY)).minimum(left - aloft)
    braked = pressed + grip * GRAVITY_M_S2 * braking
    way = pressed * (left - aloft) + grip * GRAVITY_M_S2 * braking * (left - aloft - 0.5 * braking)
    against = -slip / (size + TINY)
    turned = -_SPIN_SHARE * torch.linalg.cross(upright, against, dim=-1) / ball.radius_m[:, None]
    moved = torch.cat([(change * left + against * way)[:, :2], height], dim=-1)
    linear = torch.cat([(change + against * braked)[:, :2], rising], dim=-1)
    turn = spun * left + turned * way
    # turns about two axes do not commute: how it turned before the impact comes first
    turn = turn + 0.5 * left * torch.linalg.cross(ball.spin, turn, dim=-1)
    return torch.cat([moved, turn, linear, spun + turned * braked], dim=-1)
