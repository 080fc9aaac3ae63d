"""The shipped living things, as parts: a worker, and an articulated cat and dog."""

from __future__ import annotations

import math
from dataclasses import dataclass

from worldsim_assets.workshop import Asset, Colour, Link, Part, Vector, hull, lying

SKIN: Colour = (0.85, 0.66, 0.52)
HIGH_VISIBILITY: Colour = (1.0, 0.45, 0.05)
REFLECTIVE: Colour = (0.93, 0.95, 0.80)
JEANS: Colour = (0.13, 0.19, 0.36)
HELMET: Colour = (0.98, 0.88, 0.15)


def worker() -> Asset:
    """Return a warehouse worker, 0.45 x 0.55 x 1.75 m; it collides as a box and keeps its weight low."""
    parts = [
        hull((0.45, 0.55, 1.75)),
        Part("box", (0.22, 0.38, 0.52), (0.0, 0.0, 0.26), HIGH_VISIBILITY),
        Part("box", (0.225, 0.385, 0.05), (0.0, 0.0, 0.14), REFLECTIVE),
        Part("box", (0.225, 0.385, 0.05), (0.0, 0.0, 0.34), REFLECTIVE),
        Part("sphere", (0.11,), (0.01, 0.0, 0.68), SKIN),
        Part("sphere", (0.115,), (0.0, 0.0, 0.73), HELMET),
        Part("cylinder", (0.135, 0.02), (0.02, 0.0, 0.72), HELMET),
    ]
    for side in (-1.0, 1.0):
        stride = 0.10 * side
        parts.append(Part("capsule", (0.075, 0.66), (stride, 0.10 * side, -0.42), JEANS, (0.0, -0.2 * side, 0.0)))
        parts.append(Part("box", (0.22, 0.10, 0.08), (stride * 1.7 + 0.02, 0.10 * side, -0.835), (0.12, 0.10, 0.09)))
        arm = (0.0, 0.28 * side, 0.0)
        parts.append(Part("capsule", (0.05, 0.48), (-stride * 0.8, 0.22 * side, 0.22), HIGH_VISIBILITY, arm))
        parts.append(Part("sphere", (0.055,), (-stride * 0.8, 0.22 * side, -0.05), SKIN))
    parts = [p for p in parts if abs(p.at[1]) < 0.275]
    return Asset("worker", (Link("base", tuple(parts), 75.0, (0.30, 0.45, 1.75), (0.0, 0.0, -0.45)),))


@dataclass(frozen=True, slots=True)
class Quadruped:
    """Proportions of a four-legged animal; lengths in m, the centre of its bounding box is the origin.

    Attributes:
        height: floor to the top of the head.
        torso: radius and straight length of the torso; torso_z: height of its axis above the centre.
        head, tail, leg: see the names.
    """

    name: str
    height: float
    torso: tuple[float, float]
    torso_z: float
    head_radius: float
    head_at: Vector
    muzzle: float
    ear: Vector
    tail: tuple[float, float]
    tail_pitch: float
    leg: tuple[float, float]
    stance: tuple[float, float]
    mass_kg: float
    coat: Colour
    pale: Colour
    dark: Colour
    stripes: int


def quadruped(animal: Quadruped) -> Asset:
    """Return an animal with head, tail and four swinging legs.

    It stands on four small fixed pads under the torso, as its gait is for show and for what it bumps into: the
    legs collide with everything but end a little above the floor, so the animal never trips over it.
    """
    torso_mass = 0.72 * animal.mass_kg
    box = (animal.torso[1] + 2.0 * animal.torso[0], 2.0 * animal.torso[0], 2.0 * animal.torso[0])
    base = Link("torso", _torso(animal), torso_mass, box, (0.0, 0.0, animal.torso_z - 0.15 * animal.height))
    head = Link(
        "head",
        _head(animal),
        0.12 * animal.mass_kg,
        (2.0 * animal.head_radius,) * 3,
        parent="torso",
        joint_at=animal.head_at,
        damping=0.01,
    )
    radius, length = animal.tail
    tail_at = (-length / 2.0 * math.sin(animal.tail_pitch), 0.0, length / 2.0 * math.cos(animal.tail_pitch))
    tail = Link(
        "tail",
        (Part("capsule", (radius, length), tail_at, animal.dark, (0.0, -animal.tail_pitch, 0.0), solid=True),),
        0.04 * animal.mass_kg,
        (2.0 * radius, 2.0 * radius, length),
        tail_at,
        parent="torso",
        joint_at=(-animal.torso[1] / 2.0 - 0.7 * animal.torso[0], 0.0, animal.torso_z + 0.4 * animal.torso[0]),
        axis=(0.0, 0.0, 1.0),
        damping=0.005,
    )
    return Asset(animal.name, (base, head, tail, *_legs(animal)))


def _torso(animal: Quadruped) -> tuple[Part, ...]:
    radius, length = animal.torso
    at = (0.0, 0.0, animal.torso_z)
    parts = [
        Part("box", (length + 1.6 * radius, 1.8 * radius, 1.8 * radius), at, None, solid=True),
        lying(radius, length, at, animal.coat),
        lying(0.8 * radius, 0.8 * length, (0.0, 0.0, animal.torso_z - 0.3 * radius), animal.pale),
    ]
    for stripe in range(animal.stripes):
        x = length * (stripe / max(animal.stripes - 1, 1) - 0.5)
        band = Part("cylinder", (1.015 * radius, 0.018), (x, 0.0, animal.torso_z + 0.005), animal.dark)
        parts.append(Part(band.shape, band.size, band.at, band.colour, (0.0, math.pi / 2.0, 0.0)))
    pad = 0.1 * animal.leg[0] + 0.012
    for x in (-animal.stance[0], animal.stance[0]):
        for y in (-animal.stance[1], animal.stance[1]):
            parts.append(Part("sphere", (pad,), (x, y, -animal.height / 2.0 + pad), None, solid=True))
    return tuple(parts)


def _head(animal: Quadruped) -> tuple[Part, ...]:
    r = animal.head_radius
    parts = [
        Part("sphere", (r,), (0.0, 0.0, 0.0), animal.coat, solid=True),
        Part("sphere", (0.55 * r,), (animal.muzzle, 0.0, -0.3 * r), animal.pale),
        Part("sphere", (0.2 * r,), (animal.muzzle + 0.5 * r, 0.0, -0.2 * r), (0.15, 0.08, 0.08)),
    ]
    for side in (-1.0, 1.0):
        parts.append(Part("sphere", (0.16 * r,), (0.80 * r, 0.42 * r * side, 0.30 * r), (0.06, 0.07, 0.05)))
        parts.append(Part("box", animal.ear, (-0.1 * r, 0.6 * r * side, 0.8 * r), animal.dark, (0.35 * side, 0.0, 0.0)))
    return tuple(parts)


def _legs(animal: Quadruped) -> list[Link]:
    radius, length = animal.leg
    hip = animal.torso_z - 0.3 * animal.torso[0]
    links = []
    for end, x in (("front", animal.stance[0]), ("hind", -animal.stance[0])):
        for side, y in (("left", animal.stance[1]), ("right", -animal.stance[1])):
            parts = (
                Part("capsule", (radius, length - 2.0 * radius), (0.0, 0.0, -length / 2.0), animal.coat, solid=True),
                Part("sphere", (1.15 * radius,), (0.3 * radius, 0.0, -length + radius), animal.pale),
            )
            links.append(
                Link(
                    f"{end}_{side}",
                    parts,
                    0.03 * animal.mass_kg,
                    (2.0 * radius, 2.0 * radius, length),
                    (0.0, 0.0, -length / 2.0),
                    parent="torso",
                    joint_at=(x, y, hip),
                    damping=0.01,
                )
            )
    return links


CAT = Quadruped(
    name="cat",
    height=0.30,
    torso=(0.072, 0.16),
    torso_z=0.035,
    head_radius=0.052,
    head_at=(0.158, 0.0, 0.085),
    muzzle=0.042,
    ear=(0.016, 0.032, 0.045),
    tail=(0.014, 0.12),
    tail_pitch=0.9,
    leg=(0.017, 0.155),
    stance=(0.082, 0.052),
    mass_kg=4.5,
    coat=(0.83, 0.50, 0.18),
    pale=(0.93, 0.80, 0.62),
    dark=(0.55, 0.27, 0.08),
    stripes=5,
)

DOG = Quadruped(
    name="dog",
    height=0.60,
    torso=(0.115, 0.34),
    torso_z=0.07,
    head_radius=0.085,
    head_at=(0.285, 0.0, 0.205),
    muzzle=0.085,
    ear=(0.03, 0.025, 0.10),
    tail=(0.022, 0.22),
    tail_pitch=0.95,
    leg=(0.032, 0.325),
    stance=(0.175, 0.070),
    mass_kg=25.0,
    coat=(0.30, 0.21, 0.14),
    pale=(0.62, 0.48, 0.33),
    dark=(0.14, 0.10, 0.07),
    stripes=0,
)

CREATURES: tuple[Asset, ...] = (worker(), quadruped(CAT), quadruped(DOG))
