"""Predict and associate: the first half of the Bayes filter's round over all objects."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from worldsim.dynamics import quaternion
from worldsim.engine import composites, impacts
from worldsim.engine.attention import coast
from worldsim.engine.sight import in_view
from worldsim.engine.state import EngineState
from worldsim.filtering.correct import POSE_DIM
from worldsim.filtering.density import Density, as_run
from worldsim.filtering.impacts import Inputs
from worldsim.filtering.mixture import with_state_of
from worldsim.filtering.predict import predict
from worldsim.inference import lifecycle, stimuli
from worldsim.inference import slots as slot_table
from worldsim.inference.associate import associate
from worldsim.inference.observe import Frame
from worldsim.types.belief import TANGENT_DIM
from worldsim.types.graph import InteractionKind
from worldsim.types.states import ObjectStates
from worldsim.types.transfer import fetched

_GRIP_M, _GRIP_RAD = 4e-3, 1e-2  # play of a carried thing in its grip, a frame
_GRIP_SPEED = 0.1
_YOUNG_HITS = 2


@dataclass(frozen=True, slots=True)
class Predicted:
    """The prior of this step.

    Attributes:
        density: [C] rows one step ahead, in tensors that nothing else holds: the correction overwrites them.
        poses: the rows of all that is alive, in the order of slots, with the covariance of the pose alone.
        touching: [C]; dt_s.
        trial_density: predicted rows of each open trial, by object id.
        bound: composites ahead, None where nothing is welded.
    """

    density: Density
    poses: Density
    touching: Bool[Tensor, " C"]
    dt_s: float
    trial_density: dict[int, Density]
    bound: composites.Bound | None = None


def predict_all(state: EngineState, time_s: float) -> Predicted:
    """Carry every object, and every open hypothesis, to `time_s`. Sleepers only get a little less sure."""
    belief, library = state.belief, state.library
    dt_s = time_s - belief.time_s
    models, ids = state.model_index, state.ids
    awake = state.awake & ~state.deferred
    loads = carried(state)
    moving = awake & library.moves[models]
    colliding = awake & library.collides[models]
    colliding[[target for _, target in loads]] = False
    standing = np.flatnonzero(colliding & library.stands[models])
    lawful = impacts.follows_the_law(state)
    colliding[standing] = stimuli.may_bump(belief, standing, dt_s, lawful)
    # hypotheses about an object need the contacts that any of them may have
    colliding[state.holding(state.trials)] = True
    around = stimuli.surroundings(belief, moving, colliding, state.own_slot, state.command, lawful)
    meeting = impacts.may_meet(state, dt_s)
    impacts.begin(state, *(side[meeting[2] == 0] for side in meeting[:2]))
    trials = list(state.trials.values())
    slots = [int(np.flatnonzero(ids == t.object_id)[0]) for t in trials]
    source, scale, index, rows = slot_table.density_of(belief), belief.noise_scale, models, np.flatnonzero(awake)
    impacts.go_on(state, around, colliding, dt_s)
    if trials:  # hypotheses ride in the same batched calls as the objects: one call a class
        source = Density.cat([source, *(t.density for t in trials)])
        index = np.concatenate([models, *(t.model_index for t in trials)])
        whose = np.concatenate([np.full(len(t.model_index), slot) for t, slot in zip(trials, slots, strict=True)])
        rows = np.concatenate([rows, np.arange(belief.capacity, len(index))])
        scale = torch.cat([scale, scale.new_ones(len(whose))])
        around = around.select(state.index(np.concatenate([np.arange(belief.capacity), whose])))
    ahead = predict(source, index, library, around, scale, dt_s, state.settings.loop.linearisation, rows)
    impacts.let_meet(source, ahead, meeting, Inputs(index, library, around, scale, dt_s))
    density, touching = ahead.density.rows(0, belief.capacity), ahead.touching[: belief.capacity]
    lifecycle.dream(density, state.index(np.flatnonzero(state.alive & ~state.awake)))
    coast(density, state.index(np.flatnonzero(state.deferred)), dt_s)
    bounds = belief.capacity + np.cumsum([0] + [len(t.model_index) for t in trials])
    pieces = [ahead.density.rows(a, b) for a, b in itertools.pairwise(bounds)]
    density = _carry(state, density, loads)
    for trial, slot_of_trial, rows_of_trial in zip(trials, slots, pieces, strict=True):
        # what is under test goes where its hypotheses say, each as far as it is believed
        slot = state.index(np.array([slot_of_trial]))
        weight = torch.as_tensor(trial.posterior(), dtype=state.dtype, device=state.device)
        density = density.put(slot, with_state_of(density.select(slot), rows_of_trial, weight))
    bound = composites.foretell(state, density, Inputs(index, library, around, scale, dt_s))
    poses = density.poses(state.index(np.flatnonzero(state.alive)))
    hypotheses = {t.object_id: p for t, p in zip(trials, pieces, strict=True)}
    return Predicted(density, poses, touching, dt_s, hypotheses, bound)


def carried(state: EngineState) -> list[tuple[int, int]]:
    """Return (slot of the carrier, slot of the carried) for every attachment that is more likely than not.

    A thing is carried by one at a time: the likeliest, where what passes by seems to move along too.
    """
    names = [i.kind for i in state.interactions]
    if InteractionKind.ATTACH not in names:
        return []
    table = state.edges
    likely = (table.kind == names.index(InteractionKind.ATTACH)) & (table.log_odds > 0.0)
    rows = np.flatnonzero(likely)
    if len(rows) == 0:
        return []
    rows = rows[np.argsort(table.log_odds[rows], kind="stable")]
    passive = state.passive[state.model_index]
    if not (passive & state.alive).any():
        return []
    a, b = _slots_of(state, np.stack([table.source[rows], table.target[rows]]))
    # co-motion is the same from both sides: what moves of itself is the carrier
    held = (a >= 0) & (b >= 0) & passive[b] & ~passive[a]
    carrier = dict(zip(b[held].tolist(), a[held].tolist(), strict=True))
    return [(a, b) for b, a in carrier.items()]


def _slots_of(state: EngineState, object_id: Int[np.ndarray, "..."]) -> Int[np.ndarray, "..."]:
    """Return the slot of each object, -1 where it has none."""
    order = np.argsort(state.ids, kind="stable")
    place = np.searchsorted(state.ids, object_id, sorter=order).clip(max=len(order) - 1)
    return np.where(state.ids[order[place]] == object_id, order[place], -1)


def _carry(state: EngineState, density: Density, loads: list[tuple[int, int]]) -> Density:
    """Move what is attached along with its carrier, as one body."""
    if not loads:
        return density
    source = state.index(np.array([a for a, _ in loads]))
    target = state.index(np.array([b for _, b in loads]))
    old, new = state.belief.states.select(source), density.states.select(source)
    rows = state.belief.states.select(target)
    turn = quaternion.multiply(new.orientation_xyzw, quaternion.conjugate(old.orientation_xyzw))
    arm = quaternion.rotate(turn, rows.position - old.position)
    moved = ObjectStates(
        new.position + arm,
        quaternion.normalise(quaternion.multiply(turn, rows.orientation_xyzw)),
        new.linear_velocity + torch.linalg.cross(new.angular_velocity, arm, dim=-1),
        new.angular_velocity,
        rows.extent_m,
    )
    covariance = state.belief.joint_covariance.index_select(0, target).clone()
    covariance[:, POSE_DIM:TANGENT_DIM, :] = 0.0
    covariance[:, :, POSE_DIM:TANGENT_DIM] = 0.0
    play = [_GRIP_M**2] * 3 + [_GRIP_RAD**2] * 3 + [_GRIP_SPEED**2] * 6
    covariance[:, :TANGENT_DIM, :TANGENT_DIM] += torch.diag(covariance.new_tensor(play))
    return density.put(target, Density(moved, density.parameters.index_select(0, target), covariance))


@dataclass(frozen=True, slots=True)
class Matched:
    """Which detection each slot got.

    Attributes:
        detection: [C] index into the frame's usable detections, -1 where none.
        visible: [C]; unassigned: indices of unclaimed detections.
        slots, which: tensors of the matched slots and of their detections.
        rows_on_host: the matched slots, on the host.
        run: the slots as a slice, None where they do not lie side by side.
    """

    detection: Int[np.ndarray, " C"]
    visible: Bool[np.ndarray, " C"]
    unassigned: Int[np.ndarray, " n"]
    slots: Int[Tensor, " n"]
    which: Int[Tensor, " n"]
    rows_on_host: Int[np.ndarray, " n"]
    run: slice | None

    def rows(self, part: slice) -> Int[Tensor, " m"] | slice:
        """Return the slots of a part of the matches, as a slice where they are one."""
        if self.run is None:
            return self.slots[part]
        return slice(self.run.start + part.start, self.run.start + part.stop)


def match(state: EngineState, predicted: Predicted, frame: Frame) -> Matched:
    """Associate the frame's detections with the predicted objects."""
    states, belief = predicted.density.states, state.belief
    candidate = state.alive.copy()
    if state.own_slot is not None:
        candidate[state.own_slot] = False
    position, covariance, extent, appearance = fetched(
        states.position, predicted.density.covariance[:, :3, :3], states.extent_m, belief.appearance
    )
    detection = associate(
        position,
        covariance,
        extent,
        appearance,
        candidate,
        frame.detections,
        _manoeuvre(state, predicted.dt_s),
    )
    seen = detection >= 0
    missed = np.flatnonzero(candidate & ~seen)  # what was detected was in view: only the others need looking at
    if len(missed):
        seen[missed] = in_view(state, states, missed, frame)
    free = np.ones(len(frame.detections), dtype=bool)
    free[detection[detection >= 0]] = False
    seen &= ~state.deferred  # nothing is made of it in this step, so it is no miss
    slots = np.flatnonzero((detection >= 0) & ~state.deferred)
    of_slots, of_detections = state.indices(slots, detection[slots])
    return Matched(detection, seen, np.flatnonzero(free), of_slots, of_detections, slots, as_run(slots))


def _manoeuvre(state: EngineState, dt_s: float) -> Float[np.ndarray, " C"]:
    """Return how far each object may be from where it is expected, m, as a standard deviation.

    A velocity that rests on two looks is no better than the belief that both were at the same thing.
    """
    usual = state.settings.loop.manoeuvre_m
    return np.where(state.ledger.hits <= _YOUNG_HITS, max(usual, lifecycle.BIRTH_SPEED_M_S * dt_s), usual)
