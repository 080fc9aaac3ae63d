"""An agent that acts at random: the floor under every score."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from worldsim.contracts.agent import Agent
from worldsim.types.observation import Observation
from worldsim.types.record import StepRecord


class RandomAgent(Agent):
    """Draws every action uniformly from [-1, 1]^U, and looks at nothing."""

    def __init__(self, action_dim: int = 3) -> None:
        """Build the agent for actions of `action_dim` = U numbers."""
        self.action_dim = action_dim

    def __repr__(self) -> str:
        """Return what the agent was built with."""
        return f"RandomAgent(action_dim={self.action_dim})"

    def act(
        self, observation: Observation, record: StepRecord | None, rng: np.random.Generator
    ) -> Float[np.ndarray, " U"]:
        """Return a random action."""
        del observation, record
        return rng.uniform(-1.0, 1.0, self.action_dim).astype(np.float32)
