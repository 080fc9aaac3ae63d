"""Laws of free bodies: falling, drag, a spring, and turning without torque."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from worldsim.evaluation.accuracy.law import GRAVITY_M_S2, Law, Measure, integrated, upward_crossings
from worldsim.simulation.laboratory import LabBody, LabScene, Trace
from worldsim.simulation.scene import Vector

__all__ = ["FLIGHT"]

_BALL: Vector = (0.2, 0.2, 0.2)


def free_fall() -> Law:
    """Return a ball that falls for 2 s."""
    start = (0.0, 0.0, 100.0)
    scene = LabScene("free fall", 2.0, (LabBody("sphere", _BALL, 1.0, start),), floor=True)

    def errors(traces: Sequence[Trace]) -> list[float]:
        fallen = 0.5 * GRAVITY_M_S2 * scene.duration_s**2
        return [abs(start[2] - float(traces[0].position[-1, 0, 2]) - fallen) / fallen]

    return Law(scene.name, "z = z0 - g t²/2 after 2 s.", (scene,), (Measure("distance", 1e-3),), errors)


def linear_drag() -> Law:
    """Return a projectile that is slowed in proportion to its speed."""
    mass, drag = 2.0, 0.6
    start, velocity = np.array([0.0, 0.0, 50.0]), np.array([10.0, 0.0, 10.0])

    def force(position: Vector, v: Vector) -> Vector:
        del position
        return (-drag * v[0], -drag * v[1], -drag * v[2])

    body = LabBody("sphere", _BALL, mass, (0.0, 0.0, 50.0), linear_velocity=(10.0, 0.0, 10.0))
    scene = LabScene("projectile, linear drag", 2.0, (body,), force=force, floor=True)

    def errors(traces: Sequence[Trace]) -> list[float]:
        t, k, pull = scene.duration_s, drag / mass, np.array([0.0, 0.0, -GRAVITY_M_S2])
        end = start + (velocity - pull / k) * (1.0 - math.exp(-k * t)) / k + pull * t / k
        return [_off(traces[0], start, end)]

    text = "m dv/dt = m g - c v in closed form, end point after 2 s, over the distance from the start."
    return Law(scene.name, text, (scene,), (Measure("end point", 1e-3),), errors)


def quadratic_drag() -> Law:
    """Return a projectile that is slowed by the square of its speed."""
    mass, drag = 2.0, 0.04

    def force(position: Vector, v: Vector) -> Vector:
        del position
        factor = -drag * math.hypot(*v)
        return (factor * v[0], factor * v[1], factor * v[2])

    body = LabBody("sphere", _BALL, mass, (0.0, 0.0, 50.0), linear_velocity=(10.0, 0.0, 10.0))
    scene = LabScene("projectile, quadratic drag", 2.0, (body,), force=force, floor=True)

    def rate(time_s: float, y: Float[np.ndarray, " 6"]) -> Float[np.ndarray, " 6"]:
        del time_s
        v = y[3:]
        slowed = -drag / mass * np.linalg.norm(v) * v + np.array([0.0, 0.0, -GRAVITY_M_S2])
        return np.concatenate([v, slowed])

    def errors(traces: Sequence[Trace]) -> list[float]:
        start = [*body.position, *body.linear_velocity]
        end = integrated(rate, start, np.array([0.0, scene.duration_s]))[-1, :3]
        return [_off(traces[0], np.array(body.position), end)]

    text = "m dv/dt = m g - c |v| v by solve_ivp at 1e-12, end point after 2 s, over the distance from the start."
    return Law(scene.name, text, (scene,), (Measure("end point", 1e-3),), errors)


def spring() -> Law:
    """Return a mass on a spring, ten periods of 2 s."""
    mass, stiffness = 1.0, math.pi**2

    def force(position: Vector, v: Vector) -> Vector:
        del v
        return (-stiffness * position[0], 0.0, 0.0)

    body = LabBody("sphere", _BALL, mass, (1.0, 0.0, 0.0), solid=False)
    scene = LabScene("mass on a spring", 20.5, (body,), gravity_m_s2=(0.0, 0.0, 0.0), force=force)

    def errors(traces: Sequence[Trace]) -> list[float]:
        period = 2.0 * math.pi * math.sqrt(mass / stiffness)
        return [_period_error(traces[0].time_s, traces[0].position[:, 0, 0], period)]

    text = "T = 2 pi sqrt(m / k), mean over the periods of 20 s; the force is given to the engine at each step."
    return Law(scene.name, text, (scene,), (Measure("period", 1e-3),), errors)


def free_top() -> Law:
    """Return an asymmetric top turning about its unstable axis for 10 s."""
    moments, spin = (1e-3, 2e-3, 3e-3), (0.1, 10.0, 0.1)
    body = LabBody(
        "box", (0.1, 0.1, 0.1), 1.0, (0.0, 0.0, 0.0), angular_velocity=spin, moments_kg_m2=moments, solid=False
    )
    scene = LabScene("torque-free asymmetric top", 10.0, (body,), gravity_m_s2=(0.0, 0.0, 0.0))
    inertia = np.array(moments)

    def rate(time_s: float, w: Float[np.ndarray, " 3"]) -> Float[np.ndarray, " 3"]:
        del time_s
        return np.cross(inertia * w, w) / inertia

    def errors(traces: Sequence[Trace]) -> list[float]:
        trace = traces[0]
        turn = Rotation.from_quat(trace.orientation_xyzw[:, 0])
        local = turn.apply(trace.angular_velocity[:, 0], inverse=True)
        energy = 0.5 * (inertia * local**2).sum(1)
        momentum = turn.apply(inertia * local)
        lost = np.linalg.norm(momentum - momentum[0], axis=1).max() / np.linalg.norm(momentum[0])
        time_s = np.linspace(0.0, scene.duration_s, 10001)
        exact = upward_crossings(time_s, -integrated(rate, spin, time_s)[:, 1])
        flips = upward_crossings(trace.time_s, -local[:, 1])
        flip = abs(flips[0] / exact[0] - 1.0) if len(flips) else 1.0
        return [float(np.abs(energy / energy[0] - 1.0).max()), float(lost), float(flip)]

    text = "Energy and angular momentum stay; the time of the first flip against Euler's equations at 1e-12."
    measures = (Measure("energy drift", 1e-3), Measure("angular momentum drift", 1e-3), Measure("first flip"))
    return Law(scene.name, text, (scene,), measures, errors)


def _off(trace: Trace, start: Float[np.ndarray, " 3"], end: Float[np.ndarray, " 3"]) -> float:
    return float(np.linalg.norm(trace.position[-1, 0] - end) / np.linalg.norm(end - start))


def _period_error(time_s: Float[np.ndarray, " T"], value: Float[np.ndarray, " T"], period_s: float) -> float:
    found = upward_crossings(time_s, value)
    if len(found) < 2:
        return 1.0
    return abs(float(found[-1] - found[0]) / (len(found) - 1) / period_s - 1.0)


FLIGHT = (free_fall, linear_drag, quadratic_drag, spring, free_top)
"""Makers of the laws of this file."""
