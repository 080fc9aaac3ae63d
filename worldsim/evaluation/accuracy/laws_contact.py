"""Laws of contact: bouncing, sliding, rolling, colliding, and staying where one is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from jaxtyping import Float

from worldsim.evaluation.accuracy.law import GRAVITY_M_S2, Law, Measure
from worldsim.simulation.laboratory import LabBody, LabScene, Trace
from worldsim.simulation.scene import Vector

__all__ = ["CONTACT"]

_RADIUS = 0.1
_BALL: Vector = (2 * _RADIUS, 2 * _RADIUS, 2 * _RADIUS)
_BRICK: Vector = (0.4, 0.4, 0.1)
_NO_PULL: Vector = (0.0, 0.0, 0.0)


def bounces() -> Law:
    """Return a ball dropped from 1 m with restitution 0.7."""
    restitution = 0.7
    scene = LabScene("bounce series", 2.0, (_dropped(restitution),), floor=True)

    def errors(traces: Sequence[Trace]) -> list[float]:
        heights = _heights(traces[0])[1:4]
        if len(heights) < 3:
            return [1.0]
        return [max(abs(h / restitution ** (2 * k) - 1.0) for k, h in enumerate(heights, start=1))]

    text = "Dropped from 1 m with restitution 0.7: the heights of the first three bounces are 0.7^2k m; largest error."
    return Law(scene.name, text, (scene,), (Measure("height", 1e-2),), errors)


def elastic_ball() -> Law:
    """Return a ball that never loses energy."""
    scene = LabScene("elastic ball", 10.0, (_dropped(1.0),), floor=True)

    def errors(traces: Sequence[Trace]) -> list[float]:
        return [abs(float(_energy(traces[0])[-1]) - 1.0)]

    text = "Dropped from 1 m with restitution 1: its energy after 10 s over that at the start, less one."
    return Law(scene.name, text, (scene,), (Measure("energy after 10 s", 1e-2),), errors)


def sliding_stop() -> Law:
    """Return a brick that slides until it stops."""
    friction, speed = 0.3, 3.0
    brick = LabBody("box", _BRICK, 1.0, (0.0, 0.0, 0.05), linear_velocity=(speed, 0.0, 0.0), friction=friction)
    scene = LabScene("sliding stop", 2.0, (brick,), floor=True)

    def errors(traces: Sequence[Trace]) -> list[float]:
        way = speed**2 / (2.0 * friction * GRAVITY_M_S2)
        return [abs(float(traces[0].position[-1, 0, 0]) / way - 1.0)]

    text = "A flat brick at 3 m/s with mu = 0.3 stops after v²/(2 mu g)."
    return Law(scene.name, text, (scene,), (Measure("distance", 1e-2),), errors)


def slope_threshold() -> Law:
    """Return a brick on slopes around the angle at which it begins to slip."""
    friction = 0.5
    ratios = (0.95, 0.98, 0.99, 0.995, 1.005, 1.01, 1.02, 1.05)
    brick = LabBody("box", _BRICK, 1.0, (0.0, 0.0, 0.05), friction=friction)
    scenes = tuple(
        LabScene(f"slope {ratio}", 1.0, (brick,), gravity_m_s2=_tilted(math.atan(ratio * friction)), floor=True)
        for ratio in ratios
    )

    def errors(traces: Sequence[Trace]) -> list[float]:
        wrong = [0.0]
        for ratio, scene, trace in zip(ratios, scenes, traces, strict=True):
            # half the speed that the slope beyond the threshold gives
            limit = 0.5 * abs(ratio - 1.0) * friction * -scene.gravity_m_s2[2] * scene.duration_s
            if (float(trace.linear_velocity[-1, 0, 0]) > limit) != (ratio > 1.0):
                wrong.append(abs(ratio - 1.0))
        return [max(wrong)]

    text = (
        "A brick with mu = 0.5 slips from tan(angle) = mu on: farthest slope from the threshold (of 0.5, 1, 2 and 5 % "
        "on either side) on which it does the wrong thing; 0 where it is right on all."
    )
    return Law("slope threshold", text, scenes, (Measure("threshold", 1e-2),), errors)


def rolling_ball() -> Law:
    """Return a ball that rolls down a slope of 20 degrees."""
    angle = math.radians(20.0)
    ball = LabBody("sphere", _BALL, 1.0, (0.0, 0.0, _RADIUS), friction=0.8)
    scene = LabScene("rolling ball", 1.0, (ball,), gravity_m_s2=_tilted(angle), floor=True)

    def errors(traces: Sequence[Trace]) -> list[float]:
        way = 5.0 / 14.0 * GRAVITY_M_S2 * math.sin(angle) * scene.duration_s**2
        return [abs(float(traces[0].position[-1, 0, 0]) / way - 1.0)]

    text = "A solid ball on 20 degrees without slip: 5/7 g sin(angle) t²/2 after 1 s."
    return Law(scene.name, text, (scene,), (Measure("distance", 1e-2),), errors)


def collision() -> Law:
    """Return two balls of different mass that meet head on."""
    light, heavy, restitution, speed = 1.0, 2.0, 0.8, 2.0
    balls = (
        LabBody("sphere", _BALL, light, (-0.5, 0.0, 0.0), linear_velocity=(speed, 0.0, 0.0), restitution=restitution),
        LabBody("sphere", _BALL, heavy, (0.5, 0.0, 0.0), restitution=restitution),
    )
    scene = LabScene("two balls collide", 1.0, balls, gravity_m_s2=_NO_PULL)

    def errors(traces: Sequence[Trace]) -> list[float]:
        velocity = traces[0].linear_velocity[-1]
        momentum = light * velocity[0] + heavy * velocity[1]
        slow = (light - restitution * heavy) * speed / (light + heavy)
        fast = (1.0 + restitution) * light * speed / (light + heavy)
        left = 0.5 * light * slow**2 + 0.5 * heavy * fast**2
        energy = 0.5 * light * (velocity[0] ** 2).sum() + 0.5 * heavy * (velocity[1] ** 2).sum()
        lost = np.linalg.norm(momentum - np.array([light * speed, 0.0, 0.0])) / (light * speed)
        return [float(lost), abs(float(energy) / left - 1.0)]

    text = "1 kg at 2 m/s meets 2 kg at rest with restitution 0.8: total momentum, and the kinetic energy that is left."
    return Law(scene.name, text, (scene,), (Measure("momentum", 1e-2), Measure("energy", 1e-2)), errors)


def cradle() -> Law:
    """Return a ball that hits a row of four that touch."""
    row = [LabBody("sphere", _BALL, 1.0, (2 * _RADIUS * k, 0.0, 0.0), restitution=1.0) for k in range(1, 5)]
    first = LabBody("sphere", _BALL, 1.0, (-0.2, 0.0, 0.0), linear_velocity=(1.0, 0.0, 0.0), restitution=1.0)
    scene = LabScene("Newton's cradle", 1.0, (first, *row), gravity_m_s2=_NO_PULL)

    def errors(traces: Sequence[Trace]) -> list[float]:
        exact = np.zeros((5, 3))
        exact[-1, 0] = 1.0
        return [float(np.abs(traces[0].linear_velocity[-1] - exact).max())]

    text = "One ball hits a row of four that touch: the last leaves with its velocity, the rest stand; largest error."
    return Law(scene.name, text, (scene,), (Measure("velocities"),), errors)


def stack() -> Law:
    """Return ten boxes on each other for a minute."""
    edge = 0.2
    boxes = tuple(LabBody("box", (edge,) * 3, 1.0, (0.0, 0.0, edge * (k + 0.5)), friction=0.6) for k in range(10))
    scene = LabScene("stack of ten", 60.0, boxes, floor=True)

    def errors(traces: Sequence[Trace]) -> list[float]:
        moved = np.linalg.norm(traces[0].position[-1] - traces[0].position[0], axis=-1)
        return [float(moved.max()) if np.isfinite(moved).all() else math.inf]

    text = "Ten boxes on each other: farthest that one has moved after 60 s."
    return Law(scene.name, text, (scene,), (Measure("moved after 60 s", 1e-3, "m"),), errors, sample_s=1.0)


def corner() -> Law:
    """Return a capsule that lies in a corner."""
    radius, length, s = 0.05, 0.3, math.sqrt(0.5)
    capsule = LabBody(
        "capsule",
        (2 * radius, 2 * radius, length),
        1.0,
        (radius, 0.5 * length, radius),
        orientation_xyzw=(s, 0.0, 0.0, s),
        friction=0.5,
    )
    walls = (
        LabBody("box", (0.2, 2.0, 1.0), 0.0, (-0.1, 0.5, 0.5), friction=0.5),
        LabBody("box", (2.0, 0.2, 1.0), 0.0, (0.5, -0.1, 0.5), friction=0.5),
    )
    scene = LabScene("capsule in a corner", 10.0, (capsule, *walls), gravity_m_s2=(-3.0, -3.0, -8.84), floor=True)

    def errors(traces: Sequence[Trace]) -> list[float]:
        settled = int(np.searchsorted(traces[0].time_s, 1.0 - 1e-9))
        return [float(np.linalg.norm(traces[0].position[-1, 0] - traces[0].position[settled, 0]))]

    text = "Leant into two walls: how far it has drifted between 1 s and 10 s."
    return Law(scene.name, text, (scene,), (Measure("drift", None, "m"),), errors, sample_s=0.1)


def _dropped(restitution: float) -> LabBody:
    return LabBody("sphere", _BALL, 1.0, (0.0, 0.0, 1.0 + _RADIUS), restitution=restitution)


def _energy(trace: Trace) -> Float[np.ndarray, " T"]:
    """Return the height (m) to which the ball would rise from where it is: its energy over m g."""
    gap = trace.position[:, 0, 2] - _RADIUS
    return gap + (trace.linear_velocity[:, 0] ** 2).sum(-1) / (2.0 * GRAVITY_M_S2)


def _heights(trace: Trace) -> list[float]:
    """Return the height of every flight: the median of the energy between two changes from falling to rising."""
    falling = trace.linear_velocity[:, 0, 2] < 0.0
    turns = np.flatnonzero(falling[:-1] & ~falling[1:]) + 1
    energy = _energy(trace)
    edges = [0, *turns.tolist(), len(energy)]
    return [float(np.median(energy[a:b])) for a, b in pairwise(edges) if b > a]


def _tilted(angle_rad: float) -> Vector:
    """Return gravity as it is on a slope that falls along x."""
    return (GRAVITY_M_S2 * math.sin(angle_rad), 0.0, -GRAVITY_M_S2 * math.cos(angle_rad))


CONTACT = (
    bounces,
    elastic_ball,
    sliding_stop,
    slope_threshold,
    rolling_ball,
    collision,
    cradle,
    stack,
    corner,
)
"""Makers of the laws of this file."""
