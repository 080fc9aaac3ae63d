"""Who is welded to whom: composites are made where a bond is certain for long enough, and undone where it breaks."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from torch import Tensor

from worldsim.engine.composites import CertainBonds, Composites, single_belief, slots_of
from worldsim.engine.state import EngineState
from worldsim.filtering import rigid
from worldsim.filtering.density import Density
from worldsim.graph.edges import EdgeTable
from worldsim.inference import slots as slot_table
from worldsim.types.belief import TANGENT_DIM
from worldsim.types.graph import InteractionKind
from worldsim.types.record import EventKind

CERTAIN_LOG_ODDS = 2.944
"""Of a bond that merges, P = 0.95."""

CERTAIN_FRAMES = 6
"""For so many frames on end."""

BROKEN_NATS = 6.9
"""Log e-value of "each for itself" beyond which a composite is undone: by chance once in a thousand of its lives."""

MOST_MEMBERS = 8
"""A composite has at most so many members; of what hangs together beyond that, composites stay as they are."""


def review(state: EngineState) -> None:
    """Make, keep and undo composites by what this frame said; events tell of each."""
    names = [i.kind for i in state.interactions]
    if not state.settings.loop.composites or InteractionKind.ATTACH not in names:
        return
    kind = names.index(InteractionKind.ATTACH)
    state.bonds = state.bonds.after(_bonds(state, kind, CERTAIN_LOG_ODDS))
    if state.composites is None and not (state.bonds.frames >= CERTAIN_FRAMES).any():
        return
    broken = _forget_broken(state, kind)
    lasting = state.bonds.key[state.bonds.frames >= CERTAIN_FRAMES]
    holding = np.union1d(lasting, np.setdiff1d(np.intersect1d(_bonds(state, kind, 0.0), _within(state)), broken))
    had = [] if state.composites is None else state.composites.groups()
    wanted = _components(np.setdiff1d(holding, broken), had)
    before, after = {tuple(ids.tolist()) for ids in had}, {tuple(ids.tolist()) for ids in wanted}
    if before == after:
        return
    suspect = _suspect(state, np.union1d(broken, _doubted(state, kind)))
    _regroup(state, wanted)
    for members in sorted(before - after):
        state.tell(EventKind.SPLIT, members[0], members=list(members), frames_ago=suspect.get(members, 0))
    for members in sorted(after - before):
        state.tell(EventKind.MERGE, members[0], members=list(members), frames_ago=CERTAIN_FRAMES - 1)


def weld(state: EngineState, members: Int[np.ndarray, " m"]) -> None:
    """Take these for one body from now on, as if their bonds had been certain for long enough."""
    had = [] if state.composites is None else state.composites.groups()
    rest = [ids for ids in had if not np.isin(ids, members).any()]
    first, second = np.triu_indices(len(members), 1)
    keys = np.union1d(state.bonds.key, _keys(members[first], members[second]))
    inside = np.isin(_ends(keys), members).all(axis=0)
    frames = np.where(inside, CERTAIN_FRAMES, state.bonds.after(keys).frames - 1)
    state.bonds = CertainBonds(keys, frames)
    _regroup(state, sorted([*rest, np.sort(members)], key=lambda ids: int(ids[0])))


def undo(state: EngineState, members: Int[np.ndarray, " m"]) -> None:
    """Let these move each for itself from now on; their bonds must be earned anew, from the prior on."""
    if state.composites is None:
        return
    kind = [i.kind for i in state.interactions].index(InteractionKind.ATTACH)
    first, second = np.triu_indices(len(members), 1)
    _earn_anew(state, kind, _keys(members[first], members[second]))
    _regroup(state, [ids for ids in state.composites.groups() if not np.isin(ids, members).any()])


def _bonds(state: EngineState, kind: int, log_odds: float) -> Int[np.ndarray, " n"]:
    """Return the keys of the pairs of passive things, awake and not under test, whose bond is at least so likely."""
    table: EdgeTable = state.edges
    rows = np.flatnonzero((table.kind == kind) & (table.log_odds > log_odds))
    if len(rows) == 0:
        return np.zeros(0, dtype=np.int64)
    able = state.awake & state.passive[state.model_index] & state.library.moves[state.model_index]
    able &= ~state.holding(state.trials)
    ends = [slots_of(state, ids) for ids in (table.source[rows], table.target[rows])]
    fit = (ends[0] >= 0) & (ends[1] >= 0) & able[ends[0]] & able[ends[1]]
    rows = rows[fit]
    return np.unique(_keys(table.source[rows], table.target[rows]))


def _keys(first: Int[np.ndarray, " n"], second: Int[np.ndarray, " n"]) -> Int[np.ndarray, " n"]:
    return (np.minimum(first, second) << 32) | np.maximum(first, second)


def _ends(key: Int[np.ndarray, " n"]) -> tuple[Int[np.ndarray, " n"], Int[np.ndarray, " n"]]:
    return key >> 32, key & 0xFFFFFFFF


def _within(state: EngineState) -> Int[np.ndarray, " n"]:
    """Return the keys of all pairs within a composite."""
    if state.composites is None:
        return np.zeros(0, dtype=np.int64)
    member, group = state.composites.member, state.composites.group
    first, second = np.nonzero(np.triu(group[:, None] == group[None, :], 1))
    return np.unique(_keys(member[first], member[second]))


def _forget_broken(state: EngineState, kind: int) -> Int[np.ndarray, " n"]:
    """Return the pairs of composites that are refuted; their bonds must be earned anew, from the prior on."""
    held = state.composites
    if held is None:
        return np.zeros(0, dtype=np.int64)
    refuted = np.flatnonzero(held.log_broken.cpu().numpy() > BROKEN_NATS)
    inside = _within(state)
    owner = dict(zip(held.member.tolist(), held.group.tolist(), strict=True))
    broken = inside[np.isin([owner[i] for i in _ends(inside)[0].tolist()], refuted)]
    if len(broken):
        _earn_anew(state, kind, broken)
    return broken


def _doubted(state: EngineState, kind: int) -> Int[np.ndarray, " n"]:
    """Return the keys of the pairs whose bond is less likely than not."""
    table = state.edges
    rows = (table.kind == kind) & (table.log_odds <= 0.0)
    return np.unique(_keys(table.source[rows], table.target[rows]))


def _suspect(state: EngineState, lost: Int[np.ndarray, " n"]) -> dict[tuple[int, ...], int]:
    """Return for how many frames the composites of which a bond was lost may have been broken already.

    Others end because a member fell asleep, or because another one joins: nothing speaks against what was.
    """
    held, found = state.composites, dict[tuple[int, ...], int]()
    if held is None:
        return found
    for ids, frames in zip(held.groups(), held.suspect.tolist(), strict=True):
        first, second = np.triu_indices(len(ids), 1)
        if np.isin(_keys(ids[first], ids[second]), lost).any():
            found[tuple(ids.tolist())] = frames
    return found


def _earn_anew(state: EngineState, kind: int, broken: Int[np.ndarray, " n"]) -> None:
    table = state.edges
    gone = (table.kind == kind) & np.isin(_keys(table.source, table.target), broken)
    prior = state.interactions[kind].prior.log_odds
    state.edges = EdgeTable(table.source, table.target, table.kind, np.where(gone, prior, table.log_odds))
    kept = ~np.isin(state.bonds.key, broken)
    state.bonds = CertainBonds(state.bonds.key[kept], state.bonds.frames[kept])


def _components(keys: Int[np.ndarray, " n"], had: Sequence[Int[np.ndarray, " m"]] = ()) -> list[Int[np.ndarray, " m"]]:
    """Return the ids of each cluster that bonds hold together, ascending; of too large a one, those it `had`."""
    if len(keys) == 0:
        return []
    first, second = _ends(keys)
    ids = np.unique(np.concatenate([first, second]))
    ends = (np.searchsorted(ids, first), np.searchsorted(ids, second))
    graph = coo_array((np.ones(len(keys), dtype=np.int8), ends), shape=(len(ids), len(ids)))
    count, label = connected_components(graph, directed=False)
    clusters = [ids[label == number] for number in range(count)]
    found = [members for members in clusters if len(members) <= MOST_MEMBERS]
    for members in clusters:
        for old in had if len(members) > MOST_MEMBERS else ():
            found += _components(keys[np.isin(_ends(keys), np.intersect1d(old, members)).all(axis=0)])
    return sorted(found, key=lambda members: int(members[0]))


def _regroup(state: EngineState, wanted: list[Int[np.ndarray, " m"]]) -> None:
    """Let the composites be those `wanted`: who leaves goes on as it would be had it never been merged.

    A composite whose members are the same is kept; one that is new begins with what each member's own belief says,
    which know nothing of each other.
    """
    old = state.composites
    belief = state.belief if old is None else single_belief(state)
    if not wanted:
        state.belief, state.composites = belief, None
        return
    single = slot_table.density_of(belief)
    member = np.concatenate(wanted)
    group = np.repeat(np.arange(len(wanted)), [len(ids) for ids in wanted])
    slots = state.index(slots_of(state, member))
    size = max(len(ids) for ids in wanted) * TANGENT_DIM
    blank = torch.zeros(len(wanted), size, size, dtype=torch.float64, device=state.device)
    strangers = Composites(
        member,
        group,
        single.select(slots),
        belief.noise_scale[slots],
        blank,
        blank[:, 0, 0].clone(),
        blank[:, 0, 0].long(),
    )
    new = _with_joint(strangers)
    rows = single if old is None else _keep(state, old, new, single)
    state.belief, state.composites = slot_table.with_density(belief, rows), new


def _with_joint(strangers: Composites) -> Composites:
    """Return composites whose members know nothing of each other."""
    rows, there = (torch.from_numpy(part).to(strangers.joint.device) for part in strangers.place)
    own = strangers.alone.covariance[:, :TANGENT_DIM, :TANGENT_DIM].double()[rows]
    own = torch.where(there[..., None, None], own, torch.eye(TANGENT_DIM, dtype=own.dtype, device=own.device))
    return dataclasses.replace(strangers, joint=rigid.block_diagonal(own))


def _keep(state: EngineState, old: Composites, new: Composites, single: Density) -> Density:
    """Take over, in place, what is believed of composites that stay; return the rows of the belief."""
    was = {tuple(ids.tolist()): number for number, ids in enumerate(old.groups())}
    stay: list[int] = []
    for number, ids in enumerate(new.groups()):
        place = was.get(tuple(ids.tolist()))
        if place is not None:
            size = len(ids) * TANGENT_DIM
            new.joint[number, :size, :size] = old.joint[place, :size, :size]
            new.log_broken[number] = old.log_broken[place]
            new.suspect[number] = old.suspect[place]
            stay += ids.tolist()
    if not stay:
        return single
    slots = state.index(slots_of(state, np.array(stay)))
    return single.put(slots, slot_table.density_of(state.belief).select(slots))


@dataclass(frozen=True, slots=True)
class CompositeBody:
    """One composite as a value.

    Attributes:
        members: object ids.
        mass_kg, mass_std_kg: of the whole.
        centre_m: [3] centre of mass.
        inertia_kg_m2: [3, 3] about it, world axes; `inertia_std_share` its standard deviation as a share, that of the
            mass: extents are known far better.
    """

    members: tuple[int, ...]
    mass_kg: float
    mass_std_kg: float
    centre_m: Float[np.ndarray, "3"]
    inertia_kg_m2: Float[np.ndarray, "3 3"]
    inertia_std_share: float


def composite_bodies(state: EngineState) -> list[CompositeBody]:
    """Return the composites that there are."""
    held = state.composites
    if held is None:
        return []
    slots = state.index(slots_of(state, held.member))
    models = state.belief.model_index[slots]
    parameters = state.belief.parameters[slots]
    natural = state.library.natural(parameters, models)
    mass = state.library.body_parameter(natural, models, "mass_kg").double()
    spread = _log_mass_std(state, slots, models)
    row, taken = held.place
    rows, there = state.index(row), torch.from_numpy(taken).to(state.device)
    total, std = rigid.pooled_mass(mass.log()[rows], spread[rows], there)
    weight = mass[rows] * there
    place = state.belief.position[slots].double()[rows]
    centre = (weight[..., None] * place).sum(1, keepdim=True) / weight.sum(1)[:, None, None]
    size = state.belief.extent_m[slots].double().square().sum(-1)[rows] / 18.0
    inertia = rigid.pooled_inertia(place - centre, weight, weight * size)
    where, turns = centre[:, 0].cpu().numpy(), inertia.cpu().numpy()
    told = zip(held.groups(), total.tolist(), std.tolist(), where, turns, strict=True)
    return [CompositeBody(tuple(ids.tolist()), m, s, c, i, s / m) for ids, m, s, c, i in told]


def _log_mass_std(state: EngineState, slots: Int[Tensor, " M"], models: Int[Tensor, " M"]) -> Float[Tensor, " M"]:
    """Return the standard deviation of the logarithm of each member's mass, 0 where its class has none."""
    column = torch.tensor(
        [m.parameter_names.index("mass_kg") if "mass_kg" in m.parameter_names else -1 for m in state.library.models],
        device=state.device,
    )[models]
    variance = torch.diagonal(state.belief.joint_covariance[slots], dim1=1, dim2=2)[:, TANGENT_DIM:]
    found = variance.gather(1, column.clamp_min(0).unsqueeze(1)).squeeze(1).clamp_min(0.0).sqrt().double()
    return torch.where(column >= 0, found, torch.zeros_like(found))


__all__ = ["CompositeBody", "composite_bodies", "review", "undo", "weld"]
