"""Composites: things that are welded together move, and are corrected, as one rigid body.

Members keep their slots, ids and detections; what is believed of them together is one joint Gaussian a composite.
Beside it each member's belief as a single body runs on as if it had never been merged: it is what the graph goes on to
read edges from, what the composite is weighed against, and what the member goes on with when the weld breaks.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from worldsim.filtering import rigid
from worldsim.filtering.correct import POSE_DIM, correct, innovation
from worldsim.filtering.density import Density, retract
from worldsim.filtering.impacts import Inputs
from worldsim.filtering.predict import predict
from worldsim.hypotheses.trial import faded
from worldsim.inference import lifecycle
from worldsim.inference import slots as slot_table
from worldsim.types.belief import TANGENT_DIM, WorldBelief
from worldsim.types.states import ObjectStates

if TYPE_CHECKING:
    from worldsim.engine.state import EngineState
    from worldsim.engine.tracking import Matched
    from worldsim.inference.observe import Frame

_FADE_LIMIT = 60.0  # as of single bodies
_LLR_LIMIT_NATS = 8.0  # what one frame may say for or against a weld


@dataclass(frozen=True, slots=True)
class Composites:
    """G groups of M members in all; a group has K places at most.

    Attributes:
        member: [M] object ids, group by group.
        group: [M] number of the group of each, ascending from 0.
        alone: M rows, each member's belief as a single body.
        noise_scale: [M] learned multiplier of each member's process noise as a single body.
        joint: [G, 12 K, 12 K] covariance of the members of a group together, float64.
        log_broken: [G] log of the e-value for "the members move each for itself".
        suspect: [G] for how many frames on end that has been above 0: since then, if at all, they do.
    """

    member: Int[np.ndarray, " M"]
    group: Int[np.ndarray, " M"]
    alone: Density
    noise_scale: Float[Tensor, " M"]
    joint: Float[Tensor, "G J J"]
    log_broken: Float[Tensor, " G"]
    suspect: Int[Tensor, " G"]

    @property
    def place(self) -> tuple[Int[np.ndarray, "G K"], Bool[np.ndarray, "G K"]]:
        """The row of each place (0 where it is empty), and which places are taken."""
        groups, sizes = len(self.joint), np.bincount(self.group, minlength=len(self.joint))
        within = np.arange(len(self.group)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        rows = np.zeros((groups, self.joint.shape[-1] // TANGENT_DIM), dtype=np.int64)
        rows[self.group, within] = np.arange(len(self.group))
        return rows, np.arange(rows.shape[1]) < sizes[:, None]

    def groups(self) -> list[Int[np.ndarray, " m"]]:
        """Return the ids of each group's members."""
        return [self.member[self.group == number] for number in range(len(self.joint))]


@dataclass(frozen=True, slots=True)
class Bound:
    """The prior of one step.

    Attributes:
        slots: [M] of the members, on the host; index: the same on the device.
        rows, there: [G, K] as `Composites.place`, on the device.
        order: [M] where each member is among the G K places.
        alone: M rows ahead as single bodies; touching: [M] which of them touched something.
        states: [G K] rows ahead as one body a group.
        joint: [G, 12 K, 12 K] ahead.
    """

    slots: Int[np.ndarray, " M"]
    index: Int[Tensor, " M"]
    rows: Int[Tensor, "G K"]
    there: Bool[Tensor, "G K"]
    order: Int[Tensor, " M"]
    alone: Density
    touching: Bool[Tensor, " M"]
    states: ObjectStates
    joint: Float[Tensor, "G J J"]


@dataclass(frozen=True, slots=True)
class CertainBonds:
    """Bonds that are certain now, and for how many frames they have been.

    Attributes:
        key: [n] of the pair, ascending (smaller id in the upper half); frames: [n].
    """

    key: Int[np.ndarray, " n"]
    frames: Int[np.ndarray, " n"]

    @classmethod
    def none(cls) -> CertainBonds:
        """Return no bonds."""
        return cls(np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64))

    def after(self, key: Int[np.ndarray, " n"]) -> CertainBonds:
        """Return the bonds after a frame in which those of `key` (ascending) are certain."""
        frames = np.ones(len(key), dtype=np.int64)
        if len(self.key):
            place = np.searchsorted(self.key, key).clip(max=len(self.key) - 1)
            frames += np.where(self.key[place] == key, self.frames[place], 0)
        return CertainBonds(key, frames)


def slots_of(state: EngineState, member: Int[np.ndarray, " M"]) -> Int[np.ndarray, " M"]:
    """Return the slots of objects, -1 where one is gone."""
    order = np.argsort(state.ids, kind="stable")
    place = np.searchsorted(state.ids, member, sorter=order).clip(max=len(order) - 1)
    return np.where(state.ids[order[place]] == member, order[place], -1)


def foretell(state: EngineState, density: Density, inputs: Inputs) -> Bound | None:
    """Let the predicted rows of members move as one, where they lie; None where nothing is welded.

    Args:
        state: before the step.
        density: [C] rows ahead, each for itself; nobody else's tensors.
        inputs: what they were predicted with.
    """
    held = state.composites
    if held is None:
        return None
    slots = slots_of(state, held.member)
    index = state.index(slots)
    alone = predict(
        held.alone,
        state.model_index[slots],
        inputs.library,
        inputs.surroundings.select(index),
        held.noise_scale,
        inputs.dt_s,
        state.settings.loop.linearisation,
    )
    row, there = held.place
    rows, taken = state.index(row), torch.from_numpy(there).to(state.device)
    flat = index[rows].flatten()
    before, after = _double(state.belief.states.select(flat)), _double(density.states.select(flat))
    mass, inertia = _bodies(state, inputs, rows, index, taken)
    states = rigid.moved_as_one(before, after, mass, inertia)
    own = density.covariance.index_select(0, flat)[:, :TANGENT_DIM, :TANGENT_DIM].double()
    joint = rigid.carried_joint(held.joint, own.view(*row.shape, TANGENT_DIM, TANGENT_DIM), inputs.dt_s)
    joint = rigid.bound(joint, states, taken)
    order = state.index(np.flatnonzero(there))  # members are listed group by group, in the order of their places
    bound = Bound(slots, index, rows, taken, order, alone.density, alone.touching, states, joint)
    _write(density, bound, states, joint, density.select(index))
    return bound


def correct_together(state: EngineState, bound: Bound | None, matched: Matched, frame: Frame) -> None:
    """Correct each composite by the detections of all its members, and each member as a single body by its own.

    The rows of the belief, corrected each for itself before, are overwritten.
    """
    held = state.composites
    if bound is None or held is None:
        return
    seen_rows = (matched.detection[bound.slots] >= 0) & ~state.deferred[bound.slots]
    if not seen_rows.any():
        state.composites = dataclasses.replace(held, alone=bound.alone, joint=bound.joint)
        return
    which = state.index(np.where(seen_rows, matched.detection[bound.slots], 0))
    seen = torch.from_numpy(seen_rows).to(state.device)
    noise = state.settings.sensor.pose_noise(frame.covariance[which])
    single = innovation(bound.alone.poses(slice(None)), frame.position[which], frame.orientation_xyzw[which], noise)
    six = torch.full_like(single.nis, POSE_DIM)
    fade = torch.where(seen, rigid.chi_square_scale(single.nis, six, _FADE_LIMIT), 1.0)
    rows, _ = correct(faded(bound.alone, fade), single.residual, noise)
    alone = _where(seen, rows, bound.alone)
    scale = lifecycle.adapted_noise(held.noise_scale, single.nis)
    scale = torch.where(seen & ~bound.touching, scale, held.noise_scale)
    density = rigid.log_density(single.nis, single.root) * seen

    shape, taken = bound.rows.shape, seen[bound.rows] & bound.there
    no_parameters = bound.states.position.new_zeros(len(bound.states), 0)
    pose = Density(bound.states, no_parameters, _pose(bound.joint))
    flat = which[bound.rows].flatten()
    wide = noise[bound.rows.flatten()].double()
    together = innovation(pose, frame.position[flat].double(), frame.orientation_xyzw[flat].double(), wide)
    residual, wide = together.residual.view(*shape, POSE_DIM), wide.view(*shape, POSE_DIM, POSE_DIM)
    _, _, nats, nis = rigid.seen_poses(bound.joint, residual, wide, taken)
    widening = rigid.chi_square_scale(nis, POSE_DIM * taken.sum(1), _FADE_LIMIT)
    joint, step, _, _ = rigid.seen_poses(bound.joint * widening[:, None, None], residual, wide, taken)
    moved, _ = retract(bound.states, no_parameters, step.flatten(0, 1))
    each = torch.zeros_like(nats).index_add(0, state.index(held.group), density.double())
    told = (each - nats).clamp(-_LLR_LIMIT_NATS, _LLR_LIMIT_NATS)
    log_broken = held.log_broken.clamp_min(0.0) + told
    suspect = torch.where(log_broken > 0.0, held.suspect + 1, 0)
    now = slot_table.density_of(state.belief)
    _write(now, bound, moved, joint, alone)
    state.composites = dataclasses.replace(
        held, alone=alone, noise_scale=scale, joint=joint, log_broken=log_broken, suspect=suspect
    )


@contextmanager
def apart(state: EngineState) -> Iterator[None]:
    """Show the members as single bodies meanwhile: evidence for a weld must not come from having believed in it."""
    held = state.composites
    if held is None:
        yield
        return
    together = state.belief
    state.belief = single_belief(state)
    try:
        yield
    finally:
        state.belief = together


def single_states(state: EngineState) -> ObjectStates:
    """Return the states of all rows, members as single bodies."""
    return single_belief(state).states


def single_belief(state: EngineState) -> WorldBelief:
    """Return the belief with the members of composites as single bodies."""
    held, belief = state.composites, state.belief
    if held is None:
        return belief
    slots = slots_of(state, held.member)
    there = state.index(np.flatnonzero(slots >= 0))
    mine = state.index(slots[slots >= 0])
    alone = held.alone.select(there)  # but for their sizes, of which the belief itself keeps account
    own = dataclasses.replace(alone, states=dataclasses.replace(alone.states, extent_m=belief.extent_m[mine]))
    rows = slot_table.density_of(belief).put(mine, own)
    belief = slot_table.with_density(belief, rows)
    return slot_table.put(belief, mine, noise_scale=held.noise_scale[there])


def taken_over(state: EngineState, slots: Int[np.ndarray, " n"]) -> Composites | None:
    """Return the composites with the rows of `slots` as they are in the belief now: another model runs them."""
    held = state.composites
    if held is None:
        return None
    mine = slots_of(state, held.member)
    changed = np.flatnonzero(np.isin(mine, slots))
    if len(changed) == 0:
        return held
    row, place = state.indices(mine[changed], changed)
    return dataclasses.replace(held, alone=held.alone.put(place, slot_table.density_of(state.belief).select(row)))


def _bodies(
    state: EngineState, inputs: Inputs, rows: Tensor, index: Tensor, there: Tensor
) -> tuple[Float[Tensor, "G K"], Float[Tensor, "G K"]]:
    """Return mass and inertia of each place, 0 where it is empty; of a solid box about its mean axis."""
    models = state.belief.model_index[index]
    natural = inputs.library.natural(state.belief.parameters[index], models)
    mass = inputs.library.body_parameter(natural, models, "mass_kg").double()
    size = state.belief.extent_m[index].double().square().sum(-1) / 18.0
    return mass[rows] * there, (mass * size)[rows] * there


def _write(density: Density, bound: Bound, states: ObjectStates, joint: Tensor, single: Density) -> None:
    """Overwrite the members' rows by their part of the composites, all but sizes; parameters are the single bodies'."""
    dtype, width = density.parameters.dtype, density.covariance.shape[-1]
    s = states.select(bound.order)
    covariance = single.covariance.new_zeros(len(s), width, width)
    own = rigid.marginals(joint).flatten(0, 1).index_select(0, bound.order)
    covariance[:, :TANGENT_DIM, :TANGENT_DIM] = own.to(dtype)
    covariance[:, TANGENT_DIM:, TANGENT_DIM:] = single.covariance[:, TANGENT_DIM:, TANGENT_DIM:]
    size = density.states.extent_m.index_select(0, bound.index)
    parts = (s.position, s.orientation_xyzw, s.linear_velocity, s.angular_velocity, size)
    rows = Density(ObjectStates(*(part.to(dtype) for part in parts)), single.parameters, covariance)
    density.write(bound.index, rows)


def _double(s: ObjectStates) -> ObjectStates:
    parts = (s.position, s.orientation_xyzw, s.linear_velocity, s.angular_velocity, s.extent_m)
    return ObjectStates(*(part.double() for part in parts))


def _pose(joint: Float[Tensor, "G J J"]) -> Float[Tensor, "n 6 6"]:
    return rigid.marginals(joint)[:, :, :POSE_DIM, :POSE_DIM].flatten(0, 1)


def _where(chosen: Bool[Tensor, " M"], rows: Density, otherwise: Density) -> Density:
    """Return `rows` where `chosen` and `otherwise` elsewhere."""

    def pick(a: Tensor, b: Tensor) -> Tensor:
        return torch.where(chosen.view(-1, *[1] * (a.ndim - 1)), a, b)

    s, o = rows.states, otherwise.states
    states = ObjectStates(
        pick(s.position, o.position),
        pick(s.orientation_xyzw, o.orientation_xyzw),
        pick(s.linear_velocity, o.linear_velocity),
        pick(s.angular_velocity, o.angular_velocity),
        o.extent_m,
    )
    return Density(states, pick(rows.parameters, otherwise.parameters), pick(rows.covariance, otherwise.covariance))
