"""Verbs: the small abstract bases that plug-ins implement."""

from worldsim.contracts.agent import Agent
from worldsim.contracts.interaction import EdgePrior, Interaction, PairFrame
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
    "ObjectModel",
    "PairFrame",
    "Physics",
    "Planner",
    "Registry",
    "Scenario",
    "Sensor",
]
