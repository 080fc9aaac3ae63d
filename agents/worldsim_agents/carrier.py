"""A scripted expert of the warehouse: it fetches the parcel, carries it to its place, and lets nobody run into it."""

from __future__ import annotations

import enum
import math

import numpy as np
from jaxtyping import Float

from worldsim.contracts.agent import Agent
from worldsim.errors import ConfigurationError
from worldsim.planning.approach import Approach, find_approach
from worldsim.planning.situation import OwnBody
from worldsim.types.observation import EgoState, Observation
from worldsim.types.record import StepRecord
from worldsim_agents.delivery_decision import DELIVERED_M
from worldsim_agents.driving import command, facing, pose_of, towards
from worldsim_agents.task_object import wrapped
from worldsim_agents.wayfinder import ALIVE, Mover, Wayfinder

_VEHICLES = (
    Mover((1.05, 1.35), (0.35, 0.70), (0.5, 0.8), 1.3, parks=True),
    Mover((0.75, 1.05), (0.85, 1.15), (0.5, 0.75), 1.2, parks=True),
)
"""Tugs and trolleys."""
_FORGET_S, _OVERHEAD_M = 4.0, 0.6
_PARCEL_M = 0.35  # edge, about
_GAP_M = 0.08  # between the robot's front and the parcel, when the clamp is closed
_STRETCH_M = 0.5  # of the straight way up to the parcel, and to where it is left
_NEAR_M, _NEAR_M_S = 0.6, 0.6  # of that stretch's start: from here it is driven to straight, and so fast
_ARRIVED_M, _ALIGNED_RAD = 0.12, 0.06
_LEFT_M = 0.15  # of the drop-off: where the parcel is let go
_GIVE_UP_S, _TAKING_S, _LEAVING_S, _CLEAR_S = 8.0, 1.0, 0.3, 1.8
_SOON_S = 1.2  # somebody who comes too near so soon is made way for, whatever it is at


class Stage(enum.StrEnum):
    """What the carrier is at."""

    REACH = "reach"  # on the way to before the parcel
    FACE = "face"
    APPROACH = "approach"
    TAKE = "take"
    CARRY = "carry"  # on the way to before the drop-off
    SQUARE = "square"
    PLACE = "place"
    LEAVE = "leave"
    DONE = "done"


_EMPTY = (Stage.REACH, Stage.FACE, Stage.APPROACH, Stage.TAKE)
_LADEN = (Stage.CARRY, Stage.SQUARE, Stage.PLACE)


class Carrier(Agent):
    """Fetches the task's parcel and carries it to its place, by its detections alone; it makes way for who moves."""

    def __init__(self) -> None:
        """Build the agent."""
        self._ways = Wayfinder((*ALIVE, *_VEHICLES), _FORGET_S, _OVERHEAD_M)
        self.reset()

    def __repr__(self) -> str:
        """Return what the agent was built with."""
        return "Carrier()"

    def reset(self) -> None:
        """Forget the last episode."""
        self._ways.reset()
        self.stage = Stage.REACH
        self._since_s = 0.0
        self._approach: Approach | None = None

    def act(
        self, observation: Observation, record: StepRecord | None, rng: np.random.Generator
    ) -> Float[np.ndarray, "3"]:
        """Return the action for the coming frame.

        Raises:
            ConfigurationError: the observation has no own body, or is of another task.
        """
        del record, rng
        task, ego, now = observation.task or {}, observation.ego, observation.time_s
        if ego is None or "task_dropoff_position" not in task:
            raise ConfigurationError("Carrier: the observation is of no delivery (Warehouse).")
        parcel, place = (
            np.asarray(task[f"task_{name}_position"], dtype=np.float64)[:2] for name in ("pickup", "dropoff")
        )
        holding = bool(task["task_holding"][0] > 0.5)
        self._ways.look(observation.detections, now, left_out=parcel if holding else None)
        stage = self._now_at(holding, parcel, place)
        if stage is not self.stage:
            self._go_on(stage, now)
        return self._drive(ego, parcel, place, now)

    def _now_at(self, holding: bool, parcel: np.ndarray, place: np.ndarray) -> Stage:
        """Return the stage, corrected by what the clamp holds and where the parcel is."""
        if self.stage is Stage.LEAVE:
            return self.stage
        if holding:
            return self.stage if self.stage in _LADEN else Stage.CARRY
        if math.dist(parcel, place) < DELIVERED_M:
            return Stage.DONE
        return self.stage if self.stage in _EMPTY else Stage.REACH

    def _go_on(self, stage: Stage, now: float) -> None:
        self.stage, self._since_s = stage, now
        if stage in (Stage.REACH, Stage.CARRY):
            self._approach = None

    def _drive(self, ego: EgoState, parcel: np.ndarray, place: np.ndarray, now: float) -> Float[np.ndarray, "3"]:
        """Return the action of the stage, and go on to the next one where this is done."""
        here, waited = pose_of(ego), now - self._since_s
        laden = self.stage in _LADEN
        hold, target = 1.0 if laden else -1.0, place if laden else parcel
        ahead_m = math.dist(here[:2], parcel) if laden else None
        if self.stage is Stage.LEAVE:
            if waited > _CLEAR_S:
                self._go_on(Stage.REACH, now)
            return command(-0.4 if waited > _LEAVING_S else 0.0, 0.0, hold)
        if self.stage is Stage.DONE:
            return command(*self._ways.lead(ego, here[:2]), hold)
        if self.stage is Stage.TAKE:
            if waited > _TAKING_S:
                self._go_on(Stage.REACH, now)
            return command(0.0, 0.0, 1.0)
        if self._approach is None:
            self._approach = self._side(ego, target, parcel, ahead_m)
        if self._approach is None:  # blocked all round: towards it, which shows more of the place
            return command(*self._ways.lead(ego, target, ahead_m), hold)
        start = np.array(self._approach.staging)
        if self._ways.comes_near(here, _SOON_S):
            self._go_on(Stage.CARRY if laden else Stage.REACH, now)
            return command(*self._ways.lead(ego, start, ahead_m), hold)
        speed, turn = self._up_to(ego, here, target, start, ahead_m, now)
        return command(speed, turn, hold)

    def _up_to(
        self, ego: EgoState, here: np.ndarray, target: np.ndarray, start: np.ndarray, ahead_m: float | None, now: float
    ) -> tuple[float, float]:
        """Return speed and yaw rate that lead to the start of the straight stretch, turn there, and go along it."""
        laden = ahead_m is not None
        offset = target - here[:2]
        wrong = wrapped(math.atan2(offset[1], offset[0]) - here[2])
        if self.stage in (Stage.REACH, Stage.CARRY):
            away_m = math.dist(start, here[:2])
            if away_m > _NEAR_M:
                return self._ways.lead(ego, start, ahead_m)
            if away_m > _ARRIVED_M:
                return towards(here, start, _NEAR_M_S)
            self._go_on(Stage.SQUARE if laden else Stage.FACE, now)
        if self.stage in (Stage.FACE, Stage.SQUARE):
            if abs(wrong) > _ALIGNED_RAD:
                return 0.0, facing(here, here[2] + wrong)
            self._go_on(Stage.PLACE if laden else Stage.APPROACH, now)
        left = float(np.linalg.norm(offset)) - _standoff_m(ego, ahead_m)
        if left > (_LEFT_M if laden else 0.0) and now - self._since_s < _GIVE_UP_S:
            return min(0.4, 0.08 + 1.2 * left), 3.0 * wrong
        self._go_on(Stage.LEAVE if laden else Stage.TAKE, now)
        return 0.0, 0.0

    def _side(self, ego: EgoState, target: np.ndarray, parcel: np.ndarray, ahead_m: float | None) -> Approach | None:
        """Return from which side to come to the target, None where every side is blocked."""
        here, (length, width, height) = pose_of(ego), ego.extent_m
        own = OwnBody(
            (float(here[0]), float(here[1])), float(here[2]), 0.0, 0.0, (float(length), float(width), float(height)),
            (_PARCEL_M,) * 3 if ahead_m is not None else None, ahead_m or 0.0,
        )  # fmt: skip
        place, standoff_m = (float(target[0]), float(target[1])), _standoff_m(ego, ahead_m)
        return find_approach(own, self._ways.outlines(left_out=parcel), place, standoff_m, _STRETCH_M)


def _standoff_m(ego: EgoState, ahead_m: float | None) -> float:
    """Return how far the robot's middle is to be from its target: where the parcel is carried, or can be clamped."""
    return ahead_m if ahead_m is not None else float(ego.extent_m[0]) / 2.0 + _PARCEL_M / 2.0 + _GAP_M
