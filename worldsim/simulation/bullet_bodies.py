"""Makes the bodies of a scene in a PyBullet client."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from worldsim.errors import SimulationError
from worldsim.simulation.bullet_module import bullet
from worldsim.simulation.geometry import rotation_matrix
from worldsim.simulation.presets import EnginePreset
from worldsim.simulation.scene import BodySpec, Mount, Quaternion, Vector, solid_moments

NO_OFFSET: Vector = (0.0, 0.0, 0.0)
_UPRIGHT: Quaternion = (0.0, 0.0, 0.0, 1.0)


@dataclass(frozen=True, slots=True)
class BulletBody:
    """A body as PyBullet knows it.

    Attributes:
        uid: its unique id in the client.
        spec: what was asked for.
        link: the link that the spec speaks of, -1 for the base.
        joints: link name -> index.
        offset: centre of the box relative to the centre of mass, body frame, m.
        inertia: of each link about its joint, kg m^2, by the link's name (an upper bound over axes).
    """

    uid: int
    spec: BodySpec
    link: int
    joints: dict[str, int]
    offset: Vector
    inertia: dict[str, float]


def make_body(spec: BodySpec, preset: EnginePreset, client: int) -> BulletBody:
    """Make the body of `spec` at its pose.

    Raises:
        SimulationError: the spec names a part that its URDF does not have.
    """
    uid = _load_urdf(spec, preset, client) if spec.urdf is not None else _make_primitive(spec, preset, client)
    joints = {}
    for joint in range(bullet.getNumJoints(uid, physicsClientId=client)):
        joints[bullet.getJointInfo(uid, joint, physicsClientId=client)[12].decode()] = joint
        # every joint comes with a motor that holds it still; a free joint has to be set free
        if spec.mount is not None and spec.mount.kind == "ball_joint":
            bullet.setJointMotorControlMultiDof(
                uid, joint, bullet.POSITION_CONTROL, targetPosition=_UPRIGHT, positionGain=0.0, velocityGain=0.0,
                force=NO_OFFSET, physicsClientId=client,
            )  # fmt: skip
            continue
        bullet.setJointMotorControl2(uid, joint, bullet.VELOCITY_CONTROL, force=0.0, physicsClientId=client)
    if spec.part is not None and spec.part not in joints:
        raise SimulationError(
            f"BodySpec {spec.name!r}: {spec.urdf} has no link {spec.part!r}; it has {sorted(joints)}."
        )
    _set_surface(spec, preset, uid, len(joints), client)
    if spec.urdf is not None and spec.movable:
        _set_masses(spec, uid, len(joints), client)
    elif spec.movable and _is_boxed(spec):
        link = -1 if spec.mount is None else 0
        bullet.changeDynamics(uid, link, localInertiaDiagonal=solid_moments(spec), physicsClientId=client)
    link = joints[spec.part] if spec.part is not None else 0 if spec.mount is not None else -1
    inertia = {name: _inertia_about_joint(uid, joint, client) for name, joint in joints.items()}
    body = BulletBody(uid, spec, link, joints, _offset_of(spec, uid, link, client), inertia)
    place_body(body, spec.position, spec.orientation_xyzw, client)
    return body


def place_body(body: BulletBody, position: Vector, orientation_xyzw: Quaternion, client: int) -> None:
    """Put the centre of the body's box (or of its part, all joints at zero) at a pose."""
    turn, uid = rotation_matrix(orientation_xyzw), body.uid
    lever = -np.asarray(body.offset)  # from the centre of the box to what PyBullet places: the centre of mass
    if body.link >= 0:
        for joint in body.joints.values():
            if body.spec.mount is not None and body.spec.mount.kind == "ball_joint":
                bullet.resetJointStateMultiDof(uid, joint, _UPRIGHT, NO_OFFSET, physicsClientId=client)
                continue
            bullet.resetJointState(uid, joint, 0.0, physicsClientId=client)
        bullet.resetBasePositionAndOrientation(uid, NO_OFFSET, (0.0, 0.0, 0.0, 1.0), physicsClientId=client)
        part = bullet.getLinkState(uid, body.link, computeForwardKinematics=1, physicsClientId=client)[0]
        lever = -np.asarray(part)
    at = np.asarray(position) + turn @ lever
    bullet.resetBasePositionAndOrientation(uid, at.tolist(), orientation_xyzw, physicsClientId=client)


def tint_body(body: BulletBody, client: int) -> None:
    """Multiply the colours of a URDF by the spec's colour (pictures only, so it is done before the first picture)."""
    if body.spec.urdf is None or body.spec.colour == (1.0, 1.0, 1.0):
        return
    count: dict[int, int] = {}
    for shape in bullet.getVisualShapeData(body.uid, physicsClientId=client):
        link = shape[1]
        rgb = [min(1.0, old * factor) for old, factor in zip(shape[7][:3], body.spec.colour, strict=True)]
        bullet.changeVisualShape(
            body.uid, link, shapeIndex=count.get(link, 0), rgbaColor=[*rgb, shape[7][3]], physicsClientId=client
        )
        count[link] = count.get(link, 0) + 1


def _load_urdf(spec: BodySpec, preset: EnginePreset, client: int) -> int:
    flags = bullet.URDF_USE_INERTIA_FROM_FILE | (bullet.URDF_ENABLE_SLEEPING if preset.sleeping else 0)
    fixed = spec.part is not None or not spec.movable
    return int(
        bullet.loadURDF(spec.urdf, useFixedBase=fixed, flags=flags, globalScaling=spec.scale, physicsClientId=client)
    )


def _make_primitive(spec: BodySpec, preset: EnginePreset, client: int) -> int:
    x, y, z = spec.extent_m
    solid: dict[str, Any]
    drawn: dict[str, Any]
    if spec.shape == "box":
        solid = drawn = {"shapeType": bullet.GEOM_BOX, "halfExtents": [x / 2.0, y / 2.0, z / 2.0]}
    elif spec.shape == "sphere":
        solid = drawn = {"shapeType": bullet.GEOM_SPHERE, "radius": x / 2.0}
    else:
        round_ends = spec.shape == "capsule"
        kind = bullet.GEOM_CAPSULE if round_ends else bullet.GEOM_CYLINDER
        straight = max(z - x, 1e-3) if round_ends else z
        solid = {"shapeType": kind, "radius": x / 2.0, "height": straight}
        drawn = {"shapeType": kind, "radius": x / 2.0, "length": straight}
    if spec.mount is not None:
        return _make_mounted(spec, spec.mount, solid, drawn, client)
    return int(
        bullet.createMultiBody(
            spec.mass_kg,
            bullet.createCollisionShape(**solid, physicsClientId=client),
            bullet.createVisualShape(**drawn, rgbaColor=[*spec.colour, 1.0], physicsClientId=client),
            baseInertialFramePosition=spec.centre_of_mass_m,
            flags=bullet.URDF_ENABLE_SLEEPING if preset.sleeping else 0,
            physicsClientId=client,
        )
    )


def _make_mounted(spec: BodySpec, mount: Mount, solid: dict[str, Any], drawn: dict[str, Any], client: int) -> int:
    """Make a primitive as the one link of a base that is fixed to the world; the link's frame is at the joint."""
    x, y, z = mount.anchor_m
    centre = (-x, -y, -z)
    joints = {"hinge": bullet.JOINT_REVOLUTE, "slider": bullet.JOINT_PRISMATIC, "ball_joint": bullet.JOINT_SPHERICAL}
    shape = bullet.createCollisionShape(**solid, collisionFramePosition=centre, physicsClientId=client)
    look = bullet.createVisualShape(
        **drawn, visualFramePosition=centre, rgbaColor=[*spec.colour, 1.0], physicsClientId=client
    )
    return int(
        bullet.createMultiBody(
            0.0,
            linkMasses=[spec.mass_kg],
            linkCollisionShapeIndices=[shape],
            linkVisualShapeIndices=[look],
            linkPositions=[mount.anchor_m],
            linkOrientations=[_UPRIGHT],
            linkInertialFramePositions=[centre],
            linkInertialFrameOrientations=[_UPRIGHT],
            linkParentIndices=[0],
            linkJointTypes=[joints[mount.kind]],
            linkJointAxis=[mount.axis],
            physicsClientId=client,
        )
    )


def _set_surface(spec: BodySpec, preset: EnginePreset, uid: int, joints: int, client: int) -> None:
    for link in range(-1, joints):
        bullet.changeDynamics(
            uid,
            link,
            lateralFriction=spec.friction,
            restitution=spec.restitution,
            rollingFriction=spec.rolling_friction,
            spinningFriction=0.0,
            linearDamping=preset.linear_damping,
            angularDamping=preset.angular_damping,
            physicsClientId=client,
        )
        if link >= 0 and (spec.part is not None or spec.mount is not None):
            damping = spec.joint_damping_nms or preset.joint_damping
            bullet.changeDynamics(uid, link, jointDamping=damping, physicsClientId=client)


def _set_masses(spec: BodySpec, uid: int, joints: int, client: int) -> None:
    """Share the spec's mass among the links as the URDF does; moments grow with mass and with length squared."""
    found = {}
    for link in range(-1, joints):
        info = bullet.getDynamicsInfo(uid, link, physicsClientId=client)
        if info[0] > 0.0:  # a fixed base has none
            found[link] = (info[0], info[2])
    factor = spec.mass_kg / sum(mass for mass, _ in found.values())
    for link, (mass, moments) in found.items():
        inertia = [factor * spec.scale**2 * moment for moment in moments]
        bullet.changeDynamics(uid, link, mass=mass * factor, localInertiaDiagonal=inertia, physicsClientId=client)


def _is_boxed(spec: BodySpec) -> bool:
    """Return whether Bullet takes the moments of a primitive for those of the box around it."""
    off_centre = spec.mount is not None or any(spec.centre_of_mass_m)
    return spec.shape == "capsule" or (spec.shape != "box" and off_centre)


def _inertia_about_joint(uid: int, link: int, client: int) -> float:
    """Return the largest principal moment of a link, moved to its joint (Steiner)."""
    info = bullet.getDynamicsInfo(uid, link, physicsClientId=client)
    return float(max(info[2]) + info[0] * sum(r * r for r in info[3]))


def _offset_of(spec: BodySpec, uid: int, link: int, client: int) -> Vector:
    if link >= 0:
        return NO_OFFSET  # of a part, the centre of mass is the centre of its box
    x, y, z = spec.centre_of_mass_m
    if spec.urdf is not None:
        x, y, z = bullet.getDynamicsInfo(uid, -1, physicsClientId=client)[3]
    return (0.0 - x, 0.0 - y, 0.0 - z)
