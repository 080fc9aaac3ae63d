"""A scripted expert of the game of `Billiards`: it chooses a shot, lines up behind the cue ball, strikes, and waits."""

from __future__ import annotations

import enum

import numpy as np
from jaxtyping import Float

from worldsim.contracts.agent import Agent
from worldsim.errors import ConfigurationError
from worldsim.types.observation import Observation
from worldsim.types.record import StepRecord
from worldsim_agents.driving import around, command, facing, pose_of, towards
from worldsim_agents.shots import (
    KEPT_M,
    STAGE_M,
    STRIKE_M_S,
    Ball,
    Table,
    along_heading,
    choose_shot,
    kept_inside,
    strike,
)
from worldsim_agents.task_object import wrapped

_ARRIVED_M, _ALIGNED_RAD = 0.06, 0.012
_STRIKE_S, _BACK_S, _WAIT_S = 3.0, 0.7, 8.0
_STILL_M_S = 0.03
_GAIN, _RATE_GAIN = 0.35, 0.05  # of the alpha-beta filter of each ball
_SAME_M, _FORGET_S, _COLOUR = 0.35, 1.5, 0.15


class Stage(enum.StrEnum):
    """What the striker is at."""

    WAIT = "wait"
    GO = "go"
    FACE = "face"
    STRIKE = "strike"
    BACK = "back"


class Striker(Agent):
    """Of the shots with a clear way it takes the one whose faults grow least on the way to the pocket.

    Where there is none, it plays the cue ball to somewhere else.
    """

    def __init__(self) -> None:
        """Build the agent."""
        self.reset()

    def __repr__(self) -> str:
        """Return what the agent was built with."""
        return "Striker()"

    def reset(self) -> None:
        """Forget the last episode."""
        self.stage = Stage.WAIT
        self.balls: list[Ball] = []
        self._since_s = 0.0
        self._heading, self._strike_m_s = 0.0, STRIKE_M_S

    def act(
        self, observation: Observation, record: StepRecord | None, rng: np.random.Generator
    ) -> Float[np.ndarray, "3"]:
        """Return the action for the coming frame.

        Raises:
            ConfigurationError: the observation is of another task.
        """
        del record, rng
        task, ego = observation.task or {}, observation.ego
        if ego is None or "task_pockets_m" not in task:
            raise ConfigurationError("Striker: the observation is not of the game of Billiards.")
        table = Table.of(task)
        self._look(observation, float(np.asarray(task["task_cue_extent_m"]).reshape(-1)[0]))
        cue = self._cue(table)
        if cue is None:
            return command(0.0, 0.0)
        here, before = pose_of(ego), self.stage
        speed, turn = self._go(here, float(ego.extent_m[0]) / 2.0, cue, table, observation.time_s)
        if self.stage is not before:
            self._since_s = observation.time_s
        return command(speed, turn)

    # ------------------------------------------------------------------ looking

    def _look(self, observation: Observation, diameter_m: float) -> None:
        """Follow the balls: detections that are as wide as long as high, each by an alpha-beta filter of its own."""
        seen, now = observation.detections, observation.time_s
        size = seen.extent_m.mean(axis=1)
        round_ = np.abs(seen.extent_m / np.maximum(size, 1e-6)[:, None] - 1.0).max(axis=1, initial=0.0) < 0.12
        for row in np.flatnonzero(round_ & (np.abs(size / diameter_m - 1.0) < 0.4)):
            place, colour = seen.position[row, :2].copy(), seen.colour[row]
            known = [b for b in self.balls if np.abs(b.colour - colour).max() < _COLOUR]
            ahead = [float(np.linalg.norm(b.place + (now - b.seen_s) * b.velocity - place)) for b in known]
            if ahead and min(ahead) < _SAME_M:
                _follow(known[int(np.argmin(ahead))], place, float(size[row]) / 2.0, now)
            else:
                self.balls.append(Ball(place, np.zeros(2), float(size[row]) / 2.0, colour.copy(), now))
        self.balls = [b for b in self.balls if now - b.seen_s < _FORGET_S]

    def _cue(self, table: Table) -> Ball | None:
        """Return the ball of the cue ball's colour."""
        off = [float(np.abs(ball.colour - table.cue_colour).max()) for ball in self.balls]
        return self.balls[int(np.argmin(off))] if off and min(off) < _COLOUR else None

    # ------------------------------------------------------------------ acting

    def _go(self, here: np.ndarray, front_m: float, cue: Ball, table: Table, now_s: float) -> tuple[float, float]:
        """Follow the stages; return the speed (m/s) and the yaw rate (rad/s) to drive."""
        waited = now_s - self._since_s
        if self.stage is Stage.BACK:
            if waited < _BACK_S:
                return -0.5, 0.0
            self.stage, waited = Stage.WAIT, 0.0
        if self.stage is Stage.WAIT:
            moving = max(float(np.linalg.norm(ball.velocity)) for ball in self.balls) > _STILL_M_S
            if now_s < 0.5 or (moving and waited < _WAIT_S):
                return 0.0, 0.0
            self.stage = Stage.GO
        if self.stage is not Stage.STRIKE:
            self._heading, self._strike_m_s = choose_shot(here, cue, self.balls, table)
        start = cue.place - STAGE_M * along_heading(self._heading)
        if self.stage is Stage.GO:
            if float(np.linalg.norm(start - here[:2])) > _ARRIVED_M:
                places = [ball.place for ball in self.balls]
                return towards(here, kept_inside(around(here[:2], start, places, KEPT_M), table))
            self.stage = Stage.FACE
        if self.stage is Stage.FACE:
            if float(np.linalg.norm(start - here[:2])) > 3.0 * _ARRIVED_M:
                self.stage = Stage.GO
                return 0.0, 0.0
            if abs(wrapped(self._heading - here[2])) > _ALIGNED_RAD:
                return 0.0, facing(here, self._heading)
            self.stage, self._since_s = Stage.STRIKE, now_s
        return self._strike(here, front_m, cue, now_s)

    def _strike(self, here: np.ndarray, front_m: float, cue: Ball, now_s: float) -> tuple[float, float]:
        """Drive at the cue ball on the line of the shot, square to it at the end; brake once it is on its way."""
        gone = float(np.linalg.norm(cue.velocity)) > 0.35 * self._strike_m_s
        if gone or now_s - self._since_s > _STRIKE_S:
            self.stage = Stage.BACK
            return 0.0, 0.0
        return strike(here, front_m, cue, self._heading, self._strike_m_s)


def _follow(ball: Ball, place: np.ndarray, radius_m: float, now_s: float) -> None:
    """Correct what is believed of a ball by one detection."""
    dt = max(now_s - ball.seen_s, 1e-3)
    off = place - (ball.place + dt * ball.velocity)
    if float(np.linalg.norm(off)) > 0.06:  # it was struck
        ball.velocity = (place - ball.place) / dt
        ball.place = place
    else:
        ball.place = ball.place + dt * ball.velocity + _GAIN * off
        ball.velocity = ball.velocity + _RATE_GAIN / dt * off
    ball.radius_m += 0.05 * (radius_m - ball.radius_m)
    ball.seen_s = now_s
