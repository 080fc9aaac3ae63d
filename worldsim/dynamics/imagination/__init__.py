"""Contact in imagination: many samples of a few bodies that strike and carry each other, both sides yielding."""

from worldsim.dynamics.imagination.rollout import Roller, RolloutPath, RolloutSettings, RolloutStart, rollout
from worldsim.dynamics.imagination.scene import ContactScene, Hull, Planes, Solid
from worldsim.dynamics.imagination.scouting import scouted

__all__ = [
    "ContactScene",
    "Hull",
    "Planes",
    "Roller",
    "RolloutPath",
    "RolloutSettings",
    "RolloutStart",
    "Solid",
    "rollout",
    "scouted",
]
