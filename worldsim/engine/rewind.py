"""Rolling the world model back to before a weld was made or broke, and forward again with the structure known."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np

from worldsim.engine import welding
from worldsim.engine.state import EngineState
from worldsim.inference.fixed_lag import FixedLag
from worldsim.inference.ledger import Ledger
from worldsim.types.observation import Observation
from worldsim.types.record import Event, EventKind, StepRecord

Given = tuple[Observation, "np.ndarray | None"]
Advance = Callable[[EngineState, Observation, "np.ndarray | None"], StepRecord]

_ASKS_OTHERS = frozenset({EventKind.QUERY, EventKind.CANDIDATES, EventKind.PUBLISH, EventKind.REGISTRY_AWAY})


def copied(state: EngineState) -> EngineState:
    """Return the state as it is now: what later steps change in place is the copy's own."""
    ledger = Ledger(**{f.name: getattr(state.ledger, f.name).copy() for f in dataclasses.fields(Ledger)})
    return dataclasses.replace(
        state,
        ledger=ledger,
        trials=dict(state.trials),
        verdict_s=dict(state.verdict_s),
        waiting=dict(state.waiting),
        unasked=set(state.unasked),
        events=[],
        mirrors={},
        deferred=state.deferred.copy(),
    )


class Rewind:
    """Keeps the last frames of a world model, and does them again where an event says that it happened earlier.

    A frame in which somebody else was asked (a registry), or with things in deep sleep, is not done again, nor any
    before it: the answer was given once, and what sleeps is not copied.
    """

    def __init__(self, lag: int) -> None:
        """Keep at most `lag` frames."""
        self._lag: FixedLag[EngineState, Given] = FixedLag(lag)

    def after(
        self, before: EngineState, state: EngineState, given: Given, record: StepRecord, advance: Advance
    ) -> tuple[EngineState, StepRecord]:
        """Return state and record of the step just made, rolled back where it recognised something late.

        Args:
            before: copy of the state before the step; state: after it.
            given: observation and action of the step.
            record: of the step.
            advance: makes a step on a state, in place.
        """
        asked = any(event.kind in _ASKS_OTHERS for event in record.events)
        if asked or len(state.dormant.present()) or len(before.dormant.present()):
            self._lag.forget()
            return state, record
        self._lag.keep(before, given)
        late = [e for e in record.events if e.kind in (EventKind.MERGE, EventKind.SPLIT) and e.detail["frames_ago"] > 0]
        if not late:
            return state, record
        frames = max(int(event.detail["frames_ago"]) for event in late)
        told = [record]

        def step(past: EngineState, seen: Given) -> EngineState:
            now = copied(past)
            told[0] = advance(now, *seen)
            return now

        now = self._lag.replay(frames, lambda past: _changed(past, late), step)
        return now, dataclasses.replace(told[0], events=record.events)

    def __len__(self) -> int:
        """Return how many frames can be done again."""
        return len(self._lag)


def _changed(past: EngineState, late: list[Event]) -> EngineState:
    state = copied(past)
    for event in late:
        members = np.array(event.detail["members"], dtype=np.int64)
        if event.kind == EventKind.MERGE:
            welding.weld(state, members)
        else:
            welding.undo(state, members)
    return state
