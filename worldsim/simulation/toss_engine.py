"""Tosses of one cube in PyBullet: the engine that the world model's contact is compared with on recordings."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy.spatial.transform import Rotation

from worldsim.errors import SimulationError
from worldsim.simulation.bullet_module import bullet as pybullet
from worldsim.simulation.presets import ACCURATE, AS_IT_COMES, EnginePreset

__all__ = ["CubeInBullet", "toss_in_bullet"]


@dataclass(frozen=True, slots=True)
class CubeInBullet:
    """A cube over a plane in PyBullet.

    Attributes:
        friction: of the cube on the plane; by default the product of the two 0.5 that PyBullet gives bodies.
        restitution: of the pair, likewise.
        mass_kg, moment_kg_m2, edge_m: of the cube, the moment about every axis.
        gravity_m_s2: downward.
        steps_per_frame: engine steps a recorded frame.
        preset: the engine's numerical settings; its time step is not used.
    """

    friction: float = 0.25
    restitution: float = 0.0
    mass_kg: float = 0.37
    moment_kg_m2: float = 8.1e-4
    edge_m: float = 0.1048
    gravity_m_s2: float = 9.81
    steps_per_frame: int = 2
    preset: EnginePreset = AS_IT_COMES

    @classmethod
    def identified(cls, friction: float, restitution: float) -> CubeInBullet:
        """Return the cube with identified contact, under the preset without a game engine's shortcuts."""
        return cls(friction=friction, restitution=restitution, preset=ACCURATE)


def toss_in_bullet(
    cube: CubeInBullet,
    position: Float[np.ndarray, "n 3"],
    orientation_xyzw: Float[np.ndarray, "n 4"],
    linear_velocity: Float[np.ndarray, "n 3"],
    angular_velocity: Float[np.ndarray, "n 3"],
    frames: Int[np.ndarray, " n"],
    rate_hz: float,
) -> tuple[Float[np.ndarray, "T n 3"], Float[np.ndarray, "T n 4"]]:
    """Return the poses of n tosses at every frame, the start among them, padded with the last pose.

    Args:
        cube: properties and engine settings.
        position: m, at frame 0.
        orientation_xyzw: at frame 0.
        linear_velocity: m/s at frame 0, world frame.
        angular_velocity: rad/s at frame 0, world frame.
        frames: [n] frames of each toss.
        rate_hz: frames a second.

    Raises:
        SimulationError: a pose stopped being finite.
    """
    count, length = len(frames), int(frames.max())
    out_position, out_orientation = np.empty((length, count, 3)), np.empty((length, count, 4))
    with _scene(cube, rate_hz) as (client, body):
        for toss in range(count):
            pybullet.resetBasePositionAndOrientation(
                body, position[toss], orientation_xyzw[toss], physicsClientId=client
            )
            pybullet.resetBaseVelocity(body, linear_velocity[toss], angular_velocity[toss], physicsClientId=client)
            out_position[0, toss], out_orientation[0, toss] = position[toss], orientation_xyzw[toss]
            for frame in range(1, int(frames[toss])):
                for _ in range(cube.steps_per_frame):
                    pybullet.stepSimulation(physicsClientId=client)
                pose = pybullet.getBasePositionAndOrientation(body, physicsClientId=client)
                out_position[frame, toss], out_orientation[frame, toss] = pose
            out_position[int(frames[toss]) :, toss] = out_position[int(frames[toss]) - 1, toss]
            out_orientation[int(frames[toss]) :, toss] = out_orientation[int(frames[toss]) - 1, toss]
    if not np.isfinite(out_position).all():
        raise SimulationError(f"PyBullet: a toss of {cube} left the finite numbers.")
    return out_position, out_orientation


def start_velocities(
    orientation_xyzw: Float[np.ndarray, "n 4"],
    recorded_velocity: Float[np.ndarray, "n 3"],
    body_angular_velocity: Float[np.ndarray, "n 3"],
    rate_hz: float,
    gravity_m_s2: float = 9.81,
) -> tuple[Float[np.ndarray, "n 3"], Float[np.ndarray, "n 3"]]:
    """Return world-frame velocities at frame 0 from backward differences (half a frame old) and body-frame rates."""
    velocity = recorded_velocity - np.array([0.0, 0.0, gravity_m_s2 / (2.0 * rate_hz)])
    return velocity, Rotation.from_quat(orientation_xyzw).apply(body_angular_velocity)


@contextmanager
def _scene(cube: CubeInBullet, rate_hz: float) -> Iterator[tuple[int, int]]:
    client = pybullet.connect(pybullet.DIRECT)
    try:
        preset = cube.preset
        pybullet.setGravity(0.0, 0.0, -cube.gravity_m_s2, physicsClientId=client)
        pybullet.setPhysicsEngineParameter(
            fixedTimeStep=1.0 / (rate_hz * cube.steps_per_frame),
            numSolverIterations=preset.solver_iterations,
            useSplitImpulse=int(preset.split_impulse),
            restitutionVelocityThreshold=preset.restitution_velocity_threshold_m_s,
            contactSlop=preset.contact_slop_m,
            contactBreakingThreshold=preset.contact_breaking_threshold_m,
            deterministicOverlappingPairs=int(preset.deterministic_overlapping_pairs),
            physicsClientId=client,
        )
        plane = pybullet.createCollisionShape(pybullet.GEOM_PLANE, physicsClientId=client)
        floor = pybullet.createMultiBody(0.0, plane, physicsClientId=client)
        half = [cube.edge_m / 2.0] * 3
        shape = pybullet.createCollisionShape(pybullet.GEOM_BOX, halfExtents=half, physicsClientId=client)
        body = pybullet.createMultiBody(cube.mass_kg, shape, physicsClientId=client)
        pybullet.changeDynamics(floor, -1, lateralFriction=1.0, restitution=1.0, physicsClientId=client)
        pybullet.changeDynamics(
            body,
            -1,
            lateralFriction=cube.friction,
            restitution=cube.restitution,
            localInertiaDiagonal=[cube.moment_kg_m2] * 3,
            linearDamping=preset.linear_damping,
            angularDamping=preset.angular_damping,
            physicsClientId=client,
        )
        yield client, body
    finally:
        pybullet.disconnect(client)
