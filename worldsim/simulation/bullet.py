"""PyBullet behind the `Engine` and `Physics` contracts."""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pybullet as bullet
from jaxtyping import Float, Int

from worldsim.contracts.sensor import Sensor
from worldsim.errors import SimulationError
from worldsim.simulation.engine import Contact, Engine, PinholeCamera, RigidState, StateArrays
from worldsim.simulation.presets import EnginePreset, preset as preset_named
from worldsim.simulation.scene import BodySpec, Quaternion, Vector
from worldsim.simulation.staged import StagedPhysics

GRAVITY_M_S2 = 9.81
_MOTOR_TORQUE_NM = 3.0  # of a limb; strong enough to swing it, too weak to push anything about
_LIGHT = (4.0, -6.0, 12.0)


class BulletEngine(Engine):
    """One DIRECT client of PyBullet; every call names it, so that many live side by side in one process."""

    def __init__(self, preset: EnginePreset) -> None:
        """Start a client."""
        self.preset = preset
        self.time_step_s = preset.time_step_s
        self._client = bullet.connect(bullet.DIRECT)
        if self._client < 0:
            raise SimulationError("BulletEngine: PyBullet refused a new DIRECT client (its limit is 1,024 a process).")
        self._finalizer = weakref.finalize(self, _disconnect, self._client)
        self.clear()

    @contextlib.contextmanager
    def _wrapped(self, what: str) -> Iterator[None]:
        if not self._finalizer.alive:
            raise SimulationError(f"BulletEngine: cannot {what}: the engine is closed. Make a new environment.")
        try:
            yield
        except bullet.error as error:
            raise SimulationError(f"BulletEngine: PyBullet failed to {what}: {error}.") from error

    def clear(self) -> None:
        """Empty the world and set every setting anew (resetSimulation puts them back to the engine's defaults)."""
        chosen, c = self.preset, self._client
        for saved in list(getattr(self, "_saved", ())):
            saved.forget()  # before the reset, after which the same number may name another state
        self._saved: weakref.WeakSet[_SavedState] = weakref.WeakSet()
        with self._wrapped("reset the simulation"):
            bullet.resetSimulation(physicsClientId=c)
            bullet.setGravity(0.0, 0.0, -GRAVITY_M_S2, physicsClientId=c)
            bullet.setPhysicsEngineParameter(
                fixedTimeStep=chosen.time_step_s,
                numSolverIterations=chosen.solver_iterations,
                numSubSteps=0,
                restitutionVelocityThreshold=chosen.restitution_velocity_threshold_m_s,
                contactSlop=chosen.contact_slop_m,
                contactBreakingThreshold=chosen.contact_breaking_threshold_m,
                useSplitImpulse=int(chosen.split_impulse),
                deterministicOverlappingPairs=int(chosen.deterministic_overlapping_pairs),
                physicsClientId=c,
            )
        self._specs: list[BodySpec] = []
        self._ids: list[int] = []
        self._links: list[int] = []  # -1: the spec speaks of the base
        self._offsets: list[np.ndarray] = []  # centre of the box relative to the centre of mass, body frame
        self._joints: list[dict[str, int]] = []
        self._number: dict[int, int] = {}
        self._states: StateArrays | None = None
        self._ghosts: list[int] = []

    def add(self, spec: BodySpec) -> int:
        """Add a body; return its number."""
        with self._wrapped(f"add {spec.name!r} ({spec.urdf or spec.shape})"):
            uid = self._load_urdf(spec) if spec.urdf is not None else self._make_primitive(spec)
            link = self._find_part(spec, uid)
            self._set_surface(spec, uid)
            number = len(self._ids)
            self._ids.append(uid)
            self._links.append(link)
            self._specs.append(spec)
            self._number[uid] = number
            self._offsets.append(self._offset_of(spec, uid, link))
            self._place(number, spec.position, spec.orientation_xyzw)
            self._part_ghosts(number)
        self._states = None
        return number

    def _load_urdf(self, spec: BodySpec) -> int:
        flags = bullet.URDF_USE_INERTIA_FROM_FILE | bullet.URDF_USE_MATERIAL_COLORS_FROM_MTL
        flags |= bullet.URDF_ENABLE_SLEEPING if self.preset.sleeping else 0
        fixed = spec.part is not None or not spec.movable
        return int(
            bullet.loadURDF(
                spec.urdf,
                useFixedBase=fixed,
                flags=flags,
                globalScaling=spec.scale,
                physicsClientId=self._client,
            )
        )

    def _make_primitive(self, spec: BodySpec) -> int:
        x, y, z = spec.extent_m
        shape: dict[str, Any]
        if spec.shape == "box":
            shape, visual = {"shapeType": bullet.GEOM_BOX, "halfExtents": [x / 2.0, y / 2.0, z / 2.0]}, {}
        elif spec.shape == "sphere":
            shape, visual = {"shapeType": bullet.GEOM_SPHERE, "radius": x / 2.0}, {}
        else:
            straight = z if spec.shape == "cylinder" else max(z - x, 1e-3)
            kind = bullet.GEOM_CYLINDER if spec.shape == "cylinder" else bullet.GEOM_CAPSULE
            shape, visual = {"shapeType": kind, "radius": x / 2.0}, {"length": straight}
        c = self._client
        collision = bullet.createCollisionShape(
            **shape, **({"height": visual["length"]} if visual else {}), physicsClientId=c
        )
        drawn = bullet.createVisualShape(**shape, **visual, rgbaColor=[*spec.colour, 1.0], physicsClientId=c)
        return int(
            bullet.createMultiBody(
                spec.mass_kg,
                collision,
                drawn,
                baseInertialFramePosition=spec.centre_of_mass_m,
                physicsClientId=c,
            )
        )

    def _find_part(self, spec: BodySpec, uid: int) -> int:
        c = self._client
        joints = {}
        for joint in range(bullet.getNumJoints(uid, physicsClientId=c)):
            info = bullet.getJointInfo(uid, joint, physicsClientId=c)
            joints[info[12].decode()] = joint
            bullet.setJointMotorControl2(uid, joint, bullet.VELOCITY_CONTROL, force=0.0, physicsClientId=c)
        self._joints.append(joints)
        if spec.part is None:
            return -1
        if spec.part not in joints:
            raise SimulationError(f"BodySpec {spec.name!r}: {spec.urdf} has no link {spec.part!r}; it has {sorted(joints)}.")
        return joints[spec.part]

    def _set_surface(self, spec: BodySpec, uid: int) -> None:
        chosen, c = self.preset, self._client
        for link in range(-1, len(self._joints[-1])):
            bullet.changeDynamics(
                uid,
                link,
                lateralFriction=spec.friction,
                restitution=spec.restitution,
                rollingFriction=spec.rolling_friction,
                spinningFriction=0.0,
                linearDamping=chosen.linear_damping,
                angularDamping=chosen.angular_damping,
                jointDamping=spec.joint_damping_nms or chosen.joint_damping,
                physicsClientId=c,
            )
        if spec.urdf is not None and spec.movable:
            moved = self._links_mass(uid)
            for link, (mass, inertia) in moved.items():
                factor = spec.mass_kg / sum(m for m, _ in moved.values())
                spread = factor * spec.scale**2  # moments grow with mass and with length squared
                bullet.changeDynamics(
                    uid,
                    link,
                    mass=mass * factor,
                    localInertiaDiagonal=[spread * moment for moment in inertia],
                    physicsClientId=c,
                )

    def _links_mass(self, uid: int) -> dict[int, tuple[float, Vector]]:
        found = {}
        for link in range(-1, len(self._joints[-1])):
            info = bullet.getDynamicsInfo(uid, link, physicsClientId=self._client)
            if info[0] > 0.0:
                found[link] = (info[0], info[2])
        return found

    def _offset_of(self, spec: BodySpec, uid: int, link: int) -> np.ndarray:
        if link >= 0:
            return np.zeros(3)  # of a part, the centre of mass is the centre of its box
        if spec.urdf is None:
            return -np.asarray(spec.centre_of_mass_m)
        info = bullet.getDynamicsInfo(uid, -1, physicsClientId=self._client)
        return -np.asarray(info[3])

    def _part_ghosts(self, number: int) -> None:
        """Keep what is not solid from touching anything; rays meet it all the same."""
        if not self._specs[number].solid:
            self._ghosts.append(number)
        for ghost in self._ghosts:
            others = range(number) if ghost == number else (number,)
            for other in others:
                for link in range(-1, len(self._joints[other])):
                    bullet.setCollisionFilterPair(
                        self._ids[ghost], self._ids[other], -1, link, 0, physicsClientId=self._client
                    )

    def _place(self, number: int, position: Vector, orientation_xyzw: Quaternion) -> None:
        uid, link, c = self._ids[number], self._links[number], self._client
        turn = _rotation(orientation_xyzw)
        if link >= 0:
            base = bullet.getBasePositionAndOrientation(uid, physicsClientId=c)[0]
            for joint in self._joints[number].values():
                bullet.resetJointState(uid, joint, 0.0, physicsClientId=c)
            bullet.resetBasePositionAndOrientation(uid, base, (0.0, 0.0, 0.0, 1.0), physicsClientId=c)
            part = bullet.getLinkState(uid, link, computeForwardKinematics=1, physicsClientId=c)[0]
            centre = np.asarray(position) - turn @ (np.asarray(part) - np.asarray(base))
        else:
            centre = np.asarray(position) - turn @ self._offsets[number]
        bullet.resetBasePositionAndOrientation(uid, centre.tolist(), orientation_xyzw, physicsClientId=c)

    def place(self, body: int, position: Vector, orientation_xyzw: Quaternion) -> None:
        """Put a body at rest somewhere else."""
        with self._wrapped(f"place {self._specs[body].name!r}"):
            self._place(body, position, orientation_xyzw)
            zero = (0.0, 0.0, 0.0)
            bullet.resetBaseVelocity(self._ids[body], zero, zero, physicsClientId=self._client)

    def _raw_state(self, body: int) -> tuple[Vector, Quaternion, Vector, Vector]:
        uid, link, c = self._ids[body], self._links[body], self._client
        if link >= 0:
            found = bullet.getLinkState(uid, link, 1, 1, physicsClientId=c)
            return found[0], found[1], found[6], found[7]
        position, orientation = bullet.getBasePositionAndOrientation(uid, physicsClientId=c)
        linear, angular = bullet.getBaseVelocity(uid, physicsClientId=c)
        return position, orientation, linear, angular

    def state(self, body: int) -> RigidState:
        """Return the present state of one body (Python floats throughout: this is called at every engine step)."""
        position, q, linear, w = self._raw_state(body)
        offset = self._offsets[body]
        if not offset.any():
            return RigidState(position, q, linear, w)
        lever = _turned(q, (float(offset[0]), float(offset[1]), float(offset[2])))
        at = (position[0] + lever[0], position[1] + lever[1], position[2] + lever[2])
        swing = _cross(w, lever)
        return RigidState(at, q, (linear[0] + swing[0], linear[1] + swing[1], linear[2] + swing[2]), w)

    def states(self) -> StateArrays:
        """Return the present states of all bodies; what never moves is read once."""
        with self._wrapped("read the states"):
            if self._states is None:
                n = len(self._ids)
                self._states = StateArrays(np.zeros((n, 3)), np.zeros((n, 4)), np.zeros((n, 3)), np.zeros((n, 3)))
                rows = range(n)
            else:
                rows = [row for row, spec in enumerate(self._specs) if spec.movable]  # type: ignore[assignment]
            for row in rows:
                found = self.state(row)
                for array, value in zip(self._states, found, strict=True):
                    array[row] = value
            if not np.isfinite(self._states.position).all():
                lost = [s.name for s, ok in zip(self._specs, np.isfinite(self._states.position).all(1), strict=True) if not ok]
                raise SimulationError(f"BulletEngine: the state of {lost} is no longer finite. Lower the forces on them.")
        return self._states.copy()

    def push(self, body: int, force: Vector, torque: Vector) -> None:
        """Apply a force at the centre of mass and a torque, world frame, during the next step only."""
        uid, c = self._ids[body], self._client
        at = bullet.getBasePositionAndOrientation(uid, physicsClientId=c)[0]
        bullet.applyExternalForce(uid, -1, force, at, bullet.WORLD_FRAME, physicsClientId=c)
        bullet.applyExternalTorque(uid, -1, torque, bullet.WORLD_FRAME, physicsClientId=c)

    def aim(self, body: int, angles_rad: Mapping[str, float]) -> None:
        """Let the motors of named links turn towards angles."""
        joints = self._joints[body]
        for name, angle in angles_rad.items():
            bullet.setJointMotorControl2(
                self._ids[body],
                joints[name],
                bullet.POSITION_CONTROL,
                targetPosition=angle,
                force=_MOTOR_TORQUE_NM,
                positionGain=0.15,
                velocityGain=0.6,
                physicsClientId=self._client,
            )

    def advance(self) -> None:
        """Advance by one engine step."""
        with self._wrapped("step"):
            bullet.stepSimulation(physicsClientId=self._client)

    def contacts(self, body: int | None = None) -> list[Contact]:
        """Return the touching pairs after the last step, forces summed over their contact points."""
        with self._wrapped("read the contacts"):
            one = {} if body is None else {"bodyA": self._ids[body]}
            points = bullet.getContactPoints(**one, physicsClientId=self._client)
        force: dict[tuple[int, int], float] = {}
        upward: dict[tuple[int, int], float] = {}
        for point in points or ():
            pair = (self._number[point[1]], self._number[point[2]])
            if point[9] <= 0.0 or pair[0] == pair[1]:
                continue
            force[pair] = force.get(pair, 0.0) + point[9]
            upward[pair] = upward.get(pair, 0.0) + point[9] * point[7][2]  # the normal points from b to a
        return [Contact(a, b, total, upward[a, b] / total) for (a, b), total in force.items()]

    def first_hits(self, start: Float[np.ndarray, "R 3"], end: Float[np.ndarray, "R 3"]) -> Int[np.ndarray, " R"]:
        """Return the number of the first body that each of R rays meets, -1 for none."""
        with self._wrapped("cast rays"):
            found = []
            for first in range(0, len(start), bullet.MAX_RAY_INTERSECTION_BATCH_SIZE):
                chunk = slice(first, first + bullet.MAX_RAY_INTERSECTION_BATCH_SIZE)
                found += bullet.rayTestBatch(
                    start[chunk].tolist(), end[chunk].tolist(), numThreads=1, physicsClientId=self._client
                )
        return np.array([self._number.get(hit[0], -1) for hit in found], dtype=np.int64)

    def save(self) -> Any:
        """Return a token of the present state."""
        with self._wrapped("save the state"):
            token = _SavedState(self._client, bullet.saveState(physicsClientId=self._client))
        self._saved.add(token)
        return token

    def load(self, token: Any) -> None:
        """Go back to the state of `token`, bit for bit."""
        if not token.alive:
            raise SimulationError("BulletEngine: this snapshot belongs to an episode that is over; take a new one.")
        with self._wrapped("restore the state"):
            bullet.restoreState(stateId=token.state_id, physicsClientId=self._client)

    def picture(self, camera: PinholeCamera) -> tuple[np.ndarray, np.ndarray]:
        """Return an image and its depth, by PyBullet's software renderer."""
        c = self._client
        view = bullet.computeViewMatrix(camera.position, camera.target, camera.up)
        lens = bullet.computeProjectionMatrixFOV(
            np.degrees(camera.vertical_field_rad), camera.width / camera.height, camera.near_m, camera.far_m
        )
        with self._wrapped("draw a picture"):
            image = bullet.getCameraImage(
                camera.width,
                camera.height,
                view,
                lens,
                lightDirection=_LIGHT,
                lightAmbientCoeff=0.55,
                lightDiffuseCoeff=0.45,
                lightSpecularCoeff=0.03,
                shadow=1,
                renderer=bullet.ER_TINY_RENDERER,
                flags=bullet.ER_NO_SEGMENTATION_MASK,
                physicsClientId=c,
            )
        rgb = np.reshape(image[2], (camera.height, camera.width, 4))[..., :3].astype(np.uint8)
        buffer = np.reshape(image[3], (camera.height, camera.width)).astype(np.float64)
        near, far = camera.near_m, camera.far_m
        return rgb, (far * near / (far - (far - near) * buffer)).astype(np.float32)

    def close(self) -> None:
        """Disconnect the client; harmless when called twice."""
        self._finalizer()


class _SavedState:
    """A state in PyBullet's memory, removed with this object (each would keep about 150 kB otherwise)."""

    def __init__(self, client: int, state_id: int) -> None:
        self.state_id = state_id
        self._finalizer = weakref.finalize(self, _remove_state, client, state_id)

    @property
    def alive(self) -> bool:
        return self._finalizer.alive

    def forget(self) -> None:
        self._finalizer()


class BulletPhysics(StagedPhysics):
    """The true world in PyBullet.

    Example:
        >>> from worldsim.simulation.bullet import BulletPhysics
        >>> physics = BulletPhysics(preset="accurate")
        >>> physics.close()
    """

    def __init__(self, preset: str | EnginePreset = "accurate", sensor: Sensor | None = None) -> None:
        """Start an engine of its own.

        Args:
            preset: name of a preset, or one of your own.
            sensor: what turns the truth into observations; `Detector` with its defaults where None.
        """
        super().__init__(BulletEngine(preset_named(preset) if isinstance(preset, str) else preset), sensor)


def _disconnect(client: int) -> None:
    with contextlib.suppress(bullet.error):
        bullet.disconnect(physicsClientId=client)


def _remove_state(client: int, state_id: int) -> None:
    with contextlib.suppress(bullet.error):
        bullet.removeState(state_id, physicsClientId=client)


def _rotation(q: Quaternion) -> Float[np.ndarray, "3 3"]:
    """Return the rotation matrix of an xyzw quaternion."""
    x, y, z, w = q
    return np.array(
        [
            [1.0 - 2.0 * (y * y + z * z), 2.0 * (x * y - z * w), 2.0 * (x * z + y * w)],
            [2.0 * (x * y + z * w), 1.0 - 2.0 * (x * x + z * z), 2.0 * (y * z - x * w)],
            [2.0 * (x * z - y * w), 2.0 * (y * z + x * w), 1.0 - 2.0 * (x * x + y * y)],
        ]
    )


def _turned(q: Quaternion, v: Vector) -> Vector:
    """Return `v` turned by `q`, in plain floats: v + 2 u x (u x v + w v), u being the vector part."""
    u, w = (q[0], q[1], q[2]), q[3]
    first = _cross(u, v)
    second = _cross(u, (first[0] + w * v[0], first[1] + w * v[1], first[2] + w * v[2]))
    return (v[0] + 2.0 * second[0], v[1] + 2.0 * second[1], v[2] + 2.0 * second[2])


def _cross(a: Vector, b: Vector) -> Vector:
    return (a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0])
