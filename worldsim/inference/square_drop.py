"""A square that drops in a vertical plane and bounces: rigid contact with restitution, beliefs on how it is measured.

The tracked frame need not be the square's own: which angle its sides have in it and how high the floor lies are
parameters like friction, and what identifies them is which corner strikes, and where it comes to rest.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from worldsim.dynamics import ContactBodies, ContactSettings, quaternion
from worldsim.inference.rigid_rollout import BoxStart, RigidBoxParameters, roll_out
from worldsim.types.card import ParameterPrior

__all__ = ["SQUARE_PRIORS", "roll_out_square"]

SQUARE_PRIORS = (
    ParameterPrior("friction", 0.2, 0.5, "1", "log"),
    ParameterPrior("restitution", 0.5, 0.3, "1", "log"),
    ParameterPrior("edge_m", 0.06, 0.03, "m", "log"),
    ParameterPrior("gravity_m_s2", 9.81, 0.12, "m/s^2"),
    ParameterPrior("inertia_scale", 1.0, 0.15, "1", "log"),
    ParameterPrior("centre_of_mass_x_m", 0.0, 0.001, "m"),
    ParameterPrior("centre_of_mass_z_m", 0.0, 0.001, "m"),
    ParameterPrior("side_angle_rad", 0.0, 0.03, "rad"),
    ParameterPrior("floor_height_m", 0.0, 0.001, "m"),
)
"""What is known of a 60 mm square before the first drop."""


def roll_out_square(
    natural: Float[np.ndarray, "E P"], starts: BoxStart, frames: int, dt_s: float, settings: ContactSettings
) -> tuple[Float[Tensor, "T N 3"], Float[Tensor, "T N 4"]]:
    """Roll out squares (as cubes that move in the plane y = 0), parameters in the order of `SQUARE_PRIORS`."""
    copies = len(starts.position) // len(natural)
    rows = torch.as_tensor(np.repeat(natural, copies, axis=0), dtype=starts.position.dtype)
    friction, restitution, edge, gravity, inertia, x, z, angle, floor = rows.unbind(-1)
    zero, one = torch.zeros_like(x), torch.ones_like(x)
    lift = torch.stack([zero, zero, floor], dim=-1)
    # Theta turns about -y; the square is turned by the side angle against the tracked frame.
    side = torch.stack([zero, -torch.sin(0.5 * angle), zero, torch.cos(0.5 * angle)], dim=-1)
    bodies = ContactBodies(
        mass_kg=one,
        friction=friction,
        restitution=restitution.clamp_max(1.0),
        shape_index=torch.zeros_like(one, dtype=torch.int64),
        inertia_scale=inertia,
        centre_of_mass_offset_m=torch.stack([x, zero, z], dim=-1),
    )
    placed = replace(
        starts,
        position=starts.position - lift,
        orientation_xyzw=quaternion.multiply(starts.orientation_xyzw, side),
    )
    parameters = RigidBoxParameters(edge, gravity, bodies)
    position, orientation = roll_out(placed, parameters, frames, dt_s, settings)
    back = quaternion.conjugate(side).expand_as(orientation)
    return position + lift, quaternion.multiply(orientation, back)
