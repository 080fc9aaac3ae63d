"""A scripted expert of `PushT`: it turns the T by pushes off its middle, then brings it home by two flush pushes."""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from worldsim.contracts.agent import Agent
from worldsim.errors import ConfigurationError
from worldsim.types.observation import EgoState, Observation
from worldsim.types.record import StepRecord
from worldsim_agents.task_object import Sighting, find_task_object, wrapped, yaw_of

_SPEED_M_S, _YAW_RATE_RAD_S = 1.2, 1.5  # of a full command
_RING_M = 1.42  # from the T's middle: the robot turns there without touching it
_TURN_BELOW_RAD = math.radians(5.0)  # flush contact takes out what is less
_TURNED_RAD = math.radians(1.5)
_TURN_A_PUSH_RAD = math.radians(55.0)  # farther, and the corner slides along the robot's front
_PUSH_PATIENCE_S = 15.0
_ARRIVED_M, _ALIGNED_RAD = 0.10, 0.03
_PUSHED_M = 0.004
_LACK_GAIN = 0.15
_STICK_RAD_S = 0.12  # the wheels' own friction takes so much of a yaw rate
_STILL_GAIN, _MOVING_GAIN = 0.05, 0.5  # of the filter of the T's pose


class Phase(enum.StrEnum):
    """What the pusher is at."""

    BACK_OUT = "back_out"
    CIRCLE = "circle"
    ALIGN = "align"
    PUSH = "push"


@dataclass(frozen=True, slots=True)
class Contact:
    """A place to push: where the middle of the robot's front touches, and which way, in the T's frame.

    Attributes:
        x, y: m; heading_rad: of the push; turns: +1 or -1 where it turns the T, 0 where it moves it straight.
    """

    x: float
    y: float
    heading_rad: float
    turns: int = 0


def _contacts(edge: float) -> tuple[Contact, ...]:
    """Return the places to push a T of bounding edge `edge` (four squares wide and high), m.

    Straight pushes go through its centre of mass; for the two on the stem, the robot's flank passes just below the
    bar. Turning pushes take the far end of the stem, or the ends of the bar.
    """
    square, up, down, right, left = edge / 4.0, 0.5 * math.pi, -0.5 * math.pi, 0.0, math.pi
    half, below = edge / 2.0, square - 0.30  # half the robot's width and 5 cm under the bar
    return (
        Contact(0.0, half, down),
        Contact(0.0, -half, up),
        Contact(-square / 2.0, below, right),
        Contact(square / 2.0, below, left),
        Contact(-square / 2.0, -1.5 * square, right, 1),
        Contact(square / 2.0, -1.5 * square, left, -1),
        Contact(1.57 * square, square, up, 1),
        Contact(-1.57 * square, square, up, -1),
        Contact(-1.5 * square, half, down, 1),
        Contact(1.5 * square, half, down, -1),
    )


@dataclass(frozen=True, slots=True)
class Push:
    """A push in the world frame.

    Attributes:
        contact: where on the T.
        at: [2] where the middle of the robot's front is to touch.
        heading_rad: of the push.
        until_m: where along its heading a straight push ends, as coordinate of the robot's front.
        from_yaw_rad: of the T before it.
    """

    contact: Contact
    at: Float[np.ndarray, "2"]
    heading_rad: float
    until_m: float
    from_yaw_rad: float

    @property
    def along(self) -> Float[np.ndarray, "2"]:
        """Unit vector of the push."""
        return np.array([math.cos(self.heading_rad), math.sin(self.heading_rad)])


class Pusher(Agent):
    """Circles the T to the next place to push, aligns, pushes straight, and backs out again.

    First the T is turned by pushes beside its centre of mass until a few degrees are missing. Then it is pushed along
    the axes of the goal through its centre of mass: the flat front aligns it with the robot's heading, and the robot
    stops where the goal's face is to be, so the end of a push needs odometry alone.
    """

    def __init__(self) -> None:
        """Build the agent."""
        self.reset()

    def __repr__(self) -> str:
        """Return what the agent was built with."""
        return "Pusher()"

    def reset(self) -> None:
        """Forget the last episode."""
        self.phase = Phase.BACK_OUT
        self.push: Push | None = None
        self._since_s = 0.0
        self._last: Sighting | None = None
        self._block = np.zeros(3)  # x, y, yaw
        self._looks = 0
        self._touching = False
        self._lack_m_s = 0.0

    def act(
        self, observation: Observation, record: StepRecord | None, rng: np.random.Generator
    ) -> Float[np.ndarray, "3"]:
        """Return the action for the coming frame.

        Raises:
            ConfigurationError: the observation is of another task.
        """
        del record, rng
        task, ego = observation.task or {}, observation.ego
        if ego is None or "task_goal_orientation_xyzw" not in task or "task_object_extent_m" not in task:
            raise ConfigurationError("Pusher: the observation is not of the scenario PushT.")
        self._look(observation)
        if self._last is None:
            return np.zeros(3, dtype=np.float32)
        goal = np.array([*task["task_goal_position"][:2], yaw_of(task["task_goal_orientation_xyzw"])], dtype=np.float64)
        here = np.array([*ego.position[:2], yaw_of(ego.orientation_xyzw)])
        edge, front_m = float(task["task_object_extent_m"][0]), float(ego.extent_m[0]) / 2.0
        now, before = observation.time_s, self.phase
        speed, turn = self._go(here, goal, edge, front_m, now)
        if self.phase is not before:
            self._since_s = now
            self._looks = 0 if before is Phase.PUSH else self._looks
        speed += self._drag_m_s(speed, ego, here)
        return np.array(
            [np.clip(speed / _SPEED_M_S, -1.0, 1.0), np.clip(turn / _YAW_RATE_RAD_S, -1.0, 1.0), 0.0], dtype=np.float32
        )

    def _drag_m_s(self, speed: float, ego: EgoState, here: np.ndarray) -> float:
        """Return what a push lacks of its wanted speed, m/s, by its integral: the wheels follow a command softly."""
        if not self._touching:
            self._lack_m_s = 0.0
        else:
            measured = float(ego.linear_velocity[0] * math.cos(here[2]) + ego.linear_velocity[1] * math.sin(here[2]))
            self._lack_m_s = float(np.clip(self._lack_m_s + _LACK_GAIN * (speed - measured), 0.0, 0.5))
        return self._lack_m_s

    def _look(self, observation: Observation) -> None:
        """Filter the T's pose: the mean of all looks while it lies still, the newest ones while it is pushed."""
        found = find_task_object(observation, self._last)
        if found is None:
            return
        self._looks += 1
        gain = _MOVING_GAIN if self.phase is Phase.PUSH else max(_STILL_GAIN, 1.0 / self._looks)
        if self._last is None:
            gain = 1.0
        off = np.array([*found.position[:2], found.yaw_rad]) - self._block
        off[2] = wrapped(off[2])
        self._block = self._block + gain * off
        self._last = found

    def _go(self, here: np.ndarray, goal: np.ndarray, edge: float, front_m: float, now_s: float) -> tuple[float, float]:
        """Follow the phases; return the speed (m/s) and the yaw rate (rad/s) to drive."""
        away = here[:2] - self._block[:2]
        self._touching = False
        if self.phase is Phase.BACK_OUT:
            if float(np.linalg.norm(away)) < _RING_M - 0.05 and now_s - self._since_s < 4.0:
                return (-0.9, 0.0) if self.push is not None else self._towards(here, self._on_ring(away))
            self.push = self._choose(here, goal, edge)
            self.phase = Phase.CIRCLE
        assert self.push is not None
        stage = self._stage(self.push)
        if self.phase is Phase.CIRCLE:
            if float(np.linalg.norm(stage - here[:2])) > _ARRIVED_M:
                return self._towards(here, self._round(away, stage))
            self.push = self._choose(here, goal, edge, keep=self.push.contact)  # the T is better known by now
            self.phase = Phase.ALIGN
        wrong = wrapped(self.push.heading_rad - here[2])
        if self.phase is Phase.ALIGN:
            if abs(wrong) > _ALIGNED_RAD:
                return 0.0, 4.0 * wrong + math.copysign(_STICK_RAD_S, wrong)
            self.phase = Phase.PUSH
            self._since_s = now_s
        speed = self._push_speed(here, goal, front_m)
        if speed is None or now_s - self._since_s > _PUSH_PATIENCE_S:
            self.phase = Phase.BACK_OUT
            return 0.0, 0.0
        gap = float((self.push.at - here[:2]) @ self.push.along) - front_m
        self._touching = gap < 0.04
        across = np.array([-self.push.along[1], self.push.along[0]])
        beside = float((self.push.at - here[:2]) @ across)
        steer = float(np.clip(2.0 * beside, -0.35, 0.35)) if gap > 0.08 else 0.0
        return speed, 8.0 * wrapped(wrong + steer)

    def _push_speed(self, here: np.ndarray, goal: np.ndarray, front_m: float) -> float | None:
        """Return how fast to go on, m/s; None where the push is done."""
        push = self.push
        assert push is not None
        front = float(here[:2] @ push.along) + front_m
        gap = float(push.at @ push.along) - front
        coming = 0.15 + 1.5 * max(0.0, gap - 0.05)
        if push.contact.turns == 0:
            left_m = push.until_m - front
            wanted = min(0.4 if gap < 0.03 else coming, max(0.05, 1.5 * left_m))
            return None if left_m < _PUSHED_M else float(min(0.9, wanted))
        if gap > 0.03:
            return min(0.9, coming)
        left = push.contact.turns * wrapped(goal[2] - self._block[2])
        turned = abs(wrapped(self._block[2] - push.from_yaw_rad))
        if left < _TURNED_RAD or left > math.pi - 0.1 or turned > _TURN_A_PUSH_RAD or gap < -1.0:
            return None
        return float(np.clip(0.5 * left, 0.06, 0.3))

    def _choose(self, here: np.ndarray, goal: np.ndarray, edge: float, keep: Contact | None = None) -> Push:
        """Return the next push: one that turns the T while it is far from the goal's yaw, else a straight one."""
        wrong = wrapped(goal[2] - self._block[2])
        c, s = math.cos(goal[2]), math.sin(goal[2])
        missing = goal[:2] - self._block[:2]
        home = np.array([c * missing[0] + s * missing[1], c * missing[1] - s * missing[0]])  # in the goal's frame
        if keep is None:
            contacts = _contacts(edge)
            if abs(wrong) > _TURN_BELOW_RAD:
                sign = 1 if wrong > 0.0 else -1
                turning = [self._placed(k, float(self._block[2]), goal) for k in contacts if k.turns == sign]
                return min(turning, key=lambda push: self._cost(push, here, missing))
            along_y = abs(home[1]) >= abs(home[0]) or (abs(wrong) > 0.035 and abs(home[1]) > 0.03)
            keep = contacts[(0 if home[1] < 0.0 else 1) if along_y else (2 if home[0] > 0.0 else 3)]
        yaw = float(self._block[2]) if keep.turns else float(goal[2])
        return self._placed(keep, yaw, goal)

    def _placed(self, contact: Contact, yaw: float, goal: np.ndarray) -> Push:
        """Return `contact` in the world, on a T of that yaw at its believed place."""
        at, end = self._block[:2] + _rotated(contact, yaw), goal[:2] + _rotated(contact, float(goal[2]))
        heading = wrapped(contact.heading_rad + yaw)
        until = float(end @ np.array([math.cos(heading), math.sin(heading)]))
        return Push(contact, at, heading, until, float(self._block[2]))

    def _cost(self, push: Push, here: np.ndarray, missing: np.ndarray) -> float:
        """Return what a turning push costs: the way round to it, less what it also brings the T nearer, m."""
        stage, away = self._stage(push) - self._block[:2], here[:2] - self._block[:2]
        round_m = _RING_M * abs(wrapped(math.atan2(stage[1], stage[0]) - math.atan2(away[1], away[0])))
        return round_m - 2.0 * float(missing @ push.along)

    def _stage(self, push: Push) -> np.ndarray:
        """Return where on the ring the robot begins the push."""
        offset = push.at - self._block[:2]
        across = np.array([-push.along[1], push.along[0]])
        beside = float(offset @ across)
        return np.asarray(self._block[:2] + beside * across - math.sqrt(_RING_M**2 - beside**2) * push.along)

    def _on_ring(self, away: np.ndarray) -> np.ndarray:
        return np.asarray(self._block[:2] + _RING_M * away / max(float(np.linalg.norm(away)), 1e-6))

    def _round(self, away: np.ndarray, stage: np.ndarray) -> np.ndarray:
        """Return the next place on the way round the T to `stage`."""
        offset = stage - self._block[:2]
        angle = math.atan2(away[1], away[0])
        turn = wrapped(math.atan2(offset[1], offset[0]) - angle)
        if abs(turn) < 0.45:
            return stage
        angle += math.copysign(0.45, turn)
        return np.asarray(self._block[:2] + _RING_M * np.array([math.cos(angle), math.sin(angle)]))

    @staticmethod
    def _towards(here: np.ndarray, place: np.ndarray) -> tuple[float, float]:
        """Return speed (m/s) and yaw rate (rad/s) that lead to `place`."""
        offset = place - here[:2]
        wrong = wrapped(math.atan2(offset[1], offset[0]) - here[2])
        if abs(wrong) > 0.7:
            return 0.0, 4.0 * wrong
        return min(1.0, 0.15 + 2.0 * float(np.linalg.norm(offset))) * math.cos(wrong) ** 2, 4.0 * wrong


def _rotated(contact: Contact, yaw: float) -> np.ndarray:
    c, s = math.cos(yaw), math.sin(yaw)
    return np.array([c * contact.x - s * contact.y, s * contact.x + c * contact.y])
