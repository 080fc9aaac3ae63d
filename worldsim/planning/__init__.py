"""Planning in belief space: imagine own futures among the believed futures of others, and prefer.

The line: a `Situation` (own body, forecast of everything else) -> `Surroundings` (what stands, what moves, the
route) -> imagined own trajectories -> named cost terms -> the plan. Only the terms read `Preferences`; nothing
before them does.
"""

from worldsim.planning.approach import Approach, find_approach
from worldsim.planning.mppi import MPPI
from worldsim.planning.objective import Objective, Surroundings
from worldsim.planning.route import Route, find_route
from worldsim.planning.situation import OwnBody, OwnTrajectories, Situation

__all__ = [
    "MPPI",
    "Approach",
    "Objective",
    "OwnBody",
    "OwnTrajectories",
    "Route",
    "Situation",
    "Surroundings",
    "find_approach",
    "find_route",
]
