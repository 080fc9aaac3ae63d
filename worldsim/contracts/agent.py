"""The contract of an agent: an observation and what the world model made of it go in, an action comes out."""

from __future__ import annotations

import abc

import numpy as np
from jaxtyping import Float

from worldsim.types.observation import Observation
from worldsim.types.planning import Plan
from worldsim.types.record import StepRecord


class Agent(abc.ABC):
    """Decides what the own body does next (entry-point group ``worldsim.agents``).

    Attributes:
        last_plan: what the last `act` rested on, None for an agent that does not plan. Reports read its terms.
    """

    last_plan: Plan | None = None

    @abc.abstractmethod
    def act(
        self, observation: Observation, record: StepRecord | None, rng: np.random.Generator
    ) -> Float[np.ndarray, " U"]:
        """Return the action for the coming frame, float32, each in [-1, 1].

        Args:
            observation: what the sensors gave. An agent with a world model reads only ``task`` from it.
            record: what the world model's last step did, None on the first frame of an episode.
            rng: the only source of randomness.
        """

    def reset(self) -> None:  # noqa: B027 - an agent without memory has nothing to forget
        """Forget the last episode."""
