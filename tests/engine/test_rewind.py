"""A weld made or broken is recognised late; then the world model believes what one that knew in time would."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from tests.engine.test_composites import BREAKS_S
from tests.engine.weld_world import frames, watcher
from worldsim.engine import welding
from worldsim.engine.state import EngineState
from worldsim.loop import WorldModel
from worldsim.types import EventKind

LAG, PAIR = 24, np.array([0, 1])


def knew(until: int, when: int, change: Callable[[EngineState], None], welded_at: int | None = None) -> WorldModel:
    """Return a world model that never rolls back, and was told of a change after frame `when`."""
    model = watcher(True)
    for k, observation in zip(range(until + 1), frames(1.2, 0, BREAKS_S), strict=False):
        _ = model.step(observation) if k else model.reset(observation)
        if k == when:
            with torch.inference_mode():
                change(model._state)
        if k == welded_at:
            with torch.inference_mode():
                welding.weld(model._state, PAIR)
    return model


def same(one: WorldModel, two: WorldModel) -> None:
    for name, value in one.belief.tensors().items():
        torch.testing.assert_close(value, two.belief.tensors()[name], rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(one._state.edges.log_odds, two._state.edges.log_odds, atol=1e-9)


def test_a_weld_is_believed_from_when_it_was_there_and_so_is_its_end():
    model, copies = watcher(True, rollback_frames=LAG), []
    made = broken = None
    for k, observation in enumerate(frames(1.2, 0, BREAKS_S)):
        record = model.step(observation) if k else model.reset(observation)
        copies.append(len(model._rewind))
        for event in record.events:
            if event.kind == EventKind.MERGE:
                made = k, event.detail["frames_ago"]
                same(model, knew(k, k - made[1], lambda state: welding.weld(state, PAIR)))
                assert len(model.composites) == 1
            if event.kind == EventKind.SPLIT:
                broken = k, event.detail["frames_ago"]
        if broken is not None:
            break
    assert max(copies) == LAG  # and never more: what is kept is bounded
    assert made is not None
    assert broken is not None
    assert broken[1] > 0
    assert model.composites == []
    welded_at = made[0] - made[1]
    same(model, knew(broken[0], broken[0] - broken[1], lambda state: welding.undo(state, PAIR), welded_at))
