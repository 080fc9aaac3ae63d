"""The robot, with its gripper, and the automated tug."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from worldsim.simulation.drivers.driver import (
    Actuator,
    Bulk,
    Driver,
    SceneView,
    bounded,
    shortened,
    upright_torque,
    wrapped,
    yaw_of,
)
from worldsim.simulation.engine import RigidState
from worldsim.simulation.scene import Vector

GRAVITY_M_S2 = 9.81


@dataclass(frozen=True, slots=True)
class DriveLimits:
    """What a pair of wheels can do.

    Attributes:
        speed_m_s, yaw_rate_rad_s: of a full command.
        speed_response_per_s, yaw_response_per_s: how fast the wheels follow a command.
        acceleration_m_s2, yaw_acceleration_rad_s2: at most.
        grip_m_s2: sideways acceleration at which the tyres slip.
    """

    speed_m_s: float = 1.2
    yaw_rate_rad_s: float = 1.5
    speed_response_per_s: float = 5.0
    yaw_response_per_s: float = 8.0
    acceleration_m_s2: float = 3.0
    yaw_acceleration_rad_s2: float = 8.0
    grip_m_s2: float = 6.0


def wheel_push(
    state: RigidState, bulk: Bulk, speed_m_s: float, yaw_rate_rad_s: float, limits: DriveLimits
) -> tuple[Vector, Vector]:
    """Return the force and torque of two driven wheels that do not slip sideways within their grip."""
    heading = yaw_of(state.orientation_xyzw)
    c, s = math.cos(heading), math.sin(heading)
    vx, vy, _ = state.linear_velocity
    forward, sideways = c * vx + s * vy, c * vy - s * vx
    along = bounded(limits.speed_response_per_s * (speed_m_s - forward), limits.acceleration_m_s2)
    # the centripetal part keeps the velocity on the heading in a curve; the rest kills what is left of a side slip
    across = bounded(forward * state.angular_velocity[2] - 15.0 * sideways, limits.grip_m_s2)
    spin = bounded(
        limits.yaw_response_per_s * (yaw_rate_rad_s - state.angular_velocity[2]), limits.yaw_acceleration_rad_s2
    )
    tilt = upright_torque(state, bulk)
    force = (bulk.mass_kg * (c * along - s * across), bulk.mass_kg * (s * along + c * across), 0.0)
    return force, (tilt[0], tilt[1], bulk.yaw_inertia * spin)


@dataclass(frozen=True, slots=True)
class Gripper:
    """A clamp in front of the robot that holds by bounded forces, so that it never kicks and can slip.

    Attributes:
        reach_m: largest gap to what it can take.
        sideways_m, bearing_rad: largest offset from straight ahead.
        stiffness_rad_s: natural frequency of the hold; it is critically damped.
        force_n, torque_nm: bounds.
        lift_m, lift_speed_m_s: how high it lifts, how fast.
        slip_m: it loses its hold beyond this error.
    """

    reach_m: float = 0.25
    sideways_m: float = 0.22
    bearing_rad: float = 0.45
    stiffness_rad_s: float = 30.0
    force_n: float = 160.0
    torque_nm: float = 20.0
    lift_m: float = 0.04
    lift_speed_m_s: float = 0.10
    slip_m: float = 0.12


@dataclass(frozen=True, slots=True)
class Load:
    """Something that can be held.

    Attributes:
        name, bulk, extent_m: of the body.
        by_a_knob: it is held at its middle and turns in the clamp as it likes (a door's leaf, which hangs elsewhere);
            otherwise the clamp holds its heading too.
    """

    name: str
    bulk: Bulk
    extent_m: Vector
    by_a_knob: bool = False


class Robot(Driver):
    """A differential drive with a gripper: action = (speed, yaw rate, hold)."""

    def __init__(
        self,
        body: str,
        bulk: Bulk,
        extent_m: Vector,
        loads: tuple[Load, ...] = (),
        gripper: Gripper = Gripper(),
    ) -> None:
        """Take charge of `body`, which may hold any of `loads` by its `gripper`."""
        super().__init__(body)
        self.bulk, self.extent_m, self.loads = bulk, extent_m, loads
        self.limits, self.gripper = DriveLimits(), gripper
        self.target = (0.0, 0.0)
        self.held: str | None = None
        self.hold_at: Vector = (0.0, 0.0, 0.0)
        self.hold_yaw = 0.0
        self.lifted_m = 0.0

    def decide(self, view: SceneView, rng: np.random.Generator) -> None:
        """Take the command of this frame."""
        del rng
        speed, turn, hold = (*view.command, 0.0, 0.0, 0.0)[:3]
        self.target = (speed * self.limits.speed_m_s, turn * self.limits.yaw_rate_rad_s)
        if hold < 0.0:
            self.held = None
        elif hold > 0.0 and self.held is None:
            self._take(view)

    def _take(self, view: SceneView) -> None:
        x, y = view.place(self.body)
        z = float(view.states.position[view.index[self.body]][2])
        heading = view.heading(self.body)
        c, s = math.cos(heading), math.sin(heading)
        best = math.inf
        for load in self.loads:
            px, py = view.place(load.name)
            pz = float(view.states.position[view.index[load.name]][2])
            forward, sideways = c * (px - x) + s * (py - y), c * (py - y) - s * (px - x)
            turn = view.heading(load.name) - heading
            half = (load.extent_m[0] * abs(math.cos(turn)) + load.extent_m[1] * abs(math.sin(turn))) / 2.0
            gap = forward - self.extent_m[0] / 2.0 - half
            in_reach = -0.05 < gap < self.gripper.reach_m and abs(sideways) < self.gripper.sideways_m
            ahead = abs(math.atan2(sideways, forward)) < self.gripper.bearing_rad
            if in_reach and ahead and abs(pz - z) < 0.15 and gap < best:
                best = gap
                self.held, self.hold_at, self.hold_yaw = load.name, (forward, sideways, pz - z), wrapped(turn)
                self.lifted_m = 0.0

    def drive(self, actuator: Actuator) -> None:
        """Push the wheels, and what is held."""
        state = actuator.state(self.body)
        force, torque = wheel_push(state, self.bulk, *self.target, self.limits)
        if self.held is not None:
            load = next(load for load in self.loads if load.name == self.held)
            self.lifted_m = min(self.lifted_m + self.gripper.lift_speed_m_s * actuator.step_s, self.gripper.lift_m)
            pull, twist, lever = self._grip(state, actuator.state(load.name), load)
            if self.held is not None:
                actuator.push(load.name, pull, twist)
                # what the load feels, the robot feels the other way round, at the end of the lever
                reaction = (
                    lever[2] * pull[1] - lever[1] * pull[2] - twist[0],
                    lever[0] * pull[2] - lever[2] * pull[0] - twist[1],
                    lever[1] * pull[0] - lever[0] * pull[1] - twist[2],
                )
                force = (force[0] - pull[0], force[1] - pull[1], force[2] - pull[2])
                torque = (torque[0] + reaction[0], torque[1] + reaction[1], torque[2] + reaction[2])
        actuator.push(self.body, force, torque)

    def _grip(self, robot: RigidState, load: RigidState, held: Load) -> tuple[Vector, Vector, Vector]:
        """Return force and torque on the load, and the lever from the robot's centre to it."""
        grip, bulk = self.gripper, held.bulk
        heading = yaw_of(robot.orientation_xyzw)
        c, s = math.cos(heading), math.sin(heading)
        arm = (
            c * self.hold_at[0] - s * self.hold_at[1],
            s * self.hold_at[0] + c * self.hold_at[1],
            self.hold_at[2] + self.lifted_m,
        )
        spin = robot.angular_velocity[2]
        wanted = (robot.linear_velocity[0] - spin * arm[1], robot.linear_velocity[1] + spin * arm[0], 0.0)
        lever = tuple(p - q for p, q in zip(load.position, robot.position, strict=True))
        error = [a - b for a, b in zip(arm, lever, strict=True)]
        if math.sqrt(sum(e * e for e in error)) > grip.slip_m:
            self.held = None
        w = grip.stiffness_rad_s
        pull = [
            bulk.mass_kg * (w * w * e + 2.0 * w * (v - u))
            for e, v, u in zip(error, wanted, load.linear_velocity, strict=True)
        ]
        pull[2] += bulk.mass_kg * GRAVITY_M_S2
        size = math.sqrt(sum(f * f for f in pull))
        pull = [f * min(1.0, grip.force_n / max(size, 1e-9)) for f in pull]
        if held.by_a_knob:
            return (pull[0], pull[1], pull[2]), (0.0, 0.0, 0.0), (lever[0], lever[1], lever[2])
        turn = wrapped(heading + self.hold_yaw - yaw_of(load.orientation_xyzw))
        tilt = upright_torque(load, bulk)
        twist = bulk.yaw_inertia * (w * w * turn + 2.0 * w * (spin - load.angular_velocity[2]))
        torque = (*shortened(*tilt, grip.torque_nm), bounded(twist, grip.torque_nm))
        return (pull[0], pull[1], pull[2]), torque, (lever[0], lever[1], lever[2])

    def attachments(self) -> tuple[tuple[str, str], ...]:
        """Return the pair of the robot and what it holds."""
        return ((self.body, self.held),) if self.held is not None else ()


class Tug(Driver):
    """Drives round a loop of waypoints and waits for whatever is in its way."""

    def __init__(
        self, body: str, bulk: Bulk, extent_m: Vector, loop: tuple[tuple[float, float], ...], speed_m_s: float
    ) -> None:
        """Take charge of `body` and follow `loop` at `speed_m_s`."""
        super().__init__(body)
        self.bulk, self.extent_m, self.loop, self.speed_m_s = bulk, extent_m, loop, speed_m_s
        self.limits = DriveLimits(speed_response_per_s=2.5, yaw_response_per_s=4.0, acceleration_m_s2=1.5)
        self.goal = 0
        self.target = (0.0, 0.0)
        self.look_ahead_m = 1.2

    def decide(self, view: SceneView, rng: np.random.Generator) -> None:
        """Steer for the next waypoint, slower in bends; stop for what is ahead."""
        here = view.place(self.body)
        if math.dist(here, self.loop[self.goal]) < 0.7:
            self.goal = (self.goal + 1) % len(self.loop)
        x, y = self.loop[self.goal]
        turn = wrapped(math.atan2(y - here[1], x - here[0]) - view.heading(self.body))
        speed = self.speed_m_s * max(0.15, math.cos(turn)) * (1.0 + 0.02 * rng.standard_normal())
        if self._blocked(view):
            speed, turn = 0.0, 0.0
        self.target = (speed, bounded(1.6 * turn, 0.8))

    def _blocked(self, view: SceneView) -> bool:
        """Return whether anything that can be moved, or moves, stands in the lane ahead."""
        me = view.index[self.body]
        heading = view.heading(self.body)
        c, s = math.cos(heading), math.sin(heading)
        offset = view.states.position[:, :2] - view.states.position[me, :2]
        forward, sideways = offset @ (c, s), offset @ (-s, c)
        size = np.linalg.norm(view.extent_m[:, :2], axis=1) / 2.0
        gap = forward - self.extent_m[0] / 2.0 - 0.8 * size
        in_lane = np.abs(sideways) < self.extent_m[1] / 2.0 + 0.8 * size + 0.1
        low = view.states.position[:, 2] - view.extent_m[:, 2] / 2.0 < self.extent_m[2]
        loose = np.array([kind not in FIXED_KINDS for kind in view.kinds])
        loose[me] = False
        return bool((loose & low & in_lane & (forward > 0.0) & (gap < self.look_ahead_m)).any())

    def drive(self, actuator: Actuator) -> None:
        """Push the wheels."""
        state = actuator.state(self.body)
        actuator.push(self.body, *wheel_push(state, self.bulk, *self.target, self.limits))


FIXED_KINDS = frozenset({"wall", "shelf", "pillar", "station", "door_frame", "door"})
"""What a tug does not wait for: its loop keeps clear of it."""
