"""Imagined futures, what is wanted of them, and what was decided."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float, Int
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Preferences:
    """What an agent wants, as data; never part of a model of the world.

    Attributes:
        goal_position: [3] m, or None while there is none.
        goal_tolerance_m: how near is there.
        clearance_m: wanted distance between hulls of the own body and anything that moves.
        weights: named weights of the objective's terms, 1 where a term is not named. Names are the objective's
            (see ``worldsim.planning.objective``).
        hold_still: do not move of one's own accord (set while an alarm is being looked into).
    """

    goal_position: tuple[float, float, float] | None = None
    goal_tolerance_m: float = 0.2
    clearance_m: float = 0.5
    weights: tuple[tuple[str, float], ...] = ()
    hold_still: bool = False

    def weight(self, term: str) -> float:
        """Return the weight of `term` (1 where it is not named)."""
        return dict(self.weights).get(term, 1.0)


@dataclass(frozen=True, slots=True)
class Rollout:
    """S imagined futures over T steps of N objects.

    Attributes:
        object_id: [N].
        time_s: [T] s, absolute.
        position: [S, T, N, 3] m; orientation_xyzw: [S, T, N, 4].
        linear_velocity: [S, T, N, 3] m/s.
        position_std: [T, N, 3] m, spread over samples, scaled to the model's learned calibration.
    """

    object_id: Int[np.ndarray, " N"]
    time_s: Float[np.ndarray, " T"]
    position: Float[Tensor, "S T N 3"]
    orientation_xyzw: Float[Tensor, "S T N 4"]
    linear_velocity: Float[Tensor, "S T N 3"]
    position_std: Float[Tensor, "T N 3"]


@dataclass(frozen=True, slots=True)
class Plan:
    """A planner's choice.

    Attributes:
        action: [U] the first action, in the environment's units ([-1, 1]).
        actions: [T, U] the whole chosen sequence.
        cost: expected cost of the chosen sequence.
        terms: expected cost by named term of the objective.
    """

    action: Float[np.ndarray, " U"]
    actions: Float[np.ndarray, "T U"]
    cost: float
    terms: dict[str, float] = field(default_factory=dict)
