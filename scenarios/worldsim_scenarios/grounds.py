"""A house and a park: what stands in them, and who lives in them.

Both are furnished about any middle, so that `House`, `Park` and `HousePark` share walls, benches and manners.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from worldsim.simulation.drivers import Cat, Dog, Driver, Entry, Launch, Leaf, LeafPush, Leaves, Worker
from worldsim.simulation.floorplan import Floorplan, Point
from worldsim.simulation.scene import BodySpec, Mount, Vector
from worldsim_assets import appearance
from worldsim_scenarios.stock import bulk_of, furnish, plain, tinted, worn

HOUSE_HALF_M: Point = (4.5, 3.5)
WALL_M, WALL_THICK_M = 1.1, 0.12
DOORWAY_M = 1.5
PARK_HALF_M: Point = (6.0, 4.5)
WALL_COLOUR: Vector = (0.86, 0.83, 0.76)
WOOD_COLOUR: Vector = (0.55, 0.40, 0.26)
FRONT_COLOUR: Vector = (0.80, 0.65, 0.35)
BENCH_COLOUR: Vector = (0.42, 0.30, 0.20)
SOFA_COLOUR: Vector = (0.35, 0.42, 0.55)
FRONT_M: Vector = (0.50, 0.04, 0.40)

HOUSE_PLACES: tuple[Point, ...] = (
    *((-3.4, -2.3), (-3.4, 0.6), (-1.3, 1.9), (-1.3, -1.3)),
    *((1.4, -2.2), (1.2, 1.6), (3.5, 0.9), (3.4, -2.4)),
)
"""Free places in the house, seen from its middle; the first half in the west room."""
PARK_PLACES: tuple[Point, ...] = (
    *((-4.6, -3.2), (-4.6, 0.0), (-4.6, 3.2), (-1.6, -1.6), (-1.6, 1.6)),
    *((1.6, -1.6), (1.6, 1.6), (4.6, -3.2), (4.6, 0.0), (4.6, 3.2)),
)
"""Free places in the park, seen from its middle."""


@dataclass(frozen=True)
class Furnished:
    """What a place adds to a world.

    Attributes:
        standing: what does not move of itself.
        places: free places, m, world frame.
        leaves: fronts of furniture on their joints.
    """

    standing: tuple[BodySpec, ...]
    places: tuple[Point, ...]
    leaves: tuple[Leaf, ...] = ()

    def plan(self) -> Floorplan:
        """Return where there is room to walk."""
        boxes = []
        for body in self.standing:
            yaw = 2.0 * math.atan2(body.orientation_xyzw[2], body.orientation_xyzw[3])
            boxes.append((body.position[0], body.position[1], body.extent_m[0], body.extent_m[1], yaw))
        return Floorplan.of_boxes(boxes, self.places)


def house(middle: Point, garden_door: bool, rng: np.random.Generator) -> Furnished:
    """Return a house of two rooms with tables, a shelf, a sofa, boxes, and a sideboard whose fronts come open.

    Args:
        middle: of the house, m.
        garden_door: whether its east wall has a doorway.
        rng: of the variation.
    """
    x, y = middle
    standing = [
        plain(f"house_wall_{i}", "wall", (length, width, WALL_M), (x + wx, y + wy, WALL_M / 2.0), WALL_COLOUR, rng)
        for i, (wx, wy, length, width) in enumerate(_walls(garden_door))
    ]
    for i, (tx, ty, yaw) in enumerate(((-2.6, -0.6, 0.0), (2.3, -0.7, 0.5 * math.pi))):
        turn = yaw + float(rng.uniform(-0.2, 0.2))
        standing.append(furnish(f"table_{i}", "station", (x + tx, y + ty, 0.0), turn, rng, scale=1.0))
    standing.append(furnish("bookshelf", "shelf", (x - 2.6, y + 3.08, 0.0), 0.0, rng, scale=0.8))
    standing.append(plain("sofa", "station", (1.7, 0.7, 0.6), (x + 2.6, y + 2.95, 0.3), SOFA_COLOUR, rng))
    for i, (bx, by) in enumerate(((-4.0, -3.0), (4.0, -1.7))):
        turn = float(rng.uniform(-0.6, 0.6))
        standing.append(furnish(f"box_{i}", "crate", (x + bx, y + by, 0.0005), turn, rng))
    sideboard, leaves = _sideboard((x + 0.9, y - 3.15), rng)
    places = tuple((x + px, y + py) for px, py in HOUSE_PLACES)
    return Furnished((*standing, sideboard), places, leaves)


def _walls(garden_door: bool) -> list[tuple[float, float, float, float]]:
    """Return middle and edges of each wall, from the middle of the house."""
    (hx, hy), t, gap = HOUSE_HALF_M, WALL_THICK_M, DOORWAY_M / 2.0
    piece = hy - gap
    parted = [(0.0, side * (gap + piece / 2.0), t, piece) for side in (-1.0, 1.0)]
    walls = [(0.0, hy, 2.0 * hx + t, t), (0.0, -hy, 2.0 * hx + t, t), (-hx, 0.0, t, 2.0 * hy), *parted]
    east = [(hx, wy, length, width) for _, wy, length, width in parted]
    return walls + (east if garden_door else [(hx, 0.0, t, 2.0 * hy)])


def _sideboard(place: Point, rng: np.random.Generator) -> tuple[BodySpec, tuple[Leaf, ...]]:
    """Return a sideboard, and its door and drawer, which somebody left ajar: they come open at a drawn time."""
    x, y = place
    body = plain("sideboard", "station", (1.3, 0.4, 0.5), (x, y, 0.25), WOOD_COLOUR, rng)
    mounts = (Mount("hinge", (0.0, 0.0, 1.0), (-0.5 * FRONT_M[0], 0.0, 0.0)), Mount("slider", (0.0, 1.0, 0.0)))
    leaves = []
    for i, (mount, stop) in enumerate(zip(mounts, (1.3, 0.35), strict=True)):
        spec = BodySpec(
            name=f"front_{i}", kind="door", extent_m=FRONT_M, position=(x + (2 * i - 1) * 0.32, y + 0.24, 0.27),
            mass_kg=float(rng.uniform(1.0, 2.0)), colour=FRONT_COLOUR, joint_damping_nms=(0.4, 6.0)[i],
            appearance=worn(tinted(appearance("door"), FRONT_COLOUR), rng), mount=mount,
        )  # fmt: skip
        start = float(rng.uniform(1.0, 8.0))
        push = LeafPush((0.0, float(rng.uniform(3.0, 6.0)), 0.0), start, start + float(rng.uniform(0.5, 1.5)))
        leaves.append(Leaf(body.name, spec, (push,), 0.0, stop))
    return body, tuple(leaves)


def park(middle: Point, rng: np.random.Generator) -> Furnished:
    """Return a park with benches and trees about `middle`."""
    x, y = middle
    standing = [
        plain(f"bench_{i}", "station", (1.5, 0.45, 0.45), (x + bx, y + by, 0.225), BENCH_COLOUR, rng)
        for i, (bx, by) in enumerate(((0.0, 3.6), (0.0, -3.6)))
    ]
    for i, (tx, ty) in enumerate(((-3.0, 0.1), (3.0, -0.2), (0.1, 0.0), (-3.0, -3.3), (3.1, 3.2))):
        at = (x + tx + float(rng.uniform(-0.2, 0.2)), y + ty + float(rng.uniform(-0.2, 0.2)), 0.0)
        standing.append(furnish(f"tree_{i}", "pillar", at, 0.0, rng, scale=0.9))
    return Furnished(tuple(standing), tuple((x + px, y + py) for px, py in PARK_PLACES))


def leaf_drivers(furnished: Furnished) -> tuple[list[BodySpec], list[Driver]]:
    """Return bodies and driver of the fronts of furniture."""
    return [leaf.spec for leaf in furnished.leaves], [Leaves(furnished.leaves)]


def pet(kind: str, place: Point, plan: Floorplan, rng: np.random.Generator) -> tuple[BodySpec, Driver]:
    """Return a cat or a dog that is at home at `place`, and what drives it."""
    yaw = float(rng.uniform(-math.pi, math.pi))
    spec = furnish(kind, kind, (*place, 0.0), yaw, rng)
    made = Cat if kind == "cat" else Dog
    animal = made(spec.name, bulk_of(spec), Entry(place, (1.0, 0.0), 0.0), plan, rng)
    animal.settle_in()
    return spec, animal


def people(
    count: int, places: Sequence[Point], plan: Floorplan, rng: np.random.Generator
) -> tuple[list[BodySpec], list[Driver]]:
    """Return people who walk from place to place, the first ones of `places` being where they start."""
    specs, drivers = [], []
    for i in range(count):
        spec = furnish(f"person_{i}", "worker", (*places[i], 0.001), float(rng.uniform(-math.pi, math.pi)), rng)
        specs.append(spec)
        drivers.append(Worker(spec.name, bulk_of(spec), plan, tuple(places), float(rng.uniform(0.6, 1.1))))
    return specs, list(drivers)


def balls(count: int, places: Sequence[Point], rng: np.random.Generator) -> tuple[list[BodySpec], list[Driver]]:
    """Return balls that somebody kicked."""
    specs, impulses = [], {}
    for i in range(count):
        spec = furnish(f"ball_{i}", "ball", (*places[i], 0.0005), 0.0, rng)
        speed, angle = float(rng.uniform(0.5, 2.0)), float(rng.uniform(-math.pi, math.pi))
        impulses[spec.name] = (
            spec.mass_kg * speed * math.cos(angle),
            spec.mass_kg * speed * math.sin(angle),
            0.0,
        )
        specs.append(spec)
    return specs, [Launch(impulses)]
