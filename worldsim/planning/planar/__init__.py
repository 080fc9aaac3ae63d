"""Planning in the floor plane over a belief: what is pushed gives way, what moves goes where it is forecast."""

from worldsim.planning.planar.belief_cost import BeliefCost
from worldsim.planning.planar.free_energy import Drives, ExpectedFreeEnergy
from worldsim.planning.planar.goal_cost import goal_cost
from worldsim.planning.planar.hypotheses import Hypotheses, information_gain
from worldsim.planning.planar.pushing import Outline, push_out
from worldsim.planning.planar.rollout import PlanarFuture, Pushable, roll_out
from worldsim.planning.planar.scene import Believer, PlanarScene, find_objects, read_scene
from worldsim.planning.planar.visibility import Unseen
from worldsim.planning.planar.waypoints import Waypoints

__all__ = [
    "BeliefCost",
    "Believer",
    "Drives",
    "ExpectedFreeEnergy",
    "Hypotheses",
    "Outline",
    "PlanarFuture",
    "PlanarScene",
    "Pushable",
    "Unseen",
    "Waypoints",
    "find_objects",
    "goal_cost",
    "information_gain",
    "push_out",
    "read_scene",
    "roll_out",
]
