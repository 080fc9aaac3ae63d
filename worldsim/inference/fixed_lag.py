"""Fixed-lag roll-back: the last states of a filter, and what it was given since, so that frames can be done again.

A structural event (a bond made, a bond broken) is recognised some frames after it happened; the beliefs of the frames
in between rest on a structure that was wrong by then. Going back to the state before it, changing the structure there
and taking the frames in again gives what a filter that knew in time would believe. Memory and work are bounded by the
lag.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

State = TypeVar("State")
Given = TypeVar("Given")


class FixedLag(Generic[State, Given]):
    """The states before each of the last frames, and the frames. States must not change once they are kept."""

    def __init__(self, lag: int) -> None:
        """Keep at most `lag` frames, >= 1."""
        self._kept: deque[tuple[State, Given]] = deque(maxlen=lag)

    def __len__(self) -> int:
        """Return how many frames can be done again."""
        return len(self._kept)

    def keep(self, before: State, given: Given) -> None:
        """Keep a frame and the state before it; the oldest is forgotten where there are too many."""
        self._kept.append((before, given))

    def forget(self) -> None:
        """Forget all frames: what they did cannot be done again."""
        self._kept.clear()

    def replay(self, frames: int, change: Callable[[State], State], step: Callable[[State, Given], State]) -> State:
        """Return the state now, had the structure been changed before the last `frames` frames, or as many as are kept.

        The kept states become those of the new past, so that a later event is rolled back on top of this one.

        Args:
            frames: how many to do again, >= 1; at least one must have been kept.
            change: returns a state with the new structure; it leaves its argument as it is.
            step: returns the state after a frame; it leaves its argument as it is.
        """
        kept = list(self._kept)
        first = max(len(kept) - frames, 0)
        state = change(kept[first][0])
        for place in range(first, len(kept)):
            given = kept[place][1]
            self._kept[place] = (state, given)
            state = step(state, given)
        return state
