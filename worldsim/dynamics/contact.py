"""Contact: free motion in, motion that enters neither the floor nor a box out.

Velocity-level impulses at a few contact points a body, substeps through the step, no Python branch on a tensor's
value: the same code runs under autograd, `torch.compile(fullgraph=True)` and fake tensors.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from worldsim.dynamics import quaternion
from worldsim.dynamics.bodies import ContactBodies, ContactResult, ContactSettings, Obstacles
from worldsim.dynamics.candidates import BodyShape, BoxSlots, Contacts, box_contacts, floor_contacts, select_slots
from worldsim.dynamics.geometry import TINY, tangent_basis
from worldsim.dynamics.impulses import contact_jacobian, solve_impulses
from worldsim.types.states import ObjectStates


@dataclass(frozen=True, slots=True)
class _Motion:
    """Centre of mass, orientation and twist of N bodies."""

    centre: Float[Tensor, "N 3"]
    orientation: Float[Tensor, "N 4"]
    velocity: Float[Tensor, "N 3"]
    spin: Float[Tensor, "N 3"]


@dataclass(frozen=True, slots=True)
class _Step:
    """What stays the same over the substeps."""

    bodies: ContactBodies
    shape: BodyShape
    slots: BoxSlots | None
    slots_present: Bool[Tensor, "N K"] | None
    inverse_root_mass: Float[Tensor, " N"]
    inverse_root_inertia: Float[Tensor, "N 3"]
    velocity_gain: Float[Tensor, "N 3"]
    spin_gain: Float[Tensor, "N 3"]
    substep_s: float
    settings: ContactSettings


def resolve_contacts(
    before: ObjectStates,
    free_linear_velocity: Float[Tensor, "N 3"],
    free_angular_velocity: Float[Tensor, "N 3"],
    bodies: ContactBodies,
    obstacles: Obstacles,
    dt_s: float,
    settings: ContactSettings | None = None,
) -> ContactResult:
    """Move N bodies over `dt_s` from their free motion, with contacts.

    The free velocities are those that the bodies would have at the end of the step with no contact (gravity,
    drives and drags in them); their change is spread evenly over the step.

    Args:
        before: states at the start.
        free_linear_velocity: [N, 3] m/s at the end, world frame: the velocity of ``before`` plus what forces add to
            the body's motion. Where the centre of mass is off the box's centre, the swing of the one about the
            other is this function's to add.
        free_angular_velocity: [N, 3] rad/s at the end, world frame.
        bodies: contact properties.
        obstacles: what may be hit.
        dt_s: step, s.
        settings: how it is done; the defaults of `ContactSettings` where None.

    Source: Stewart & Trinkle 1996 (velocity-level time stepping); Tonge et al. 2012 (substeps, projection).
        Ours differs: speculative contacts (a gap may close, no more), a first impact is placed at its time within
        the substep, and penetration is mended by displacement alone.
    """
    settings = settings or ContactSettings()
    motion = _to_centre_of_mass(before, bodies)
    step, free_end = _prepare(before, motion, free_linear_velocity, free_angular_velocity, bodies, dt_s, settings)
    columns = obstacles.boxes + 1
    pushed = before.position.new_zeros(len(before), columns, 3)
    normal_sum = before.position.new_zeros(len(before))
    carried = before.position.new_zeros(len(before), 2)
    if obstacles.boxes:
        slots, present = select_slots(
            step.shape, (before.position, before.orientation_xyzw), free_end, obstacles, dt_s, settings
        )
        step = _with_slots(step, slots, present)
    has_contacts = obstacles.floor or obstacles.boxes > 0
    for index in range(settings.substeps):
        if not has_contacts:
            motion = _fly(motion, step)
            continue
        contacts = _contacts_at(motion, step, index * step.substep_s)
        motion, impulse, basis = _substep(motion, step, contacts)
        world_impulse = (impulse[..., None] * basis).sum(-2)
        pushed = pushed + _by_source(world_impulse, step.slots, columns)
        normal_sum = normal_sum + impulse[..., 0].sum(-1)
        weight = world_impulse[..., 2].clamp_min(0.0)
        carried = carried + torch.stack([(weight * contacts.point[..., 2]).sum(-1), weight.sum(-1)], dim=-1)
    return ContactResult(
        _to_box_centre(motion, bodies, before.extent_m),
        normal_sum > 0.0,
        normal_sum,
        pushed,
        carried[:, 0] / (carried[:, 1] + TINY),
    )


def _prepare(
    before: ObjectStates,
    motion: _Motion,
    free_linear_velocity: Float[Tensor, "N 3"],
    free_angular_velocity: Float[Tensor, "N 3"],
    bodies: ContactBodies,
    dt_s: float,
    settings: ContactSettings,
) -> tuple[_Step, tuple[Float[Tensor, "N 3"], Float[Tensor, "N 4"]]]:
    """Return the constants of the step, and the pose at its end if nothing were hit."""
    substep_s = dt_s / settings.substeps
    spin_change = free_angular_velocity - before.angular_velocity
    mean_spin = before.angular_velocity + 0.5 * spin_change
    end_orientation = quaternion.integrate(before.orientation_xyzw, mean_spin, dt_s)
    mean_velocity = 0.5 * (before.linear_velocity + free_linear_velocity)
    end_position = before.position + dt_s * mean_velocity
    velocity_change = free_linear_velocity - before.linear_velocity
    if bodies.centre_of_mass_offset_m is not None:
        # The box centre swings about the centre of mass; only the spin's own change is a change of the latter.
        offset = quaternion.rotate(before.orientation_xyzw, bodies.centre_of_mass_offset_m)
        velocity_change = velocity_change + torch.linalg.cross(spin_change, offset)
        turned = quaternion.rotate(end_orientation, bodies.centre_of_mass_offset_m)
        end_position = motion.centre + dt_s * (motion.velocity + 0.5 * velocity_change) - turned
    step = _Step(
        bodies,
        BodyShape.of(before.extent_m, bodies.shape_index, bodies.corner_radius_m),
        None,
        None,
        bodies.mass_kg.rsqrt(),
        bodies.inertia(before.extent_m).rsqrt(),
        velocity_change / settings.substeps,
        spin_change / settings.substeps,
        substep_s,
        settings,
    )
    return step, (end_position, end_orientation)


def _with_slots(step: _Step, slots: BoxSlots, present: Bool[Tensor, "N K"]) -> _Step:
    return _Step(
        step.bodies,
        step.shape,
        slots,
        present,
        step.inverse_root_mass,
        step.inverse_root_inertia,
        step.velocity_gain,
        step.spin_gain,
        step.substep_s,
        step.settings,
    )


def _contacts_at(motion: _Motion, step: _Step, time_s: float) -> Contacts:
    rotation = quaternion.to_matrix(motion.orientation)
    centre = motion.centre
    if step.bodies.centre_of_mass_offset_m is not None:
        centre = centre - quaternion.rotate(motion.orientation, step.bodies.centre_of_mass_offset_m)
    if step.slots is None or step.slots_present is None:
        return floor_contacts(step.shape, centre, rotation)
    return box_contacts(step.shape, centre, rotation, step.slots, step.slots_present, time_s)


def _fly(motion: _Motion, step: _Step) -> _Motion:
    """Advance one substep without contacts: exact for a constant acceleration."""
    h = step.substep_s
    velocity = motion.velocity + step.velocity_gain
    spin = motion.spin + step.spin_gain
    engine = 0.5 * step.settings.engine_step_s
    centre = motion.centre + (0.5 * h) * (motion.velocity + velocity) + engine * step.velocity_gain
    turned = quaternion.integrate(motion.orientation, motion.spin + (0.5 + engine / h) * step.spin_gain, h)
    return _Motion(centre, turned, velocity, spin)


def _substep(
    motion: _Motion, step: _Step, contacts: Contacts
) -> tuple[_Motion, Float[Tensor, "N K 3"], Float[Tensor, "N K 3 3"]]:
    """Advance one substep; return the motion, the impulses along the contact bases, and the bases."""
    h = step.substep_s
    rotation = quaternion.to_matrix(motion.orientation)
    arm = contacts.point - motion.centre[:, None, :]
    flying = _fly(motion, step)
    start = _contact_velocity(motion, arm) - contacts.surface_velocity
    free = _contact_velocity(flying, arm) - contacts.surface_velocity
    normal_start = (start * contacts.normal).sum(-1)
    normal_free = (free * contacts.normal).sum(-1)
    closing = contacts.gap_m + (0.5 * h) * (normal_start + normal_free)
    active = contacts.present & ((contacts.gap_m < step.settings.margin_m) | (closing < 0.0))
    basis = tangent_basis(contacts.normal)
    jacobian = contact_jacobian(basis, arm, rotation, step.inverse_root_mass, step.inverse_root_inertia)
    jacobian = jacobian * active.repeat_interleave(3, dim=1)[..., None]
    aim, softness, impact, impact_time = _aim(step, contacts, normal_start, normal_free, closing)
    approach = (basis * free[:, :, None, :]).sum(-1)
    approach = torch.cat([(approach[..., 0] - aim)[..., None], approach[..., 1:]], dim=-1)
    approach = torch.where(active[..., None], approach, 0.0)
    impulse = solve_impulses(jacobian, approach, softness, step.bodies.friction, step.settings.iterations)
    impulse = torch.where(active[..., None], impulse, 0.0)
    change = (jacobian * impulse.flatten(1)[..., None]).sum(1)
    velocity = flying.velocity + change[:, :3] * step.inverse_root_mass[:, None]
    spin = flying.spin + quaternion.rotate(motion.orientation, change[:, 3:] * step.inverse_root_inertia)
    pushed = impulse[..., 0] > 0.0
    touched = pushed.any(-1, keepdim=True)
    if step.bodies.rolling_deceleration_m_s2 is not None:
        velocity, spin = _resist_rolling(velocity, spin, touched, step.bodies.rolling_deceleration_m_s2, h)
    # Until the first impact the body flies; the rest of the substep it moves with the velocity after it.
    struck = pushed & impact
    free_share = torch.where(struck, impact_time, h).amin(-1, keepdim=True) / h
    free_share = torch.where(struck.any(-1, keepdim=True), free_share, 0.0)
    mean_velocity = free_share * flying.velocity + (1.0 - free_share) * velocity
    mean_spin = free_share * flying.spin + (1.0 - free_share) * spin
    sliding = touched & ~struck.any(-1, keepdim=True)
    mean_velocity = mean_velocity + torch.where(
        sliding, _tangential_lag(motion.velocity - velocity, impulse[..., 0], contacts.normal), 0.0
    )
    push = _recovery(step, contacts, active)
    centre = torch.where(touched, motion.centre + h * mean_velocity, flying.centre) + push
    turned = quaternion.integrate(motion.orientation, mean_spin, h)
    orientation = torch.where(touched, turned, flying.orientation)
    return _Motion(centre, orientation, velocity, spin), impulse, basis


def _aim(
    step: _Step,
    contacts: Contacts,
    normal_start: Float[Tensor, "N K"],
    normal_free: Float[Tensor, "N K"],
    closing: Float[Tensor, "N K"],
) -> tuple[Float[Tensor, "N K"], Float[Tensor, "N K"] | None, Bool[Tensor, "N K"], Float[Tensor, "N K"]]:
    """Return the normal velocity aimed at after the substep, the softness, where an impact is, and its time."""
    h = step.substep_s
    gap = contacts.gap_m
    if step.bodies.stiffness_per_s2 is not None and step.bodies.damping_per_s is not None:
        # A spring and damper integrated implicitly: f = -k (gap + h u) - c u, p = h f.
        stiffness = (step.bodies.mass_kg * step.bodies.stiffness_per_s2)[:, None]
        damping = (step.bodies.mass_kg * step.bodies.damping_per_s)[:, None]
        total = damping + h * stiffness
        aim = torch.where(gap > 0.0, -gap / h, -gap * stiffness / total)
        return aim, (1.0 / (h * total)).expand_as(gap), torch.zeros_like(contacts.present), torch.zeros_like(gap)
    mean_closing = (-0.5 * (normal_start + normal_free)).clamp_min(TINY)
    time = (gap.clamp_min(0.0) / mean_closing).clamp_max(h)
    gained = normal_free - normal_start
    at_impact = normal_start + gained * (time / h)
    impact = (at_impact < -step.settings.restitution_threshold_m_s) & (closing < 0.0)
    rebound = -step.bodies.restitution[:, None] * at_impact + gained * (1.0 - time / h)
    aim = torch.where(impact, rebound.clamp_min(0.0), -gap.clamp_min(0.0) / h)
    return aim, None, impact, torch.where(impact, time, 0.0)


def _tangential_lag(
    velocity_loss: Float[Tensor, "N 3"], normal_impulse: Float[Tensor, "N K"], normal: Float[Tensor, "N K 3"]
) -> Float[Tensor, "N 3"]:
    """Return half of the velocity lost along the surface: friction acts through the substep, not at its start."""
    mean_normal = (normal_impulse[..., None] * normal).sum(1)
    mean_normal = mean_normal / torch.sqrt((mean_normal * mean_normal).sum(-1, keepdim=True) + TINY)
    return 0.5 * (velocity_loss - (velocity_loss * mean_normal).sum(-1, keepdim=True) * mean_normal)


def _recovery(step: _Step, contacts: Contacts, active: Bool[Tensor, "N K"]) -> Float[Tensor, "N 3"]:
    """Return the displacement that takes a body a little out of its deepest penetration."""
    if step.bodies.stiffness_per_s2 is not None:
        return torch.zeros_like(contacts.normal[:, 0])
    depth = torch.where(active, -contacts.gap_m, 0.0).clamp_min(0.0)
    deepest, index = depth.max(dim=-1, keepdim=True)
    normal = torch.gather(contacts.normal, 1, index[..., None].expand(-1, -1, 3))[:, 0]
    share = min(1.0, step.settings.penetration_recovery_per_s * step.substep_s)
    return share * deepest * normal


def _resist_rolling(
    velocity: Float[Tensor, "N 3"],
    spin: Float[Tensor, "N 3"],
    touched: Bool[Tensor, "N 1"],
    deceleration_m_s2: Float[Tensor, " N"],
    substep_s: float,
) -> tuple[Float[Tensor, "N 3"], Float[Tensor, "N 3"]]:
    """Slow the horizontal motion and the spin of touching bodies by one factor, so that rolling stays rolling."""
    speed = torch.sqrt((velocity[:, :2] * velocity[:, :2]).sum(-1, keepdim=True) + TINY * TINY)
    kept = (1.0 - deceleration_m_s2[:, None] * substep_s / speed).clamp_min(0.0)
    factor = torch.where(touched, kept, 1.0)
    return torch.cat([velocity[:, :2] * factor, velocity[:, 2:]], dim=-1), spin * factor


def _contact_velocity(motion: _Motion, arm: Float[Tensor, "N K 3"]) -> Float[Tensor, "N K 3"]:
    turning = torch.linalg.cross(motion.spin[:, None, :].expand_as(arm), arm)
    return motion.velocity[:, None, :] + turning


def _by_source(world_impulse: Float[Tensor, "N K 3"], slots: BoxSlots | None, columns: int) -> Float[Tensor, "N B1 3"]:
    """Return the impulses summed by obstacle; without boxes everything is the floor's."""
    if slots is None:
        return world_impulse.sum(1, keepdim=True)
    share = torch.nn.functional.one_hot(slots.source, columns).to(world_impulse.dtype)
    return share.mT @ world_impulse


def _to_centre_of_mass(states: ObjectStates, bodies: ContactBodies) -> _Motion:
    if bodies.centre_of_mass_offset_m is None:
        return _Motion(states.position, states.orientation_xyzw, states.linear_velocity, states.angular_velocity)
    offset = quaternion.rotate(states.orientation_xyzw, bodies.centre_of_mass_offset_m)
    velocity = states.linear_velocity + torch.linalg.cross(states.angular_velocity, offset)
    return _Motion(states.position + offset, states.orientation_xyzw, velocity, states.angular_velocity)


def _to_box_centre(motion: _Motion, bodies: ContactBodies, extent_m: Float[Tensor, "N 3"]) -> ObjectStates:
    if bodies.centre_of_mass_offset_m is None:
        return ObjectStates(motion.centre, motion.orientation, motion.velocity, motion.spin, extent_m)
    offset = quaternion.rotate(motion.orientation, bodies.centre_of_mass_offset_m)
    velocity = motion.velocity - torch.linalg.cross(motion.spin, offset)
    return ObjectStates(motion.centre - offset, motion.orientation, velocity, motion.spin, extent_m)
