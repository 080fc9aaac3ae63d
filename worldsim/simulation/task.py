"""Tasks: what the commanded body is asked to do, and how well it does."""

from __future__ import annotations

import abc
import copy
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from worldsim.errors import UnknownNameError
from worldsim.simulation.drivers.driver import SceneView

REWARDS = ("dense", "sparse")
"""How a task may pay: for every bit of progress, or for success alone."""


@dataclass(frozen=True, slots=True)
class TaskStep:
    """What a task says of one frame.

    Attributes:
        reward: of this frame.
        terminated: the task is over.
        events: JSON-able facts for `info`.
    """

    reward: float
    terminated: bool
    events: Mapping[str, float | bool]


class Task(abc.ABC):
    """What the commanded body is asked to do.

    Attributes:
        minds_bumps: whether `advance` reads `bumped`, which costs a look at the body's contacts in every engine step.
    """

    minds_bumps: ClassVar[bool] = True

    @abc.abstractmethod
    def begin(self, view: SceneView) -> None:
        """Look at the world before the first frame."""

    @abc.abstractmethod
    def advance(self, view: SceneView, held: frozenset[str], bumped: frozenset[str]) -> TaskStep:
        """Judge one frame.

        Args:
            view: the world after the frame.
            held: names of what the commanded body holds.
            bumped: names of what it touched during the frame.
        """

    @abc.abstractmethod
    def observation(self) -> dict[str, np.ndarray]:
        """Return the ``task_*`` numbers that the agent may know, float64."""

    def save(self) -> dict[str, Any]:
        """Return a copy of everything that changes."""
        return copy.deepcopy(vars(self))

    def load(self, saved: Mapping[str, Any]) -> None:
        """Put back what `save` returned."""
        vars(self).clear()
        vars(self).update(copy.deepcopy(dict(saved)))


@dataclass(frozen=True, slots=True)
class Delivery:
    """Carry `load` to within `tolerance_m` of `drop_off`."""

    load: str
    drop_off: tuple[float, float, float]
    tolerance_m: float = 0.5


class DeliveryTask(Task):
    """Deliveries, one after the other: fetch the load, carry it to its place, let it go there.

    The dense reward is metres of progress, + 10 for a delivery, - 10 for touching a living thing or another vehicle,
    - 0.2 for touching anything else that it does not carry, - 0.01 a frame. The sparse one is 1 in the frame of the
    last delivery, and 0 in every other.
    """

    def __init__(
        self,
        ego: str,
        deliveries: tuple[Delivery, ...],
        end_when_done: bool,
        fatal_kinds: frozenset[str] = frozenset({"worker", "cat", "dog"}),
        reward: str = "dense",
    ) -> None:
        """Ask `ego` for `deliveries`; touching one of `fatal_kinds` ends the episode.

        Raises:
            UnknownNameError: no such reward.
        """
        if reward not in REWARDS:
            raise UnknownNameError("reward", reward, REWARDS)
        self.ego, self.deliveries, self.end_when_done, self.fatal_kinds = ego, deliveries, end_when_done, fatal_kinds
        self.reward = reward
        self.done = 0
        self.holding = False
        self.pickup = (0.0, 0.0, 0.0)
        self.to_go_m = 0.0

    @property
    def current(self) -> Delivery | None:
        """The delivery that is asked for now, None when all are done."""
        return self.deliveries[self.done] if self.done < len(self.deliveries) else None

    def begin(self, view: SceneView) -> None:
        """Measure the way."""
        self._look(view)

    def advance(self, view: SceneView, held: frozenset[str], bumped: frozenset[str]) -> TaskStep:
        """Judge one frame."""
        reward, before, current = -0.01, self.to_go_m, self.current
        delivered = False
        if current is not None:
            self.holding = current.load in held
            here = view.states.position[view.index[current.load]]
            near = math.dist(here[:2], current.drop_off[:2]) <= current.tolerance_m
            if near and not self.holding:
                self.done, delivered, reward = self.done + 1, True, reward + 10.0
        self._look(view)
        if not delivered and current is not None:
            reward += before - self.to_go_m
        loads = {delivery.load for delivery in self.deliveries}
        kinds = {name: view.kinds[view.index[name]] for name in bumped}
        fatal = any(kind in self.fatal_kinds for kind in kinds.values())
        grave = fatal or any(name in view.movers for name in bumped)
        light = any(name not in held and name not in loads and name not in view.movers for name in bumped)
        reward -= 10.0 * grave + 0.2 * light
        finished = self.current is None and self.end_when_done
        events = {"delivered": float(self.done), "collision": grave, "is_success": self.current is None}
        if self.reward == "sparse":
            reward = float(delivered and self.current is None)
        return TaskStep(float(reward), bool(fatal or finished), events)

    def _look(self, view: SceneView) -> None:
        current = self.current
        if current is None:
            self.holding, self.to_go_m = False, 0.0
            return
        load = view.states.position[view.index[current.load]]
        self.pickup = (float(load[0]), float(load[1]), float(load[2]))
        carry = math.dist(self.pickup[:2], current.drop_off[:2])
        self.to_go_m = carry + (0.0 if self.holding else math.dist(view.place(self.ego), self.pickup[:2]))

    def observation(self) -> dict[str, np.ndarray]:
        """Return where to go now, what is held, and both ends of the delivery."""
        current = self.current
        drop_off = current.drop_off if current is not None else self.deliveries[-1].drop_off
        goal = drop_off if self.holding or current is None else self.pickup
        return {
            "task_goal_position": np.array(goal),
            "task_holding": np.array([float(self.holding)]),
            "task_pickup_position": np.array(self.pickup),
            "task_dropoff_position": np.array(drop_off),
        }
