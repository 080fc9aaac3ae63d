"""Predict, associate, surprise, correct: the Bayes filter's round over all objects."""

from __future__ import annotations

import dataclasses
import itertools
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from worldsim.dynamics import quaternion
from worldsim.dynamics.neighbours import pairs_within
from worldsim.engine.attention import coast
from worldsim.engine.sight import in_view
from worldsim.engine.state import EngineState
from worldsim.filtering.blocks import each_block
from worldsim.filtering.correct import POSE_DIM, Innovation, correct, innovation
from worldsim.filtering.density import Density, as_run, local
from worldsim.filtering.mixture import with_state_of
from worldsim.filtering.predict import predict
from worldsim.hypotheses.trial import faded
from worldsim.inference import lifecycle, stimuli
from worldsim.inference import slots as slot_table
from worldsim.inference.associate import associate
from worldsim.inference.observe import Frame
from worldsim.inference.surprise import PoseSurprise, accumulate, appearance_surprisal, pose_surprise
from worldsim.types.belief import TANGENT_DIM
from worldsim.types.graph import InteractionKind
from worldsim.types.states import ObjectStates

_GRIP_M, _GRIP_RAD = 4e-3, 1e-2  # play of a carried thing in its grip, a frame
_GRIP_SPEED = 0.1
_MANOEUVRE, _OUT_OF_THE_BLUE = 0.1, 1e-5  # probabilities a frame
_PUSH_REACH_M = 0.5  # between hulls: somebody that near may push it, directly or through another thing
_WAKE_NIS = 27.9  # chi-square with 6 degrees of freedom: once in 10,000 frames by chance
_WAKE_M, _WAKE_RAD = 0.05, 0.1  # a thing that has begun to move may be this far from where it slept
_FADE_FROM, _FADE_LIMIT = 18.0, 60.0  # NIS above which a mover's covariance is widened to keep up
_NOISE_RATE, _NOISE_MEMORY = 0.02, 0.995
_NOISE_LIMITS = (0.3, 8.0)
_TWIST_STD = (0.03, 0.03)  # odometry: m/s, rad/s
_ATTRIBUTE_FLOOR = 1e-5  # an estimate is never surer than this variance: looks drift
_YOUNG_HITS = 2


@dataclass(frozen=True, slots=True)
class Predicted:
    """The prior of this step.

    Attributes:
        density: [C] rows one step ahead, in tensors that nothing else holds: the correction overwrites them.
        poses: the rows of all that is alive, in the order of slots, with the covariance of the pose alone.
        touching: [C]; dt_s.
        trial_density: predicted rows of each open trial, by object id.
    """

    density: Density
    poses: Density
    touching: Bool[Tensor, " C"]
    dt_s: float
    trial_density: dict[int, Density]


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
    colliding[standing] = stimuli.may_bump(belief, standing, dt_s)
    # hypotheses about an object need the contacts that any of them may have
    colliding[np.isin(ids, list(state.trials))] = True
    around = stimuli.surroundings(belief, moving, colliding, state.own_slot, state.command)
    trials = list(state.trials.values())
    slots = [int(np.flatnonzero(ids == t.object_id)[0]) for t in trials]
    source, scale, index, rows = slot_table.density_of(belief), belief.noise_scale, models, np.flatnonzero(awake)
    if trials:  # hypotheses ride in the same batched calls as the objects: one call a class
        source = Density.cat([source, *(t.density for t in trials)])
        index = np.concatenate([models, *(t.model_index for t in trials)])
        whose = np.concatenate([np.full(len(t.model_index), slot) for t, slot in zip(trials, slots, strict=True)])
        rows = np.concatenate([rows, np.arange(belief.capacity, len(index))])
        scale = torch.cat([scale, scale.new_ones(len(whose))])
        around = around.select(state.index(np.concatenate([np.arange(belief.capacity), whose])))
    ahead = predict(source, index, library, around, scale, dt_s, state.settings.loop.linearisation, rows)
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
    poses = density.poses(state.index(np.flatnonzero(state.alive)))
    return Predicted(density, poses, touching, dt_s, {t.object_id: p for t, p in zip(trials, pieces, strict=True)})


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
    carrier: dict[int, int] = {}
    for a, b in zip(_slots_of(state, table.source[rows]), _slots_of(state, table.target[rows]), strict=True):
        # co-motion is the same from both sides: what moves of itself is the carrier
        if a >= 0 and b >= 0 and passive[b] and not passive[a]:
            carrier[int(b)] = int(a)
    return [(a, b) for b, a in carrier.items()]


def _slots_of(state: EngineState, object_id: Int[np.ndarray, " n"]) -> Int[np.ndarray, " n"]:
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
        run: the slots as a slice, None where they do not lie side by side.
    """

    detection: Int[np.ndarray, " C"]
    visible: Bool[np.ndarray, " C"]
    unassigned: Int[np.ndarray, " n"]
    slots: Int[Tensor, " n"]
    which: Int[Tensor, " n"]
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
    detection = associate(
        states.position.cpu().numpy(),
        predicted.density.covariance[:, :3, :3].cpu().numpy(),
        states.extent_m.cpu().numpy(),
        belief.appearance.cpu().numpy(),
        candidate,
        frame.detections,
        _manoeuvre(state, predicted.dt_s),
    )
    seen = detection >= 0
    missed = np.flatnonzero(candidate & ~seen)  # what was detected was in view: only the others need looking at
    if len(missed):
        seen[missed] = in_view(state, states, missed, frame)
    unassigned = np.setdiff1d(np.arange(len(frame.detections)), detection[detection >= 0])
    seen &= ~state.deferred  # nothing is made of it in this step, so it is no miss
    slots = np.flatnonzero((detection >= 0) & ~state.deferred)
    return Matched(detection, seen, unassigned, state.index(slots), state.index(detection[slots]), as_run(slots))


def _manoeuvre(state: EngineState, dt_s: float) -> Float[np.ndarray, " C"]:
    """Return how far each object may be from where it is expected, m, as a standard deviation.

    A velocity that rests on two looks is no better than the belief that both were at the same thing.
    """
    usual = state.settings.loop.manoeuvre_m
    return np.where(state.ledger.hits <= _YOUNG_HITS, max(usual, lifecycle.BIRTH_SPEED_M_S * dt_s), usual)


@dataclass(frozen=True, slots=True)
class Surprised:
    """Surprise of the n matched slots.

    Attributes:
        innovation, pose: of each.
        noise: [n, 6, 6] of the sensor that saw each pose.
        appearance_nats: [n] surprisal of size and look; appearance_excess_nats: minus its expectation.
    """

    innovation: Innovation
    pose: PoseSurprise
    noise: Float[Tensor, "n 6 6"]
    appearance_nats: Float[Tensor, " n"]
    appearance_excess_nats: Float[Tensor, " n"]

    @classmethod
    def cat(cls, parts: list[Surprised]) -> Surprised:
        """Stack the rows of several."""
        if len(parts) == 1:
            return parts[0]
        return cls(
            Innovation(*(torch.cat(t) for t in zip(*(_tensors(p.innovation) for p in parts), strict=True))),
            PoseSurprise(*(torch.cat(t) for t in zip(*(_tensors(p.pose) for p in parts), strict=True))),
            torch.cat([p.noise for p in parts]),
            torch.cat([p.appearance_nats for p in parts]),
            torch.cat([p.appearance_excess_nats for p in parts]),
        )


def _tensors(value: Innovation | PoseSurprise) -> list[Tensor]:
    return [getattr(value, field.name) for field in dataclasses.fields(value)]


def surprise(state: EngineState, predicted: Predicted, matched: Matched, frame: Frame) -> Surprised:
    """Weigh each match against the prediction, before anything is corrected."""
    sensor, belief, density = state.settings.sensor, state.belief, predicted.density
    manoeuvre = _manoeuvre_probability(state, matched.slots)

    def surprised(part: slice) -> Surprised:
        slots, which = matched.rows(part), matched.which[part]
        noise = sensor.pose_noise(frame.covariance[which])
        seen = innovation(density.poses(slots), frame.position[which], frame.orientation_xyzw[which], noise)
        extent = belief.extent_m[slots]
        size_variance = belief.extent_variance_m2[slots] + sensor.extent_variance(extent)
        look_variance = belief.appearance_variance[slots] + sensor.appearance_variance()
        size = frame.extent_m[which] - extent
        look = frame.appearance[which] - belief.appearance[slots]
        nats = appearance_surprisal(size, size_variance, look, look_variance)
        excess = 0.5 * ((size**2 / size_variance - 1.0).sum(-1) + (look**2 / look_variance - 1.0).sum(-1))
        return Surprised(seen, pose_surprise(seen, manoeuvre[part]), noise, nats, excess)

    return Surprised.cat(each_block(len(matched.slots), state.device, state.dtype, surprised))


def _manoeuvre_probability(state: EngineState, slots: Int[Tensor, " n"]) -> Float[Tensor, " n"]:
    """Return how probable a jump is that no dynamics foresees: of a mover's own will, or by a mover beside it."""
    belief, models, mine = state.belief, state.model_index, slots.cpu().numpy()
    willing = state.awake & state.library.moves[models] & ~state.passive[models]
    probability = np.where(willing[mine], _MANOEUVRE, _OUT_OF_THE_BLUE)
    movers, pushable = np.flatnonzero(willing), np.flatnonzero(state.library.moves[models[mine]] & ~willing[mine])
    if len(movers) and len(pushable):
        # by pairs that are near, not by all pairs: what it costs follows the crowding and not the square of the number
        position = belief.position.cpu().numpy()
        radius = 0.5 * belief.extent_m.norm(dim=-1).cpu().numpy()
        things = mine[pushable]
        row, near, distance = pairs_within(
            position[things], radius[things] + radius[movers].max() + _PUSH_REACH_M, position[movers]
        )
        gap = distance - radius[movers[near]] - radius[things[row]]
        probability[pushable[row[gap < _PUSH_REACH_M]]] = _MANOEUVRE
    return torch.as_tensor(probability, dtype=state.dtype, device=state.device)


def correct_all(
    state: EngineState, predicted: Predicted, matched: Matched, surprised: Surprised, frame: Frame
) -> Float[Tensor, " C"]:
    """Fold the matches into the belief; return each slot's Bayesian surprise in nats (0 where unseen).

    The predicted rows become the corrected ones where they lie: a copy of all covariances would cost as much as
    correcting a quarter of them.
    """
    belief, slots = state.belief, matched.slots
    learned = belief.existence.new_zeros(belief.capacity)
    density = predicted.density
    nis = surprised.innovation.nis
    awake = belief.awake[slots]
    moves = torch.as_tensor(state.library.moves, device=state.device)[belief.model_index[slots]]
    startled = ~awake & moves & (nis > _WAKE_NIS)
    fade = torch.where(awake, (nis / _FADE_FROM).clamp(1.0, _FADE_LIMIT), torch.ones_like(nis))
    residual, root = surprised.innovation.residual, surprised.innovation.root
    odd = np.flatnonzero(((fade > 1.0) | startled).cpu().numpy())  # the few whose prior is widened first

    def corrected(part: slice) -> None:
        mine = matched.rows(part)
        prior = density.select(mine)
        few = state.index(odd[(odd >= part.start) & (odd < part.stop)])
        if len(few):
            wide = faded(density.select(slots[few]), fade[few])
            wide = lifecycle.startled(wide, startled[few], _WAKE_M, _WAKE_RAD)
            prior.covariance.index_copy_(0, few - part.start, wide.covariance)
            again = Innovation.of(residual[few], wide.covariance[:, :POSE_DIM, :POSE_DIM] + surprised.noise[few])
            root.index_copy_(0, few, again.root)
        rows, gained = correct(prior, residual[part], surprised.noise[part], root[part], overwrite=True)
        if isinstance(mine, slice):
            density.write_mean(mine, rows)
        else:
            density.write(mine, rows)
        learned.index_copy_(0, slots[part], gained)

    each_block(len(slots), state.device, state.dtype, corrected)
    mine = _correct_own(state, density, frame)
    if mine is not None:
        row, rows, gained = mine
        density.write(row, rows)
        learned.index_copy_(0, row, gained)
    belief = slot_table.with_density(belief, density)
    state.belief = dataclasses.replace(belief, time_s=frame.time_s)
    _correct_attributes(state, matched, frame)
    _adapt_noise(state, matched, nis, predicted.touching[slots])
    state.belief = lifecycle.awoken(state.belief, slots[startled])
    return learned


def _correct_own(
    state: EngineState, density: Density, frame: Frame
) -> tuple[Int[Tensor, " 1"], Density, Float[Tensor, " 1"]] | None:
    """Return the own body's slot, its row after its own report, and how much that taught; None where there is none."""
    if frame.ego is None or state.own_slot is None:
        return None
    row = state.index(np.array([state.own_slot]))
    observed = own_states(state, frame)
    linear, angular = _TWIST_STD
    twist = density.covariance.new_tensor([linear**2] * 3 + [angular**2] * 3)
    noise = density.covariance.new_zeros(1, TANGENT_DIM, TANGENT_DIM)
    pose = torch.as_tensor(frame.ego.covariance, dtype=state.dtype, device=state.device)
    noise[0, :POSE_DIM, :POSE_DIM] = state.settings.sensor.pose_noise(pose)
    noise[0, POSE_DIM:, POSE_DIM:] = torch.diag(twist)
    rows = density.select(row)
    rows, gained = correct(rows, local(observed, rows.states), noise)
    return row, rows, gained


def own_states(state: EngineState, frame: Frame) -> ObjectStates:
    """Return the own body's reported state as one row."""
    ego = frame.ego
    assert ego is not None

    def row(array: np.ndarray) -> Tensor:
        return torch.as_tensor(array, device=state.device).to(state.dtype).reshape(1, -1)

    quaternions = row(ego.orientation_xyzw)
    return ObjectStates(
        row(ego.position),
        quaternions / quaternions.norm(dim=-1, keepdim=True),
        row(ego.linear_velocity),
        row(ego.angular_velocity),
        row(ego.extent_m),
    )


def _correct_attributes(state: EngineState, matched: Matched, frame: Frame) -> None:
    """Average size and look over what was seen (a Kalman filter of a constant), and the colour for drawing."""
    belief, slots, which, sensor = state.belief, matched.slots, matched.which, state.settings.sensor
    size_noise = sensor.extent_variance(belief.extent_m[slots])
    size, size_variance = _blend(
        belief.extent_m[slots], belief.extent_variance_m2[slots], frame.extent_m[which], size_noise
    )
    look, look_variance = _blend(
        belief.appearance[slots],
        belief.appearance_variance[slots],
        frame.appearance[which],
        torch.full_like(belief.appearance[slots], sensor.appearance_variance()),
    )
    state.belief = slot_table.put(
        belief,
        slots,
        extent_m=size.clamp_min(1e-3),
        extent_variance_m2=size_variance,
        appearance=look,
        appearance_variance=look_variance,
        colour=0.9 * belief.colour[slots] + 0.1 * frame.colour[which],
        last_seen_s=torch.full_like(belief.last_seen_s[slots], frame.time_s),
    )


def _blend(mean: Tensor, variance: Tensor, observed: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
    gain = variance / (variance + noise)
    return mean + gain * (observed - mean), ((1.0 - gain) * variance).clamp_min(_ATTRIBUTE_FLOOR)


def _adapt_noise(state: EngineState, matched: Matched, nis: Float[Tensor, " n"], touching: Bool[Tensor, " n"]) -> None:
    """Learn how unpredictable each mover is: its noise scale follows the NIS, and slowly returns to 1.

    A frame with a contact says how rough the contact was, and nothing of the motion without it.
    """
    slots = matched.slots
    scale = state.belief.noise_scale[slots]
    excess = (nis / POSE_DIM).clamp(0.0, 5.0) - 1.0
    adapted = (torch.log(scale) * _NOISE_MEMORY + _NOISE_RATE * excess).exp().clamp(*_NOISE_LIMITS)
    moves = torch.as_tensor(state.library.moves, device=state.device)[state.belief.model_index[slots]]
    state.belief = slot_table.put(
        state.belief, slots, noise_scale=torch.where(moves & state.belief.awake[slots] & ~touching, adapted, scale)
    )


def accumulate_surprise(
    state: EngineState, matched: Matched, surprised: Surprised, shares: Float[Tensor, "n channels"]
) -> None:
    """Feed the e-detectors of the recognised objects that are not under test, and blame the channels."""
    slots = matched.slots.cpu().numpy()
    pose = surprised.pose
    ids = state.ids[slots]
    counts = state.ledger.settled[slots] & ~np.isin(ids, list(state.trials)) & ~state.broad[state.model_index[slots]]
    value = accumulate(
        state.belief.log_e_value[matched.slots], pose.log_e, torch.as_tensor(counts, device=state.device)
    )
    state.belief = slot_table.put(state.belief, matched.slots, log_e_value=value)
    state.ledger.blame(slots, shares.cpu().numpy())


def excess_by_channel(predicted: Predicted, matched: Matched, surprised: Surprised) -> Float[Tensor, "n channels"]:
    """Return the excess surprise of each match by channel: a pose's counts as contact where something touched."""
    touching = predicted.touching[matched.slots]
    pose = surprised.pose
    none = torch.zeros_like(pose.excess_nats)
    return torch.stack(
        [
            none,
            torch.where(touching, none, pose.excess_nats),
            none,
            torch.where(touching, pose.excess_nats, none),
            surprised.appearance_excess_nats,
        ],
        dim=-1,
    )
