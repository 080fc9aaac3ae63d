"""Who should have been seen: lines of sight past what is believed to stand, awake, asleep or in deep sleep."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Bool, Int

from worldsim.dormancy.watch import between
from worldsim.engine.state import EngineState
from worldsim.inference.observe import Frame
from worldsim.inference.visibility import visible
from worldsim.types.states import ObjectStates
from worldsim.types.transfer import fetched

_OCCLUDER_HEIGHT_M = 0.5


def in_view(
    state: EngineState, states: ObjectStates, slots: Int[np.ndarray, " n"], frame: Frame
) -> Bool[np.ndarray, " n"]:
    """Return which of the objects in `slots` some sensor should see, by the predicted `states` of all slots."""
    alive, awake, extent = state.on_host("alive", "awake", "extent_m")
    fixtures = np.flatnonzero(alive & ~awake & (extent[:, 2] > _OCCLUDER_HEIGHT_M))
    row = state.index(slots)
    rows = fixtures[:0]
    if len(state.dormant):
        points, eyes = fetched(states.position.index_select(0, row), frame.viewpoint)
        rows = between(state.dormant, points, eyes, _OCCLUDER_HEIGHT_M)
    if len(rows):
        columns = state.dormant.columns
        names = ("position", "orientation_xyzw", "linear_velocity", "angular_velocity", "extent_m")
        tall = [torch.as_tensor(columns[f"belief.{name}"][rows], device=state.device) for name in names]
        states = ObjectStates(*(torch.cat([getattr(states, n), t]) for n, t in zip(names, tall, strict=True)))
        fixtures = np.concatenate([fixtures, state.belief.capacity + np.arange(len(rows))])
    seen = visible(states, row, state.index(fixtures), frame.viewpoint, frame.range_m, (frame.axis, frame.cosine))
    return np.asarray(fetched(seen)[0])
