"""The world model in the shape that solvers of other packages ask for: ``get_cost(info_dict, action_candidates)``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float
from torch import Tensor

from worldsim.errors import ConfigurationError
from worldsim.planning.planar.belief_cost import BeliefCost
from worldsim.planning.planar.scene import Believer, read_scene
from worldsim.types.observation import Detections, Observation, Viewpoints
from worldsim.types.planning import Preferences, PreferredOutcome

REACH = Preferences(outcomes=(PreferredOutcome("reach", "own", "goal", scale_m=0.3),), clearance_m=0.3)
"""What is wanted where the task names a goal alone: the own body at it."""
BRING = Preferences(
    outcomes=(
        PreferredOutcome("home", "object", "goal", scale_m=0.2),
        PreferredOutcome("near", "own", "object", scale_m=0.8, distance_m=0.7, weight=0.3),
    ),
    clearance_m=0.0,
)
"""What is wanted where it names an object as well: the object at the goal."""


def goal_cost(
    world_model: Believer,
    info_dict: Mapping[str, Any],
    action_candidates: Float[Tensor, "1 S T U"],
    dt_s: float,
) -> Float[Tensor, "1 S"]:
    """Return the expected cost of candidates under what is believed now.

    Args:
        world_model: whose belief it is.
        info_dict: the ``task_*`` numbers of an observation, each with the axes [1, S, ...] (or [1, ...]); the first
            candidate's count, as all candidates start in one world. `preferences` replaces what is wanted.
        action_candidates: S sequences of T actions, each in [-1, 1].
        dt_s: length of a step, s.

    Raises:
        ConfigurationError: there is no goal, the world model does not hold the own body or the object, or there are
            candidates for several worlds.
    """
    task = {
        name: np.asarray(value).reshape(-1, np.asarray(value).shape[-1])[0]
        for name, value in info_dict.items()
        if name.startswith("task_")
    }
    wanted = info_dict.get("preferences", BRING if "task_object_extent_m" in task else REACH)
    moment = Observation(world_model.belief.time_s, Detections.empty(), Viewpoints.everywhere(), None, task)
    scene = read_scene(world_model, moment, wanted, action_candidates.shape[-2], dt_s)
    if scene is None:
        raise ConfigurationError(
            "get_cost: the own body or the task's object is not in the belief. Call reset(observation) with an "
            "observation that has an ego state, and look at a few frames first."
        )
    return BeliefCost(scene, wanted, dt_s).get_cost(info_dict, action_candidates)
