"""Planning in the floor plane over a belief: what is pushed gives way, what moves goes where it is forecast."""

from worldsim.planning.planar.belief_cost import BeliefCost
from worldsim.planning.planar.goal_cost import goal_cost
from worldsim.planning.planar.pushing import Outline, push_out
from worldsim.planning.planar.rollout import PlanarFuture, Pushable, roll_out
from worldsim.planning.planar.scene import Believer, PlanarScene, find_object, read_scene

__all__ = [
    "BeliefCost",
    "Believer",
    "Outline",
    "PlanarFuture",
    "PlanarScene",
    "Pushable",
    "find_object",
    "goal_cost",
    "push_out",
    "read_scene",
    "roll_out",
]
