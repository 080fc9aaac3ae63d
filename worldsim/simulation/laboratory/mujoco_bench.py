"""MuJoCo as an engine of analytic scenes: as it comes, or tuned for exactness."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from worldsim.simulation.engine import RigidState
from worldsim.simulation.laboratory.scene import Bench, LabBody, LabScene, midpoint_force
from worldsim.simulation.mujoco_bodies import load_mujoco
from worldsim.simulation.scene import Quaternion, Vector

__all__ = ["AS_IT_COMES", "TUNED", "MujocoBench", "MujocoSettings"]


@dataclass(frozen=True, slots=True)
class MujocoSettings:
    """Numerical settings of MuJoCo.

    Attributes:
        time_step_s: its default is 0.002 s.
        integrator: ``Euler`` by default; ``RK4`` is of fourth order in free motion.
        cone: friction cone, ``pyramidal`` by default; ``elliptic`` is isotropic.
        impratio: stiffness of friction over that of the normal force, 1 by default; larger means less creep.
        contact_rate_per_s: of the contact's spring, as a natural frequency; None leaves the default (a contact time
            of 0.02 s, critically damped, which has no bounce). Restitution e is then the damping ratio
            ``-ln e / sqrt(pi^2 + ln^2 e)``, as of a mass that meets a linear spring and damper.
        impedance: share of the contact force that is stiff (first two entries of ``solimp``).
        midpoint: hold an outer force at its value in the middle of the step instead of at its start.
    """

    time_step_s: float = 0.002
    integrator: str = "Euler"
    cone: str = "pyramidal"
    impratio: float = 1.0
    contact_rate_per_s: float | None = None
    impedance: float = 0.9
    midpoint: bool = False


AS_IT_COMES = MujocoSettings()
TUNED = MujocoSettings(0.0005, "RK4", "elliptic", 100.0, 1500.0, 0.9999, True)
"""Stiff contacts of a millisecond, which ask for half-millisecond steps."""


class MujocoBench(Bench):
    """A model a scene."""

    def __init__(self, name: str, settings: MujocoSettings) -> None:
        """Store the settings.

        Raises:
            ConfigurationError: MuJoCo is not installed.
        """
        self.name, self.settings, self.step_s = name, settings, settings.time_step_s
        self._mujoco: Any = load_mujoco()

    @classmethod
    def as_it_comes(cls) -> MujocoBench:
        """Return MuJoCo with its defaults."""
        return cls("MuJoCo", AS_IT_COMES)

    @classmethod
    def tuned(cls) -> MujocoBench:
        """Return MuJoCo with the settings that these scenes ask for."""
        return cls("MuJoCo tuned", TUNED)

    def can_run(self, scene: LabScene) -> bool:
        """Return True: it has all that the scenes need."""
        del scene
        return True

    def start(self, scene: LabScene) -> None:
        """Build the scene at its initial state."""
        mujoco = self._mujoco
        self._scene = scene
        self._model = mujoco.MjModel.from_xml_string(_mjcf(scene, self.settings))
        self._data = mujoco.MjData(self._model)
        self._free = [index for index, body in enumerate(scene.bodies) if body.mass_kg > 0.0]
        for row, index in enumerate(self._free):
            body = scene.bodies[index]
            x, y, z, w = body.orientation_xyzw
            self._data.qpos[7 * row : 7 * row + 7] = (*body.position, w, x, y, z)
            self._data.qvel[6 * row : 6 * row + 3] = body.linear_velocity
            self._data.qvel[6 * row + 3 : 6 * row + 6] = _unrotated(
                mujoco, body.orientation_xyzw, body.angular_velocity
            )
        place, speed = 7 * len(self._free), 6 * len(self._free)
        for link in scene.chain:
            x, y, z, w = link.orientation_xyzw
            if scene.joint == "hinge":
                self._data.qpos[place] = 2.0 * math.atan2(y, w)
                self._data.qvel[speed] = link.rate_rad_s[1]
                place, speed = place + 1, speed + 1
            else:
                self._data.qpos[place : place + 4] = (w, x, y, z)
                self._data.qvel[speed : speed + 3] = link.rate_rad_s
                place, speed = place + 4, speed + 3
        mujoco.mj_forward(self._model, self._data)

    def advance(self) -> None:
        """Advance by one step."""
        force = self._scene.force
        if force is not None:
            state = self._free_state(0)
            if self.settings.midpoint:
                mass = self._scene.bodies[self._free[0]].mass_kg
                pushed = midpoint_force(force, mass, self._scene.gravity_m_s2, state, self.step_s)[1]
            else:
                pushed = force(state.position, state.linear_velocity)
            self._data.xfrc_applied[self._body_id(self._free[0]), :3] = pushed
        self._mujoco.mj_step(self._model, self._data)

    def states(self) -> list[RigidState]:
        """Return pose and velocity of the centre of mass of every thing."""
        mujoco, model, data = self._mujoco, self._model, self._data
        rows = {index: row for row, index in enumerate(self._free)}
        found = []
        for index, body in enumerate(self._scene.bodies):
            still = (0.0, 0.0, 0.0)
            fixed = RigidState(body.position, body.orientation_xyzw, still, still)
            found.append(self._free_state(rows[index]) if index in rows else fixed)
        if self._scene.chain:
            mujoco.mj_kinematics(model, data)
            mujoco.mj_comPos(model, data)
            mujoco.mj_comVel(model, data)
        for link in range(len(self._scene.chain)):
            number = self._body_id(len(self._scene.bodies) + link)
            twist = np.empty(6)
            mujoco.mj_objectVelocity(model, data, mujoco.mjtObj.mjOBJ_BODY, number, twist, 0)
            w, x, y, z = data.xquat[number].tolist()
            found.append(RigidState(_vector(data.xipos[number]), (x, y, z, w), _vector(twist[3:]), _vector(twist[:3])))
        return found

    def _free_state(self, row: int) -> RigidState:
        x, y, z, w, i, j, k = self._data.qpos[7 * row : 7 * row + 7].tolist()
        spin = np.empty(3)
        self._mujoco.mju_rotVecQuat(spin, self._data.qvel[6 * row + 3 : 6 * row + 6], np.array([w, i, j, k]))
        return RigidState((x, y, z), (i, j, k, w), _vector(self._data.qvel[6 * row : 6 * row + 3]), _vector(spin))

    def _body_id(self, index: int) -> int:
        return int(self._mujoco.mj_name2id(self._model, self._mujoco.mjtObj.mjOBJ_BODY, f"thing{index}"))


def _mjcf(scene: LabScene, settings: MujocoSettings) -> str:
    """Return the scene in MuJoCo's own format. Every geom of it has the same bounce, which is the scene's."""
    bounce = max((body.restitution for body in scene.bodies), default=0.0)
    surface = ""
    if settings.contact_rate_per_s is not None:
        rate, ratio = settings.contact_rate_per_s, _damping_ratio(bounce)
        near = settings.impedance
        surface = f'solref="{-rate * rate!r} {-2.0 * ratio * rate!r}" solimp="{near} {near} 0.001"'
    parts = []
    if scene.floor:
        parts.append(f'<geom type="plane" size="0 0 1" friction="0 0 0" condim="3" {surface}/>')
    for index, body in enumerate(scene.bodies):
        joint = "<freejoint/>" if body.mass_kg > 0.0 else ""
        x, y, z, w = body.orientation_xyzw
        inertial = ""
        if body.mass_kg > 0.0:
            inertial = f'<inertial pos="0 0 0" mass="{body.mass_kg!r}" diaginertia="{_text(body.moments)}"/>'
        parts.append(
            f'<body name="thing{index}" pos="{_text(body.position)}" quat="{_text((w, x, y, z))}">{joint}{inertial}'
            f"{_geom(body, surface)}</body>"
        )
    closing = ""
    at: Sequence[float] = (0.0, 0.0, 0.0)
    for index, link in enumerate(scene.chain):
        joint = '<joint type="hinge" axis="0 1 0"/>' if scene.joint == "hinge" else '<joint type="ball"/>'
        parts.append(
            f'<body name="thing{len(scene.bodies) + index}" pos="{_text(at)}">{joint}'
            f'<inertial pos="{_text(link.centre_m)}" mass="{link.mass_kg!r}" '
            f'diaginertia="{_text(link.moments_kg_m2)}"/>'
        )
        at, closing = link.next_joint_m, closing + "</body>"
    return (
        f'<mujoco><compiler balanceinertia="false" boundinertia="0" boundmass="0"/>'
        f'<option timestep="{settings.time_step_s!r}" integrator="{settings.integrator}" cone="{settings.cone}" '
        f'impratio="{settings.impratio!r}" gravity="{_text(scene.gravity_m_s2)}"/>'
        f"<worldbody>{''.join(parts)}{closing}</worldbody></mujoco>"
    )


def _geom(body: LabBody, surface: str) -> str:
    x, y, z = body.extent_m
    size = {"box": (0.5 * x, 0.5 * y, 0.5 * z), "sphere": (0.5 * x,), "capsule": (0.5 * x, 0.5 * (z - x))}[body.shape]
    touch = "" if body.solid else 'contype="0" conaffinity="0"'
    # of two friction coefficients MuJoCo takes the larger: what is fixed has none of its own
    friction = body.friction if body.mass_kg > 0.0 else 0.0
    return f'<geom type="{body.shape}" size="{_text(size)}" friction="{friction!r} 0 0" condim="3" {touch} {surface}/>'


def _damping_ratio(restitution: float) -> float:
    if restitution <= 0.0:
        return 1.0
    log = math.log(min(restitution, 1.0))
    return -log / math.hypot(math.pi, log)


def _unrotated(mujoco: Any, orientation_xyzw: Quaternion, world: Vector) -> np.ndarray:
    x, y, z, w = orientation_xyzw
    local = np.empty(3)
    mujoco.mju_rotVecQuat(local, np.array(world, dtype=np.float64), np.array([w, -x, -y, -z]))
    return local


def _vector(values: np.ndarray) -> Vector:
    x, y, z = values.tolist()
    return x, y, z


def _text(values: Sequence[float]) -> str:
    return " ".join(repr(float(value)) for value in values)
