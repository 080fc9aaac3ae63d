"""Nouns: frozen, shape-typed values that flow between the parts. A type never holds a part; it stores ids.

Axis letters, used in every shape of the project:
``C`` capacity of the belief, ``N`` instances in a batch, ``M`` padded detections, ``D`` real detections,
``E`` edges, ``T`` time, ``S`` samples, ``K`` candidates or viewpoints, ``P`` parameters, ``A`` appearance
dimensions, ``U`` control inputs, ``Q`` interaction coefficients, ``X`` = 12 + P, the joint tangent dimension.
"""

from worldsim.types.belief import TANGENT_DIM, WorldBelief
from worldsim.types.card import Descriptor, Evidence, ModelCard, ParameterPrior, Shape
from worldsim.types.control import Control
from worldsim.types.graph import InteractionGraph, InteractionKind
from worldsim.types.interaction_card import ClassPair, InteractionCandidates, InteractionCard, InteractionQuery
from worldsim.types.observation import APPEARANCE_DIM, Detections, EgoState, Observation, Viewpoints
from worldsim.types.planning import Forecast, Plan, Preferences, Rollout
from worldsim.types.query import Candidates, Query
from worldsim.types.record import Association, Channel, Event, EventKind, Predictions, StepRecord, SurpriseReport
from worldsim.types.states import ObjectStates
from worldsim.types.truth import WorldTruth

__all__ = [
    "APPEARANCE_DIM",
    "TANGENT_DIM",
    "Association",
    "Candidates",
    "Channel",
    "ClassPair",
    "Control",
    "Descriptor",
    "Detections",
    "EgoState",
    "Event",
    "EventKind",
    "Evidence",
    "Forecast",
    "InteractionCandidates",
    "InteractionCard",
    "InteractionGraph",
    "InteractionKind",
    "InteractionQuery",
    "ModelCard",
    "ObjectStates",
    "Observation",
    "ParameterPrior",
    "Plan",
    "Predictions",
    "Preferences",
    "Query",
    "Rollout",
    "Shape",
    "StepRecord",
    "SurpriseReport",
    "Viewpoints",
    "WorldBelief",
    "WorldTruth",
]
