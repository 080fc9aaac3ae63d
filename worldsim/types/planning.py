"""Imagined futures, what is wanted of them, and what was decided."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Float, Int
from torch import Tensor

from worldsim.errors import ConfigurationError

OWN_ROLES = ("own", "own_front")
"""Roles that the own body plays: its middle, and the middle of its front."""
OTHERS = "others"
"""Role that all play that can be pushed and have no role of their own; the worst of them counts."""


@dataclass(frozen=True, slots=True)
class PreferredOutcome:
    """Where one thing should be, seen from another: a distribution over outcomes, as data.

    Its density falls as ``exp(1 - sqrt(1 + q))`` with q the squared error in units of the scales (a hyperbolic
    distribution, Barndorff-Nielsen 1977): normal near the preferred outcome, exponential far from it, so that far
    away there is still a way that is better.

    Attributes:
        name: of the outcome, unique in its preferences.
        subject: role of the thing that should be there (one of `OWN_ROLES`, ``object``, `OTHERS`, or a name of the
            task's own for one of several things of that size, as ``heaviest``).
        reference: role of what it is seen from (one of these but `OTHERS`, ``goal``, ``base``, ``line`` or ``shut``);
            who plays it stands in `worldsim.planning.planar.read_scene`.
        scale_m: how far off is about as good.
        scale_rad: the same of the turn about the vertical, None where any will do.
        distance_m: preferred distance between the two.
        or_farther: more distance is as good.
        weight: importance beside the other outcomes.
    """

    name: str
    subject: str
    reference: str
    scale_m: float
    scale_rad: float | None = None
    distance_m: float = 0.0
    weight: float = 1.0
    or_farther: bool = False

    def __post_init__(self) -> None:
        """Check the numbers.

        Raises:
            ConfigurationError: one cannot work.
        """
        turns = self.scale_rad is None or self.scale_rad > 0.0
        if not (self.scale_m > 0.0 and turns and self.distance_m >= 0.0 and self.weight >= 0.0):
            raise ConfigurationError(
                f"PreferredOutcome {self.name!r}: scale_m is {self.scale_m}, scale_rad {self.scale_rad}, distance_m "
                f"{self.distance_m}, weight {self.weight}; expected scales > 0 and the others >= 0."
            )


@dataclass(frozen=True, slots=True)
class Preferences:
    """What an agent wants, as data; never part of a model of the world.

    Attributes:
        goal_position: [3] m, or None while there is none.
        goal_tolerance_m: how near is there.
        clearance_m: wanted distance between hulls of the own body and anything that moves.
        weights: named weights of the objective's terms and of `outcomes`, 1 where one is not named. Names are the
            objective's (see ``worldsim.planning.objective``) and the outcomes'; another is refused when planning.
        hold_still: do not move of one's own accord (set while an alarm is being looked into).
        goal_heading_rad: wanted heading at the goal, rad about world z, or None where any will do.
        outcomes: what a task wants to come about, beside or instead of a goal of the own body.
    """

    goal_position: tuple[float, float, float] | None = None
    goal_tolerance_m: float = 0.2
    clearance_m: float = 0.5
    weights: tuple[tuple[str, float], ...] = ()
    hold_still: bool = False
    goal_heading_rad: float | None = None
    outcomes: tuple[PreferredOutcome, ...] = ()

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
        position_std: [T, N, 3] m, standard deviation over the samples, 0 of a single one.
    """

    object_id: Int[np.ndarray, " N"]
    time_s: Float[np.ndarray, " T"]
    position: Float[Tensor, "S T N 3"]
    orientation_xyzw: Float[Tensor, "S T N 4"]
    linear_velocity: Float[Tensor, "S T N 3"]
    position_std: Float[Tensor, "T N 3"]


@dataclass(frozen=True, slots=True)
class Forecast:
    """Where N objects other than the own body are expected to be at T coming times, spaced evenly from now.

    A summary of a `Rollout` for planning: marginal means and spreads, cheap to make and to read.

    Attributes:
        object_id: [N].
        position: [T, N, 3] m, world frame, predictive means at now + dt_s, now + 2 dt_s, ...
        position_std: [T, N, 3] m, predictive standard deviations of the same.
        orientation_xyzw: [N, 4] unit quaternions now, body to world.
        extent_m: [N, 3] full edge lengths.
        moves: [N] False for what is held to be fixed (a shelf).
        dt_s: spacing of the T times, s.
    """

    object_id: Int[Tensor, " N"]
    position: Float[Tensor, "T N 3"]
    position_std: Float[Tensor, "T N 3"]
    orientation_xyzw: Float[Tensor, "N 4"]
    extent_m: Float[Tensor, "N 3"]
    moves: Bool[Tensor, " N"]
    dt_s: float

    def __len__(self) -> int:
        """Return the number of objects N."""
        return self.object_id.shape[0]


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
