"""A scripted expert of errands: from mark to mark, round what stands, and out of the way of who walks."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from worldsim.contracts.agent import Agent
from worldsim.errors import ConfigurationError
from worldsim.types.observation import Observation
from worldsim.types.record import StepRecord
from worldsim_agents.driving import command
from worldsim_agents.wayfinder import Wayfinder


class Walker(Agent):
    """Goes from mark to mark by its detections alone, and keeps away from who moves."""

    def __init__(self) -> None:
        """Build the agent."""
        self._ways = Wayfinder()

    def __repr__(self) -> str:
        """Return what the agent was built with."""
        return "Walker()"

    def reset(self) -> None:
        """Forget the last episode."""
        self._ways.reset()

    def act(
        self, observation: Observation, record: StepRecord | None, rng: np.random.Generator
    ) -> Float[np.ndarray, "3"]:
        """Return the action for the coming frame.

        Raises:
            ConfigurationError: the observation has no own body, or is of another task.
        """
        del record, rng
        task, ego = observation.task or {}, observation.ego
        if ego is None or "task_goals_left" not in task:
            raise ConfigurationError("Walker: the observation is of no errand (House, Park, HousePark).")
        self._ways.look(observation.detections, observation.time_s)
        goal = np.asarray(task["task_goal_position"], dtype=np.float64)[:2]
        return command(*self._ways.lead(ego, goal))
