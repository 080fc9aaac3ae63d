"""Verbs: the small abstract bases that plug-ins implement."""

from worldsim.contracts.agent import Agent
from worldsim.contracts.interaction import EdgePrior, Interaction, PairFrame
from worldsim.contracts.interaction_library import InteractionLibrary
from worldsim.contracts.learned_interaction import LearnedInteraction
from worldsim.contracts.object_model import ObjectModel
from worldsim.contracts.physics import Physics
from worldsim.contracts.planner import Planner
from worldsim.contracts.registry import Registry
from worldsim.contracts.scenario import Scenario
from worldsim.contracts.sensor import Sensor

__all__ = [
    "Agent",
    "EdgePrior",
    "Interaction",
    "InteractionLibrary",
    "LearnedInteraction",
    "ObjectModel",
    "PairFrame",
    "Physics",
    "Planner",
    "Registry",
    "Scenario",
    "Sensor",
]
