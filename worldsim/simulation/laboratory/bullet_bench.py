"""PyBullet as an engine of analytic scenes: as it comes, or with its preset and the corrections around the step."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

from worldsim.errors import SimulationError
from worldsim.simulation.bullet_module import bullet
from worldsim.simulation.engine import RigidState
from worldsim.simulation.laboratory.conserving import ConservedBody, ConservingStep
from worldsim.simulation.laboratory.resting import RestingGroups
from worldsim.simulation.laboratory.scene import Bench, LabBody, LabScene
from worldsim.simulation.presets import ACCURATE, AS_IT_COMES, EnginePreset

__all__ = ["BulletBench"]

_SURFACE = 1.0  # of the floor: Bullet multiplies the friction, and the restitution, of the two that touch
_NOWHERE = (0.0, 0.0, 0.0)
_PILES: dict[str, Any] = {"solver_iterations": 150, "contact_erp": 0.3}


class BulletBench(Bench):
    """One client a scene."""

    def __init__(self, name: str, preset: EnginePreset, conserving: bool = False, chain_substeps: int = 1) -> None:
        """Store the settings.

        Args:
            name: as the tables call it.
            preset: numerical settings.
            conserving: put the corrections of `ConservingStep` around the engine's step.
            chain_substeps: engine steps in one step of an articulated scene, whose Coriolis terms Bullet takes from
                the start of the step.
        """
        self.name, self.preset, self.conserving = name, preset, conserving
        self.chain_substeps = chain_substeps
        self.step_s = preset.time_step_s
        self._client = -1
        self._repeats = 1

    @classmethod
    def as_it_comes(cls) -> BulletBench:
        """Return PyBullet with its defaults."""
        return cls("PyBullet", AS_IT_COMES)

    @classmethod
    def preset_alone(cls) -> BulletBench:
        """Return PyBullet with the accurate preset and nothing around it."""
        return cls("PyBullet preset", ACCURATE)

    @classmethod
    def accurate(cls) -> BulletBench:
        """Return PyBullet with the accurate preset and the corrections around it.

        A pile wants more of the solver than a thing alone: with 30 iterations, and overlaps pushed out at Bullet's
        rate, the lowest of ten boxes sinks and the stack rocks by 10 mm before it settles; with these by 0.3 mm.
        """
        return cls("PyBullet accurate", replace(ACCURATE, **_PILES), conserving=True, chain_substeps=2)

    def can_run(self, scene: LabScene) -> bool:
        """Return True: it has all that the scenes need."""
        del scene
        return True

    def start(self, scene: LabScene) -> None:
        """Build the scene at its initial state."""
        self.close()
        self._client = c = bullet.connect(bullet.DIRECT)
        self._scene = scene
        self._repeats = self.chain_substeps if scene.chain else 1
        chosen = replace(self.preset, time_step_s=self.preset.time_step_s / self._repeats)
        bullet.setGravity(*scene.gravity_m_s2, physicsClientId=c)
        bullet.setPhysicsEngineParameter(
            fixedTimeStep=chosen.time_step_s,
            numSolverIterations=chosen.solver_iterations,
            restitutionVelocityThreshold=chosen.restitution_velocity_threshold_m_s,
            contactSlop=chosen.contact_slop_m,
            contactBreakingThreshold=chosen.contact_breaking_threshold_m,
            contactERP=chosen.contact_erp,
            useSplitImpulse=int(chosen.split_impulse),
            deterministicOverlappingPairs=int(chosen.deterministic_overlapping_pairs),
            physicsClientId=c,
        )
        fixed = [self._floor()] if scene.floor else []
        self._bodies = [self._body(body) for body in scene.bodies]
        fixed += [uid for uid, body in zip(self._bodies, scene.bodies, strict=True) if body.mass_kg == 0.0]
        self._chain = self._hang(scene) if scene.chain else -1
        self._stepper = self._resting = None
        if self.conserving:
            free = [_conserved(uid, b) for uid, b in zip(self._bodies, scene.bodies, strict=True) if b.mass_kg > 0.0]
            self._stepper = ConservingStep(c, self.step_s, scene.gravity_m_s2, free, fixed, scene.force)
            self._resting = RestingGroups(c, self.step_s, [body.uid for body in free])

    def advance(self) -> None:
        """Advance by one step."""
        c = self._client
        if self._stepper is not None and not self._scene.chain:
            self._stepper.advance()
            if self._resting is not None:
                self._resting.after_step()
            return
        for _ in range(self._repeats):
            if self._scene.force is not None:
                at, _q = bullet.getBasePositionAndOrientation(self._bodies[0], physicsClientId=c)
                velocity, _w = bullet.getBaseVelocity(self._bodies[0], physicsClientId=c)
                force = self._scene.force(at, velocity)
                bullet.applyExternalForce(self._bodies[0], -1, force, at, bullet.WORLD_FRAME, physicsClientId=c)
            bullet.stepSimulation(physicsClientId=c)

    def states(self) -> list[RigidState]:
        """Return pose and velocity of the centre of mass of every thing."""
        found, c = [], self._client
        for uid in self._bodies:
            position, orientation = bullet.getBasePositionAndOrientation(uid, physicsClientId=c)
            found.append(RigidState(position, orientation, *bullet.getBaseVelocity(uid, physicsClientId=c)))
        for link in range(len(self._scene.chain)):
            state = bullet.getLinkState(self._chain, link, 1, 1, physicsClientId=c)
            found.append(RigidState(state[0], state[1], state[6], state[7]))
        return found

    def close(self) -> None:
        """Disconnect."""
        if self._client >= 0:
            bullet.disconnect(physicsClientId=self._client)
            self._client = -1

    def _floor(self) -> int:
        c = self._client
        plane = bullet.createCollisionShape(bullet.GEOM_PLANE, physicsClientId=c)
        uid = int(bullet.createMultiBody(0.0, plane, physicsClientId=c))
        bullet.changeDynamics(uid, -1, lateralFriction=_SURFACE, restitution=_SURFACE, physicsClientId=c)
        return uid

    def _body(self, body: LabBody) -> int:
        c, (x, y, z) = self._client, body.extent_m
        if not body.solid:
            shape = -1
        elif body.shape == "box":
            half = [0.5 * x, 0.5 * y, 0.5 * z]
            shape = bullet.createCollisionShape(bullet.GEOM_BOX, halfExtents=half, physicsClientId=c)
        elif body.shape == "sphere":
            shape = bullet.createCollisionShape(bullet.GEOM_SPHERE, radius=0.5 * x, physicsClientId=c)
        else:
            shape = bullet.createCollisionShape(bullet.GEOM_CAPSULE, radius=0.5 * x, height=z - x, physicsClientId=c)
        uid = int(
            bullet.createMultiBody(
                body.mass_kg,
                shape,
                basePosition=body.position,
                baseOrientation=body.orientation_xyzw,
                physicsClientId=c,
            )
        )
        moving = body.mass_kg > 0.0
        # a fixed thing takes the surface of what touches it, as the floor does
        surface = (body.friction, self._restitution(body)) if moving else (_SURFACE, _SURFACE)
        bullet.changeDynamics(uid, -1, lateralFriction=surface[0], restitution=surface[1], physicsClientId=c)
        if moving:
            bullet.changeDynamics(uid, -1, localInertiaDiagonal=body.moments, physicsClientId=c)
            self._damp(uid)
            bullet.resetBaseVelocity(uid, body.linear_velocity, body.angular_velocity, physicsClientId=c)
        return uid

    def _restitution(self, body: LabBody) -> float:
        """Return what Bullet is told: nothing where the impacts are resolved outside; a root where two spheres meet."""
        if self.conserving and body.shape == "sphere":
            return 0.0
        pairs = sum(other.mass_kg > 0.0 for other in self._scene.bodies) > 1
        return math.sqrt(body.restitution) if pairs else body.restitution

    def _damp(self, uid: int) -> None:
        bullet.changeDynamics(
            uid,
            -1,
            linearDamping=self.preset.linear_damping,
            angularDamping=self.preset.angular_damping,
            physicsClientId=self._client,
        )

    def _hang(self, scene: LabScene) -> int:
        """Hang the chain from the origin."""
        c, links = self._client, scene.chain
        count = len(links)
        kind = bullet.JOINT_REVOLUTE if scene.joint == "hinge" else bullet.JOINT_SPHERICAL
        upright = [(0.0, 0.0, 0.0, 1.0)] * count
        uid = int(
            bullet.createMultiBody(
                0.0,
                -1,
                linkMasses=[link.mass_kg for link in links],
                linkCollisionShapeIndices=[-1] * count,
                linkVisualShapeIndices=[-1] * count,
                linkPositions=[_NOWHERE, *(link.next_joint_m for link in links[:-1])],
                linkOrientations=upright,
                linkInertialFramePositions=[link.centre_m for link in links],
                linkInertialFrameOrientations=upright,
                linkParentIndices=list(range(count)),
                linkJointTypes=[kind] * count,
                linkJointAxis=[(0.0, 1.0, 0.0)] * count,
                physicsClientId=c,
            )
        )
        self._damp(uid)
        for index, link in enumerate(links):
            bullet.changeDynamics(
                uid,
                index,
                localInertiaDiagonal=link.moments_kg_m2,
                linearDamping=self.preset.linear_damping,
                angularDamping=self.preset.angular_damping,
                jointDamping=0.0 if self.preset.joint_damping == 0.0 else self.preset.joint_damping,
                physicsClientId=c,
            )
            if scene.joint == "hinge":
                bullet.setJointMotorControl2(uid, index, bullet.VELOCITY_CONTROL, force=0.0, physicsClientId=c)
                angle = 2.0 * math.atan2(link.orientation_xyzw[1], link.orientation_xyzw[3])
                bullet.resetJointState(uid, index, angle, link.rate_rad_s[1], physicsClientId=c)
            else:
                bullet.setJointMotorControlMultiDof(
                    uid, index, bullet.POSITION_CONTROL, targetPosition=link.orientation_xyzw, positionGain=0.0,
                    velocityGain=0.0, force=[0.0, 0.0, 0.0], physicsClientId=c,
                )  # fmt: skip
                bullet.resetJointStateMultiDof(uid, index, link.orientation_xyzw, link.rate_rad_s, physicsClientId=c)
        return uid


def _conserved(uid: int, body: LabBody) -> ConservedBody:
    if body.mass_kg <= 0.0:
        raise SimulationError("laboratory: a fixed body has no motion to conserve.")
    radius = 0.5 * body.extent_m[0] if body.shape == "sphere" and body.solid else None
    return ConservedBody(uid, body.mass_kg, body.moments, radius, body.friction, body.restitution)
