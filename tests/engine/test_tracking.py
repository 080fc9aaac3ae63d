"""Rules of the round over all objects that a whole episode seldom shows."""

from __future__ import annotations

import dataclasses

import numpy as np

from tests.small_world import Shelf, frames, world_model
from worldsim.engine.relations import _grip, _told
from worldsim.engine.tracking import carried
from worldsim.graph.edges import EdgeTable
from worldsim.types import InteractionKind


def test_a_thing_is_carried_by_one_at_a_time_the_likeliest() -> None:
    wm = world_model(Shelf())
    stream = frames(2.0)
    wm.reset(next(stream))
    for observation in stream:
        wm.step(observation, np.zeros(3))
    state = wm._state
    who = {wm.kind_of(int(i)): int(i) for i in state.ids[state.alive]}
    robot, walker, crate = who["robot"], who["person"], who["rigid_body"]
    attach = [i.kind for i in state.interactions].index(InteractionKind.ATTACH)
    source, target = np.array([robot, walker]), np.array([crate, crate])
    kind = np.full(2, attach)
    slots = {int(i): s for s, i in enumerate(state.ids)}
    for log_odds, carrier in ((np.array([8.0, 1.0]), robot), (np.array([1.0, 8.0]), walker)):
        state.edges = EdgeTable(source, target, kind, log_odds)
        assert carried(state) == [(slots[carrier], slots[crate])]


def test_the_command_to_hold_is_told_of_what_lies_before_the_grip_alone() -> None:
    wm = world_model(Shelf())
    stream = frames(2.0)
    wm.reset(next(stream))
    for observation in stream:
        wm.step(observation, np.zeros(3))
    state = wm._state
    crates = np.flatnonzero(state.passive[state.model_index] & state.alive)[:3]
    own = state.own_slot
    assert own is not None
    front = state.belief.position[own].numpy() + np.array([0.35, 0.0, 0.0])  # it looks along x, and is 0.7 m long
    place = state.belief.position.clone()
    for slot, away in zip(crates, ([0.6, 0.0, 0.0], [0.2, 0.0, 0.0], [0.0, 0.5, 0.0]), strict=True):
        place[slot] = place.new_tensor(front + away)
    state.belief = dataclasses.replace(state.belief, position=place)
    pairs = np.array([*([own, s] for s in crates), *([s, own] for s in crates)])
    state.hold = 1.0
    assert _told(state, pairs, _grip(state)).tolist() == [0.0, 1.0, 0.0, 0.0, 0.0, 0.0]
    state.hold = -1.0
    assert _told(state, pairs, None).tolist() == [-1.0, -1.0, -1.0, 0.0, 0.0, 0.0]


def test_what_is_believed_to_lie_a_little_too_high_falls_asleep_all_the_same() -> None:
    wm = world_model(Shelf())
    stream = frames(4.0)
    wm.reset(next(stream))
    for _ in range(20):
        wm.step(next(stream), np.zeros(3))
    state = wm._state
    on_floor = np.flatnonzero(
        state.passive[state.model_index] & state.alive & (state.belief.position[:, 2].numpy() < 0.3)
    )
    assert len(on_floor) == 8
    shrunk = state.belief.extent_m.clone()
    shrunk[on_floor, 2] -= 0.006
    awake = state.belief.awake.clone()
    awake[on_floor] = True
    state.belief = dataclasses.replace(state.belief, extent_m=shrunk, awake=awake)
    state.ledger.quiet[on_floor] = 0
    for _ in range(40):
        wm.step(next(stream), np.zeros(3))
    assert not wm.belief.awake[on_floor].any()
