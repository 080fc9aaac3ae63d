"""A hall in which a world model that knows everything serves the deliverer: its decisions, apart from inference."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field

import numpy as np
import torch

from tests.planning.floor import FRAME_S, Floor, Thing, empty_belief, forecast
from worldsim.types import (
    Association,
    Detections,
    EgoState,
    Forecast,
    InteractionGraph,
    Observation,
    Plan,
    Predictions,
    StepRecord,
    SurpriseReport,
    Viewpoints,
    WorldBelief,
)

PARCEL_EXTENT_M = (0.35, 0.35, 0.30)
_REACH_M, _SIDEWAYS_M = 0.25, 0.2  # the gripper's


@dataclass
class Hall:
    """The robot on a floor with a parcel that it can hold; also the believer that the deliverer asks."""

    floor: Floor = field(default_factory=Floor)
    parcel: tuple[float, float] = (3.0, 1.0)
    drop_off: tuple[float, float] = (-2.0, -2.0)
    held_at: tuple[float, float] | None = None
    gaps: list[float] = field(default_factory=list)

    own_id = 0

    @property
    def belief(self) -> WorldBelief:
        """The belief of the own body, exact."""
        own, blank = self.floor.own, empty_belief(self.floor.time_s)
        yaw = own.heading_rad
        direction = (math.cos(yaw), math.sin(yaw))
        return dataclasses.replace(
            blank,
            alive=torch.ones(1, dtype=torch.bool),
            object_id=torch.zeros(1, dtype=torch.int64),
            position=torch.tensor([[*own.position, 0.15]]),
            orientation_xyzw=torch.tensor([[0.0, 0.0, math.sin(yaw / 2), math.cos(yaw / 2)]]),
            linear_velocity=torch.tensor([[own.speed_m_s * direction[0], own.speed_m_s * direction[1], 0.0]]),
            angular_velocity=torch.tensor([[0.0, 0.0, own.yaw_rate_rad_s]]),
            extent_m=torch.tensor([own.extent_m]),
            parameters=torch.tensor([[own.speed_response_per_s, own.yaw_response_per_s, 0.1, 0.1]]).log(),
        )

    def forecast(self, horizon_s: float, dt_s: float) -> Forecast:
        """Return where the things and the parcel will be."""
        parcel = Thing(self.parcel, PARCEL_EXTENT_M)
        return forecast((*self.floor.things, parcel), self.floor.time_s, round(horizon_s / dt_s), dt_s)

    def observation(self) -> Observation:
        """Return the task, and no detections."""
        belief = self.belief
        none = np.zeros((0, 3))
        detections = Detections(
            none, np.zeros((0, 4)), none, none, np.zeros((0, 12)), np.zeros((0, 6, 6))
        )  # fmt: skip
        ego = EgoState(
            belief.position[0].numpy(),
            belief.orientation_xyzw[0].numpy(),
            belief.linear_velocity[0].numpy(),
            belief.angular_velocity[0].numpy(),
            belief.extent_m[0].numpy(),
            np.eye(6) * 1e-6,
        )
        task = {
            "task_holding": np.array([float(self.held_at is not None)]),
            "task_pickup_position": np.array([*self.parcel, 0.15]),
            "task_dropoff_position": np.array([*self.drop_off, 0.15]),
        }
        return Observation(self.floor.time_s, detections, Viewpoints(np.zeros((1, 3)), np.array([20.0])), ego, task)

    def step(self, action: np.ndarray) -> None:
        """Drive a frame; take the parcel, carry it or let it go."""
        self.floor.step(Plan(action[:2], action[None, :2], 0.0))
        own = self.floor.own
        c, s = math.cos(own.heading_rad), math.sin(own.heading_rad)
        dx, dy = self.parcel[0] - own.position[0], self.parcel[1] - own.position[1]
        ahead, aside = c * dx + s * dy, c * dy - s * dx
        if action[2] < 0:
            self.held_at = None
        elif action[2] > 0 and self.held_at is None:
            gap = ahead - own.extent_m[0] / 2 - PARCEL_EXTENT_M[0] / 2
            if -0.05 < gap < _REACH_M and abs(aside) < _SIDEWAYS_M:
                self.held_at = (ahead, aside)
        if self.held_at is not None:
            ahead, aside = self.held_at
            self.parcel = (own.position[0] + c * ahead - s * aside, own.position[1] + s * ahead + c * aside)

    @property
    def delivered(self) -> bool:
        """Whether the parcel lies at the drop-off."""
        return self.held_at is None and math.dist(self.parcel, self.drop_off) < 0.5


def record(time_s: float, alarmed: tuple[int, ...] = ()) -> StepRecord:
    """Return a record of a step in which nothing was seen and `alarmed` are under alarm."""
    no_ids, no_rows = np.zeros(0, dtype=np.int64), np.zeros(0)
    return StepRecord(
        time_s,
        Predictions(no_ids, np.zeros((0, 3)), np.zeros((0, 4)), np.zeros((0, 6, 6))),
        Association(no_ids, no_ids, np.zeros(0, dtype=bool), no_ids),
        SurpriseReport(no_ids, np.zeros((0, 5)), no_rows, no_rows, no_rows, no_ids, no_rows, 10.0),
        InteractionGraph.empty(),
        alarmed=alarmed,
    )


__all__ = ["FRAME_S", "Floor", "Hall", "Thing", "record"]
