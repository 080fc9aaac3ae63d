"""Whoever stands in the way hides what is behind it, also in deep sleep."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from tests.small_world import frames, world_model
from worldsim.engine.settings import LoopSettings, WorldModelSettings
from worldsim.engine.sight import in_view
from worldsim.inference.observe import read
from worldsim.types import Detections, Viewpoints


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


@pytest.mark.parametrize("dormant_above", [None, 4])
@pytest.mark.parametrize(("looks_back", "remembered"), [(True, True), (False, False), (None, False)])
def test_what_a_camera_turns_away_from_is_remembered_and_what_is_gone_from_its_picture_is_not(
    dormant_above: int | None, looks_back: bool | None, remembered: bool
) -> None:
    wm = world_model(None, surprise=False, settings=WorldModelSettings(loop=LoopSettings(dormant_above=dormant_above)))
    stream = [dataclasses.replace(o, ego=None) for o in frames(6.0)]
    eye, far = np.array([[0.0, -20.0, 3.0]]), np.array([60.0])  # all lies before it
    for number, seen in enumerate(stream):
        if number < 40:
            told = dataclasses.replace(
                seen, viewpoints=Viewpoints(eye, far, np.array([[0.0, 1.0, 0.0]]), np.array([0.9]))
            )
        else:
            view = (
                Viewpoints(eye, far)
                if looks_back is None
                else Viewpoints(eye, far, np.array([[0.0, -1.0 if looks_back else 1.0, 0.0]]), np.array([0.9]))
            )
            told = dataclasses.replace(seen, viewpoints=view, detections=Detections.empty())
        _ = wm.step(told) if number else wm.reset(told)
    alive = wm.belief.alive
    kinds = [wm.kind_of(int(i)) for i in wm.belief.object_id[alive]]
    assert (kinds.count("static") == 4) == remembered
    assert (kinds.count("rigid_body") == 11) == remembered
