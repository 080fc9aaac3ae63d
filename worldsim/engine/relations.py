"""Who acts on whom: one round of edge inference over the candidate pairs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from worldsim.contracts.interaction import PairFrame
from worldsim.dynamics import quaternion
from worldsim.engine.state import EngineState
from worldsim.graph.candidates import candidate_pairs
from worldsim.graph.edges import Evidence, as_graph, infer
from worldsim.graph.links import clusters
from worldsim.graph.rooms import NOWHERE, nesting, rooms
from worldsim.inference import slots as slot_table
from worldsim.types.graph import InteractionGraph

_SLEEPING_PAIRS_EVERY = 12  # frames; nothing changes between two things that sleep
_STANDING_EVERY = 4  # frames looked at as one by kinds that do not read motion
_NEW_FRAMES = 6  # as long as a thing was seen no more often, it is looked at in every frame, asleep or not


def infer_graph(state: EngineState, dt_s: float) -> None:
    """Fold this frame into the edges.

    Pairs in which nobody is awake are looked at every twelfth frame, kinds that read no motion every fourth; but things
    that are new in every frame, since much is found at rest and falls asleep at once.
    """
    if state.before is None or not state.interactions:
        return
    known = state.alive & state.ledger.settled
    able = known & state.library.moves[state.model_index]
    new = able & (state.ledger.hits <= _NEW_FRAMES)
    standing = state.frames % _STANDING_EVERY == 0
    due = [(k, i) for k, i in enumerate(state.interactions) if standing or i.reads_motion or new.any()]
    if not due:
        return
    worked_on = state.awake
    worked_on[: len(state.deferred)] &= ~state.deferred
    active = able & (worked_on | new) if state.frames % _SLEEPING_PAIRS_EVERY else able
    slots = np.flatnonzero(known)
    position, turn, extent = state.on_host("position", "orientation_xyzw", "extent_m")
    pairs, gap = candidate_pairs(
        position[slots],
        turn[slots],
        extent[slots],
        active[slots],
        max(i.reach_m for _, i in due),
    )
    pairs = slots[pairs] if len(pairs) else pairs
    std = _position_std_m(state)
    grip = _grip(state) if state.own_slot is not None and state.hold > 0.0 else None
    links = _links(state, slots, able) if any(i.reads_links for _, i in due) else None
    room = _rooms(state, slots, extent[slots].prod(axis=1)) if any(i.reads_rooms for _, i in due) else None
    searched, searched_new = _by_id(state, active), _by_id(state, new)
    evidence = []
    for kind, interaction in due:
        near = pairs[gap < interaction.reach_m]
        every = dt_s * _STANDING_EVERY
        if not (standing or interaction.reads_motion):
            near, every = near[new[near].any(1)], dt_s
        if interaction.directed:
            near = np.concatenate([near, near[:, ::-1]])
        if interaction.nests:
            outer, inner = (np.sort(extent[near[:, side]], axis=1) for side in (0, 1))
            near = near[(inner < outer).all(axis=1)]
        ids = state.ids[near].reshape(-1, 2)
        if not interaction.directed:
            swap = ids[:, 0] > ids[:, 1]
            near, ids = np.where(swap[:, None], near[:, ::-1], near), np.sort(ids, axis=1)
        order = np.lexsort((ids[:, 1], ids[:, 0]))
        span_s = dt_s if interaction.reads_motion else every
        frame = _frame(state, near[order], span_s, std, grip)
        if links is not None and interaction.reads_links:
            carried, touching = _linked(links, near[order], state.device)
            frame = replace(frame, carried=carried, touching=touching)
        if room is not None and interaction.reads_rooms:
            nested, walled = (torch.from_numpy(of).to(state.device) for of in nesting(room, near[order]))
            frame = replace(frame, nested=nested, walled=walled)
        looked = searched if standing or interaction.reads_motion else searched_new
        evidence.append(Evidence(kind, interaction, ids[order], frame, looked))
    state.edges = infer(state.edges, evidence)


def _by_id(state: EngineState, slots: Bool[np.ndarray, " C"]) -> Bool[np.ndarray, " ids"]:
    """Return by object id which things some slots hold."""
    held = np.zeros(state.next_id, dtype=bool)
    held[state.ids[slots]] = True
    return held


def _links(
    state: EngineState, slots: Int[np.ndarray, " N"], able: Bool[np.ndarray, " C"]
) -> tuple[Int[np.ndarray, " C"], Int[np.ndarray, " C"]]:
    """Return the cluster of what is known in each slot, by kinds that carry, and by those that carry or touch."""
    found = []
    for linking in (
        [k for k, i in enumerate(state.interactions) if i.carries],
        [k for k, i in enumerate(state.interactions) if i.carries or i.touches],
    ):
        of_slot = np.zeros(len(able), dtype=np.int64)
        of_slot[slots] = clusters(state.edges, linking, state.ids[slots], able[slots])
        found.append(of_slot)
    return found[0], found[1]


def _rooms(
    state: EngineState, slots: Int[np.ndarray, " N"], volume: Float[np.ndarray, " N"]
) -> Int[np.ndarray, " C"] | None:
    """Return the slot of what each thing lies in, by the edges of kinds that nest; None where none may hold."""
    kinds = [k for k, i in enumerate(state.interactions) if i.nests]
    room = rooms(state.edges, kinds, state.ids[slots], volume)
    held = room != NOWHERE
    if not held.any():
        return None
    of_slot = np.full(len(state.alive), NOWHERE, dtype=np.int64)
    of_slot[slots[held]] = slots[room[held]]
    return of_slot


def _linked(
    links: tuple[Int[np.ndarray, " C"], Int[np.ndarray, " C"]], pairs: Int[np.ndarray, "E 2"], device: torch.device
) -> list[Bool[Tensor, " E"]]:
    return [torch.from_numpy(of[pairs[:, 0]] == of[pairs[:, 1]]).to(device) for of in links]


def _position_std_m(state: EngineState) -> Float[Tensor, " C"]:
    own = torch.diagonal(state.belief.joint_covariance, dim1=1, dim2=2)
    return ((own[:, 0] + own[:, 1] + own[:, 2]) / 3.0).clamp_min(0.0).sqrt()  # a mean along short rows takes longer


def _frame(
    state: EngineState,
    pairs: Int[np.ndarray, "E 2"],
    dt_s: float,
    std: Float[Tensor, " C"],
    grip: Float[np.ndarray, "3"] | None,
) -> PairFrame:
    source, target = state.indices(pairs[:, 0], pairs[:, 1])
    now, before = state.belief.states, state.before
    assert before is not None
    return PairFrame(
        now.select(source),
        now.select(target),
        slot_table.lengthened(before, state.belief.capacity).select(source),
        slot_table.lengthened(before, state.belief.capacity).select(target),
        std[source],
        std[target],
        dt_s,
        _told(state, pairs, grip),
    )


def _told(
    state: EngineState, pairs: Int[np.ndarray, "E 2"], grip: Float[np.ndarray, "3"] | None
) -> Float[Tensor, " E"]:
    """Return what the own command says about each pair whose source is the own body.

    A grip holds one thing: to hold is told of the passive thing nearest to the middle of the own front, and of nothing
    else that stands by; to release is told of all.

    Args:
        state: with the command.
        pairs: slots.
        grip: the middle of the own front, None where nothing is held.
    """
    told = np.zeros(len(pairs))
    if state.own_slot is not None and state.hold != 0.0:
        mine = np.flatnonzero(pairs[:, 0] == state.own_slot)
        if grip is not None:
            mine = mine[state.passive[state.model_index[pairs[mine, 1]]]]
            away = np.linalg.norm(state.on_host("position")[0][pairs[mine, 1]] - grip, axis=1)
            mine = mine[away == away.min()] if len(mine) else mine
        told[mine] = state.hold
    return torch.as_tensor(told, dtype=state.dtype, device=state.device)


def _grip(state: EngineState) -> Float[np.ndarray, "3"]:
    """Return the middle of the own body's front, m."""
    row = state.index(np.array([state.own_slot]))
    states = state.belief.states.select(row)
    half = torch.zeros_like(states.extent_m)
    half[:, 0] = 0.5 * states.extent_m[:, 0]
    return np.asarray((states.position + quaternion.rotate(states.orientation_xyzw, half))[0].cpu().numpy())


def graph_of(state: EngineState) -> InteractionGraph:
    """Return the present graph as a value."""
    slots = np.flatnonzero(state.alive & state.ledger.settled)
    names = state.library.model_ids
    labels = tuple(names[m] for m in state.model_index[slots].tolist())
    return as_graph(state.edges, tuple(i.kind for i in state.interactions), tuple(state.ids[slots].tolist()), labels)
