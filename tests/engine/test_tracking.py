"""Rules of the round over all objects that a whole episode seldom shows."""

from __future__ import annotations

import numpy as np

from tests.small_world import Shelf, frames, world_model
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
