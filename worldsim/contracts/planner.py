"""The contract of a planner: a belief and preferences go in, a plan comes out."""

from __future__ import annotations

import abc

import numpy as np

from worldsim.types.belief import WorldBelief
from worldsim.types.planning import Plan, Preferences


class Planner(abc.ABC):
    """Chooses actions by imagining their outcomes; holds no preferences of its own."""

    @abc.abstractmethod
    def plan(self, belief: WorldBelief, preferences: Preferences, rng: np.random.Generator) -> Plan:
        """Return the plan that the preferences like best under the belief."""
