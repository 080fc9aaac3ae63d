"""A floor to plan on, small enough to follow by hand: a body with exact first-order answers, and forecasts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch

from worldsim.planning import MPPI, OwnBody, Situation
from worldsim.types import Forecast, Plan, Preferences, WorldBelief

ROBOT = OwnBody((0.0, 0.0), 0.0, 0.0, 0.0, (0.70, 0.50, 0.30))
FRAME_S = 0.05


@dataclass(frozen=True)
class Thing:
    """A box on the floor, and how it is expected to go on."""

    position: tuple[float, float]
    extent_m: tuple[float, float, float] = (0.6, 0.6, 1.0)
    velocity: tuple[float, float] = (0.0, 0.0)
    std_m: float = 0.02
    spread_m_s: float = 0.0
    yaw_rad: float = 0.0
    moves: bool = False
    height_m: float | None = None


def forecast(things: Sequence[Thing], now_s: float = 0.0, steps: int = 20, dt_s: float = 0.1) -> Forecast:
    """Return straight-line forecasts of `things`, which started at time 0."""
    ahead = (torch.arange(steps) + 1.0) * dt_s
    rows, stds = [], []
    for t in things:
        z = t.extent_m[2] / 2 if t.height_m is None else t.height_m
        start = torch.tensor([t.position[0], t.position[1], z])
        velocity = torch.tensor([*t.velocity, 0.0])
        rows.append(start + velocity * (now_s + ahead)[:, None])
        stds.append((t.std_m + t.spread_m_s * ahead)[:, None].expand(-1, 3))
    n = len(things)
    yaw = torch.tensor([t.yaw_rad for t in things])
    zero = torch.zeros(n)
    return Forecast(
        torch.arange(n),
        torch.stack(rows, dim=1) if n else torch.zeros(steps, 0, 3),
        torch.stack(stds, dim=1) if n else torch.zeros(steps, 0, 3),
        torch.stack([zero, zero, torch.sin(yaw / 2), torch.cos(yaw / 2)], dim=-1),
        torch.tensor([t.extent_m for t in things]).reshape(-1, 3),
        torch.tensor([t.moves for t in things], dtype=torch.bool),
        dt_s,
    )


def empty_belief(time_s: float = 0.0, capacity: int = 1) -> WorldBelief:
    """Return a belief that holds nothing; what is around comes from the forecast."""
    c, x = capacity, 16
    zero3 = torch.zeros(c, 3)
    return WorldBelief(
        time_s=time_s,
        alive=torch.zeros(c, dtype=torch.bool),
        awake=torch.zeros(c, dtype=torch.bool),
        object_id=torch.full((c,), -1),
        model_index=torch.zeros(c, dtype=torch.int64),
        position=zero3,
        orientation_xyzw=torch.tensor([[0.0, 0.0, 0.0, 1.0]]).repeat(c, 1),
        linear_velocity=zero3,
        angular_velocity=zero3,
        joint_covariance=torch.zeros(c, x, x, dtype=torch.float64),
        parameters=torch.zeros(c, x - 12),
        extent_m=torch.ones(c, 3),
        extent_variance_m2=zero3,
        appearance=torch.zeros(c, 12),
        appearance_variance=torch.zeros(c, 12),
        colour=zero3,
        existence=torch.zeros(c),
        log_e_value=torch.zeros(c),
        noise_scale=torch.ones(c),
        last_seen_s=torch.zeros(c),
        birth_s=torch.zeros(c),
    )


@dataclass
class Floor:
    """The robot among things, stepped with the exact solution of its first-order answers."""

    things: tuple[Thing, ...] = ()
    own: OwnBody = ROBOT
    time_s: float = 0.0
    path: list[tuple[float, float]] = field(default_factory=list)

    def situation(self, belief: WorldBelief) -> Situation:
        """Return the robot's situation now."""
        del belief
        return Situation(self.time_s, self.own, forecast(self.things, self.time_s))

    def step(self, plan: Plan) -> None:
        """Drive the plan's first action for one frame."""
        own = self.own
        wanted = (float(plan.action[0]) * 1.2, float(plan.action[1]) * 1.5)
        speed = wanted[0] + (own.speed_m_s - wanted[0]) * math.exp(-own.speed_response_per_s * FRAME_S)
        turn = wanted[1] + (own.yaw_rate_rad_s - wanted[1]) * math.exp(-own.yaw_response_per_s * FRAME_S)
        heading = own.heading_rad + turn * FRAME_S
        x = own.position[0] + speed * math.cos(heading) * FRAME_S
        y = own.position[1] + speed * math.sin(heading) * FRAME_S
        self.own = replace(own, position=(x, y), heading_rad=heading, speed_m_s=speed, yaw_rate_rad_s=turn)
        self.time_s += FRAME_S
        self.path.append((x, y))

    def drive(self, preferences: Preferences, seconds: float, seed: int = 0) -> np.ndarray:
        """Plan and drive for a while; return the path [n, 2]."""
        planner, rng = MPPI(self.situation), np.random.default_rng(seed)
        for _ in range(round(seconds / FRAME_S)):
            self.step(planner.plan(empty_belief(self.time_s), preferences, rng))
        return np.array(self.path)
