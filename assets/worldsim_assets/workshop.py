"""Writes the URDFs of the shipped assets: ``python -m worldsim_assets.workshop``.

Every asset is put together from boxes, cylinders, spheres and capsules, so that its files are small, its collision
geometry is exact and nothing in it is borrowed. Conventions: x forward, z up, metres, kilograms; the origin of the
base link is the centre of the asset's bounding box; masses are nominal (a scenario may override them).
"""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree

Vector = tuple[float, float, float]
Colour = tuple[float, float, float]

URDF_FOLDER = Path(__file__).parent / "urdf"


@dataclass(frozen=True, slots=True)
class Part:
    """One primitive of a link.

    Attributes:
        shape: ``box`` (size = full edges), ``cylinder`` or ``capsule`` (size = radius, length along z) or ``sphere``
            (size = radius).
        size: see `shape`.
        at: centre in the link frame, m.
        colour: RGB in [0, 1]; None where the part only collides.
        rpy: roll, pitch, yaw, rad.
        solid: whether the part collides.
    """

    shape: str
    size: tuple[float, ...]
    at: Vector = (0.0, 0.0, 0.0)
    colour: Colour | None = None
    rpy: Vector = (0.0, 0.0, 0.0)
    solid: bool = False


@dataclass(frozen=True, slots=True)
class Link:
    """One rigid link and the joint, free to turn, to its parent.

    Attributes:
        name: of the link; the joint is called ``<name>_joint``.
        parts: geometry in the link frame (the joint's frame).
        mass_kg: mass; inertia is that of a solid box of size `inertia_box`.
        inertia_box: full edges, m.
        centre_of_mass: in the link frame, m.
        parent, joint_at, axis, damping: of the joint; the base has no parent.
    """

    name: str
    parts: tuple[Part, ...]
    mass_kg: float
    inertia_box: Vector
    centre_of_mass: Vector = (0.0, 0.0, 0.0)
    parent: str | None = None
    joint_at: Vector = (0.0, 0.0, 0.0)
    axis: Vector = (0.0, 1.0, 0.0)
    damping: float = 0.0


@dataclass(frozen=True, slots=True)
class Asset:
    """A named set of links, the base first."""

    name: str
    links: tuple[Link, ...] = field(default_factory=tuple)


def write_urdf(asset: Asset, folder: Path = URDF_FOLDER) -> Path:
    """Write `asset` as ``<name>.urdf`` into `folder`; return the path."""
    robot = ElementTree.Element("robot", name=asset.name)
    materials: dict[Colour, str] = {}
    for link in asset.links:
        for part in link.parts:
            if part.colour is not None and part.colour not in materials:
                materials[part.colour] = f"colour_{len(materials)}"
                material = ElementTree.SubElement(robot, "material", name=materials[part.colour])
                ElementTree.SubElement(material, "color", rgba=_numbers((*part.colour, 1.0)))
    for link in asset.links:
        _write_link(robot, link, materials)
        if link.parent is not None:
            _write_joint(robot, link)
    ElementTree.indent(robot)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{asset.name}.urdf"
    path.write_text(
        '<?xml version="1.0"?>\n' + ElementTree.tostring(robot, encoding="unicode") + "\n", encoding="utf-8"
    )
    return path


def _write_link(robot: ElementTree.Element, link: Link, materials: dict[Colour, str]) -> None:
    element = ElementTree.SubElement(robot, "link", name=link.name)
    inertial = ElementTree.SubElement(element, "inertial")
    ElementTree.SubElement(inertial, "origin", xyz=_numbers(link.centre_of_mass), rpy="0 0 0")
    ElementTree.SubElement(inertial, "mass", value=f"{link.mass_kg:g}")
    x, y, z = (edge**2 for edge in link.inertia_box)
    diagonal = tuple(link.mass_kg / 12.0 * s for s in (y + z, x + z, x + y))
    names = ("ixx", "iyy", "izz")
    moments = {name: f"{value:.6g}" for name, value in zip(names, diagonal, strict=True)}
    ElementTree.SubElement(inertial, "inertia", {**moments, "ixy": "0", "ixz": "0", "iyz": "0"})
    for part in link.parts:
        if part.colour is not None:
            visual = ElementTree.SubElement(element, "visual")
            _write_geometry(visual, part)
            ElementTree.SubElement(visual, "material", name=materials[part.colour])
        if part.solid:
            _write_geometry(ElementTree.SubElement(element, "collision"), part)


def _write_geometry(parent: ElementTree.Element, part: Part) -> None:
    ElementTree.SubElement(parent, "origin", xyz=_numbers(part.at), rpy=_numbers(part.rpy))
    geometry = ElementTree.SubElement(parent, "geometry")
    if part.shape == "box":
        ElementTree.SubElement(geometry, "box", size=_numbers(part.size))
    elif part.shape == "sphere":
        ElementTree.SubElement(geometry, "sphere", radius=f"{part.size[0]:g}")
    else:
        ElementTree.SubElement(geometry, part.shape, radius=f"{part.size[0]:g}", length=f"{part.size[1]:g}")


def _write_joint(robot: ElementTree.Element, link: Link) -> None:
    # "continuous": a limit would be a constraint with a memory, which no restored state puts back
    joint = ElementTree.SubElement(robot, "joint", name=f"{link.name}_joint", type="continuous")
    ElementTree.SubElement(joint, "parent", link=str(link.parent))
    ElementTree.SubElement(joint, "child", link=link.name)
    ElementTree.SubElement(joint, "origin", xyz=_numbers(link.joint_at), rpy="0 0 0")
    ElementTree.SubElement(joint, "axis", xyz=_numbers(link.axis))
    ElementTree.SubElement(joint, "dynamics", damping=f"{link.damping:g}", friction="0")


def _numbers(values: tuple[float, ...]) -> str:
    return " ".join(f"{value:.6g}" for value in values)


def hull(size: Vector, at: Vector = (0.0, 0.0, 0.0)) -> Part:
    """Return a box that collides and is not drawn."""
    return Part("box", size, at, None, solid=True)


def lying(radius: float, length: float, at: Vector, colour: Colour, pitch: float = math.pi / 2.0) -> Part:
    """Return a capsule whose axis is pitched from z towards x (lying along x by default)."""
    return Part("capsule", (radius, length), at, colour, (0.0, pitch, 0.0))


def main() -> None:
    """Write every shipped asset."""
    from worldsim_assets.catalogue import catalogue

    for asset in catalogue():
        sys.stdout.write(f"{write_urdf(asset)}\n")


if __name__ == "__main__":
    main()
