"""Rules of the round over all objects that a whole episode seldom shows."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch

from tests.small_world import Shelf, frames, world_model
from worldsim.dynamics import quaternion
from worldsim.engine.relations import _grip, _told
from worldsim.engine.tracking import _carry, carried
from worldsim.graph.edges import EdgeTable
from worldsim.inference.slots import density_of
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


def test_what_is_carried_swings_about_its_carrier_and_has_a_little_play() -> None:
    wm = world_model(Shelf())
    stream = frames(1.0)
    wm.reset(next(stream))
    for observation in stream:
        wm.step(observation, np.zeros(3))
    state = wm._state
    crate = int(np.flatnonzero(state.passive[state.model_index] & state.alive)[0])
    own = state.own_slot
    assert own is not None
    place = state.belief.position.clone()
    place[crate] = place[own] + place.new_tensor([0.6, 0.0, 0.0])
    state.belief = dataclasses.replace(state.belief, position=place)
    density = density_of(state.belief).copy()
    ahead = density.states
    quarter = ahead.position.new_tensor([0.0, 0.0, 0.5**0.5, 0.5**0.5])  # about z
    ahead.position[own] += ahead.position.new_tensor([0.1, 0.0, 0.0])
    ahead.orientation_xyzw[own] = quaternion.multiply(quarter, state.belief.orientation_xyzw[own])
    ahead.linear_velocity[own] = ahead.position.new_tensor([0.5, 0.0, 0.0])
    ahead.angular_velocity[own] = ahead.position.new_tensor([0.0, 0.0, 2.0])
    moved = _carry(state, density, [(own, crate)])
    torch.testing.assert_close(moved.states.position[crate], ahead.position[own] + place.new_tensor([0.0, 0.6, 0.0]))
    torch.testing.assert_close(moved.states.linear_velocity[crate], place.new_tensor([0.5 - 2.0 * 0.6, 0.0, 0.0]))
    torch.testing.assert_close(moved.states.angular_velocity[crate], ahead.angular_velocity[own])
    added = torch.diagonal(moved.covariance[crate] - state.belief.joint_covariance[crate])[:6]
    torch.testing.assert_close(added, place.new_tensor([0.004**2] * 3 + [0.01**2] * 3), rtol=1e-6, atol=1e-12)


def test_a_stack_that_is_found_at_rest_is_understood_within_half_a_second() -> None:
    wm = world_model(Shelf())
    stream = frames(0.5)
    wm.reset(next(stream))
    for observation in stream:
        wm.step(observation, np.zeros(3))
    assert sum(kind == "support" for _, _, kind in wm.graph.to_networkx(0.9).edges(keys=True)) == 3
