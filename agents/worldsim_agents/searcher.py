"""A scripted expert of searches: it looks at one place after the other, the nearest first."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from worldsim.contracts.agent import Agent
from worldsim.errors import ConfigurationError
from worldsim.types.observation import Observation
from worldsim.types.record import StepRecord
from worldsim_agents.driving import command, pose_of
from worldsim_agents.wayfinder import Wayfinder

_NEAR_M = 1.1  # what lies within that of a place is seen from there, whatever stands about
_LOOKS = 5  # of that many frames at a place one would have shown the keys
_SAME_SIZE, _AT_M = 0.35, 0.8


class Searcher(Agent):
    """Goes to the nearest place that it has not looked at; seen, the keys are gone to."""

    def __init__(self) -> None:
        """Build the agent."""
        self._ways = Wayfinder()
        self.reset()

    def __repr__(self) -> str:
        """Return what the agent was built with."""
        return "Searcher()"

    def reset(self) -> None:
        """Forget the last episode."""
        self._ways.reset()
        self._looks: dict[int, int] = {}
        self._target: int | None = None
        self._keys: np.ndarray | None = None

    def act(
        self, observation: Observation, record: StepRecord | None, rng: np.random.Generator
    ) -> Float[np.ndarray, "3"]:
        """Return the action for the coming frame.

        Raises:
            ConfigurationError: the observation is of another task.
        """
        del record, rng
        task, ego = observation.task or {}, observation.ego
        if ego is None or "task_place_positions" not in task:
            raise ConfigurationError("Searcher: the observation is of no search (HouseSearch, ParkSearch ...).")
        places = np.asarray(task["task_place_positions"], dtype=np.float64).reshape(-1, 2)
        self._look(observation, places)
        goal = self._keys if self._keys is not None else places[self._next(places, pose_of(ego)[:2])]
        self._ways.look(observation.detections, observation.time_s)
        return command(*self._ways.lead(ego, goal))

    def _look(self, observation: Observation, places: np.ndarray) -> None:
        """Keep where the keys were seen: a detection of their size at one of the places."""
        seen, task = observation.detections, observation.task or {}
        extent = np.asarray(task["task_object_extent_m"], dtype=np.float64)
        fits = np.abs(seen.extent_m / extent - 1.0).max(axis=1, initial=0.0) < _SAME_SIZE
        found = seen.position[fits][:, :2]
        near = np.linalg.norm(found[:, None] - places[None], axis=2).min(axis=1, initial=np.inf) < _AT_M
        if near.any():
            self._keys = found[near][0].copy()

    def _next(self, places: np.ndarray, here: np.ndarray) -> int:
        """Return the place to look at; it is kept until it was looked at."""
        away = np.linalg.norm(places - here, axis=1)
        for at in np.flatnonzero(away < _NEAR_M):
            self._looks[int(at)] = self._looks.get(int(at), 0) + 1
        left = [i for i in range(len(places)) if self._looks.get(i, 0) < _LOOKS]
        if not left:  # a look failed somewhere: all over again
            self._looks, left = {}, list(range(len(places)))
        if self._target not in left:
            self._target = min(left, key=lambda i: float(away[i]))
        return int(self._target or 0)
