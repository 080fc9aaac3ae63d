"""What a delivery decision rested on, belief and value apart, and which of the two made it."""

from __future__ import annotations

import dataclasses
import enum
import math
from dataclasses import dataclass

import torch

from worldsim.planning import MPPI, Approach, Situation, find_approach
from worldsim.planning.boxes import Boxes
from worldsim.planning.explanation import attribute, believed_things, imagined_options
from worldsim.planning.mppi import standing_outlines
from worldsim.planning.situation import without
from worldsim.types.explanation import Attribution, Explanation
from worldsim.types.planning import Plan, Preferences

__all__ = [
    "DELIVERED_M",
    "GRASP_GAP_M",
    "MOVED_M",
    "PARCEL_EXTENT_M",
    "SAME_PLACE_M",
    "Believed",
    "Decision",
    "Phase",
    "Valued",
    "explained",
    "standing_but",
    "wanted",
]

GRASP_GAP_M = 0.12
"""Left between front and parcel when it is taken."""
DELIVERED_M = 0.5  # a parcel this near to its drop-off is delivered
PARCEL_EXTENT_M = (0.40, 0.40, 0.35)
"""Of a parcel, with some allowance for one held askew."""
SAME_PLACE_M = 0.4
"""Small things within this of the place that the task names are what it names."""
MOVED_M = 0.1
"""A task whose place moves by more is a new task."""


class Phase(enum.StrEnum):
    """What the deliverer is about."""

    REACH = "reach"  # on the way to the place before the parcel
    ALIGN = "align"  # the straight last stretch to it
    GRASP = "grasp"
    CARRY = "carry"  # on the way to the place before the drop-off
    PLACE = "place"  # the straight last stretch to it
    RELEASE = "release"
    BACK_OFF = "back_off"
    WAIT = "wait"  # no task, or no way to it


@dataclass(frozen=True, slots=True)
class Believed:
    """The part of a decision that is belief.

    Attributes:
        situation: own body and forecast of everything else.
        phase: what it was about, which follows from where it believes to be and what it holds.
        stopped_for: ids of the objects under alarm that it stands still for.
        target: (x, y) m of the place that it heads for, None where it heads for none.
        approach: from which side.
    """

    situation: Situation
    phase: Phase
    stopped_for: tuple[int, ...]
    target: tuple[float, float] | None
    approach: Approach | None


@dataclass(frozen=True, slots=True)
class Valued:
    """The part of a decision that is value: clearance and weights, and where the parcel shall be fetched and left."""

    preferences: Preferences
    pickup: tuple[float, float]
    dropoff: tuple[float, float]


@dataclass(frozen=True, slots=True)
class Decision:
    """Why the deliverer did what it did in one frame.

    Attributes:
        step: frame of the episode, from 0.
        time_s: when.
        believed: what it believed.
        valued: what it was given to want.
        preferences: what was wanted in this frame, which follows from the two.
        plan: the plan, with the expected cost by term.
    """

    step: int
    time_s: float
    believed: Believed
    valued: Valued
    preferences: Preferences
    plan: Plan

    @property
    def phase(self) -> Phase:
        """What it was about."""
        return self.believed.phase

    @property
    def stopped_for(self) -> tuple[int, ...]:
        """Ids of the objects under alarm that it stood still for."""
        return self.believed.stopped_for


def explained(planner: MPPI, decision: Decision, against: Decision | None) -> Explanation:
    """Return the explanation of a decision, compared with another one where there is one.

    Args:
        planner: imagines and prices the options; its memory stays as it is.
        decision: to explain.
        against: to compare with.
    """
    names, acts = ["what was planned"], [torch.from_numpy(decision.plan.actions)]
    if against is not None:
        names.append(f"what was planned at step {against.step}")
        acts.append(torch.from_numpy(against.plan.actions))
    fixed_names, fixed = planner.primitive_options()
    own, around, terms = planner.price(
        decision.believed.situation, decision.preferences, torch.cat([torch.stack(acts), fixed])
    )
    return Explanation(
        decision.step,
        decision.time_s,
        decision.phase.value,
        believed_things(decision.believed.situation),
        decision.believed.situation.own.position,
        decision.believed.situation.own.heading_rad,
        decision.stopped_for,
        decision.preferences,
        imagined_options([*names, *fixed_names], own, around, terms),
        None if against is None else against.step,
        Attribution(0.0, 0.0) if against is None else _attribute(planner, decision, against),
    )


def wanted(believed: Believed, approach: Approach | None, preferences: Preferences) -> Preferences:
    """Return what is wanted now: `preferences` with this phase's goal."""
    phase = believed.phase
    if approach is None or phase in (Phase.WAIT, Phase.GRASP, Phase.RELEASE):
        goal, heading = None, None
    else:
        place = approach.staging if phase in (Phase.REACH, Phase.CARRY) else approach.position
        goal, heading = (place[0], place[1], 0.0), approach.heading_rad
    still = bool(believed.stopped_for) or phase in (Phase.WAIT, Phase.GRASP, Phase.RELEASE)
    return dataclasses.replace(preferences, goal_position=goal, goal_heading_rad=heading, hold_still=still)


def _wanted_of(believed: Believed, valued: Valued) -> Preferences:
    """Return what would be wanted under the belief of one decision and the values of any.

    The way to face the goal is looked for anew where it is not the goal that the belief was made for.
    """
    own = believed.situation.own
    target: tuple[float, float] | None = None
    standoff_m = own.extent_m[0] / 2 + GRASP_GAP_M + PARCEL_EXTENT_M[0] / 2
    believed = dataclasses.replace(believed, phase=_phase_under(believed, valued))
    if believed.phase in (Phase.REACH, Phase.ALIGN):
        target = valued.pickup
    elif believed.phase in (Phase.CARRY, Phase.PLACE):
        target, standoff_m = valued.dropoff, own.load_ahead_m
    approach = believed.approach
    same = believed.target is not None and target is not None and math.dist(target, believed.target) <= MOVED_M
    if target is not None and not same:
        approach = find_approach(own, standing_but(believed.situation, target), target, standoff_m)
    return wanted(believed, approach, valued.preferences)


def _phase_under(believed: Believed, valued: Valued) -> Phase:
    """Return what it would be about under the belief of one decision and the values of any.

    What is fetched and where to is value: a parcel that lies where it is wanted leaves nothing to do, and another one
    that does not leaves something, whatever is believed.
    """
    holding = believed.situation.own.load_extent_m is not None
    if not holding and math.dist(valued.pickup, valued.dropoff) <= DELIVERED_M:
        return believed.phase if believed.phase is Phase.BACK_OFF else Phase.WAIT
    if believed.phase is Phase.WAIT:
        return Phase.CARRY if holding else Phase.REACH
    return believed.phase


def standing_but(situation: Situation, target: tuple[float, float]) -> Boxes:
    """Return the outlines of what stands, less the small thing that lies at the target."""
    forecast = situation.forecast
    away = (forecast.position[0, :, :2] - torch.tensor(target)).norm(dim=-1)
    named = (away < SAME_PLACE_M) & (forecast.extent_m[:, :2].amax(dim=-1) < situation.own.extent_m[0])
    return standing_outlines(situation.own, without(forecast, named))


def _attribute(planner: MPPI, new: Decision, old: Decision) -> Attribution:
    """Return how belief and value share in that `new` chose its own plan and not `old`'s."""
    acts = torch.stack([torch.from_numpy(old.plan.actions), torch.from_numpy(new.plan.actions)])

    def advantage(new_belief: bool, new_value: bool) -> float:
        decision = new if new_belief else old
        believed = decision.believed
        wanted = decision.preferences  # as it was decided, where belief and value are those of one decision
        valued = (new if new_value else old).valued
        if valued != decision.valued:
            wanted = _wanted_of(believed, valued)
        _, _, terms = planner.price(believed.situation, wanted, acts)
        first, second = torch.stack(list(terms.values())).sum(dim=0).tolist()
        return float(first - second)

    return attribute(advantage)
