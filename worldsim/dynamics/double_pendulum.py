"""The actuated double pendulum: two links in a vertical plane, motors with gears and dry friction at both joints.

Angles: q1 from hanging down, q2 relative to the upper link. Parameters are the lumped ones of the equations of motion,
since geometry and masses apart cannot be told from motion.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, fields

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["PendulumParameters", "pendulum_roll_out"]

STICTION_RAD_S = 0.05
"""Speed over which dry friction turns its sign; a tenth of the slowest motion that the recordings show."""


@dataclass(frozen=True, slots=True)
class PendulumParameters:
    """Lumped parameters, natural units; every field has one value an instance and broadcasts over windows.

    Attributes:
        upper_inertia_kg_m2: I1 + m2 l1^2 and the reflected inertia of the motors, about the shoulder.
        lower_inertia_kg_m2: of the lower link about the elbow, with its motor's.
        cross_inertia_kg_m2: that of the mixed term, which a gear at the elbow makes smaller than the lower link's.
        coupling_kg_m2: m2 l1 r2.
        upper_gravity_n_m, lower_gravity_n_m: g (m1 r1 + m2 l1) and g m2 r2.
        shoulder_damping, elbow_damping: viscous, N m s / rad.
        shoulder_friction, elbow_friction: dry friction, N m.
        shoulder_load_friction, elbow_load_friction: dry friction over the motor's torque (the gear's).
        shoulder_gain, elbow_gain: torque at the joint over measured torque.
        shoulder_offset_n_m, elbow_offset_n_m: torque that is always there.
    """

    upper_inertia_kg_m2: Float[Tensor, "..."]
    lower_inertia_kg_m2: Float[Tensor, "..."]
    cross_inertia_kg_m2: Float[Tensor, "..."]
    coupling_kg_m2: Float[Tensor, "..."]
    upper_gravity_n_m: Float[Tensor, "..."]
    lower_gravity_n_m: Float[Tensor, "..."]
    shoulder_damping: Float[Tensor, "..."]
    elbow_damping: Float[Tensor, "..."]
    shoulder_friction: Float[Tensor, "..."]
    elbow_friction: Float[Tensor, "..."]
    shoulder_load_friction: Float[Tensor, "..."]
    elbow_load_friction: Float[Tensor, "..."]
    shoulder_gain: Float[Tensor, "..."]
    elbow_gain: Float[Tensor, "..."]
    shoulder_offset_n_m: Float[Tensor, "..."]
    elbow_offset_n_m: Float[Tensor, "..."]

    @classmethod
    def of(cls, natural: Float[Tensor, "K P"]) -> PendulumParameters:
        """Return K parameter values, columns in the order of the fields, as [K, 1] to broadcast over windows."""
        return cls(*natural[:, :, None].unbind(1))

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """Names of the fields, in order."""
        return tuple(each.name for each in fields(cls))


def acceleration(
    angle: Float[Tensor, "2 ..."],
    velocity: Float[Tensor, "2 ..."],
    torque: Float[Tensor, "2 ..."],
    parameters: PendulumParameters,
) -> Float[Tensor, "2 ..."]:
    """Return the joint accelerations (rad/s^2).

    Source: Spong 1995, "The swing up control problem for the Acrobot", equations 1 to 9. Ours differs: gears, and dry
        friction that grows with the torque it passes.
    """
    p = parameters
    upper_rate, lower_rate = velocity
    cosine, sine = torch.cos(angle[1]), torch.sin(angle[1])
    bent = p.coupling_kg_m2 * cosine
    diagonal_upper = p.upper_inertia_kg_m2 + p.lower_inertia_kg_m2 + 2.0 * bent
    mixed = p.cross_inertia_kg_m2 + bent
    diagonal_lower = p.lower_inertia_kg_m2
    swing = p.coupling_kg_m2 * sine
    hanging = p.lower_gravity_n_m * torch.sin(angle[0] + angle[1])
    motors = (
        p.shoulder_gain * torque[0] + p.shoulder_offset_n_m,
        p.elbow_gain * torque[1] + p.elbow_offset_n_m,
    )
    sign = torch.tanh(velocity / STICTION_RAD_S)
    first = (
        motors[0]
        + swing * lower_rate * (2.0 * upper_rate + lower_rate)
        - p.upper_gravity_n_m * torch.sin(angle[0])
        - hanging
        - p.shoulder_damping * upper_rate
        - (p.shoulder_friction + p.shoulder_load_friction * motors[0].abs()) * sign[0]
    )
    second = (
        motors[1]
        - swing * upper_rate * upper_rate
        - hanging
        - p.elbow_damping * lower_rate
        - (p.elbow_friction + p.elbow_load_friction * motors[1].abs()) * sign[1]
    )
    determinant = diagonal_upper * diagonal_lower - mixed * mixed
    return torch.stack(
        [
            (diagonal_lower * first - mixed * second) / determinant,
            (diagonal_upper * second - mixed * first) / determinant,
        ]
    )


@torch.no_grad()
def pendulum_roll_out(
    angle: Float[Tensor, "2 ..."],
    velocity: Float[Tensor, "2 ..."],
    torque: Float[Tensor, "T1 2 ..."],
    parameters: PendulumParameters,
    dt_s: float,
) -> tuple[Float[Tensor, "T1 2 ..."], Float[Tensor, "2 ..."]]:
    """Return the angles at T + 1 instants, the start among them, and the velocity at the last.

    Classical Runge-Kutta of order four; the torque is linear between instants.

    Args:
        angle, velocity: at the start, rad and rad/s; trailing dimensions are instances and windows.
        torque: measured joint torques at the T + 1 instants, N m.
        parameters: broadcast over the trailing dimensions.
        dt_s: time between instants.
    """
    half, angles = 0.5 * dt_s, [angle]
    for now, after in itertools.pairwise(torque):
        middle = 0.5 * (now + after)
        a1 = acceleration(angle, velocity, now, parameters)
        v2 = velocity + half * a1
        a2 = acceleration(angle + half * velocity, v2, middle, parameters)
        v3 = velocity + half * a2
        a3 = acceleration(angle + half * v2, v3, middle, parameters)
        v4 = velocity + dt_s * a3
        a4 = acceleration(angle + dt_s * v3, v4, after, parameters)
        angle = angle + (dt_s / 6.0) * (velocity + 2.0 * v2 + 2.0 * v3 + v4)
        velocity = velocity + (dt_s / 6.0) * (a1 + 2.0 * a2 + 2.0 * a3 + a4)
        angles.append(angle)
    return torch.stack(angles), velocity
