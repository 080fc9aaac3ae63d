"""The shipped assets, as parts; `worldsim_assets.workshop` writes them as URDF."""

from __future__ import annotations

import math

from worldsim_assets.creatures import CREATURES
from worldsim_assets.workshop import Asset, Colour, Link, Part, hull

STEEL: Colour = (0.55, 0.57, 0.60)
DARK: Colour = (0.14, 0.15, 0.17)
RUBBER: Colour = (0.08, 0.08, 0.08)
TEAL: Colour = (0.05, 0.55, 0.58)
WHITE: Colour = (0.92, 0.93, 0.94)
YELLOW: Colour = (0.95, 0.76, 0.10)
WOOD: Colour = (0.76, 0.58, 0.36)
WOOD_DARK: Colour = (0.55, 0.38, 0.21)
CARDBOARD: Colour = (0.72, 0.53, 0.33)
TAPE: Colour = (0.88, 0.80, 0.58)
RACK_BLUE: Colour = (0.10, 0.25, 0.55)
RACK_ORANGE: Colour = (0.93, 0.45, 0.10)
BARREL_BLUE: Colour = (0.10, 0.33, 0.72)
CONCRETE: Colour = (0.66, 0.66, 0.64)
RED: Colour = (0.80, 0.12, 0.12)
PURPLE: Colour = (0.45, 0.20, 0.62)
GREEN: Colour = (0.16, 0.62, 0.30)


def catalogue() -> tuple[Asset, ...]:
    """Return every shipped asset."""
    goods = (crate(), open_crate(), parcel(), pallet(), barrel(), ball(), trolley(), t_block())
    building = (shelf(), pillar(), station(), bench(), door(), floor())
    return (robot(), agv(), drone(), *CREATURES, *goods, *building)


def robot() -> Asset:
    """Return the delivery robot, 0.70 x 0.50 x 0.30 m; its mast (to 1.4 m) is drawn and does not collide."""
    wheel = [
        Part("cylinder", (0.07, 0.04), (x, y, -0.08), RUBBER, (math.pi / 2.0, 0.0, 0.0))
        for x in (-0.2, 0.2)
        for y in (-0.235, 0.235)
    ]
    parts = (
        hull((0.70, 0.50, 0.30)),
        Part("box", (0.68, 0.44, 0.16), (0.0, 0.0, -0.04), DARK),
        Part("box", (0.70, 0.50, 0.09), (0.0, 0.0, 0.085), TEAL),
        Part("box", (0.50, 0.40, 0.02), (-0.04, 0.0, 0.14), WHITE),
        Part("box", (0.02, 0.40, 0.14), (0.34, 0.0, -0.05), YELLOW),
        Part("cylinder", (0.035, 1.02), (-0.2, 0.0, 0.64), STEEL),
        Part("box", (0.10, 0.22, 0.09), (-0.18, 0.0, 1.18), WHITE),
        Part("cylinder", (0.05, 0.06), (-0.18, 0.0, 1.24), DARK),
        *wheel,
    )
    return Asset("robot", (Link("base", parts, 60.0, (0.70, 0.50, 0.30), (0.0, 0.0, -0.06)),))


def agv() -> Asset:
    """Return the automated tug, 1.2 x 0.8 x 0.5 m."""
    parts = (
        hull((1.2, 0.8, 0.5)),
        Part("box", (1.16, 0.78, 0.26), (0.0, 0.0, -0.10), YELLOW),
        Part("box", (1.2, 0.8, 0.08), (0.0, 0.0, -0.19), RUBBER),
        Part("box", (0.34, 0.76, 0.22), (0.42, 0.0, 0.13), DARK),
        Part("box", (0.02, 0.5, 0.08), (0.595, 0.0, 0.15), (0.30, 0.80, 0.95)),
        Part("box", (0.80, 0.72, 0.04), (-0.18, 0.0, 0.05), STEEL),
        Part("cylinder", (0.04, 0.04), (0.42, 0.3, 0.23), RED),
    )
    return Asset("agv", (Link("base", parts, 150.0, (1.2, 0.8, 0.5), (0.0, 0.0, -0.12)),))


def drone() -> Asset:
    """Return the hovering quadcopter, 0.50 x 0.50 x 0.18 m."""
    parts = [
        hull((0.50, 0.50, 0.18)),
        Part("box", (0.20, 0.13, 0.09), (0.0, 0.0, 0.0), (0.16, 0.16, 0.20)),
        Part("sphere", (0.035,), (0.09, 0.0, -0.05), (0.05, 0.05, 0.06)),
        Part("box", (0.12, 0.08, 0.02), (-0.01, 0.0, 0.055), (0.85, 0.10, 0.55)),
    ]
    for yaw in (math.pi / 4.0, -math.pi / 4.0):
        parts.append(Part("box", (0.48, 0.03, 0.02), (0.0, 0.0, 0.01), (0.30, 0.30, 0.33), (0.0, 0.0, yaw)))
    for x in (-0.165, 0.165):
        for y in (-0.165, 0.165):
            parts.append(Part("cylinder", (0.085, 0.008), (x, y, 0.075), (0.85, 0.10, 0.55)))
            parts.append(Part("cylinder", (0.015, 0.07), (x, y, 0.045), (0.30, 0.30, 0.33)))
            parts.append(Part("cylinder", (0.008, 0.09), (x * 0.6, y * 0.6, -0.045), (0.30, 0.30, 0.33)))
    return Asset("drone", (Link("base", tuple(parts), 1.4, (0.40, 0.40, 0.10)),))


def crate() -> Asset:
    """Return the slatted wooden crate, 0.5 x 0.4 x 0.35 m."""
    parts = [hull((0.5, 0.4, 0.35)), Part("box", (0.48, 0.38, 0.34), (0.0, 0.0, 0.0), WOOD)]
    for z in (-0.145, 0.0, 0.145):
        parts.append(Part("box", (0.5, 0.39, 0.05), (0.0, 0.0, z), WOOD_DARK))
    for x in (-0.225, 0.225):
        parts.append(Part("box", (0.05, 0.4, 0.35), (x, 0.0, 0.0), WOOD_DARK))
    return Asset("crate", (Link("base", tuple(parts), 12.0, (0.5, 0.4, 0.35)),))


def open_crate() -> Asset:
    """Return the crate without a lid, 0.60 x 0.45 x 0.34 m: a floor of 20 mm and four walls of 15 mm that collide."""
    floor_m, wall_m = 0.02, 0.015
    parts = [Part("box", (0.60, 0.45, floor_m), (0.0, 0.0, -0.17 + floor_m / 2.0), WOOD, solid=True)]
    for side in (-1.0, 1.0):
        across, along = side * (0.30 - wall_m / 2.0), side * (0.225 - wall_m / 2.0)
        parts.append(Part("box", (wall_m, 0.45, 0.34), (across, 0.0, 0.0), WOOD_DARK, solid=True))
        parts.append(Part("box", (0.60, wall_m, 0.34), (0.0, along, 0.0), WOOD_DARK, solid=True))
        parts.append(Part("box", (0.604, wall_m + 0.004, 0.04), (0.0, along, 0.15), BARREL_BLUE))
    return Asset("open_crate", (Link("base", tuple(parts), 6.0, (0.60, 0.45, 0.34), (0.0, 0.0, -0.04)),))


def parcel() -> Asset:
    """Return the cardboard parcel, 0.35 x 0.35 x 0.30 m."""
    parts = (
        hull((0.35, 0.35, 0.30)),
        Part("box", (0.35, 0.35, 0.30), (0.0, 0.0, 0.0), CARDBOARD),
        Part("box", (0.06, 0.354, 0.304), (0.0, 0.0, 0.0), TAPE),
        Part("box", (0.12, 0.08, 0.006), (0.11, 0.10, 0.15), WHITE),
        Part("box", (0.09, 0.09, 0.005), (-0.10, -0.10, 0.15), RED),
    )
    return Asset("parcel", (Link("base", parts, 4.0, (0.35, 0.35, 0.30)),))


def pallet() -> Asset:
    """Return the pallet, 1.2 x 0.8 x 0.144 m; it collides as a box."""
    parts = [hull((1.2, 0.8, 0.144))]
    for y in (-0.35, -0.175, 0.0, 0.175, 0.35):
        parts.append(Part("box", (1.2, 0.10, 0.022), (0.0, y, 0.061), WOOD))
    for y in (-0.35, 0.0, 0.35):
        parts.append(Part("box", (1.2, 0.10, 0.100), (0.0, y, -0.002), WOOD_DARK))
        parts.append(Part("box", (1.2, 0.10, 0.020), (0.0, y, -0.062), WOOD))
    return Asset("pallet", (Link("base", tuple(parts), 20.0, (1.2, 0.8, 0.144)),))


def barrel() -> Asset:
    """Return the steel barrel, diameter 0.58 m, height 0.88 m."""
    parts = [
        Part("cylinder", (0.29, 0.88), (0.0, 0.0, 0.0), None, solid=True),
        Part("cylinder", (0.28, 0.87), (0.0, 0.0, 0.0), BARREL_BLUE),
        Part("cylinder", (0.26, 0.01), (0.0, 0.0, 0.437), STEEL),
        Part("cylinder", (0.04, 0.02), (0.14, 0.0, 0.44), DARK),
    ]
    for z in (-0.43, -0.15, 0.15, 0.43):
        parts.append(Part("cylinder", (0.29, 0.03), (0.0, 0.0, z * 0.985), (0.07, 0.24, 0.55)))
    return Asset("barrel", (Link("base", tuple(parts), 25.0, (0.50, 0.50, 0.88), (0.0, 0.0, -0.06)),))


def ball() -> Asset:
    """Return a play ball of diameter 0.32 m with patches that show its spin."""
    radius, patch = 0.16, 0.075
    parts = [
        Part("sphere", (radius,), (0.0, 0.0, 0.0), None, solid=True),
        Part("sphere", (radius - 0.001,), (0.0, 0.0, 0.0), (0.90, 0.18, 0.16)),
    ]
    reach = radius - patch + 0.003  # a patch stands out of the ball by 2 mm at most, and does not collide
    for axis in range(3):
        for sign in (-1.0, 1.0):
            centre = [0.0, 0.0, 0.0]
            centre[axis] = sign * reach
            colour = (0.97, 0.95, 0.90) if axis != 2 else (0.15, 0.25, 0.75)
            parts.append(Part("sphere", (patch,), (centre[0], centre[1], centre[2]), colour))
    return Asset("ball", (Link("base", tuple(parts), 0.6, (0.26, 0.26, 0.26)),))


def trolley() -> Asset:
    """Return the roll container, 0.90 x 0.55 x 1.00 m, on four castors."""
    parts = [
        hull((0.90, 0.55, 0.90), (0.0, 0.0, 0.05)),
        Part("box", (0.90, 0.55, 0.05), (0.0, 0.0, -0.36), STEEL),
        Part("box", (0.62, 0.42, 0.34), (0.02, 0.0, -0.16), (0.25, 0.45, 0.70)),
    ]
    for x in (-0.43, 0.43):
        for y in (-0.255, 0.255):
            parts.append(Part("cylinder", (0.016, 0.86), (x, y, 0.07), GREEN))
            parts.append(Part("sphere", (0.06,), (x * 0.84, y * 0.82, -0.44), RUBBER, solid=True))
    for z in (0.0, 0.24, 0.48):
        for y in (-0.255, 0.255):
            parts.append(Part("box", (0.86, 0.02, 0.03), (0.0, y, z), GREEN))
        parts.append(Part("box", (0.02, 0.51, 0.03), (-0.43, 0.0, z), GREEN))
    parts.append(Part("box", (0.03, 0.51, 0.04), (0.43, 0.0, 0.47), RED))
    return Asset("trolley", (Link("base", tuple(parts), 35.0, (0.90, 0.55, 0.70), (0.0, 0.0, -0.25)),))


def t_block() -> Asset:
    """Return the T of the pushing task, 1.2 x 1.2 x 0.25 m: a bar of four squares on a stem of three."""
    parts = (
        Part("box", (1.2, 0.3, 0.25), (0.0, 0.45, 0.0), PURPLE, solid=True),
        Part("box", (0.3, 0.9, 0.25), (0.0, -0.15, 0.0), PURPLE, solid=True),
    )
    # the box has the T's moment of inertia about the vertical through its centre of mass: 0.193 m^2 a kilogram
    return Asset("t_block", (Link("base", parts, 8.0, (1.077, 1.077, 0.25), (0.0, 0.19286, 0.0)),))


def shelf() -> Asset:
    """Return a loaded rack, 2.4 x 0.6 x 2.2 m; it collides, and blocks the view, as a box."""
    parts = [hull((2.4, 0.6, 2.2)), Part("box", (2.36, 0.02, 2.1), (0.0, 0.0, 0.0), (0.40, 0.42, 0.46))]
    for x in (-1.17, 1.17):
        for y in (-0.27, 0.27):
            parts.append(Part("box", (0.06, 0.06, 2.2), (x, y, 0.0), RACK_BLUE))
    goods = ((CARDBOARD, 0.50), ((0.62, 0.66, 0.70), 0.42), ((0.80, 0.62, 0.40), 0.46), ((0.35, 0.48, 0.42), 0.38))
    for level, z in enumerate((-1.0, -0.3, 0.4)):
        parts.append(Part("box", (2.4, 0.6, 0.05), (0.0, 0.0, z), RACK_ORANGE))
        for slot, x in enumerate((-0.85, -0.28, 0.28, 0.85)):
            colour, height = goods[(slot + level) % len(goods)]
            parts.append(Part("box", (0.50, 0.52, height), (x, 0.0, z + 0.025 + height / 2.0), colour))
    return Asset("shelf", (Link("base", tuple(parts), 200.0, (2.4, 0.6, 2.2)),))


def pillar() -> Asset:
    """Return a concrete pillar, 0.4 x 0.4 x 3 m, with a warning band."""
    parts = [hull((0.4, 0.4, 3.0)), Part("box", (0.39, 0.39, 3.0), (0.0, 0.0, 0.0), CONCRETE)]
    for row in range(6):
        colour = YELLOW if row % 2 == 0 else DARK
        parts.append(Part("box", (0.4, 0.4, 0.15), (0.0, 0.0, -1.425 + 0.15 * row), colour))
    return Asset("pillar", (Link("base", tuple(parts), 1000.0, (0.4, 0.4, 3.0)),))


def station() -> Asset:
    """Return a hand-over desk, 0.9 x 0.6 x 0.5 m."""
    parts = (
        hull((0.9, 0.6, 0.5)),
        Part("box", (0.86, 0.56, 0.40), (0.0, 0.0, -0.05), (0.30, 0.34, 0.40)),
        Part("box", (0.9, 0.6, 0.05), (0.0, 0.0, 0.225), WHITE),
        Part("box", (0.9, 0.61, 0.05), (0.0, 0.0, 0.16), GREEN),
        Part("box", (0.30, 0.04, 0.16), (-0.2, -0.2, 0.17), DARK),
    )
    return Asset("station", (Link("base", parts, 80.0, (0.9, 0.6, 0.5)),))


def bench() -> Asset:
    """Return the packing bench, 1.1 x 0.7 x 0.5 m: a top on four legs that collide, with room below it."""
    parts = [Part("box", (1.1, 0.7, 0.03), (0.0, 0.0, 0.235), WHITE, solid=True)]
    for x in (-0.52, 0.52):
        for y in (-0.32, 0.32):
            parts.append(Part("box", (0.05, 0.05, 0.47), (x, y, -0.015), STEEL, solid=True))
    return Asset("bench", (Link("base", tuple(parts), 30.0, (1.1, 0.7, 0.5)),))


def door() -> Asset:
    """Return a door leaf, 1.4 x 0.06 x 2.0 m, that swings both ways about its -x edge; the base is only its hinge."""
    leaf = (
        Part("box", (1.4, 0.06, 2.0), (0.7, 0.0, 0.0), (0.20, 0.40, 0.52), solid=True),
        Part("box", (0.5, 0.064, 0.5), (0.75, 0.0, 0.45), (0.75, 0.88, 0.95)),
        Part("box", (1.3, 0.066, 0.25), (0.7, 0.0, -0.80), STEEL),
        Part("box", (0.16, 0.12, 0.03), (1.25, 0.0, 0.0), (0.85, 0.85, 0.85)),
    )
    links = (
        Link("hinge", (), 1.0, (0.1, 0.1, 0.1)),
        Link("leaf", leaf, 25.0, (1.4, 0.06, 2.0), (0.7, 0.0, 0.0), "hinge", axis=(0.0, 0.0, 1.0)),
    )
    return Asset("door", links)


def floor() -> Asset:
    """Return the warehouse floor, 30 x 18 x 1 m; its paint is drawn and does not collide."""
    top = 0.5
    parts = [hull((30.0, 18.0, 1.0)), Part("box", (30.0, 18.0, 0.9), (0.0, 0.0, 0.04), (0.50, 0.51, 0.52))]
    for i in range(10):
        for j in range(7):
            shade = 0.60 + 0.025 * ((i + j) % 2)
            slab = (shade, shade, shade - 0.01)
            parts.append(Part("box", (1.99, 1.99, 0.02), (-9.0 + 2.0 * i, -6.0 + 2.0 * j, top - 0.010), slab))
    lane = (0.93, 0.78, 0.18)
    for y in (1.85, -1.65):
        parts.append(Part("box", (17.6, 0.07, 0.004), (0.0, y, top + 0.001), lane))
    for x in (-7.2, 2.3):
        parts.append(Part("box", (0.07, 8.0, 0.004), (x, 0.3, top + 0.001), lane))
    for x, y in ((-8.1, 5.2), (-8.1, -5.2), (8.1, -5.4), (2.5, 5.3)):
        parts.append(Part("box", (0.9, 0.9, 0.004), (x, y, top + 0.001), (0.30, 0.50, 0.78)))
    for x, y in ((-8.1, 3.9), (-8.1, -3.9), (8.1, -4.1), (3.9, 5.3)):
        parts.append(Part("box", (1.0, 1.0, 0.004), (x, y, top + 0.001), (0.30, 0.65, 0.38)))
    return Asset("floor", (Link("base", tuple(parts), 1000.0, (30.0, 18.0, 1.0)),))
