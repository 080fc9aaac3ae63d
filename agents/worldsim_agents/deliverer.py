"""An agent that carries parcels, by belief and preference alone, and stops for what it does not understand."""

from __future__ import annotations

import dataclasses
import math
from collections import deque
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from jaxtyping import Float

from worldsim.contracts.agent import Agent
from worldsim.errors import ConfigurationError
from worldsim.planning import MPPI, Approach, OwnBody, Situation, find_approach
from worldsim.planning.situation import believed_own_body, held_objects, without
from worldsim.types.belief import WorldBelief
from worldsim.types.explanation import Explanation
from worldsim.types.observation import Observation
from worldsim.types.planning import Forecast, Preferences
from worldsim.types.record import StepRecord
from worldsim_agents.delivery_decision import (
    DELIVERED_M,
    GRASP_GAP_M,
    MOVED_M,
    PARCEL_EXTENT_M,
    SAME_PLACE_M,
    Believed,
    Decision,
    Phase,
    Valued,
    explained,
    standing_but,
    wanted,
)

__all__ = ["Believer", "Decision", "Deliverer", "Phase"]

_BACK_OFF_M = 0.7  # way backed after putting a parcel down
_SAME_TIME_S = 1e-3  # times of frames are sums of floats
_STAGING_TOLERANCE = (0.3, 0.45)  # m, rad: good enough to begin the last stretch
_NEARBY_M, _STAGING_PATIENCE_S = 0.7, 4.0  # so near for so long: the last stretch is begun from there
_PLACE_TOLERANCE = (0.08, 0.15)  # m, rad: good enough to take or leave the parcel
_ALIGN_PATIENCE_S, _GRASP_PATIENCE_S, _RETRY_S = 5.0, 1.0, 1.0
_REMEMBERED = 400  # decisions that can be explained: 40 s of them
_OTHER_ACT = 0.1  # of an action's range: an earlier decision that differs by more is one to compare with


class Believer(Protocol):
    """What the deliverer asks of a world model."""

    @property
    def belief(self) -> WorldBelief:
        """The belief now."""

    @property
    def own_id(self) -> int | None:
        """Id of the own body in the belief, None where it is not held there."""

    def forecast(self, horizon_s: float, dt_s: float) -> Forecast:
        """Return where everything but the own body is expected to be."""


_HOLDING_ON = (Phase.CARRY, Phase.PLACE, Phase.RELEASE)  # phases in which the parcel should be held
_HOLDING = (Phase.ALIGN, Phase.GRASP, Phase.CARRY, Phase.PLACE)  # phases in which holding is commanded
_AT_THE_PARCEL = (Phase.ALIGN, Phase.GRASP, Phase.BACK_OFF)


class Deliverer(Agent):
    """Fetches the task's parcel and takes it to the drop-off, again and again.

    All it knows of the world it reads from the world model's belief and forecast; of the observation it reads the
    task and, where the world model does not hold the own body, the own body's state. While an object is under
    alarm it stands still (and evades what is predicted to come too near); once the object is resolved, or
    patience runs out, it goes on and steers by what the model then forecasts.
    """

    def __init__(
        self,
        world_model: Believer,
        planner: MPPI | None = None,
        preferences: Preferences | None = None,
        patience_s: float = 8.0,
    ) -> None:
        """Build the agent.

        Args:
            world_model: gives belief and forecast; the caller steps it.
            planner: MPPI over what this agent perceives, where None.
            preferences: clearance and weights; the goal in it is replaced by the task's.
            patience_s: how long one alarm may hold it up.
        """
        self.world_model = world_model
        self.planner = planner or MPPI(lambda belief: self._situation)
        self.preferences = preferences or Preferences()
        self.patience_s = patience_s
        self.reset()

    def __repr__(self) -> str:
        """Return what the agent was built with."""
        return f"Deliverer(planner={self.planner!r}, preferences={self.preferences!r}, patience_s={self.patience_s})"

    def reset(self) -> None:
        """Forget the last episode."""
        self.planner.reset()
        self.phase = Phase.WAIT
        self.last_plan = None
        self.last_decision: Decision | None = None
        self._decisions: deque[Decision] = deque(maxlen=_REMEMBERED)
        self._frame = -1
        self._target: tuple[float, float] | None = None
        self._approach: Approach | None = None
        self._phase_since_s = 0.0
        self._near_since_s = math.inf
        self._planned_s = -math.inf
        self._alarm_since_s: dict[int, float] = {}

    def act(
        self, observation: Observation, record: StepRecord | None, rng: np.random.Generator
    ) -> Float[np.ndarray, "3"]:
        """Return forward speed, yaw rate and hold command, each in [-1, 1]."""
        now = observation.time_s
        self._frame += 1
        task = _Task.read(observation)
        stopped_for = self._stopped_for(record, now)
        own = believed_own_body(self.world_model.belief, self.world_model.own_id, observation.ego)
        if own is None:  # a passive observer carries nothing
            return np.zeros(3, dtype=np.float32)
        if self._still_good(stopped_for, now):
            return self._action()
        self._situation = self._perceive(own, task, now)
        if stopped_for:
            self._near_since_s = math.inf  # who stands still for somebody is not kept from anywhere
        else:
            self._follow(task, now)
        believed = Believed(self._situation, self.phase, stopped_for, self._target, self._approach)
        valued = Valued(self.preferences, task.pickup, task.dropoff)
        preferences = wanted(believed, self._approach, self.preferences)
        plan = self.planner.plan(self.world_model.belief, preferences, rng)
        self.last_plan, self._planned_s = plan, now
        self.last_decision = Decision(self._frame, now, believed, valued, preferences, plan)
        self._decisions.append(self.last_decision)
        return self._action()

    def explain(self, step: int, against: Decision | None = None) -> Explanation:
        """Return why it did what it did in frame `step`, and whether belief or value made it do so.

        Args:
            step: frame of the episode; -1 is the last one. A plan holds for two frames.
            against: the decision to compare with (also another agent's); by default the last earlier one whose act
                was another.

        Raises:
            ConfigurationError: no decision of that frame is remembered.
        """
        frame = self._frame + 1 + step if step < 0 else step
        known = [d for d in self._decisions if d.step <= frame]
        if not known or frame > self._frame:
            kept = f"frames {self._decisions[0].step} to {self._frame}" if self._decisions else "no frame"
            raise ConfigurationError(f"Deliverer.explain: step is {step}; decisions of {kept} are remembered.")
        decision = known[-1]
        if against is None:
            act = decision.plan.action
            others = [d for d in known[:-1] if float(abs(d.plan.action - act).max()) > _OTHER_ACT]
            against = others[-1] if others else None
        return explained(self.planner, decision, against)

    def _still_good(self, stopped_for: tuple[int, ...], now: float) -> bool:
        """Return whether the last plan's first action still runs: it is made for one step of the planner."""
        last = self.last_decision
        young = now - self._planned_s < self.planner.dt_s - _SAME_TIME_S
        return self.last_plan is not None and last is not None and young and last.stopped_for == stopped_for

    def _action(self) -> Float[np.ndarray, "3"]:
        """Return the last plan's first action, and what the phase says of holding."""
        plan = self.last_plan
        if plan is None:
            return np.zeros(3, dtype=np.float32)
        hold = -1.0 if self.phase in (Phase.RELEASE, Phase.BACK_OFF) else float(self.phase in _HOLDING)
        return np.array([plan.action[0], plan.action[1], hold], dtype=np.float32)

    def _perceive(self, own: OwnBody, task: _Task, now: float) -> Situation:
        """Return own body and forecast; the load, and a parcel being taken or left, are no obstacles."""
        forecast = self.world_model.forecast(self.planner.steps * self.planner.dt_s, self.planner.dt_s)
        ignored = torch.zeros(len(forecast), dtype=torch.bool)
        if task.holding:
            held = held_objects(own, forecast)
            ignored |= held
            ahead_m = own.extent_m[0] / 2 + GRASP_GAP_M + PARCEL_EXTENT_M[0] / 2  # where the belief has lost it
            if bool(held.any()):
                ahead_m = math.dist(own.position, forecast.position[0, held, :2].mean(dim=0).tolist())
            own = dataclasses.replace(own, load_extent_m=PARCEL_EXTENT_M, load_ahead_m=ahead_m)
        elif self.phase in _AT_THE_PARCEL and self._target is not None and len(forecast):
            away = forecast.position[0, :, :2] - torch.tensor(self._target)
            ignored |= (away.norm(dim=-1) < SAME_PLACE_M) & (forecast.extent_m[:, :2].amax(dim=-1) < own.extent_m[0])
        return Situation(now, own, without(forecast, ignored))

    def _stopped_for(self, record: StepRecord | None, now: float) -> tuple[int, ...]:
        """Return whom to stand still for: all under alarm, less those that patience has run out on."""
        alarmed = () if record is None else record.alarmed
        self._alarm_since_s = {i: self._alarm_since_s.get(i, now) for i in alarmed}
        return tuple(i for i, since in self._alarm_since_s.items() if now - since < self.patience_s)

    def _follow(self, task: _Task, now: float) -> None:
        """Move on to the next phase where this one is done."""
        phase = self._next_phase(task, now)
        if phase is self.phase and not (phase in (Phase.REACH, Phase.CARRY) and self._task_moved(task)):
            return
        self.phase, self._phase_since_s, self._near_since_s = phase, now, math.inf
        own = self._situation.own
        if phase is Phase.REACH:
            self._head_for(task.pickup, own.extent_m[0] / 2 + GRASP_GAP_M + PARCEL_EXTENT_M[0] / 2)
        elif phase is Phase.CARRY:
            self._head_for(task.dropoff, own.load_ahead_m)
        elif phase is Phase.BACK_OFF:
            back = (-_BACK_OFF_M * math.cos(own.heading_rad), -_BACK_OFF_M * math.sin(own.heading_rad))
            behind = (own.position[0] + back[0], own.position[1] + back[1])
            self._approach = Approach(behind, own.heading_rad, behind)

    def _next_phase(self, task: _Task, now: float) -> Phase:
        spent_s = now - self._phase_since_s
        if task.holding and self.phase not in _HOLDING_ON:
            return Phase.CARRY
        if not task.holding and self.phase in _HOLDING_ON:
            return Phase.BACK_OFF if self.phase is Phase.RELEASE else Phase.REACH
        if not task.open and self.phase is not Phase.BACK_OFF:
            return Phase.WAIT
        match self.phase:
            case Phase.WAIT:
                ready = task.open and (self._approach is None or spent_s > _RETRY_S)
                return (Phase.CARRY if task.holding else Phase.REACH) if ready else Phase.WAIT
            case Phase.REACH | Phase.CARRY if self._approach is None:
                return Phase.WAIT
            case Phase.REACH if self._arrived(staging=True) or self._kept_from_staging(now):
                return Phase.ALIGN
            case Phase.CARRY if self._arrived(staging=True) or self._kept_from_staging(now):
                return Phase.PLACE
            case Phase.ALIGN if self._arrived(staging=False) or spent_s > _ALIGN_PATIENCE_S:
                return Phase.GRASP
            case Phase.PLACE if self._arrived(staging=False) or spent_s > _ALIGN_PATIENCE_S:
                return Phase.RELEASE
            case Phase.GRASP if spent_s > _GRASP_PATIENCE_S:
                return Phase.BACK_OFF
            case Phase.BACK_OFF if self._arrived(staging=False) or spent_s > _ALIGN_PATIENCE_S:
                return Phase.REACH
        return self.phase

    def _task_moved(self, task: _Task) -> bool:
        wanted = task.dropoff if self.phase is Phase.CARRY else task.pickup
        return self._target is None or math.dist(wanted, self._target) > MOVED_M

    def _head_for(self, target: tuple[float, float], standoff_m: float) -> None:
        """Choose from which side to come to the target, among what stands there; the target itself is no obstacle."""
        standing = standing_but(self._situation, target)
        self._target = target
        self._approach = find_approach(self._situation.own, standing, target, standoff_m)

    def _kept_from_staging(self, now: float) -> bool:
        """Return whether it has been near where it would line up for long, and does not get there.

        Somebody parked beside that place keeps it away for good; from where it is the rest of the way may be free.
        """
        assert self._approach is not None  # or the phase is to wait
        near = math.dist(self._approach.staging, self._situation.own.position) < _NEARBY_M
        self._near_since_s = min(self._near_since_s, now) if near else math.inf
        return now - self._near_since_s > _STAGING_PATIENCE_S

    def _arrived(self, *, staging: bool) -> bool:
        if self._approach is None:
            return False
        own = self._situation.own
        place = self._approach.staging if staging else self._approach.position
        wrong_m = math.dist(place, own.position)
        wrong_rad = abs(math.remainder(own.heading_rad - self._approach.heading_rad, 2 * math.pi))
        near_m, near_rad = _STAGING_TOLERANCE if staging else _PLACE_TOLERANCE
        return wrong_m < near_m and wrong_rad < near_rad


@dataclass(frozen=True, slots=True)
class _Task:
    """The task's numbers, read from an observation."""

    pickup: tuple[float, float]
    dropoff: tuple[float, float]
    holding: bool

    @property
    def open(self) -> bool:
        """Whether there is something to fetch that does not lie where it belongs already."""
        known = all(math.isfinite(v) for v in (*self.pickup, *self.dropoff))
        return known and (self.holding or math.dist(self.pickup, self.dropoff) > DELIVERED_M)

    @classmethod
    def read(cls, observation: Observation) -> _Task:
        task = observation.task or {}
        nowhere = np.full(3, np.nan)
        pickup = np.asarray(task.get("task_pickup_position", nowhere)).reshape(-1)
        dropoff = np.asarray(task.get("task_dropoff_position", nowhere)).reshape(-1)
        holding = bool(np.asarray(task.get("task_holding", 0.0)).reshape(-1)[0] > 0.5)
        return cls((float(pickup[0]), float(pickup[1])), (float(dropoff[0]), float(dropoff[1])), holding)
