"""What the kinds of joint share: what each leaves free, and what one frame of velocities tells of it."""

from __future__ import annotations

from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from worldsim.contracts import EdgePrior, Interaction, PairFrame
from worldsim.dynamics import quaternion

EVIDENCE_LIMIT_NATS = 2.5
"""What one frame may tell on its own: velocities of successive frames are not independent."""
SPEED_STD_M_S = 0.5
"""How fast two free bodies pass each other, where they move."""
RATE_STD_RAD_S = 1.5
"""How fast they turn against each other."""
RATE_NOISE_RAD_S = 0.2
"""What a belief's own error makes of a rate that is zero."""

PRIOR = EdgePrior(log_odds=-2.8, appear_per_s=0.001, vanish_per_s=0.001)
"""One pair in five is held by a joint, the four kinds alike; joints seldom break."""


class KinematicKind(Interaction):
    """A joint: it holds some of the six freedoms of the target in the source's frame and leaves the rest.

    `worldsim.graph.kinematics.KinematicFilter` compares kinds over many frames by `turn` and `shift`; its posterior is
    the one to use. `log_evidence` is the frame-by-frame fall-back: what is held should have no velocity, against the
    velocities of bodies that move freely; where nothing moves, it tells nothing.

    Class attributes:
        turn: "fixed", about one "axis", or "free".
        shift: of the target's centre: "fixed", along one "line", or about a "pivot".
    """

    reach_m: ClassVar[float] = 0.5
    prior: ClassVar[EdgePrior] = PRIOR
    turn: ClassVar[str]
    shift: ClassVar[str]


def relative_velocity(frame: PairFrame) -> tuple[Float[Tensor, "E 3"], Float[Tensor, "E 3"]]:
    """Return velocity (m/s) and turning rate (rad/s) of the target in the source's frame, float64."""
    source, target = frame.source, frame.target
    apart = (target.position - source.position).double()
    spin = source.angular_velocity.double()
    velocity = (target.linear_velocity - source.linear_velocity).double() - torch.linalg.cross(spin, apart)
    rate = target.angular_velocity.double() - spin
    facing = source.orientation_xyzw.double()
    return quaternion.rotate_inverse(facing, velocity), quaternion.rotate_inverse(facing, rate)


def speed_noise(frame: PairFrame) -> Float[Tensor, " E"]:
    """Return what the beliefs' own errors make of a speed that is zero, m/s."""
    return torch.hypot(frame.source_std_m, frame.target_std_m).double() / frame.dt_s


def held(square: Float[Tensor, " E"], noise: Float[Tensor, " E"] | float, free: float, count: int) -> Tensor:
    """Return log N(v; 0, noise^2) - log N(v; 0, noise^2 + free^2) of `count` components with that summed square."""
    narrow = torch.as_tensor(noise, dtype=square.dtype, device=square.device).square()
    wide = narrow + free**2
    return 0.5 * (square * (1.0 / wide - 1.0 / narrow) + count * (wide / narrow).log())


def told(evidence: Tensor, motion_square: Tensor, noise: Float[Tensor, " E"] | float, like: Tensor) -> Tensor:
    """Return the evidence in the measure in which there is motion that could have told otherwise, clipped."""
    scale = torch.as_tensor(noise, dtype=evidence.dtype, device=evidence.device).square()
    share = 1.0 - torch.exp(-motion_square / (4.0 * scale))
    return (share * evidence).clamp(-EVIDENCE_LIMIT_NATS, EVIDENCE_LIMIT_NATS).to(like.dtype)


def pivoted(frame: PairFrame) -> Float[Tensor, " E"]:
    """Return what one frame tells of a point of the target that stays at a point of the source.

    Then the target has no velocity along the axis of its turning. That holds of a hinge and of a ball joint alike; only
    the filter over frames tells the two apart.
    """
    velocity, rate = relative_velocity(frame)
    turning = rate.square().sum(-1)
    slip = (velocity * rate).sum(-1).square() / turning.clamp_min(1e-12)
    return told(held(slip, speed_noise(frame), SPEED_STD_M_S, 1), turning, RATE_NOISE_RAD_S, frame.source.position)
