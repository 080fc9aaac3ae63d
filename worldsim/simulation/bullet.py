"""PyBullet behind the `Engine` and `Physics` contracts."""

from __future__ import annotations

import contextlib
import math
import weakref
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from worldsim.contracts.sensor import Sensor
from worldsim.errors import SimulationError
from worldsim.simulation.bullet_bodies import NO_OFFSET, BulletBody, make_body, place_body, tint_body
from worldsim.simulation.bullet_module import bullet
from worldsim.simulation.bullet_readout import (
    Handle,
    read_picture,
    read_poses,
    read_state,
    read_states,
    read_touching,
    summed,
)
from worldsim.simulation.engine import Contact, Engine, Glance, PinholeCamera, RigidState, StateArrays, States
from worldsim.simulation.presets import EnginePreset, named
from worldsim.simulation.scene import BodySpec, Quaternion, Vector
from worldsim.simulation.staged import FRAME_S, StagedPhysics

GRAVITY_M_S2 = 9.81
_LIMB_TORQUE_NM = 3.0  # strong enough to swing a limb, too weak to push anything about
_LIMB_RAD_S = 30.0  # natural frequency of a limb's spring: an eighth of a radian in a step of 1/240 s
_MOVABLE, _ALL = 1, -1  # Bullet's own filter of what moves: its group, and what it meets


class BulletEngine(Engine):
    """One DIRECT client of PyBullet; every call names it, so that many live side by side in one process."""

    def __init__(self, preset: EnginePreset) -> None:
        """Start a client."""
        self.preset = preset
        self.time_step_s = preset.time_step_s
        self._saved: weakref.WeakSet[_SavedState] = weakref.WeakSet()
        self._connect()
        self.clear()

    def _connect(self) -> None:
        self._client = bullet.connect(bullet.DIRECT)
        if self._client < 0:
            raise SimulationError("BulletEngine: PyBullet refused a new DIRECT client (its limit is 1,024 a process).")
        self._finalizer = weakref.finalize(self, _disconnect, self._client)

    @contextlib.contextmanager
    def _wrapped(self, what: str) -> Iterator[None]:
        self._check_open(what)
        try:
            yield
        except bullet.error as error:
            raise _failure(what, error) from error

    def _check_open(self, what: str) -> None:
        if not self._finalizer.alive:
            raise SimulationError(f"BulletEngine: cannot {what}: the engine is closed. Make a new environment.")

    def clear(self) -> None:
        """Empty the world and set every setting anew (resetSimulation puts them back to the engine's defaults).

        A closed engine is opened again.
        """
        self._forget_saved()  # before the reset, after which the same number may name another state
        if not self._finalizer.alive:
            self._connect()
        chosen, c = self.preset, self._client
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
        self._bodies: list[BulletBody] = []
        self._number: dict[int, int] = {}
        self._ghosts: list[int] = []
        self._mounted: set[int] = set()
        self._untinted: list[BulletBody] = []
        self._movable: list[int] = []
        self._shapes: list[tuple[int, int]] = []  # uid and link of all that moves
        self._handles: list[Handle] = []
        self._moving: list[Handle] = []  # the handles of what is movable, once all bodies are in
        self._rows: slice | Int[np.ndarray, " n"] = slice(0, 0)  # where they stand among all bodies
        self._states: StateArrays | None = None
        self._moment = object()  # another one whenever anything moves
        self._read: dict[int, tuple[RigidState, Vector]] = {}  # states and centres of mass read since the last step
        self._aims: dict[int, dict[str, float]] = {}  # where limbs are to turn
        self._touching: list[Contact] | None = None  # what touched when the state was saved, until the next step

    def _move_on(self) -> None:
        """Forget what was read of the moment before."""
        self._moment = object()
        self._read.clear()

    def add(self, spec: BodySpec) -> int:
        """Add a body; return its number."""
        with self._wrapped(f"add {spec.name!r} ({spec.urdf or spec.shape})"):
            body = make_body(spec, self.preset, self._client)
        number = len(self._bodies)
        self._bodies.append(body)
        self._untinted.append(body)
        self._number[body.uid] = number
        self._handles.append((body.uid, body.link, body.offset if body.offset != NO_OFFSET else None))
        if spec.movable:
            self._movable.append(number)
            self._shapes += [(body.uid, link) for link in range(-1 if spec.part is None else 0, len(body.joints))]
        if spec.mount is not None:
            self._mounted.add(number)
        if not spec.solid:
            self._ghosts.append(number)
        self._part_ghosts(number)
        self._states = None
        return number

    def _part_ghosts(self, number: int) -> None:
        """Keep a body from touching what it is to pass through; rays meet it all the same."""
        c, new = self._client, self._bodies[number].spec
        old = [body.spec for body in self._bodies[:number]]
        passing = [n for n, spec in enumerate(old) if spec.name in new.passes or new.name in spec.passes]
        for ghost in {*self._ghosts, *([number] if passing else [])}:
            shape = 0 if self._bodies[ghost].spec.mount is not None else -1  # what hangs on a mount is a link
            whole = range(number) if not new.solid else passing
            for other in whole if ghost == number else (number,):
                for link in range(-1, len(self._bodies[other].joints)):
                    bullet.setCollisionFilterPair(
                        self._bodies[ghost].uid, self._bodies[other].uid, shape, link, 0, physicsClientId=c
                    )

    def place(self, body: int, position: Vector, orientation_xyzw: Quaternion) -> None:
        """Put a body at rest somewhere else."""
        self._move_on()
        chosen = self._bodies[body]
        with self._wrapped(f"place {chosen.spec.name!r}"):
            place_body(chosen, position, orientation_xyzw, self._client)
            bullet.resetBaseVelocity(chosen.uid, NO_OFFSET, NO_OFFSET, physicsClientId=self._client)

    def state(self, body: int) -> RigidState:
        """Return the present state of one body (Python floats throughout: this is called at every engine step)."""
        found = self._read.get(body)
        if found is None:
            found = self._read[body] = read_state(self._handles[body], self._client)
        return found[0]

    def glance(self) -> States:
        """Return the present poses of all bodies, and their velocities when they are asked for before the next step."""
        if self._states is None:
            return self.states()
        position, orientation = self._states.position.copy(), self._states.orientation_xyzw.copy()
        try:
            flat = read_poses(self._moving, self._client)
        except bullet.error as error:
            raise _failure("read the poses", error) from error
        read = np.fromiter(flat, np.float64, len(flat)).reshape(-1, 7)
        position[self._rows], orientation[self._rows] = read[:, :3], read[:, 3:]
        if not math.isfinite(sum(flat)):
            self._refuse_lost(position)
        moment = self._moment

        def whole() -> StateArrays:
            if moment is not self._moment:
                raise SimulationError("BulletEngine: velocities of a moment that is over were asked for.")
            return self.states()

        return Glance(position, orientation, whole)

    def states(self) -> StateArrays:
        """Return the present states of all bodies; what never moves is read once."""
        rows = self._movable
        if self._states is None:
            self._moving, self._rows = [self._handles[row] for row in rows], _places(rows)
            n = len(self._bodies)
            self._states = StateArrays(np.zeros((n, 3)), np.zeros((n, 4)), np.zeros((n, 3)), np.zeros((n, 3)))
            rows = list(range(n))
        with self._wrapped("read the states"):
            read = read_states([self._handles[row] for row in rows], self._client)
        position, orientation, linear, angular = self._states
        position[rows], orientation[rows] = read[:, :3], read[:, 3:7]
        linear[rows], angular[rows] = read[:, 7:10], read[:, 10:]
        self._refuse_lost(position)
        return self._states.copy()

    def _refuse_lost(self, position: Float[np.ndarray, "N 3"]) -> None:
        finite = np.isfinite(position)
        if not finite.all():
            lost = [body.spec.name for body, ok in zip(self._bodies, finite.all(axis=1), strict=True) if not ok]
            raise SimulationError(f"BulletEngine: the state of {lost} is no longer finite. Lower the forces on them.")

    def push(self, body: int, force: Vector, torque: Vector) -> None:
        """Apply a force at the centre of mass and a torque, world frame, during the next step only.

        What hangs on a mount takes forces alone.
        """
        uid, c = self._handles[body][0], self._client
        if body in self._mounted:
            self._push_mounted(self._bodies[body], force, torque)
            return
        known = self._read.get(body)
        at = known[1] if known is not None else bullet.getBasePositionAndOrientation(uid, c)[0]
        bullet.applyExternalForce(uid, -1, force, at, bullet.WORLD_FRAME, c)
        if torque != NO_OFFSET:
            bullet.applyExternalTorque(uid, -1, torque, bullet.WORLD_FRAME, c)

    def _push_mounted(self, body: BulletBody, force: Vector, torque: Vector) -> None:
        if torque != NO_OFFSET:
            raise SimulationError(f"BulletEngine: {body.spec.name!r} hangs on a mount and takes no torque; push it.")
        at = bullet.getLinkState(body.uid, body.link, 0, 1, physicsClientId=self._client)[0]
        bullet.applyExternalForce(body.uid, body.link, force, at, bullet.WORLD_FRAME, physicsClientId=self._client)

    def aim(self, body: int, angles_rad: Mapping[str, float]) -> None:
        """Turn named links towards angles, by bounded torques at their joints, until told otherwise."""
        known = self._bodies[body].joints
        for name in angles_rad:
            if name not in known:
                raise SimulationError(
                    f"BulletEngine: {self._bodies[body].spec.name!r} has no link {name!r}; it has {sorted(known)}."
                )
        self._aims[body] = dict(angles_rad)

    def _turn_limbs(self) -> None:
        """Apply the torques of critically damped springs at the joints, for one step.

        PyBullet's own position motors are constraints that keep an impulse from step to step, which a restore does
        not put back; a torque has no memory.
        """
        c, w = self._client, _LIMB_RAD_S
        for number, angles in self._aims.items():
            body = self._bodies[number]
            joints = [body.joints[name] for name in angles]
            states = bullet.getJointStates(body.uid, joints, physicsClientId=c)
            torques = []
            for (name, angle), (at, rate, _, _) in zip(angles.items(), states, strict=True):
                torque = body.inertia[name] * (w * w * (angle - at) - 2.0 * w * rate)
                torques.append(max(-_LIMB_TORQUE_NM, min(_LIMB_TORQUE_NM, torque)))
            bullet.setJointMotorControlArray(body.uid, joints, bullet.TORQUE_CONTROL, forces=torques, physicsClientId=c)

    def advance(self) -> None:
        """Advance by one engine step."""
        self._check_open("step")
        self._move_on()
        self._touching = None
        try:
            if self._aims:
                self._turn_limbs()
            bullet.stepSimulation(self._client)
        except bullet.error as error:
            raise _failure("step", error) from error

    def contacts(self, body: int | None = None) -> list[Contact]:
        """Return the touching pairs after the last step, forces summed over their contact points."""
        if self._touching is not None:
            return [contact for contact in self._touching if body is None or body in (contact.a, contact.b)]
        with self._wrapped("read the contacts"):
            one = {} if body is None else {"bodyA": self._bodies[body].uid}
            points = bullet.getContactPoints(**one, physicsClientId=self._client)
        return summed(points, self._number)

    def touching(self, body: int) -> set[int]:
        """Return the numbers of the bodies that press on one body after the last step."""
        if self._touching is not None:
            return super().touching(body)
        self._check_open("read the contacts")
        return read_touching(self._handles[body][0], self._number, self._client)

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
        self._touching = self.contacts()
        with self._wrapped("save the state"):
            self._forget_pairs()
            state_id = bullet.saveState(physicsClientId=self._client)
        token = _SavedState(self, self._client, state_id, dict(self._aims), self._touching)
        self._saved.add(token)
        return token

    def _forget_pairs(self) -> None:
        """Have the broad phase find every pair of near bodies anew.

        A pair keeps more than its contact points (separating axes, child pairs of compounds), and a saved state holds
        only the points: without this, articulated bodies go on differently after a restore.
        """
        c, renew = self._client, bullet.setCollisionFilterGroupMask
        for uid, link in self._shapes:
            renew(uid, link, _MOVABLE, _ALL, c)

    def load(self, token: Any) -> None:
        """Go back to the state of `token`, bit for bit."""
        self._move_on()
        if not token.alive:
            raise SimulationError("BulletEngine: this snapshot belongs to an episode that is over; take a new one.")
        with self._wrapped("restore the state"):
            self._forget_pairs()
            bullet.restoreState(stateId=token.state_id, physicsClientId=self._client)
        self._aims, self._touching = dict(token.aims), token.touching

    def picture(self, camera: PinholeCamera) -> tuple[np.ndarray, np.ndarray]:
        """Return an image and its depth, by PyBullet's software renderer."""
        while self._untinted:
            tint_body(self._untinted.pop(), self._client)
        with self._wrapped("draw a picture"):
            return read_picture(self._client, camera)

    def _forget_saved(self) -> None:
        for saved in list(self._saved):
            saved.forget()

    def close(self) -> None:
        """Disconnect the client; harmless when called twice."""
        self._forget_saved()  # PyBullet hands the client's number to the next one, which saves under the same numbers
        self._finalizer()


class _SavedState:
    """A state in PyBullet's memory, removed with this object (each would keep about 150 kB otherwise)."""

    def __init__(
        self,
        engine: BulletEngine,
        client: int,
        state_id: int,
        aims: dict[int, dict[str, float]],
        touching: list[Contact],
    ) -> None:
        self.engine = engine  # which lives as long as its tokens: its client's number must not go to another meanwhile
        self.state_id, self.aims, self.touching = state_id, aims, touching
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

    def __init__(
        self, preset: str | EnginePreset = "accurate", sensor: Sensor | None = None, frame_s: float = FRAME_S
    ) -> None:
        """Start an engine of its own.

        Args:
            preset: name of a preset, or one of your own.
            sensor: what turns the truth into observations; `Detector` with its defaults where None.
            frame_s: length of a frame, s: how often sensors look and drivers decide.
        """
        super().__init__(BulletEngine(named(preset) if isinstance(preset, str) else preset), sensor, frame_s)


def _failure(what: str, error: Exception) -> SimulationError:
    return SimulationError(f"BulletEngine: PyBullet failed to {what}: {error}.")


def _places(rows: list[int]) -> slice | Int[np.ndarray, " n"]:
    """Return what picks `rows`, given in their order, out of an array: a slice, which is sooner, where it can be."""
    if rows and rows[-1] - rows[0] == len(rows) - 1:
        return slice(rows[0], rows[-1] + 1)
    return np.array(rows, dtype=np.int64)


def _disconnect(client: int) -> None:
    with contextlib.suppress(bullet.error):
        bullet.disconnect(physicsClientId=client)


def _remove_state(client: int, state_id: int) -> None:
    with contextlib.suppress(bullet.error):
        bullet.removeState(state_id, physicsClientId=client)
