"""Planning in the floor plane over a belief: what is pushed gives way, what moves goes where it is forecast."""

from worldsim.planning.planar.belief_cost import BeliefCost
from worldsim.planning.planar.free_energy import Drives, ExpectedFreeEnergy, Search
from worldsim.planning.planar.goal_cost import goal_cost
from worldsim.planning.planar.hypotheses import Hypotheses, information_gain
from worldsim.planning.planar.pushing import Outline, push_out
from worldsim.planning.planar.rollout import PlanarFuture, Pushable, roll_out
from worldsim.planning.planar.scene import Believer, PlanarScene, find_objects, read_scene
from worldsim.planning.planar.search_map import SearchMap, make_search_map
from worldsim.planning.planar.visibility import Cone, Unseen
from worldsim.planning.planar.waypoints import Waypoints
from worldsim.planning.planar.whereabouts import Whereabouts, search_information

__all__ = [
    "BeliefCost",
    "Believer",
    "Cone",
    "Drives",
    "ExpectedFreeEnergy",
    "Hypotheses",
    "Outline",
    "PlanarFuture",
    "PlanarScene",
    "Pushable",
    "Search",
    "SearchMap",
    "Unseen",
    "Waypoints",
    "Whereabouts",
    "find_objects",
    "goal_cost",
    "information_gain",
    "make_search_map",
    "push_out",
    "read_scene",
    "roll_out",
    "search_information",
]
