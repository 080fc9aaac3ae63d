"""Deep sleep: who is put away, what is seen of them without waking anybody, and who is taken up again."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy.spatial.transform import Rotation

from worldsim.dormancy import kernels, watch
from worldsim.dormancy.edges import DormantEdges
from worldsim.dormancy.store import Dormant, Signature
from worldsim.dynamics import quaternion
from worldsim.dynamics.neighbours import pairs_within
from worldsim.engine.population import free_slots
from worldsim.engine.state import EngineState
from worldsim.engine.tracking import Matched, carried
from worldsim.graph.edges import EdgeTable
from worldsim.inference import lifecycle
from worldsim.inference import slots as slot_table
from worldsim.inference.ledger import Ledger
from worldsim.inference.observe import Frame
from worldsim.types.belief import TANGENT_DIM, WorldBelief
from worldsim.types.observation import Observation
from worldsim.types.record import EventKind
from worldsim.types.states import ObjectStates

_EVERY = 8  # frames between two looks for who may be put away
_SEEN_FRAMES = 10  # what is put away has been looked at for edges as often as anything is
_MARGIN_M, _HYSTERESIS_M = 0.3, 0.7
_FARTHER = 1.5  # times as far as it is expected to go in the step
_PUSH_M = 0.5  # a mover so near may push: surprise counts with it (tracking)
_MOST_CELLS = 256  # of the ground; what covers more is kept at hand
_HIDDEN_FRAMES = 600  # what was out of sight is looked for again after so many
_CALM_NATS = 3.0  # e-value above which a sleeper is being doubted
_SPARSE = 4  # slots for each object at hand, beyond which the belief is packed


def sift(state: EngineState, observation: Observation) -> Int[np.ndarray, " r"] | None:
    """Return the detections that the step is about, having taken up the sleepers that they disturb; None for all."""
    if len(state.dormant) == 0:
        return None
    now = state.frames + 1
    moving = np.flatnonzero(state.awake & state.library.moves[state.model_index])
    place, radius = _spheres(state, moving)
    swept = radius + _FARTHER * _speeds(state, moving) * (observation.time_s - state.belief.time_s)
    near = watch.beside(state.dormant, place, swept, _reach_m(state) + _MARGIN_M)
    late = watch.overdue(state.dormant, observation.viewpoints, now)
    rouse(state, np.union1d(near, late))
    sensor = state.settings.sensor
    moment = watch.Moment(now, observation.time_s, sensor.extent_noise_share, sensor.extent_noise_m)
    sifted = watch.sift(state.dormant, observation.detections, moment)
    rouse(state, sifted.disturbed)
    return sifted.rows


def rouse(state: EngineState, rows: Int[np.ndarray, " n"]) -> None:
    """Take sleepers up into the belief again, asleep as yet: the step decides what becomes of them."""
    if len(rows) == 0:
        return
    ids, columns, fields = state.dormant.object_id[rows], *_believed(state, rows)
    state.dormant.leave(rows)
    slots = free_slots(state, len(ids))
    row = state.index(slots)
    state.belief = slot_table.put(state.belief, row, **fields)
    for f in dataclasses.fields(Ledger):
        getattr(state.ledger, f.name)[slots] = columns[f"ledger.{f.name}"]
    if state.before is not None:
        state.before = _with_rows(state.before, state.belief, row)
    taken = state.dormant_edges.take(ids, state.dormant.holds)
    e = state.dormant_edges
    state.edges = state.edges.joined(EdgeTable(e.source[taken], e.target[taken], e.kind[taken], e.log_odds[taken]))


def put_away(state: EngineState, matched: Matched, frame: Frame) -> None:
    """Put passive things that sleep, and that nothing comes near, to deep sleep; then pack the belief."""
    above = state.settings.loop.dormant_above
    if above is None or state.frames % _EVERY:
        return
    asleep = state.alive & ~state.awake & state.ledger.settled
    if int(asleep.sum()) + len(state.dormant) <= above:
        return
    slots = np.flatnonzero(asleep & _undoubted(state))
    unseen = np.ones(state.belief.capacity, dtype=bool)
    unseen[: len(matched.detection)] = matched.detection < 0
    due = np.zeros(state.belief.capacity, dtype=bool)
    due[: len(matched.visible)] = matched.visible
    sharp = np.ones(state.belief.capacity, dtype=bool)
    noise = torch.diagonal(frame.covariance[matched.which], dim1=1, dim2=2)[:, :3].amax(-1)
    sharp[matched.slots.cpu().numpy()] = (noise.cpu().numpy() ** 0.5) < 0.7 * watch.widest_std_m()
    slots = slots[~(unseen & due)[slots] & sharp[slots]]
    slots = slots[_alone(state, slots)]
    if state.dormant.rows == 0:
        state.dormant.origin_s = state.belief.time_s
    signature = _signature(state, slots)
    small = watch.footprint_cells(signature.half_m) <= _MOST_CELLS
    small &= signature.variance[:, :3].max(axis=1, initial=0.0) ** 0.5 < 0.7 * watch.widest_std_m()
    slots = slots[small]
    if len(slots) == 0:
        return
    hidden_until = np.where(unseen[slots], state.frames + _HIDDEN_FRAMES, 0)
    ids = state.ids[slots].copy()
    chosen = signature.select(np.flatnonzero(small))
    state.dormant.put(ids, _columns(state, slots), chosen, hidden_until)
    state.belief = lifecycle.buried(state.belief, state.index(slots))
    state.ledger.clear(slots)
    _put_edges_away(state)
    _pack(state)


def whole(state: EngineState) -> EngineState:
    """Return a state whose belief, ledger and edges hold the sleepers too: for whoever looks at all that there is.

    It costs what there is; no stage of the step does it.
    """
    rows = state.dormant.present()
    if len(rows) == 0:
        return state
    columns, more = _believed(state, rows)
    tensors = {name: torch.cat([value, more[name]]) for name, value in state.belief.tensors().items()}
    ledger = Ledger(
        **{
            f.name: np.concatenate([getattr(state.ledger, f.name), columns[f"ledger.{f.name}"]])
            for f in dataclasses.fields(Ledger)
        }
    )
    e = state.dormant_edges
    edges = state.edges.joined(EdgeTable(*(values[e.here] for values in (e.source, e.target, e.kind, e.log_odds))))
    return dataclasses.replace(
        state,
        belief=dataclasses.replace(state.belief, **tensors),  # type: ignore[arg-type]
        ledger=ledger,
        edges=edges,
        before=None,
        dormant=Dormant(),
        dormant_edges=DormantEdges(),
        mirrors={},
    )


def _undoubted(state: EngineState) -> Bool[np.ndarray, " C"]:
    """Return who is surely there, well known, and subject of nothing that is going on."""
    loop, belief, ledger = state.settings.loop, state.belief, state.ledger
    sure = belief.existence.cpu().numpy() > loop.confirm_existence
    sure &= (belief.log_e_value.cpu().numpy() < _CALM_NATS) & (ledger.hits >= _SEEN_FRAMES)
    sure &= np.isnan(ledger.learning_since_s) & ~state.holding([*state.trials, *state.waiting])
    sure[[target for _, target in carried(state)]] = False
    if state.own_slot is not None:
        sure[state.own_slot] = False
    return sure


def _alone(state: EngineState, slots: Int[np.ndarray, " n"]) -> Bool[np.ndarray, " n"]:
    """Return which of some sleepers no mover is near, by their bounding spheres."""
    moving = np.flatnonzero(state.awake & state.library.moves[state.model_index])
    alone = np.ones(len(slots), dtype=bool)
    if len(moving) and len(slots):
        place, radius = _spheres(state, slots)
        theirs, width = _spheres(state, moving)
        reach = _reach_m(state) + _MARGIN_M + _HYSTERESIS_M
        row, mover, distance = pairs_within(place, radius + width.max() + reach, theirs)
        alone[row[distance - radius[row] - width[mover] < reach]] = False
    return alone


def _reach_m(state: EngineState) -> float:
    """Return how near a mover must be to a thing to matter to it, between hulls."""
    return max((_PUSH_M, *(i.reach_m for i in state.interactions)))


def _spheres(
    state: EngineState, slots: Int[np.ndarray, " n"]
) -> tuple[Float[np.ndarray, "n 3"], Float[np.ndarray, " n"]]:
    row = state.index(slots)
    radius = 0.5 * state.belief.extent_m.index_select(0, row).norm(dim=-1)
    return state.belief.position.index_select(0, row).cpu().numpy(), radius.cpu().numpy()


def _speeds(state: EngineState, slots: Int[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    velocity = state.belief.linear_velocity.index_select(0, state.index(slots))
    return np.asarray(velocity.norm(dim=-1).cpu().numpy())


def _signature(state: EngineState, slots: Int[np.ndarray, " n"]) -> Signature:
    belief, row = state.belief, state.index(slots)
    pose = torch.diagonal(belief.joint_covariance[:, :6, :6].index_select(0, row), dim1=1, dim2=2).cpu().numpy()
    turn, extent = belief.orientation_xyzw[row].cpu().numpy(), belief.extent_m[row].cpu().numpy()
    axes = np.abs(Rotation.from_quat(turn).as_matrix()) if len(slots) else np.zeros((0, 3, 3))
    return Signature.of(
        position=belief.position[row].cpu().numpy(),
        orientation_xyzw=turn,
        extent_m=extent,
        extent_variance_m2=belief.extent_variance_m2[row].cpu().numpy(),
        variance=pose,
        drift=np.zeros_like(pose),
        strain=np.full_like(pose[:, :1], watch.AGREED),
        last_frame=np.full_like(pose[:, :1], state.frames + 1),
        last_seen_s=(belief.last_seen_s[row].unsqueeze(-1).cpu().numpy() - state.dormant.origin_s).astype(pose.dtype),
        half_m=np.einsum("nij,nj->ni", axes, 0.5 * extent).astype(extent.dtype),
        appearance=belief.appearance[row].cpu().numpy(),
    )


def _columns(state: EngineState, slots: Int[np.ndarray, " n"]) -> dict[str, np.ndarray]:
    """Return what is needed to take things up again; a sleeper's pose tells nothing of its parameters."""
    row = state.index(slots)
    joint = state.belief.joint_covariance.index_select(0, row)
    found = {
        f"belief.{name}": value.index_select(0, row).cpu().numpy()
        for name, value in state.belief.tensors().items()
        if name not in ("alive", "awake", "joint_covariance")
    }
    found["pose_covariance"] = joint[:, :6, :6].cpu().numpy()
    found["parameter_covariance"] = joint[:, TANGENT_DIM:, TANGENT_DIM:].cpu().numpy()
    return found | {f"ledger.{f.name}": getattr(state.ledger, f.name)[slots] for f in dataclasses.fields(Ledger)}


def _believed(state: EngineState, rows: Int[np.ndarray, " n"]) -> tuple[dict[str, np.ndarray], dict[str, torch.Tensor]]:
    """Return the columns of some sleepers, and the fields of the belief about them as it was corrected meanwhile."""
    store, now = state.dormant, state.frames
    columns = {name: values[rows] for name, values in store.columns.items()}
    assert store.signature is not None
    s, pose = store.signature.select(rows), columns["pose_covariance"]
    unseen = (now - s.last_frame).clip(0)[:, None]
    variance = s.variance + (unseen * np.array(kernels.CREEP)).astype(pose.dtype)
    wider = np.sqrt(variance / np.diagonal(pose, axis1=1, axis2=2))
    joint = np.zeros((len(rows), slot_table.JOINT_DIM, slot_table.JOINT_DIM), dtype=pose.dtype)
    joint[:, :6, :6] = pose * wider[:, :, None] * wider[:, None, :]
    joint[:, TANGENT_DIM:, TANGENT_DIM:] = columns["parameter_covariance"]

    def tensor(values: np.ndarray) -> torch.Tensor:
        return torch.as_tensor(values, device=state.device)

    fields = {name.removeprefix("belief."): tensor(v) for name, v in columns.items() if name.startswith("belief.")}
    drift, yes = tensor(s.drift), torch.ones(len(rows), dtype=torch.bool, device=state.device)
    turned = quaternion.multiply(quaternion.exp(drift[:, 3:]), fields["orientation_xyzw"])
    return columns, fields | {
        "last_seen_s": tensor(store.origin_s + s.last_seen_s.astype(np.float64)),
        "alive": yes,
        "awake": ~yes,
        "joint_covariance": tensor(joint),
        "position": fields["position"] + drift[:, :3],
        "orientation_xyzw": quaternion.normalise(turned),
        "extent_m": tensor(s.extent_m),
        "extent_variance_m2": tensor(s.extent_variance_m2),
    }


def _put_edges_away(state: EngineState) -> None:
    table = state.edges
    away = state.dormant.holds(table.source) | state.dormant.holds(table.target)
    if away.any():
        state.dormant_edges.put(table.source[away], table.target[away], table.kind[away], table.log_odds[away])
        kept = ~away
        state.edges = EdgeTable(table.source[kept], table.target[kept], table.kind[kept], table.log_odds[kept])


def _with_rows(before: ObjectStates, belief: WorldBelief, row: Int[torch.Tensor, " n"]) -> ObjectStates:
    """Return last step's states with some rows where they are believed to be now: sleepers have not moved."""
    before, now = slot_table.lengthened(before, belief.capacity), belief.states.select(row)
    return ObjectStates(
        before.position.index_copy(0, row, now.position),
        before.orientation_xyzw.index_copy(0, row, now.orientation_xyzw),
        before.linear_velocity.index_copy(0, row, now.linear_velocity),
        before.angular_velocity.index_copy(0, row, now.angular_velocity),
        before.extent_m.index_copy(0, row, now.extent_m),
    )


def _pack(state: EngineState) -> None:
    """Give the belief no more slots than what is at hand needs, once it has many more."""
    slots = np.flatnonzero(state.alive)
    capacity = state.settings.loop.capacity
    while capacity < 2 * len(slots):
        capacity *= 2
    if _SPARSE * capacity > 2 * state.belief.capacity:
        return
    state.belief = slot_table.packed(state.belief, state.index(slots), capacity)
    ledger, kept = Ledger.empty(capacity), np.arange(len(slots))
    for f in dataclasses.fields(Ledger):
        getattr(ledger, f.name)[kept] = getattr(state.ledger, f.name)[slots]
    state.ledger = ledger
    state.tell(EventKind.GROWTH, capacity=capacity)
