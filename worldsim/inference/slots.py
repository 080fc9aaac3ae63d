"""The belief's slots: making, growing and filling them."""

from __future__ import annotations

import dataclasses

import torch
from jaxtyping import Int
from torch import Tensor

from worldsim.filtering.density import Density
from worldsim.filtering.library import PARAMETER_DIM
from worldsim.types.belief import TANGENT_DIM, WorldBelief
from worldsim.types.observation import APPEARANCE_DIM
from worldsim.types.states import ObjectStates

JOINT_DIM = TANGENT_DIM + PARAMETER_DIM


def empty_belief(capacity: int, device: torch.device, dtype: torch.dtype) -> WorldBelief:
    """Return a belief of `capacity` free slots at time 0."""

    def zeros(*shape: int) -> Tensor:
        return torch.zeros(*shape, dtype=dtype, device=device)

    upright = zeros(capacity, 4)
    upright[:, 3] = 1.0
    no = torch.zeros(capacity, dtype=torch.bool, device=device)
    nobody = torch.full((capacity,), -1, dtype=torch.int64, device=device)
    never = torch.zeros(capacity, dtype=torch.float64, device=device)  # of a clock of 1970, float32 tells no minutes
    return WorldBelief(
        time_s=0.0,
        alive=no,
        awake=no.clone(),
        object_id=nobody,
        model_index=torch.zeros_like(nobody),
        position=zeros(capacity, 3),
        orientation_xyzw=upright,
        linear_velocity=zeros(capacity, 3),
        angular_velocity=zeros(capacity, 3),
        joint_covariance=torch.eye(JOINT_DIM, dtype=dtype, device=device).repeat(capacity, 1, 1) * 1e-6,
        parameters=zeros(capacity, PARAMETER_DIM),
        extent_m=zeros(capacity, 3) + 0.1,
        extent_variance_m2=zeros(capacity, 3) + 1.0,
        appearance=zeros(capacity, APPEARANCE_DIM),
        appearance_variance=zeros(capacity, APPEARANCE_DIM) + 1.0,
        colour=zeros(capacity, 3) + 0.5,
        existence=zeros(capacity),
        log_e_value=zeros(capacity),
        noise_scale=zeros(capacity) + 1.0,
        last_seen_s=never,
        birth_s=never.clone(),
    )


def grow(belief: WorldBelief) -> WorldBelief:
    """Return the belief with twice the capacity; rows keep their slots."""
    more = empty_belief(belief.capacity, belief.position.device, belief.position.dtype).tensors()
    doubled = {name: torch.cat([value, more[name]]) for name, value in belief.tensors().items()}
    return dataclasses.replace(belief, **doubled)  # type: ignore[arg-type]


def packed(belief: WorldBelief, slots: Int[Tensor, " n"], capacity: int) -> WorldBelief:
    """Return the belief about the objects in `slots` alone, in the first n of `capacity` slots."""
    blank = empty_belief(capacity, belief.position.device, belief.position.dtype).tensors()
    kept = {name: value.index_select(0, slots) for name, value in belief.tensors().items()}
    joined = {name: torch.cat([value, blank[name][len(slots) :]]) for name, value in kept.items()}
    return dataclasses.replace(belief, **joined)  # type: ignore[arg-type]


def lengthened(states: ObjectStates, capacity: int) -> ObjectStates:
    """Return states of an earlier belief with blank rows where it has grown since."""
    missing = capacity - len(states)
    if missing <= 0:
        return states

    def pad(value: Tensor) -> Tensor:
        return torch.cat([value, value.new_zeros(missing, value.shape[1])])

    return ObjectStates(
        pad(states.position),
        pad(states.orientation_xyzw),
        pad(states.linear_velocity),
        pad(states.angular_velocity),
        pad(states.extent_m),
    )


def density_of(belief: WorldBelief) -> Density:
    """Return the Gaussian part of the belief, one row a slot."""
    return Density(belief.states, belief.parameters, belief.joint_covariance)


def with_density(belief: WorldBelief, density: Density) -> WorldBelief:
    """Return the belief with its Gaussian part replaced."""
    s = density.states
    return dataclasses.replace(
        belief,
        position=s.position,
        orientation_xyzw=s.orientation_xyzw,
        linear_velocity=s.linear_velocity,
        angular_velocity=s.angular_velocity,
        parameters=density.parameters,
        joint_covariance=density.covariance,
    )


def put(belief: WorldBelief, slots: Int[Tensor, " n"], **rows: Tensor) -> WorldBelief:
    """Return the belief with the named fields replaced at `slots`."""
    if len(slots) == 0:  # most frames wake nobody and send nobody to sleep: no need to copy all for that
        return belief
    changed = {name: getattr(belief, name).index_copy(0, slots, value) for name, value in rows.items()}
    return dataclasses.replace(belief, **changed)
