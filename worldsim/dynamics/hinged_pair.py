"""Two boxes on a hinge over a floor: seven coordinates, one contact problem, so that the hinge cannot drift apart.

The generalised velocity is u = (velocity of the hinge point, spin of link 1, joint rate). Contact impulses at the
corners of both boxes come from the solver of single bodies, which only needs the Jacobian in coordinates where the
kinetic energy is |s|^2 / 2: here s = L^T u with L L^T = M(q), the mass matrix.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from worldsim.dynamics import quaternion
from worldsim.dynamics.bodies import ContactSettings
from worldsim.dynamics.geometry import corner_signs
from worldsim.dynamics.impulses import solve_impulses
from worldsim.dynamics.motion import GRAVITY_M_S2

__all__ = ["HingedPair", "HingedPairState", "hinged_pair_step", "second_link"]

LOWEST_CORNERS = 4
"""Corners of each box that may touch in one substep."""

_AXIS = (0.0, 1.0, 0.0)


@dataclass(frozen=True, slots=True)
class HingedPair:
    """Properties of N pairs, both links alike and of mass one (over a floor it cancels).

    Attributes:
        friction: [N] Coulomb coefficient of the boxes on the floor.
        stiffness_per_s2, damping_per_s: [N] of a contact point, over the mass of a link.
        half_extent_m: [N, 3] of each box.
        inertia_m2: [N, 3] principal moments over mass, link axes.
        hinge_in_first_m: [N, 3] the hinge in link 1, whose frame lies at its box's centre; the axis is its y.
        second_box_m: [N, 3] the centre of link 2's box from the hinge, in link 2.
        first_centre_m, second_centre_m: [N, 3] centres of mass from the boxes' centres.
        joint_damping_m2_per_s: [N] viscous friction of the hinge over mass.
        joint_friction_m2_per_s2: [N] dry friction of the hinge over mass.
        floor_m: [N] height of the floor.
    """

    friction: Float[Tensor, " N"]
    stiffness_per_s2: Float[Tensor, " N"]
    damping_per_s: Float[Tensor, " N"]
    half_extent_m: Float[Tensor, "N 3"]
    inertia_m2: Float[Tensor, "N 3"]
    hinge_in_first_m: Float[Tensor, "N 3"]
    second_box_m: Float[Tensor, "N 3"]
    first_centre_m: Float[Tensor, "N 3"]
    second_centre_m: Float[Tensor, "N 3"]
    joint_damping_m2_per_s: Float[Tensor, " N"]
    joint_friction_m2_per_s2: Float[Tensor, " N"]
    floor_m: Float[Tensor, " N"]


@dataclass(frozen=True, slots=True)
class HingedPairState:
    """Motion of N pairs.

    Attributes:
        hinge_m: [N, 3] the hinge point, world.
        orientation_xyzw: [N, 4] of link 1.
        joint_rad: [N] of link 2 against link 1.
        velocity: [N, 7] (hinge point m/s, spin of link 1 rad/s, joint rate rad/s), world.
    """

    hinge_m: Float[Tensor, "N 3"]
    orientation_xyzw: Float[Tensor, "N 4"]
    joint_rad: Float[Tensor, " N"]
    velocity: Float[Tensor, "N 7"]


def second_link(orientation_xyzw: Float[Tensor, "... 4"], joint_rad: Float[Tensor, "..."]) -> Float[Tensor, "... 4"]:
    """Return the orientation of link 2."""
    half, zero = 0.5 * joint_rad, torch.zeros_like(joint_rad)
    turn = torch.stack([zero, torch.sin(half), zero, torch.cos(half)], dim=-1)
    return quaternion.multiply(orientation_xyzw, turn)


@dataclass(frozen=True, slots=True)
class _Pose:
    """Where everything is, relative to the hinge: rotations, arms to the centres of mass, boxes, axis."""

    rotation: tuple[Float[Tensor, "N 3 3"], Float[Tensor, "N 3 3"]]
    arm: tuple[Float[Tensor, "N 3"], Float[Tensor, "N 3"]]
    box: tuple[Float[Tensor, "N 3"], Float[Tensor, "N 3"]]
    axis: Float[Tensor, "N 3"]


def _pose(state: HingedPairState, pair: HingedPair) -> _Pose:
    links = (state.orientation_xyzw, second_link(state.orientation_xyzw, state.joint_rad))
    first_box = quaternion.rotate(links[0], -pair.hinge_in_first_m)
    second_box = quaternion.rotate(links[1], pair.second_box_m)
    first_arm = first_box + quaternion.rotate(links[0], pair.first_centre_m)
    second_arm = second_box + quaternion.rotate(links[1], pair.second_centre_m)
    axis = quaternion.rotate(links[0], state.hinge_m.new_tensor(_AXIS).expand_as(state.hinge_m))
    rotations = (quaternion.to_matrix(links[0]), quaternion.to_matrix(links[1]))
    return _Pose(rotations, (first_arm, second_arm), (first_box, second_box), axis)


def _mass_and_force(
    state: HingedPairState, pair: HingedPair, pose: _Pose
) -> tuple[Float[Tensor, "N 7 7"], Float[Tensor, "N 7"]]:
    """Return the mass matrix and the generalised force of gravity, inertia and the hinge's damping."""
    spin, rate = state.velocity[:, 3:6], state.velocity[:, 6]
    one = torch.eye(3, dtype=spin.dtype, device=spin.device).expand(len(rate), 3, 3)
    zero = torch.zeros_like(pose.axis)[..., None]
    fall = torch.zeros_like(spin)
    fall[:, 2] = -GRAVITY_M_S2
    turned = pose.axis * rate[:, None]
    spins = (spin, spin + turned)
    drifts = (torch.zeros_like(spin), torch.linalg.cross(spin, turned))
    joint_columns = ((zero, zero), (torch.linalg.cross(pose.axis, pose.arm[1])[..., None], pose.axis[..., None]))
    mass = one.new_zeros(len(rate), 7, 7)
    force = one.new_zeros(len(rate), 7)
    for rotation, arm, w, drift, (moved, turning) in zip(
        pose.rotation, pose.arm, spins, drifts, joint_columns, strict=True
    ):
        linear = torch.cat([one, -_cross_matrix(arm), moved], dim=-1)
        angular = torch.cat([torch.zeros_like(one), one, turning], dim=-1)
        inertia = (rotation * pair.inertia_m2[:, None]) @ rotation.mT
        mass = mass + linear.mT @ linear + angular.mT @ inertia @ angular
        swing = torch.linalg.cross(drift, arm) + torch.linalg.cross(w, torch.linalg.cross(w, arm))
        gyroscopic = torch.linalg.cross(w, (inertia @ w[..., None])[..., 0]) + (inertia @ drift[..., None])[..., 0]
        force = force + ((fall - swing)[:, None] @ linear - gyroscopic[:, None] @ angular)[:, 0]
    damped = torch.nn.functional.one_hot(torch.full_like(rate, 6, dtype=torch.int64), 7).to(rate.dtype)
    return mass, force - damped * (pair.joint_damping_m2_per_s * rate)[:, None]


def _cross_matrix(vector: Float[Tensor, "N 3"]) -> Float[Tensor, "N 3 3"]:
    x, y, z = vector.unbind(-1)
    zero = torch.zeros_like(x)
    return torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], dim=-1).unflatten(-1, (3, 3))


def _contacts(
    state: HingedPairState, pair: HingedPair, pose: _Pose
) -> tuple[Float[Tensor, "N K"], Float[Tensor, "N K3 7"]]:
    """Return gaps of the lowest corners of both boxes, and the Jacobian of their velocities along (z, x, y)."""
    gaps, rows = [], []
    signs = corner_signs(pair.half_extent_m)
    for link in range(2):
        corners = pose.box[link][:, None] + (signs * pair.half_extent_m[:, None]) @ pose.rotation[link].mT
        _, lowest = corners[..., 2].topk(LOWEST_CORNERS, dim=1, largest=False)
        arm = torch.gather(corners, 1, lowest[..., None].expand(-1, -1, 3))
        gaps.append(arm[..., 2] + state.hinge_m[:, None, 2] - pair.floor_m[:, None])
        basis = torch.eye(3, dtype=arm.dtype, device=arm.device)[[2, 0, 1]].expand(*arm.shape, 3)
        turning = torch.linalg.cross(arm[:, :, None].expand_as(basis), basis)
        joint = (turning * pose.axis[:, None, None]).sum(-1, keepdim=True) if link else torch.zeros_like(basis[..., :1])
        rows.append(torch.cat([basis, turning, joint], dim=-1).flatten(1, 2))
    return torch.cat(gaps, dim=1), torch.cat(rows, dim=1)


def hinged_pair_step(
    state: HingedPairState, pair: HingedPair, dt_s: float, settings: ContactSettings
) -> HingedPairState:
    """Return the motion `dt_s` later, with contacts; the floor is level.

    Source: Featherstone 2008, "Rigid Body Dynamics Algorithms", chapter 6, for the equations of motion by Jacobians;
        contact as in `resolve_contacts` (springs and dampers at the corners, integrated implicitly).
    """
    h = dt_s / settings.substeps
    for _ in range(settings.substeps):
        pose = _pose(state, pair)
        mass, force = _mass_and_force(state, pair, pose)
        root = torch.linalg.cholesky(mass)
        free = state.velocity + h * torch.cholesky_solve(force[..., None], root)[..., 0]
        free = _hinge_friction(free, root, pair.joint_friction_m2_per_s2 * h)
        gap, rows = _contacts(state, pair, pose)
        approach = (rows @ free[..., None])[..., 0].unflatten(1, (-1, 3))
        before = (rows @ state.velocity[..., None])[..., 0].unflatten(1, (-1, 3))[..., 0]
        closing = gap + 0.5 * h * (before + approach[..., 0])
        active = (gap < settings.margin_m) | (closing < 0.0)
        total = (pair.damping_per_s + h * pair.stiffness_per_s2)[:, None]
        aim = torch.where(gap > 0.0, -gap / h, -gap * pair.stiffness_per_s2[:, None] / total)
        approach = torch.cat([(approach[..., 0] - aim)[..., None], approach[..., 1:]], dim=-1)
        approach = torch.where(active[..., None], approach, 0.0)
        white = torch.linalg.solve_triangular(root, rows.mT, upper=False).mT
        white = white * active.repeat_interleave(3, dim=1)[..., None]
        softness = (1.0 / (h * total)).expand_as(gap)
        impulse = solve_impulses(white, approach, softness, pair.friction, settings.iterations)
        impulse = torch.where(active[..., None], impulse, 0.0)
        change = (white * impulse.flatten(1)[..., None]).sum(1)
        velocity = free + torch.linalg.solve_triangular(root.mT, change[..., None], upper=True)[..., 0]
        touched = (impulse[..., 0] > 0.0).any(-1, keepdim=True)
        mean = torch.where(touched, velocity, 0.5 * (state.velocity + free))
        state = HingedPairState(
            state.hinge_m + h * mean[:, :3],
            quaternion.integrate(state.orientation_xyzw, mean[:, 3:6], h),
            state.joint_rad + h * mean[:, 6],
            velocity,
        )
    return state


def _hinge_friction(
    velocity: Float[Tensor, "N 7"], root: Float[Tensor, "N 7 7"], most: Float[Tensor, " N"]
) -> Float[Tensor, "N 7"]:
    """Return the velocity after the hinge's dry friction, which stops the joint or acts in full."""
    unit = torch.zeros_like(velocity)
    unit[:, 6] = 1.0
    response = torch.cholesky_solve(unit[..., None], root)[..., 0]
    stopping = velocity[:, 6] / response[:, 6]
    impulse = torch.minimum(torch.maximum(stopping, -most), most)
    return velocity - impulse[:, None] * response
