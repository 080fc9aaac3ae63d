"""A game on a table with pockets, by the belief: which shot is played next, and what is planned for it."""

from __future__ import annotations

import enum
from dataclasses import replace

import numpy as np
import torch

from worldsim.planning.planar import Believer, PlanarScene
from worldsim.planning.planar.scene import read_surroundings
from worldsim.planning.situation import OwnBody, believed_own_body
from worldsim.types.belief import WorldBelief
from worldsim.types.observation import Observation
from worldsim.types.planning import Preferences, PreferredOutcome
from worldsim_agents.driving import facing, towards
from worldsim_agents.shots import STAGE_M, STRIKE_M_S, Ball, Table, along_heading, choose_shot, kept_inside, strike
from worldsim_agents.task_object import wrapped
from worldsim_agents.upper_level import UpperLevel

__all__ = ["Cue", "ShotPhase"]

_ROUND, _SIZE = 0.15, 0.4  # relative differences of a ball's edges, and of its size from the cue ball's
_COLOUR = 0.15
_ARRIVED_M, _ALIGNED_RAD = 0.1, 0.015
_STRIKE_S, _BACK_S, _WAIT_S, _BACK_M_S = 3.0, 0.7, 8.0, 0.5
_STILL_M_S, _GONE = 0.06, 0.35  # the latter of the strike's speed: the cue ball is on its way
_NEAR_M, _NEAR_M_S = 0.4, 0.5  # the last of the way to where the strike begins, and how fast


class ShotPhase(enum.StrEnum):
    """What the upper level is at."""

    WAIT = "wait"
    GO = "go"
    FACE = "face"
    STRIKE = "strike"
    BACK = "back"


class Cue(UpperLevel):
    """Waits until the balls lie still, has the way behind the cue ball planned, and strikes along the line of a shot.

    Which shot, geometry decides (`choose_shot`): the one whose faults grow least on the way to the pocket. The strike
    itself is driven by rule: it is a straight line, and a plan by sampling is not as exact as it has to be.
    """

    def __init__(self, preferences: Preferences) -> None:
        """Serve `preferences`, which want a ball in a pocket."""
        self.preferences, self.phase = preferences, ShotPhase.WAIT
        self._since_s = 0.0
        self._cue: Ball | None = None
        self._table: Table | None = None
        self._heading, self._strike_m_s = 0.0, STRIKE_M_S

    def step(self, world_model: Believer, observation: Observation) -> tuple[float, float] | None:
        """Take in a frame; return speed (m/s) and yaw rate (rad/s) where there is nothing to plan, else None."""
        belief, now = world_model.belief, observation.time_s
        own = believed_own_body(belief, world_model.own_id, observation.ego)
        self._table = Table.of(dict(observation.task or {}))
        diameter_m = float(np.asarray((observation.task or {})["task_cue_extent_m"]).reshape(-1)[0])
        balls = _balls(belief, world_model.own_id, diameter_m, now)
        self._cue = None
        if own is None or not balls:
            return 0.0, 0.0
        off = [float(np.abs(ball.colour - self._table.cue_colour).max()) for ball in balls]
        at = int(np.argmin(off))
        if off[at] > _COLOUR:
            return 0.0, 0.0
        self._cue = balls[at]
        return self._go(own, self._cue, balls, self._table, now)

    def _enter(self, phase: ShotPhase, now_s: float) -> None:
        self.phase, self._since_s = phase, now_s

    def _go(self, own: OwnBody, cue: Ball, balls: list[Ball], table: Table, now_s: float) -> tuple[float, float] | None:
        """Go on to the next phase where this one is done; return what it does by itself."""
        here, waited = np.array([*own.position, own.heading_rad]), now_s - self._since_s
        if self.phase is ShotPhase.BACK:
            if waited < _BACK_S:
                return -_BACK_M_S, 0.0
            self._enter(ShotPhase.WAIT, now_s)
        if self.phase is ShotPhase.WAIT:
            moving = max(float(np.linalg.norm(ball.velocity)) for ball in balls) > _STILL_M_S
            if now_s < 0.5 or (moving and now_s - self._since_s < _WAIT_S):
                return 0.0, 0.0
            self._enter(ShotPhase.GO, now_s)
        if self.phase is ShotPhase.STRIKE:
            gone = float(np.linalg.norm(cue.velocity)) > _GONE * self._strike_m_s
            if gone or waited > _STRIKE_S:
                self._enter(ShotPhase.BACK, now_s)
                return 0.0, 0.0
            return strike(here, own.extent_m[0] / 2.0, cue, self._heading, self._strike_m_s)
        self._heading, self._strike_m_s = choose_shot(here, cue, balls, table)
        away_m = float(np.linalg.norm(self._start - here[:2]))
        if self.phase is ShotPhase.GO:
            if away_m > _ARRIVED_M:
                return towards(here, self._start, _NEAR_M_S) if away_m < _NEAR_M else None
            self._enter(ShotPhase.FACE, now_s)
        if away_m > 3.0 * _ARRIVED_M:
            self._enter(ShotPhase.GO, now_s)
            return None
        if abs(wrapped(self._heading - here[2])) > _ALIGNED_RAD:
            return 0.0, facing(here, self._heading)
        self._enter(ShotPhase.STRIKE, now_s)
        return strike(here, own.extent_m[0] / 2.0, cue, self._heading, self._strike_m_s)

    @property
    def _start(self) -> np.ndarray:
        """Where the cue ball is driven at from."""
        assert self._cue is not None
        return np.asarray(self._cue.place - STAGE_M * along_heading(self._heading))

    def read(self, world_model: Believer, observation: Observation, steps: int, dt_s: float) -> PlanarScene | None:
        """Return what is around: the balls are in the way."""
        return read_surroundings(world_model, observation, steps, dt_s)

    def arranged(self, scene: PlanarScene) -> tuple[PlanarScene, Preferences]:
        """Return the scene with the place behind the cue ball in it, and the preference to be there."""
        assert self._table is not None
        x, y = (float(v) for v in kept_inside(self._start, self._table))
        reach = PreferredOutcome("reach", "own", "goal", scale_m=0.1)
        return replace(scene, paths={"goal": torch.tensor([[x, y, 0.0]])}), replace(self.preferences, outcomes=(reach,))


def _balls(belief: WorldBelief, own_id: int | None, diameter_m: float, now_s: float) -> list[Ball]:
    """Return what is believed to be round and about as large as the cue ball."""
    size = belief.extent_m.mean(dim=-1)
    is_round = (belief.extent_m / size.clamp(min=1e-6)[:, None] - 1.0).abs().amax(dim=-1) < _ROUND
    found = belief.alive & (belief.existence > 0.5) & (belief.object_id != own_id) & is_round
    found &= (size / diameter_m - 1.0).abs() < _SIZE
    rows = torch.nonzero(found).reshape(-1).tolist()
    return [
        Ball(
            belief.position[row, :2].double().cpu().numpy().copy(),
            belief.linear_velocity[row, :2].double().cpu().numpy().copy(),
            float(size[row]) / 2.0,
            belief.colour[row].double().cpu().numpy().copy(),
            now_s,
        )
        for row in rows
    ]
