"""Laws of things that hang or stand on a joint: pendulums and the gyroscope."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation
from scipy.special import ellipk

from worldsim.evaluation.accuracy.law import GRAVITY_M_S2, Law, Measure, integrated, upward_crossings
from worldsim.simulation.laboratory import LabLink, LabScene, Trace
from worldsim.simulation.scene import Quaternion

__all__ = ["JOINTS"]


def pendulum() -> Law:
    """Return a pendulum let go at 2 rad."""
    mass, arm, moment, angle = 1.0, 1.0, 0.01, 2.0
    link = LabLink(mass, (moment,) * 3, (0.0, 0.0, -arm), orientation_xyzw=_about_y(angle))
    scene = LabScene("pendulum", 14.0, chain=(link,))

    def errors(traces: Sequence[Trace]) -> list[float]:
        length = (moment + mass * arm**2) / (mass * arm)
        period = 4.0 * math.sqrt(length / GRAVITY_M_S2) * float(ellipk(math.sin(0.5 * angle) ** 2))
        found = upward_crossings(traces[0].time_s, _angle(traces[0], 0))
        if len(found) < 2:
            return [1.0]
        return [abs(float(found[-1] - found[0]) / (len(found) - 1) / period - 1.0)]

    text = "Let go at 2 rad: T = 4 sqrt(L / g) K(sin²(1)), mean over five periods."
    return Law(scene.name, text, (scene,), (Measure("period", 1e-3),), errors)


def double_pendulum() -> Law:
    """Return a double pendulum in chaotic motion."""
    mass, arm, moment = 1.0, 1.0, 0.01
    links = (
        LabLink(mass, (moment,) * 3, (0.0, 0.0, -arm), (0.0, 0.0, -arm), _about_y(2.0)),
        LabLink(mass, (moment,) * 3, (0.0, 0.0, -arm), orientation_xyzw=_about_y(0.5)),
    )
    scene = LabScene("double pendulum", 10.0, chain=links)

    def errors(traces: Sequence[Trace]) -> list[float]:
        trace = traces[0]
        moving = 0.5 * mass * (trace.linear_velocity**2).sum(-1) + 0.5 * moment * (trace.angular_velocity**2).sum(-1)
        energy = (moving + mass * GRAVITY_M_S2 * trace.position[..., 2]).sum(1)
        return [float(np.abs(energy - energy[0]).max() / (6.0 * mass * GRAVITY_M_S2 * arm))]

    text = "Energy stays: largest change in 10 s over the potential energy between hanging and standing."
    return Law(scene.name, text, (scene,), (Measure("energy drift"),), errors)


def gyroscope() -> Law:
    """Return a wheel that spins on a tilted axle over a fixed point, and precesses."""
    mass, arm, tilt, spin = 1.0, 0.1, math.radians(30.0), 60.0
    across, along = 0.0057, 0.01125
    link = LabLink(
        mass, (across, across, along), (0.0, 0.0, arm), orientation_xyzw=_about_y(tilt), rate_rad_s=(0.0, 0.0, spin)
    )
    scene = LabScene("gyroscope", 2.0, chain=(link,), joint="ball")
    inertia = np.array([across + mass * arm**2] * 2 + [along])

    def rate(time_s: float, y: Float[np.ndarray, " 7"]) -> Float[np.ndarray, " 7"]:
        del time_s
        turn, w = Rotation.from_quat(y[:4]), y[4:]
        pull = turn.apply([0.0, 0.0, -mass * GRAVITY_M_S2], inverse=True)
        torque = np.cross([0.0, 0.0, arm], pull)
        x, y_, z, s = y[:4]
        turning = 0.5 * np.array(
            [
                s * w[0] + y_ * w[2] - z * w[1],
                s * w[1] + z * w[0] - x * w[2],
                s * w[2] + x * w[1] - y_ * w[0],
                -x * w[0] - y_ * w[1] - z * w[2],
            ]
        )
        return np.concatenate([turning, (torque + np.cross(inertia * w, w)) / inertia])

    def errors(traces: Sequence[Trace]) -> list[float]:
        time_s = np.linspace(0.0, scene.duration_s, 201)
        exact = integrated(rate, [*link.orientation_xyzw, *link.rate_rad_s], time_s)
        axle = Rotation.from_quat(exact[:, :4]).apply([0.0, 0.0, 1.0])
        turned = _azimuth(axle[:, 0], axle[:, 1])
        found = _azimuth(traces[0].position[:, 0, 0], traces[0].position[:, 0, 1])
        return [abs(found / turned - 1.0)]

    text = "Azimuth that the axle has gone through in 2 s, against the heavy top's equations at 1e-12 (with nutation)."
    return Law(scene.name, text, (scene,), (Measure("precession"),), errors)


def _azimuth(x: Float[np.ndarray, " T"], y: Float[np.ndarray, " T"]) -> float:
    azimuth = np.unwrap(np.arctan2(y, x))
    return float(azimuth[-1] - azimuth[0])


def _about_y(angle_rad: float) -> Quaternion:
    return (0.0, math.sin(0.5 * angle_rad), 0.0, math.cos(0.5 * angle_rad))


def _angle(trace: Trace, link: int) -> Float[np.ndarray, " T"]:
    """Return the angle of a link about y, wrapped to (-pi, pi]."""
    down = Rotation.from_quat(trace.orientation_xyzw[:, link]).apply([0.0, 0.0, -1.0])
    return np.arctan2(-down[:, 0], -down[:, 2])


JOINTS = (pendulum, double_pendulum, gyroscope)
"""Makers of the laws of this file."""
