"""The same rollouts in PyBullet: what the world model's own contact in imagination is compared with."""

from __future__ import annotations

from dataclasses import dataclass
from types import TracebackType
from typing import Self

import numpy as np
from jaxtyping import Float

from worldsim.errors import SimulationError
from worldsim.simulation.bullet_module import bullet
from worldsim.simulation.presets import ACCURATE, EnginePreset

__all__ = ["EngineBody", "RolloutEngine"]


@dataclass(frozen=True, slots=True)
class EngineBody:
    """A solid over the floor.

    Attributes:
        kind: ``sphere``, ``capsule``, ``box`` or ``hull``.
        half_extent_m: half edges of the bounding box.
        mass_kg: 0 for what is fixed.
        friction, restitution: products count, and the floor has 1.
        vertices_m: [V, 3] of a hull, about its centre of mass.
    """

    kind: str
    half_extent_m: tuple[float, float, float]
    mass_kg: float
    friction: float
    restitution: float
    vertices_m: Float[np.ndarray, "V 3"] | None = None


class RolloutEngine:
    """One PyBullet client with N solids over a floor, set to any state and stepped."""

    def __init__(
        self, bodies: tuple[EngineBody, ...], dt_s: float, preset: EnginePreset = ACCURATE, floor: bool = True
    ) -> None:
        """Build the world; its steps last `dt_s`."""
        self.bodies, self._client = bodies, bullet.connect(bullet.DIRECT)
        if self._client < 0:
            raise SimulationError("RolloutEngine: PyBullet refused a new DIRECT client.")
        c = self._client
        bullet.setGravity(0.0, 0.0, -9.81, physicsClientId=c)
        bullet.setPhysicsEngineParameter(
            fixedTimeStep=dt_s,
            numSolverIterations=preset.solver_iterations,
            restitutionVelocityThreshold=preset.restitution_velocity_threshold_m_s,
            contactSlop=preset.contact_slop_m,
            contactBreakingThreshold=preset.contact_breaking_threshold_m,
            useSplitImpulse=int(preset.split_impulse),
            deterministicOverlappingPairs=int(preset.deterministic_overlapping_pairs),
            physicsClientId=c,
        )
        if floor:
            # a box, as the scenarios' floors are: against a plane Bullet finds one corner of a box a step
            slab = bullet.createCollisionShape(bullet.GEOM_BOX, halfExtents=[50.0, 50.0, 0.5], physicsClientId=c)
            ground = bullet.createMultiBody(0.0, slab, basePosition=[0.0, 0.0, -0.5], physicsClientId=c)
            bullet.changeDynamics(ground, -1, lateralFriction=1.0, restitution=1.0, physicsClientId=c)
        self._uids = [self._make(body, preset) for body in bodies]

    def _make(self, body: EngineBody, preset: EnginePreset) -> int:
        c, (x, y, z) = self._client, body.half_extent_m
        shape = {
            "sphere": lambda: {"shapeType": bullet.GEOM_SPHERE, "radius": x},
            "capsule": lambda: {"shapeType": bullet.GEOM_CAPSULE, "radius": x, "height": 2.0 * (z - x)},
            "box": lambda: {"shapeType": bullet.GEOM_BOX, "halfExtents": [x, y, z]},
            "hull": lambda: {"shapeType": bullet.GEOM_MESH, "vertices": np.asarray(body.vertices_m).tolist()},
        }[body.kind]()
        solid = bullet.createCollisionShape(**shape, physicsClientId=c)
        uid = int(bullet.createMultiBody(body.mass_kg, solid, physicsClientId=c))
        bullet.changeDynamics(
            uid,
            -1,
            lateralFriction=body.friction,
            restitution=body.restitution,
            rollingFriction=0.0,
            spinningFriction=0.0,
            linearDamping=preset.linear_damping,
            angularDamping=preset.angular_damping,
            physicsClientId=c,
        )
        return uid

    def moments_kg_m2(self) -> Float[np.ndarray, "N 3"]:
        """Return the principal moments that the engine gives each body."""
        found = [bullet.getDynamicsInfo(uid, -1, physicsClientId=self._client)[2] for uid in self._uids]
        return np.array(found, dtype=np.float64)

    def put(
        self,
        position: Float[np.ndarray, "N 3"],
        orientation_xyzw: Float[np.ndarray, "N 4"],
        linear: Float[np.ndarray, "N 3"],
        angular: Float[np.ndarray, "N 3"],
    ) -> None:
        """Put every body into a state."""
        for k, uid in enumerate(self._uids):
            bullet.resetBasePositionAndOrientation(
                uid, position[k].tolist(), orientation_xyzw[k].tolist(), physicsClientId=self._client
            )
            bullet.resetBaseVelocity(uid, linear[k].tolist(), angular[k].tolist(), physicsClientId=self._client)

    def step(self, steps: int = 1) -> None:
        """Advance."""
        for _ in range(steps):
            bullet.stepSimulation(self._client)

    def states(self) -> tuple[Float[np.ndarray, "N 3"], ...]:
        """Return positions, orientations, linear and angular velocities."""
        poses = [bullet.getBasePositionAndOrientation(uid, self._client) for uid in self._uids]
        twists = [bullet.getBaseVelocity(uid, self._client) for uid in self._uids]
        return tuple(np.array(part) for part in (*zip(*poses, strict=True), *zip(*twists, strict=True)))

    def save(self) -> int:
        """Return the number of a saved state."""
        return int(bullet.saveState(physicsClientId=self._client))

    def restore(self, number: int) -> None:
        """Go back to a saved state."""
        bullet.restoreState(stateId=number, physicsClientId=self._client)

    def close(self) -> None:
        """Free the client."""
        bullet.disconnect(physicsClientId=self._client)

    def __enter__(self) -> Self:
        """Return the engine."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Free the client."""
        self.close()
