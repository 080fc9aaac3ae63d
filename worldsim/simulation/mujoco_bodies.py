"""Puts the bodies of a scene into a MuJoCo specification; URDF files go through MuJoCo's own loader."""

from __future__ import annotations

import importlib
import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from worldsim.errors import ConfigurationError, SimulationError
from worldsim.extras import advice
from worldsim.simulation.geometry import rotation_matrix
from worldsim.simulation.scene import BodySpec, Quaternion, solid_moments

__all__ = ["MujocoBody", "add_body", "load_mujoco"]

_BOUNCES_FROM = 0.25  # restitution; less is what MuJoCo's critically damped default contact gives
_BOUNCE_RAD_S = 250.0  # natural frequency of a bouncing contact: at 2 m/s it yields by 8 mm


def load_mujoco() -> Any:
    """Return the package.

    Raises:
        ConfigurationError: it is not installed.
    """
    try:
        return importlib.import_module("mujoco")
    except ImportError as error:
        raise ConfigurationError(f"MuJoCo is not installed: {advice('mujoco')}, or use BulletPhysics.") from error


@dataclass(frozen=True, slots=True)
class MujocoBody:
    """A body as the specification knows it.

    Attributes:
        spec: what was asked for.
        root: name of its outermost body.
        part: name of the body that the spec speaks of.
        links: URDF link name -> name in the specification, of every link.
        joints: URDF link name -> name of the joint that carries it.
        inertia: of each such link about its joint, kg m^2 (an upper bound over axes).
        free: whether it has a free joint.
    """

    spec: BodySpec
    root: str
    part: str
    links: dict[str, str]
    joints: dict[str, str]
    inertia: dict[str, float]
    free: bool


def add_body(scene: Any, spec: BodySpec, number: int) -> MujocoBody:
    """Add the body of `spec` to a ``mujoco.MjSpec`` at its pose.

    Raises:
        SimulationError: the URDF cannot be read, or does not have the part that the spec names.
    """
    prefix = f"b{number}_"
    root = _urdf(scene, spec, prefix) if spec.urdf is not None else _primitive(scene, spec, prefix)
    bodies = [root, *_below(root)]
    links = {body.name.removeprefix(prefix): body.name for body in bodies}
    if spec.part is not None and spec.part not in links:
        raise SimulationError(f"BodySpec {spec.name!r}: {spec.urdf} has no link {spec.part!r}; it has {sorted(links)}.")
    joints, inertia = {}, {}
    for body in bodies[1:]:
        for joint in body.joints:
            name = body.name.removeprefix(prefix)
            joints[name] = joint.name
            lever = float(np.dot(body.ipos, body.ipos))
            inertia[name] = float(np.max(body.fullinertia[:3]) + body.mass * lever)
            if spec.part is not None:
                joint.damping = np.full_like(joint.damping, spec.joint_damping_nms)
    _place(root, spec, bodies, prefix)
    free = spec.movable and spec.part is None and spec.mount is None
    if free:
        root.add_freejoint(name=prefix + "free")
    for body in bodies:
        for geom in body.geoms:
            _surface(geom, spec)
    for i, one in enumerate(bodies):  # a thing does not touch itself
        for other in bodies[i + 1 :]:
            scene.add_exclude(bodyname1=one.name, bodyname2=other.name)
    part = root.name if spec.part is None else links[spec.part]
    return MujocoBody(spec, root.name, part, links, joints, inertia, free)


def _below(body: Any) -> list[Any]:
    found = []
    for child in body.bodies:
        found += [child, *_below(child)]
    return found


def _primitive(scene: Any, spec: BodySpec, prefix: str) -> Any:
    mujoco = load_mujoco()
    x, y, z = spec.extent_m
    kinds = mujoco.mjtGeom
    kind, size = {
        "box": (kinds.mjGEOM_BOX, (x / 2, y / 2, z / 2)),
        "sphere": (kinds.mjGEOM_SPHERE, (x / 2, 0.0, 0.0)),
        "cylinder": (kinds.mjGEOM_CYLINDER, (x / 2, z / 2, 0.0)),
        "capsule": (kinds.mjGEOM_CAPSULE, (x / 2, max(z - x, 1e-3) / 2, 0.0)),
    }[spec.shape]
    body = scene.worldbody.add_body(name=prefix + "base")
    body.add_geom(type=kind, size=size, rgba=(*spec.colour, 1.0), mass=0.0)
    if spec.movable:
        body.explicitinertial = True
        body.mass, body.ipos = spec.mass_kg, spec.centre_of_mass_m
        body.fullinertia = [*solid_moments(spec), 0.0, 0.0, 0.0]
    if spec.mount is not None:
        joints = mujoco.mjtJoint
        kind = {"hinge": joints.mjJNT_HINGE, "slider": joints.mjJNT_SLIDE, "ball_joint": joints.mjJNT_BALL}
        joint = body.add_joint(name=prefix + "mount", type=kind[spec.mount.kind], axis=spec.mount.axis)
        joint.pos = spec.mount.anchor_m
        joint.damping = np.full_like(joint.damping, spec.joint_damping_nms)
    return body


def _urdf(scene: Any, spec: BodySpec, prefix: str) -> Any:
    """Load a URDF, scale it, share the spec's mass among its links as the file does, and attach it."""
    mujoco = load_mujoco()
    try:
        child = mujoco.MjSpec.from_file(str(spec.urdf))
    except ValueError as error:
        raise SimulationError(f"BodySpec {spec.name!r}: MuJoCo cannot read {spec.urdf}: {error}.") from error
    root = child.worldbody.first_body()
    bodies = [root, *_below(root)]
    moving = bodies[1:] if spec.part is not None or not spec.movable else bodies  # a fixed base has no mass of its own
    total = sum(body.mass for body in moving) or 1.0
    factor = spec.mass_kg / total if spec.movable else 1.0
    s = spec.scale
    for body in bodies:
        body.pos, body.ipos = s * body.pos, s * body.ipos
        share = factor if body in moving else 1.0
        body.mass *= share
        body.fullinertia = share * s * s * body.fullinertia
        for geom in body.geoms:
            geom.pos, geom.size = s * geom.pos, s * geom.size
            geom.mass, geom.density = 0.0, 0.0
            geom.rgba = [*(min(1.0, a * b) for a, b in zip(geom.rgba[:3], spec.colour, strict=True)), geom.rgba[3]]
        for joint in body.joints:
            joint.pos = s * joint.pos
    frame = scene.worldbody.add_frame()
    return frame.attach_body(root, prefix, "")


def _place(root: Any, spec: BodySpec, bodies: list[Any], prefix: str) -> None:
    """Put the centre of the box (of the part, all joints at zero, where there is one) at the spec's pose."""
    x, y, z, w = spec.orientation_xyzw
    lever = np.zeros(3)
    if spec.part is not None:
        part = next(body for body in bodies if body.name == prefix + spec.part)
        lever = np.array(part.ipos)
        while part.name != root.name:
            lever = np.array(part.pos) + _turn(part.quat) @ lever
            part = part.parent
    root.pos = np.asarray(spec.position) - rotation_matrix(spec.orientation_xyzw) @ lever
    root.quat = (w, x, y, z)


def _turn(quaternion_wxyz: np.ndarray) -> np.ndarray:
    w, x, y, z = (float(value) for value in quaternion_wxyz)
    turn: Quaternion = (x, y, z, w)
    return rotation_matrix(turn)


def _surface(geom: Any, spec: BodySpec) -> None:
    """Give a geom friction and bounce.

    Bullet multiplies the coefficients of the two that touch; MuJoCo takes those of the one with priority. A spec's
    values are against a surface of 1, so what moves has priority over what does not.
    """
    geom.priority = 1 if spec.movable else 0
    geom.friction = (spec.friction, 0.0, spec.rolling_friction)
    geom.condim = 6 if spec.rolling_friction > 0.0 else 3
    if not spec.solid:
        geom.contype = geom.conaffinity = 0
    if spec.movable and spec.restitution >= _BOUNCES_FROM:
        log = math.log(min(spec.restitution, 0.999))
        ratio = -log / math.hypot(math.pi, log)
        geom.solref = (-(_BOUNCE_RAD_S**2), -2.0 * ratio * _BOUNCE_RAD_S)
