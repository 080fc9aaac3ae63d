"""Open-loop prediction of a thrown rigid box over a floor, for many parameter values at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from worldsim.dynamics import ContactBodies, ContactSettings, Obstacles, quaternion, resolve_contacts
from worldsim.types.states import ObjectStates

__all__ = ["BoxParameters", "BoxStart", "RigidBoxParameters", "roll_out"]


@dataclass(frozen=True, slots=True)
class BoxParameters:
    """What is believed of N cubes and of the pull on them; every field [N], natural units.

    Attributes:
        friction: Coulomb coefficient.
        stiffness_per_s2: contact stiffness over mass.
        damping_ratio: of the contact's spring and damper, over the critical one of the whole mass.
        edge_m: edge length.
        gravity_m_s2: downward acceleration.
        inertia_scale: moment of inertia over that of a uniform solid cube.
        centre_of_mass_m: [N, 3] from the cube's centre, body frame.
        corner_radius_m: rounding of the corners.
    """

    friction: Float[Tensor, " N"]
    stiffness_per_s2: Float[Tensor, " N"]
    damping_ratio: Float[Tensor, " N"]
    edge_m: Float[Tensor, " N"]
    gravity_m_s2: Float[Tensor, " N"]
    inertia_scale: Float[Tensor, " N"]
    centre_of_mass_m: Float[Tensor, "N 3"]
    corner_radius_m: Float[Tensor, " N"]

    def bodies(self) -> ContactBodies:
        """Return the contact properties. Over a floor the mass cancels, so it is one."""
        one = torch.ones_like(self.friction)
        damping = 2.0 * self.damping_ratio * self.stiffness_per_s2.sqrt()
        return ContactBodies(
            mass_kg=one,
            friction=self.friction,
            restitution=torch.zeros_like(one),
            shape_index=torch.zeros_like(one, dtype=torch.int64),
            inertia_scale=self.inertia_scale,
            centre_of_mass_offset_m=self.centre_of_mass_m,
            corner_radius_m=self.corner_radius_m,
            stiffness_per_s2=self.stiffness_per_s2,
            damping_per_s=damping,
        )


@dataclass(frozen=True, slots=True)
class RigidBoxParameters:
    """What is believed of N cubes whose contact is described otherwise.

    Attributes:
        edge_m: [N] edge length.
        gravity_m_s2: [N] downward acceleration.
        contact: contact properties, the centre of mass among them.
    """

    edge_m: Float[Tensor, " N"]
    gravity_m_s2: Float[Tensor, " N"]
    contact: ContactBodies

    @property
    def centre_of_mass_m(self) -> Float[Tensor, "N 3"]:
        """Centre of mass from the cube's centre, body frame, m."""
        offset = self.contact.centre_of_mass_offset_m
        return torch.zeros_like(self.edge_m)[:, None].expand(-1, 3) if offset is None else offset

    def bodies(self) -> ContactBodies:
        """Return the contact properties."""
        return self.contact


@dataclass(frozen=True, slots=True)
class BoxStart:
    """Where N rollouts start.

    Attributes:
        position: [N, 3] m, centre of the cube.
        orientation_xyzw: [N, 4].
        linear_velocity: [N, 3] m/s of the centre, world frame.
        angular_velocity: [N, 3] rad/s, world frame.
        velocity_lag_s: the velocities belong to this long before the pose, in free flight (half a frame for
            backward differences, 0 where they belong to the pose).
    """

    position: Float[Tensor, "N 3"]
    orientation_xyzw: Float[Tensor, "N 4"]
    linear_velocity: Float[Tensor, "N 3"]
    angular_velocity: Float[Tensor, "N 3"]
    velocity_lag_s: float = 0.0

    def repeated(self, times: int) -> BoxStart:
        """Return the starts `times` over, all of them for the first parameter value, then for the second ..."""
        return BoxStart(
            self.position.repeat(times, 1),
            self.orientation_xyzw.repeat(times, 1),
            self.linear_velocity.repeat(times, 1),
            self.angular_velocity.repeat(times, 1),
            self.velocity_lag_s,
        )

    def joined(self, others: Sequence[BoxStart]) -> BoxStart:
        """Return these starts and those of `others`, in order; all have one lag."""
        if not others:
            return self
        parts = (self, *others)
        return BoxStart(
            torch.cat([part.position for part in parts]),
            torch.cat([part.orientation_xyzw for part in parts]),
            torch.cat([part.linear_velocity for part in parts]),
            torch.cat([part.angular_velocity for part in parts]),
            self.velocity_lag_s,
        )


@torch.no_grad()
def roll_out(
    start: BoxStart, parameters: BoxParameters | RigidBoxParameters, frames: int, dt_s: float, settings: ContactSettings
) -> tuple[Float[Tensor, "T N 3"], Float[Tensor, "T N 4"]]:
    """Return positions and orientations at `frames` instants, the start among them."""
    offset, gravity = parameters.centre_of_mass_m, parameters.gravity_m_s2
    fall = torch.zeros_like(start.position)
    fall[:, 2] = -gravity
    spin, velocity = start.angular_velocity, start.linear_velocity
    if start.velocity_lag_s > 0.0:
        # In flight the centre of mass falls and the centre of the cube swings about it.
        earlier = quaternion.integrate(start.orientation_xyzw, spin, -start.velocity_lag_s)
        swing = quaternion.rotate(earlier, offset) - quaternion.rotate(start.orientation_xyzw, offset)
        velocity = velocity + fall * start.velocity_lag_s + torch.linalg.cross(spin, swing)
    extent = parameters.edge_m[:, None].expand(-1, 3)
    state = ObjectStates(start.position, start.orientation_xyzw, velocity, spin, extent)
    bodies, floor = parameters.bodies(), Obstacles.only_floor(start.position)
    positions, orientations = [state.position], [state.orientation_xyzw]
    for _ in range(frames - 1):
        free = state.linear_velocity + fall * dt_s
        state = resolve_contacts(state, free, state.angular_velocity, bodies, floor, dt_s, settings).states
        positions.append(state.position)
        orientations.append(state.orientation_xyzw)
    return torch.stack(positions), torch.stack(orientations)
