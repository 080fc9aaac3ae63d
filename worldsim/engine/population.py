"""Who is there: existence, births, recognition, sleep and deaths."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch
from jaxtyping import Float, Int

from worldsim.engine.correction import own_noise, own_states
from worldsim.engine.state import EngineState
from worldsim.engine.surprisal import Surprised
from worldsim.engine.tracking import Matched
from worldsim.errors import WorldsimError
from worldsim.graph.edges import MOST_IDS, without
from worldsim.inference import lifecycle
from worldsim.inference import slots as slot_table
from worldsim.inference.observe import Frame
from worldsim.types.belief import TANGENT_DIM
from worldsim.types.record import CHANNELS, Channel, EventKind
from worldsim.types.transfer import fetched

_LOST_M = 1e4  # a belief as wide as this has run away: nothing that is seen can be matched with it
_REST_M_S, _REST_RAD_S = 0.06, 0.25
_REST_GATE = 16.3  # squared Mahalanobis distance of the velocity from rest: 1 - 1e-3 of chi-square with 3 degrees
_OWN_SIZE_VARIANCE = 1e-4


def update_existence(state: EngineState, matched: Matched, surprised: Surprised) -> None:
    """Correct how probable it is that each object exists."""
    belief = state.belief
    seen = torch.zeros_like(belief.alive).index_fill(0, matched.slots, True)
    density = belief.existence.new_zeros(belief.capacity)
    density = density.index_copy(0, matched.slots, -surprised.pose.position_nats)
    visible = torch.as_tensor(matched.visible, device=state.device)
    after = lifecycle.existence_after(belief.existence, seen, visible, density, state.settings.sensor)
    own = belief.object_id == (-2 if state.own_id is None else state.own_id)
    after = torch.where(own, torch.ones_like(after), after)
    state.belief = dataclasses.replace(belief, existence=torch.where(belief.alive, after, belief.existence))


def watch(state: EngineState, matched: Matched, dt_s: float, last_seen_s: Float[Tensor, " C"]) -> None:
    """Count hits and fold the frame into the motion statistics; advance the quiet counters.

    Args:
        state: of the world model.
        matched: who was seen.
        dt_s: since the last frame.
        last_seen_s: when each slot was seen last before this frame.
    """
    slots, belief = matched.rows_on_host, state.belief
    velocity, spin, bottom, fallen, before_s = fetched(
        belief.linear_velocity[matched.slots],
        belief.angular_velocity[matched.slots],
        belief.position[matched.slots, 2] - 0.5 * belief.extent_m[matched.slots, 2],
        _fallen(state, matched, dt_s),
        last_seen_s[matched.slots],
    )
    state.ledger.watch(slots, velocity, bottom, np.maximum(belief.time_s - before_s, dt_s))
    velocity = np.column_stack([velocity[:, :2], np.minimum(np.abs(velocity[:, 2]), fallen)])
    calm = (np.linalg.norm(velocity, axis=1) < _REST_M_S) & (np.linalg.norm(spin, axis=1) < _REST_RAD_S)
    state.ledger.quiet[slots] = np.where(calm, state.ledger.quiet[slots] + 1, 0)


def _fallen(state: EngineState, matched: Matched, dt_s: float) -> Float[Tensor, " n"]:
    """Return how fast each matched object has gone up or down since the last frame, m/s.

    What lies on the floor a few millimetres too high, by its believed size, is expected to fall them in every frame
    and is found where it was: it lies, whatever its vertical velocity.
    """
    now = state.belief.position
    if state.before is None or len(state.before) < len(now):
        return torch.full_like(now[matched.slots, 2], torch.inf)
    change = now[matched.slots, 2] - state.before.position[matched.slots, 2]
    return change.abs() / dt_s


def bury(state: EngineState) -> Int[np.ndarray, " n"]:
    """Drop objects that have all but ceased to exist, or that may be anywhere at all; return their ids."""
    loop = state.settings.loop
    belief = state.belief
    last_seen_s, existence, variance = fetched(
        belief.last_seen_s, belief.existence, torch.diagonal(belief.joint_covariance, dim1=1, dim2=2)[:, :3].amax(-1)
    )
    gone = existence < loop.death_existence
    gone |= ~state.ledger.settled & (belief.time_s - last_seen_s > loop.tentative_s)
    lost = ~(variance < _LOST_M**2)
    if state.own_slot is not None:
        lost[state.own_slot] = False
    gone |= lost
    gone &= state.alive
    slots = np.flatnonzero(gone)
    ids = state.ids[slots]
    if len(slots) == 0:
        return ids
    borrowed: list[str] = []
    for slot, object_id in zip(slots, ids, strict=True):
        if state.ledger.settled[slot]:
            state.tell(EventKind.DEATH, int(object_id), model=state.library.model_ids[state.model_index[slot]])
        trial = state.trials.pop(int(object_id), None)
        borrowed += trial.borrowed if trial is not None else ()
        state.verdict_s.pop(int(object_id), None)
        state.waiting.pop(int(object_id), None)
    state.belief = lifecycle.buried(state.belief, state.index(slots))
    state.ledger.clear(slots)
    state.edges = without(state.edges, ids)
    state.dormant_edges.forget(ids)
    if borrowed:
        state.unload(borrowed)
    return ids


def start_objects(state: EngineState, frame: Frame, chosen: Int[np.ndarray, " n"]) -> None:
    """Start a new object, tracked by the generic model, from each unclaimed detection.

    Raises:
        WorldsimError: there are no ids left.
    """
    if len(chosen) == 0:
        return
    slots = free_slots(state, len(chosen))
    if state.next_id + len(chosen) > MOST_IDS:
        raise WorldsimError(
            f"world model: {MOST_IDS} objects were born since the last reset, and there are no more ids. Save the "
            "belief, reset the world model, or detect less clutter."
        )
    ids = np.arange(state.next_id, state.next_id + len(chosen), dtype=np.int64)
    state.next_id += len(chosen)
    state.belief = lifecycle.born(
        state.belief,
        state.index(slots),
        frame,
        state.index(chosen),
        state.index(ids),
        state.generic,
        state.library,
        state.settings.sensor,
    )
    state.ledger.clear(slots)
    state.ledger.hits[slots] = 1


def start_own_body(state: EngineState, frame: Frame) -> None:
    """Start the own body from its first report, as sure as that is, run by the loaded model of the own kind."""
    if frame.ego is None or state.own_id is not None:
        return
    kinds = state.library.kinds
    model = kinds.index(state.settings.ego.kind) if state.settings.ego.kind in kinds else state.generic
    slot = free_slots(state, 1)
    row, states = state.index(slot), own_states(state, frame)
    chosen = state.index(np.array([model]))
    blank = slot_table.empty_belief(1, state.device, state.dtype).tensors()
    belief = slot_table.put(state.belief, row, **blank)  # nothing of who was in the slot before
    covariance = states.position.new_zeros(1, slot_table.JOINT_DIM, slot_table.JOINT_DIM)
    covariance[:, :TANGENT_DIM, :TANGENT_DIM] = own_noise(state, frame)
    belief = slot_table.put(
        belief,
        row,
        alive=torch.ones(1, dtype=torch.bool, device=state.device),
        awake=torch.ones(1, dtype=torch.bool, device=state.device),
        object_id=state.index(np.array([state.next_id])),
        position=states.position,
        orientation_xyzw=states.orientation_xyzw,
        linear_velocity=states.linear_velocity,
        angular_velocity=states.angular_velocity,
        joint_covariance=covariance,
        extent_m=states.extent_m,
        extent_variance_m2=torch.full_like(states.extent_m, _OWN_SIZE_VARIANCE),
        existence=torch.ones(1, dtype=state.dtype, device=state.device),
        birth_s=state.belief.birth_s.new_full((1,), frame.time_s),
        last_seen_s=state.belief.last_seen_s.new_full((1,), frame.time_s),
    )
    state.belief = lifecycle.take_model(belief, row, chosen, state.library)
    state.own_id = state.next_id
    state.next_id += 1
    state.ledger.clear(slot)
    state.ledger.settled[slot] = True


def settle(state: EngineState) -> None:
    """Recognise the objects that have been watched for long enough; what nothing loaded explains stays generic."""
    loop = state.settings.loop
    due = state.alive & ~state.ledger.settled & (state.ledger.hits >= loop.settle_frames)
    slots = np.flatnonzero(due)
    if len(slots) == 0:
        return
    if state.knows_nothing:
        state.ledger.settled[slots] = True
        _lay_down(state, slots)
        return
    row = state.index(slots)
    found = lifecycle.recognise(state.belief, row, state.library, state.broad, state.passive)
    state.ledger.settled[slots] = True
    unknown = found.log_e > loop.unknown_threshold_nats if loop.surprise else np.zeros(len(slots), dtype=bool)
    # what nothing explains is an alarm at once; what something explains poorly starts with that against it
    value = np.where(unknown, np.maximum(found.log_e, loop.alarm_threshold_nats + 1.0), found.log_e.clip(0.0))
    log_e = torch.as_tensor(value, dtype=state.dtype, device=state.device)
    looks = CHANNELS.index(Channel.APPEARANCE)
    state.ledger.surprise_sum[slots, looks] += found.log_e.clip(0.0)
    state.belief = slot_table.put(state.belief, row, log_e_value=log_e)
    known = ~unknown
    state.belief = lifecycle.take_model(
        state.belief, state.index(slots[known]), state.index(found.model_index[known]), state.library
    )
    falls = known & state.library.moves[found.model_index] & state.library.collides[found.model_index]
    state.belief = lifecycle.unsure_of_fall(state.belief, state.index(slots[falls]), loop.settle_frames)
    _lay_down(state, slots[known])
    for slot in slots:
        model = state.library.model_ids[state.model_index[slot]]
        state.tell(EventKind.BIRTH, int(state.ids[slot]), model=model)


def _lay_down(state: EngineState, slots: Int[np.ndarray, " n"]) -> None:
    """Let newly recognised passive objects sleep at once where they are at rest."""
    models = state.model_index[slots]
    passive = state.passive[models]
    row = state.index(slots)
    velocity = state.belief.linear_velocity[row].unsqueeze(-1)
    root = torch.linalg.cholesky_ex(state.belief.joint_covariance[row, 6:9, 6:9]).L
    distance = (velocity * torch.cholesky_solve(velocity, root)).sum((-2, -1)).cpu().numpy()
    at_rest = (distance < _REST_GATE) | ~state.library.moves[models]
    state.belief = lifecycle.to_sleep(state.belief, state.index(slots[passive & at_rest]))


def fall_asleep(state: EngineState) -> None:
    """Let passive objects sleep that have been at rest for a while and are not held."""
    tired = state.awake & state.ledger.settled & (state.ledger.quiet >= state.settings.loop.quiet_frames)
    tired &= state.passive[state.model_index] & ~state.holding(state.trials)
    state.belief = lifecycle.to_sleep(state.belief, state.index(np.flatnonzero(tired)))


def free_slots(state: EngineState, count: int) -> Int[np.ndarray, " n"]:
    """Return so many free slots; where there are too few, the belief doubles its capacity first."""
    while int((~state.alive).sum()) < count:
        state.belief = slot_table.grow(state.belief)
        state.ledger.grow()
        state.tell(EventKind.GROWTH, capacity=state.belief.capacity)
    return np.flatnonzero(~state.alive)[:count]
