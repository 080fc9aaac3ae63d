"""Whoever stands in the way hides what is behind it, also in deep sleep."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from tests.small_world import frames, world_model
from worldsim.engine.settings import LoopSettings, WorldModelSettings
from worldsim.engine.sight import in_view
from worldsim.inference.observe import read
from worldsim.types import Viewpoints


@pytest.mark.parametrize("dormant_above", [None, 4])
def test_a_shelf_hides_what_is_behind_it_whether_it_lies_in_deep_sleep_or_not(dormant_above: int | None) -> None:
    wm = world_model(None, surprise=False, settings=WorldModelSettings(loop=LoopSettings(dormant_above=dormant_above)))
    stream = frames(1.5)
    wm.reset(next(stream))
    *_, last = (wm.step(seen, np.zeros(3)) and seen for seen in stream)
    state = wm._state
    assert (len(state.dormant) > 10) == (dormant_above is not None)
    walker = next(s for s in np.flatnonzero(state.alive) if wm.kind_of(int(state.ids[s])) == "person")
    low = dataclasses.replace(last, viewpoints=Viewpoints(np.array([[-6.0, 0.0, 1.0]]), np.array([30.0])))
    seen = read(low, state.device, state.dtype)
    for spot, visible in (([-6.0, 9.0, 0.875], False), ([-6.0, 4.0, 0.875], True)):  # the shelf stands at y = 5
        place = state.belief.position.clone()
        place[walker] = place.new_tensor(spot)
        states = dataclasses.replace(state.belief.states, position=place)
        assert in_view(state, states, np.array([walker]), seen).tolist() == [visible]
