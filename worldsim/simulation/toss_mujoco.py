"""Tosses of one cube in MuJoCo: a second engine beside `toss_engine`, with the same starts and the same poses out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from worldsim.errors import SimulationError
from worldsim.simulation.mujoco_bodies import load_mujoco

__all__ = ["CubeInMujoco", "toss_in_mujoco"]


@dataclass(frozen=True, slots=True)
class CubeInMujoco:
    """A cube over a plane in MuJoCo.

    Attributes:
        friction: of the pair; MuJoCo's default is 1.
        stiffness, damping: of the contact, in the direct form of ``solref``; None leaves MuJoCo's soft default (a time
            constant of 0.02 s, critically damped).
        identified: elliptic cones and ``impratio`` 10 instead of the defaults.
        mass_kg, moment_kg_m2, edge_m: of the cube, the moment about every axis.
        gravity_m_s2: downward.
        steps_per_frame: engine steps a recorded frame.
    """

    friction: float = 1.0
    stiffness: float | None = None
    damping: float | None = None
    identified: bool = False
    mass_kg: float = 0.37
    moment_kg_m2: float = 8.1e-4
    edge_m: float = 0.1048
    gravity_m_s2: float = 9.81
    steps_per_frame: int = 4

    def mjcf(self, rate_hz: float) -> str:
        """Return the scene in MuJoCo's own format."""
        reference = ""
        if self.stiffness is not None and self.damping is not None:
            reference = f'solref="{-self.stiffness!r} {-self.damping!r}"'
        cone = 'cone="elliptic" impratio="10"' if self.identified else ""
        surface = f'friction="{self.friction!r} 0.005 0.0001" {reference}'
        half = 0.5 * self.edge_m
        moment = f"{self.moment_kg_m2!r} " * 3
        step_s = 1.0 / (rate_hz * self.steps_per_frame)
        return (
            f'<mujoco><option timestep="{step_s!r}" gravity="0 0 {-self.gravity_m_s2!r}" {cone}/>'
            f'<worldbody><geom type="plane" size="0 0 1" {surface}/><body><freejoint/>'
            f'<inertial pos="0 0 0" mass="{self.mass_kg!r}" diaginertia="{moment}"/>'
            f'<geom type="box" size="{half!r} {half!r} {half!r}" {surface}/></body></worldbody></mujoco>'
        )


def toss_in_mujoco(
    cube: CubeInMujoco,
    position: Float[np.ndarray, "n 3"],
    orientation_xyzw: Float[np.ndarray, "n 4"],
    linear_velocity: Float[np.ndarray, "n 3"],
    body_angular_velocity: Float[np.ndarray, "n 3"],
    frames: Int[np.ndarray, " n"],
    rate_hz: float,
) -> tuple[Float[np.ndarray, "T n 3"], Float[np.ndarray, "T n 4"]]:
    """Return the poses of n tosses at every frame, the start among them, padded with the last pose.

    Args:
        cube: properties and engine settings.
        position: m, at frame 0.
        orientation_xyzw: at frame 0.
        linear_velocity: m/s at frame 0, world frame.
        body_angular_velocity: rad/s at frame 0, body frame.
        frames: [n] frames of each toss.
        rate_hz: frames a second.

    Raises:
        ConfigurationError: MuJoCo is not installed.
        SimulationError: a pose stopped being finite.
    """
    mujoco = load_mujoco()
    model = mujoco.MjModel.from_xml_string(cube.mjcf(rate_hz))
    data = mujoco.MjData(model)
    count, length = len(frames), int(frames.max())
    pose = np.empty((length, count, 7))
    for toss in range(count):
        mujoco.mj_resetData(model, data)
        data.qpos[:3], data.qpos[3:] = position[toss], np.roll(orientation_xyzw[toss], 1)
        data.qvel[:3], data.qvel[3:] = linear_velocity[toss], body_angular_velocity[toss]
        pose[0, toss] = data.qpos
        last = int(frames[toss])
        for frame in range(1, last):
            mujoco.mj_step(model, data, nstep=cube.steps_per_frame)
            pose[frame, toss] = data.qpos
        pose[last:, toss] = pose[last - 1, toss]
    if not np.isfinite(pose).all():
        raise SimulationError(f"MuJoCo: a toss of {cube} left the finite numbers.")
    return pose[..., :3].copy(), np.roll(pose[..., 3:], -1, axis=-1)
