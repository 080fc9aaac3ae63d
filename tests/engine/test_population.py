"""Who is kept in the belief, and who is let go."""

from __future__ import annotations

import dataclasses

import numpy as np

from tests.small_world import Shelf, frames, world_model
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
