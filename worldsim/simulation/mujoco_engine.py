"""MuJoCo behind the `Engine` and `Physics` contracts: the same scenes in an engine that shares no code with Bullet."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from worldsim.contracts.sensor import Sensor
from worldsim.errors import SimulationError
from worldsim.simulation.engine import Contact, Engine, PinholeCamera, RigidState, StateArrays
from worldsim.simulation.mujoco_bodies import MujocoBody, add_body, load_mujoco
from worldsim.simulation.scene import BodySpec, Quaternion, Vector
from worldsim.simulation.staged import FRAME_S, StagedPhysics

__all__ = ["MujocoEngine", "MujocoPhysics"]

GRAVITY_M_S2 = 9.81
_LIMB_TORQUE_NM = 3.0  # as in the Bullet engine: swings a limb, pushes nothing about
_LIMB_RAD_S = 30.0


class _Token(NamedTuple):
    """A saved state: numbers, where limbs turn to, and what touched."""

    episode: int
    numbers: np.ndarray
    placed: np.ndarray
    turned: np.ndarray
    aims: dict[int, dict[str, float]]
    touching: list[Contact]


class MujocoEngine(Engine):
    """One MuJoCo model, compiled when it is first asked for after bodies were added.

    Free motion is integrated implicitly in velocity, friction cones are elliptic. Contacts are soft, as MuJoCo's are:
    what rests sinks in by a fraction of a millimetre.
    """

    def __init__(self, time_step_s: float = 1.0 / 240.0) -> None:
        """Start with an empty world.

        Raises:
            ConfigurationError: MuJoCo is not installed.
        """
        self._mujoco = load_mujoco()
        self.time_step_s = time_step_s
        self._episode = 0
        self._closed = False
        self.clear()

    def clear(self) -> None:
        """Empty the world and set every setting anew. A closed engine is opened again."""
        mujoco = self._mujoco
        self._episode += 1
        self._closed = False
        self._spec = mujoco.MjSpec()
        self._spec.compiler.boundmass = self._spec.compiler.boundinertia = 0.0
        option = self._spec.option
        option.timestep, option.gravity = self.time_step_s, (0.0, 0.0, -GRAVITY_M_S2)
        option.integrator, option.cone = mujoco.mjtIntegrator.mjINT_IMPLICITFAST, mujoco.mjtCone.mjCONE_ELLIPTIC
        option.impratio = 10.0
        self._bodies: list[MujocoBody] = []
        self._model: Any = None
        self._data: Any = None
        self._fresh = False  # whether the derived quantities belong to the present state
        self._aims: dict[int, dict[str, float]] = {}
        self._touching: list[Contact] | None = None

    def add(self, spec: BodySpec) -> int:
        """Add a body; return its number."""
        self._open("add a body")
        if self._data is not None and self._data.time > 0.0:
            raise SimulationError(
                f"MujocoEngine: {spec.name!r} was added at {self._data.time:g} s. MuJoCo compiles its world; add every "
                "body before the first step."
            )
        self._bodies.append(add_body(self._spec, spec, len(self._bodies)))
        self._model = self._data = None
        return len(self._bodies) - 1

    def _open(self, what: str) -> None:
        if self._closed:
            raise SimulationError(f"MujocoEngine: cannot {what}: the engine is closed. Make a new environment.")

    def _compile(self) -> None:
        """Compile the specification and look up the addresses of every body."""
        self._open("step")
        if self._model is not None:
            return
        mujoco = self._mujoco
        try:
            self._model = self._spec.compile()
        except ValueError as error:
            raise SimulationError(f"MujocoEngine: MuJoCo cannot build the scene: {error}.") from error
        self._data = mujoco.MjData(self._model)
        m = self._model
        self._root = [m.body(body.root).id for body in self._bodies]
        self._part = [m.body(body.part).id for body in self._bodies]
        self._place_at = [int(m.jnt_qposadr[m.body_jntadr[i]]) for i in self._root]
        self._speed_at = [int(m.jnt_dofadr[m.body_jntadr[i]]) for i in self._root]
        numbers = np.full(m.nbody, -1, dtype=np.int64)
        for number, body in enumerate(self._bodies):
            for link in body.links.values():
                numbers[m.body(link).id] = number
        self._number_of_geom = numbers[m.geom_bodyid]
        self._fresh = False

    def _derive(self) -> None:
        """Bring positions and velocities of bodies and geoms up to date; the dynamics are not touched."""
        self._compile()
        if not self._fresh:
            for update in (self._mujoco.mj_kinematics, self._mujoco.mj_comPos, self._mujoco.mj_comVel):
                update(self._model, self._data)
            self._fresh = True

    def state(self, body: int) -> RigidState:
        """Return the present state of one body."""
        chosen = self._known(body)
        if chosen.free:
            q, v = self._place_at[body], self._speed_at[body]
            x, y, z, w, i, j, k = self._data.qpos[q : q + 7].tolist()
            spin = np.empty(3)
            self._mujoco.mju_rotVecQuat(spin, self._data.qvel[v + 3 : v + 6], self._data.qpos[q + 3 : q + 7])
            return RigidState((x, y, z), (i, j, k, w), _vector(self._data.qvel[v : v + 3]), _vector(spin))
        self._derive()
        number = self._part[body]
        w, i, j, k = self._data.xquat[number].tolist()
        if chosen.spec.part is None:
            still = (0.0, 0.0, 0.0)
            return RigidState(_vector(self._data.xpos[number]), (i, j, k, w), still, still)
        twist = np.empty(6)
        kind = self._mujoco.mjtObj.mjOBJ_BODY
        self._mujoco.mj_objectVelocity(self._model, self._data, kind, number, twist, 0)
        return RigidState(_vector(self._data.xipos[number]), (i, j, k, w), _vector(twist[3:]), _vector(twist[:3]))

    def _known(self, body: int) -> MujocoBody:
        self._compile()
        return self._bodies[body]

    def states(self) -> StateArrays:
        """Return the present states of all bodies."""
        rows = [self.state(body) for body in range(len(self._bodies))]
        position, orientation, linear, angular = (np.array([row[k] for row in rows]) for k in range(4))
        if not np.isfinite(position).all():
            lost = [self._bodies[i].spec.name for i in np.flatnonzero(~np.isfinite(position).all(axis=1))]
            raise SimulationError(f"MujocoEngine: the state of {lost} is no longer finite. Lower the forces on them.")
        n = len(rows)
        return StateArrays(
            position.reshape(n, 3), orientation.reshape(n, 4), linear.reshape(n, 3), angular.reshape(n, 3)
        )

    def push(self, body: int, force: Vector, torque: Vector) -> None:
        """Apply a force at the centre of mass and a torque, world frame, during the next step only."""
        self._compile()
        applied = self._data.xfrc_applied[self._root[body]]
        applied[:3] += force
        applied[3:] += torque

    def aim(self, body: int, angles_rad: Mapping[str, float]) -> None:
        """Turn named links towards angles, by bounded torques at their joints, until told otherwise."""
        known = self._bodies[body].joints
        for name in angles_rad:
            if name not in known:
                raise SimulationError(
                    f"MujocoEngine: {self._bodies[body].spec.name!r} has no link {name!r}; it has {sorted(known)}."
                )
        self._aims[body] = dict(angles_rad)

    def _turn_limbs(self) -> None:
        w = _LIMB_RAD_S
        for number, angles in self._aims.items():
            body = self._bodies[number]
            for name, angle in angles.items():
                joint = self._data.joint(body.joints[name])
                torque = body.inertia[name] * (w * w * (angle - joint.qpos[0]) - 2.0 * w * joint.qvel[0])
                joint.qfrc_applied[0] = max(-_LIMB_TORQUE_NM, min(_LIMB_TORQUE_NM, torque))

    def place(self, body: int, position: Vector, orientation_xyzw: Quaternion) -> None:
        """Put a body at rest somewhere else."""
        chosen = self._known(body)
        x, y, z, w = orientation_xyzw
        if chosen.free:
            q, v = self._place_at[body], self._speed_at[body]
            self._data.qpos[q : q + 7] = (*position, w, x, y, z)
            self._data.qvel[v : v + 6] = 0.0
        elif chosen.spec.part is None:
            self._model.body_pos[self._root[body]] = position
            self._model.body_quat[self._root[body]] = (w, x, y, z)
        else:
            raise SimulationError(f"MujocoEngine: {chosen.spec.name!r} hangs on a joint and cannot be put elsewhere.")
        self._fresh = False

    def advance(self) -> None:
        """Advance by one engine step."""
        self._compile()
        self._turn_limbs()
        self._mujoco.mj_step(self._model, self._data)
        self._data.xfrc_applied[:] = 0.0
        self._fresh, self._touching = False, None

    def contacts(self, body: int | None = None) -> list[Contact]:
        """Return the touching pairs after the last step, forces summed over their contact points."""
        self._compile()
        if self._touching is None:
            self._touching = self._read_contacts()
        if body is None:
            return list(self._touching)
        found = []
        for contact in self._touching:
            if contact.a == body:
                found.append(contact)
            elif contact.b == body:
                found.append(Contact(body, contact.a, contact.force_n, -contact.normal_z))
        return found

    def _read_contacts(self) -> list[Contact]:
        force: dict[tuple[int, int], float] = {}
        upward: dict[tuple[int, int], float] = {}
        wrench = np.empty(6)
        for index in range(self._data.ncon):
            contact = self._data.contact[index]
            a, b = (int(self._number_of_geom[geom]) for geom in contact.geom)
            if a == b or contact.exclude:
                continue
            self._mujoco.mj_contactForce(self._model, self._data, index, wrench)
            pressed = float(wrench[0])
            if pressed <= 0.0:
                continue
            force[a, b] = force.get((a, b), 0.0) + pressed
            upward[a, b] = upward.get((a, b), 0.0) - pressed * float(contact.frame[2])  # the normal points from a to b
        return [Contact(a, b, total, upward[a, b] / total) for (a, b), total in force.items()]

    def first_hits(self, start: Float[np.ndarray, "R 3"], end: Float[np.ndarray, "R 3"]) -> Int[np.ndarray, " R"]:
        """Return the number of the first body that each of R rays meets, -1 for none."""
        self._derive()
        found = np.full(len(end), -1, dtype=np.int64)
        eyes, group = np.unique(np.asarray(start, dtype=np.float64), axis=0, return_inverse=True)
        for index, eye in enumerate(eyes):
            rays = np.flatnonzero(group.reshape(-1) == index)
            way = np.ascontiguousarray(np.asarray(end, dtype=np.float64)[rays] - eye)
            geom, share = np.full(len(rays), -1, dtype=np.int32), np.empty(len(rays))
            self._mujoco.mj_multiRay(
                self._model, self._data, eye, way.reshape(-1), None, True, -1, geom, share, None, len(rays),
                self._mujoco.mjMAXVAL,
            )  # fmt: skip
            met = (geom >= 0) & (share <= 1.0)
            found[rays[met]] = self._number_of_geom[geom[met]]
        return found

    def save(self) -> Any:
        """Return a token of the present state."""
        touching = self.contacts()
        wanted = self._mujoco.mjtState.mjSTATE_INTEGRATION
        numbers = np.empty(self._mujoco.mj_stateSize(self._model, wanted))
        self._mujoco.mj_getState(self._model, self._data, numbers, wanted)
        m = self._model
        aims = {number: dict(angles) for number, angles in self._aims.items()}
        return _Token(self._episode, numbers, m.body_pos.copy(), m.body_quat.copy(), aims, touching)

    def load(self, token: Any) -> None:
        """Go back to the state of `token`, bit for bit."""
        self._compile()
        if token.episode != self._episode:
            raise SimulationError("MujocoEngine: this snapshot belongs to an episode that is over; take a new one.")
        wanted = self._mujoco.mjtState.mjSTATE_INTEGRATION
        self._mujoco.mj_setState(self._model, self._data, token.numbers, wanted)
        self._model.body_pos[:], self._model.body_quat[:] = token.placed, token.turned
        self._aims = {number: dict(angles) for number, angles in token.aims.items()}
        self._touching, self._fresh = list(token.touching), False

    def picture(self, camera: PinholeCamera) -> tuple[np.ndarray, np.ndarray]:
        """Refuse: MuJoCo draws by OpenGL alone, which a machine without a display lacks; physics needs no picture.

        Raises:
            SimulationError: always.
        """
        del camera
        raise SimulationError("MujocoEngine draws no pictures (MuJoCo needs OpenGL for them). Use BulletPhysics.")

    def close(self) -> None:
        """Let go of the model; harmless when called twice."""
        self._closed = True
        self._model = self._data = None


class MujocoPhysics(StagedPhysics):
    """The true world in MuJoCo: any scenario, from the same description, as an independent reality.

    Example:
        >>> from worldsim.simulation.mujoco_engine import MujocoPhysics
        >>> physics = MujocoPhysics()
        >>> physics.close()
    """

    def __init__(
        self, sensor: Sensor | None = None, time_step_s: float = 1.0 / 240.0, frame_s: float = FRAME_S
    ) -> None:
        """Start an engine of its own.

        Args:
            sensor: what turns the truth into observations; `Detector` with its defaults where None.
            time_step_s: of the engine.
            frame_s: length of a frame, rounded to whole engine steps.
        """
        super().__init__(MujocoEngine(time_step_s), sensor, frame_s)


def _vector(values: np.ndarray) -> Vector:
    x, y, z = values.tolist()
    return x, y, z
