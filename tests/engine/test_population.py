"""Who is kept in the belief, and who is let go."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch

from tests.small_world import DT_S, Shelf, frame, frames, world_model
from worldsim.types import Detections
from worldsim.types.record import EventKind


def test_a_belief_that_has_run_away_is_let_go_and_the_others_stay() -> None:
    wm = world_model(Shelf())
    stream = frames(2.0)
    wm.reset(next(stream))
    for _ in range(30):
        wm.step(next(stream), np.zeros(3))
    state = wm._state
    slot = next(s for s in np.flatnonzero(state.alive) if wm.kind_of(int(state.ids[s])) == "person")
    gone, others = int(state.ids[slot]), set(state.ids[state.alive].tolist()) - {int(state.ids[slot])}
    covariance = state.belief.joint_covariance.clone()
    covariance[slot] *= 1e40
    state.belief = dataclasses.replace(state.belief, joint_covariance=covariance)
    blind = dataclasses.replace(next(stream), detections=Detections.empty())  # or it would be found again at once
    record = wm.step(blind, np.zeros(3))
    assert [event.object_id for event in record.events if event.kind is EventKind.DEATH] == [gone]
    for _ in range(5):
        wm.step(next(stream), np.zeros(3))
    kept = set(wm._state.ids[wm._state.alive].tolist())
    assert others <= kept
    assert gone not in kept
    assert np.isfinite(wm.belief.position.numpy()).all()


def test_a_passive_thing_that_is_met_while_it_moves_is_not_laid_down() -> None:
    wm, rng, born = world_model(None, surprise=False), np.random.default_rng(0), []
    for k in range(12):
        things = [("rigid_body", np.array([0.125 * k, 0.0, 0.175])), ("rigid_body", np.array([9.0, 0.0, 0.175]))]
        seen = frame(k * DT_S, things, rng)  # 2.5 m/s: six standard deviations of what four looks tell
        record = wm.step(seen, np.zeros(3)) if k else wm.reset(seen)
        born += [event for event in record.events if event.kind is EventKind.BIRTH]
        if born:
            break
    assert len(born) == 2
    things = wm.belief.alive & (wm.belief.object_id != wm.own_id)
    assert torch.equal(wm.belief.awake[things], wm.belief.position[things, 0] < 5.0)
