"""The joint posterior over a node's incoming force edges, online and batched."""

from worldsim.graph.joint.filter import JointGraphFilter
from worldsim.graph.joint.posterior import EdgePosterior
from worldsim.graph.joint.settings import ForceLaw, JointSettings
from worldsim.graph.joint.slots import Slots, all_pairs, grouped_pairs, nearest
from worldsim.graph.joint.strengths import ClassStrengths

__all__ = [
    "ClassStrengths",
    "EdgePosterior",
    "ForceLaw",
    "JointGraphFilter",
    "JointSettings",
    "Slots",
    "all_pairs",
    "grouped_pairs",
    "nearest",
]
