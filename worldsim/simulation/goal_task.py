"""Tasks with one end: reached or lost, rewarded on the way or at the end alone."""

from __future__ import annotations

import abc
from typing import ClassVar

from worldsim.errors import UnknownNameError
from worldsim.simulation.drivers.driver import SceneView
from worldsim.simulation.task import REWARDS, Task, TaskStep

SUCCESS_REWARD = 10.0
"""What reaching the goal adds to a dense reward."""


class GoalTask(Task):
    """A task that is over once it is reached or lost.

    The sparse reward is 1 in the frame in which the goal is reached and 0 in every other. The dense one is the change
    of `progress`, and `SUCCESS_REWARD` more for the goal; its sum tells how far one came, however long it took.

    Attributes:
        ego: name of the commanded body.
        reward: one of `REWARDS`.
        progress_before: at the end of the last frame.
        holding: whether `ego` holds anything: it feels that in its clamp.
    """

    minds_bumps: ClassVar[bool] = False

    def __init__(self, ego: str, reward: str) -> None:
        """Ask `ego` for it.

        Raises:
            UnknownNameError: no such reward.
        """
        if reward not in REWARDS:
            raise UnknownNameError("reward", reward, REWARDS)
        self.ego, self.reward = ego, reward
        self.progress_before = 0.0
        self.holding = False

    @abc.abstractmethod
    def progress(self, view: SceneView) -> float:
        """Return how far the task is, in any unit that grows towards the goal."""

    @abc.abstractmethod
    def reached(self, view: SceneView) -> bool:
        """Return whether the goal is reached."""

    def lost(self, view: SceneView) -> bool:
        """Return whether the goal can no longer be reached."""
        del view
        return False

    def measures(self, view: SceneView) -> dict[str, float]:
        """Return what else `info` tells of the frame."""
        del view
        return {}

    def begin(self, view: SceneView) -> None:
        """Measure where it starts."""
        self.progress_before = self.progress(view)

    def advance(self, view: SceneView, held: frozenset[str], bumped: frozenset[str]) -> TaskStep:
        """Judge one frame."""
        del bumped
        self.holding = bool(held)
        now, reached = self.progress(view), self.reached(view)
        dense = now - self.progress_before + SUCCESS_REWARD * reached
        self.progress_before = now
        reward = dense if self.reward == "dense" else float(reached)
        return TaskStep(float(reward), reached or self.lost(view), {"is_success": reached, **self.measures(view)})
