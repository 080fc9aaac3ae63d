"""What scenarios are furnished with: the shipped assets with sizes, masses and surfaces, and how instances vary."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from worldsim.errors import UnknownNameError
from worldsim.simulation.drivers import Bulk, Robot
from worldsim.simulation.scene import BodySpec, CameraSpec, Cavity, SceneBuilder, Vector, yaw_quaternion
from worldsim_assets import appearance, urdf_path

BALL_COLOURS: tuple[Vector, ...] = ((0.85, 0.35, 0.25), (0.25, 0.55, 0.85), (0.35, 0.70, 0.40), (0.90, 0.75, 0.25))

SIZE_VARIATION = 0.03
"""Largest relative deviation of an instance's size from the nominal one."""
MASS_VARIATION = 0.15
"""Largest relative deviation of its mass."""
FRICTION_VARIATION = 0.15
"""Largest relative deviation of its friction."""
TINT_VARIATION = 0.05
"""Largest relative deviation of each colour channel."""
LOOK_VARIATION = 0.015
"""Standard deviation of the rest of the descriptor between instances (wear, dirt, labels)."""
MAST_M = 1.4
"""Height of the camera on the robot's mast."""


@dataclass(frozen=True, slots=True)
class Stock:
    """One article: nominal edges (m), mass (kg, 0 for what never moves), surface."""

    extent_m: Vector
    mass_kg: float = 0.0
    friction: float = 1.0
    restitution: float = 1.0
    rolling_friction: float = 0.0


# What never moves has friction and restitution 1: Bullet multiplies the two surfaces' values, so that a body's own
# numbers hold against all of it. What drives or walks has slippery feet, since its driver pushes it.
STOCK: dict[str, Stock] = {
    "shelf": Stock((2.4, 0.6, 2.2)),
    "pillar": Stock((0.4, 0.4, 3.0)),
    "station": Stock((0.9, 0.6, 0.5)),
    "bench": Stock((1.1, 0.7, 0.5), restitution=0.0),
    "door": Stock((1.4, 0.06, 2.0), 25.0, 0.3, 0.3),
    "pallet": Stock((1.2, 0.8, 0.144), 20.0, 0.6, 0.10),
    "crate": Stock((0.5, 0.4, 0.35), 12.0, 0.7, 0.15),
    "open_crate": Stock((0.60, 0.45, 0.34), 6.0, 0.7, 0.10),
    "parcel": Stock((0.35, 0.35, 0.30), 4.0, 0.6, 0.10),
    "barrel": Stock((0.58, 0.58, 0.88), 25.0, 0.5, 0.30),
    "robot": Stock((0.70, 0.50, 0.30), 60.0, 0.02, 0.10),
    "agv": Stock((1.2, 0.8, 0.5), 150.0, 0.02, 0.10),
    "worker": Stock((0.45, 0.55, 1.75), 75.0, 0.02, 0.05),
    "cat": Stock((0.45, 0.16, 0.30), 4.5, 0.02, 0.05),
    "dog": Stock((0.80, 0.26, 0.60), 25.0, 0.02, 0.05),
    "ball": Stock((0.32, 0.32, 0.32), 0.6, 0.6, 0.70, 0.0015),
    "trolley": Stock((0.90, 0.55, 1.00), 35.0, 0.032, 0.25),
    "t_block": Stock((1.2, 1.2, 0.25), 8.0, 0.4, 0.05),
    "drone": Stock((0.50, 0.50, 0.18), 1.4, 0.3, 0.2),
}


def article(kind: str) -> Stock:
    """Return the nominal article of `kind`.

    Raises:
        UnknownNameError: no such article.
    """
    if kind not in STOCK:
        raise UnknownNameError("article", kind, STOCK)
    return STOCK[kind]


def furnish(
    name: str,
    kind: str,
    position: Vector,
    yaw_rad: float,
    rng: np.random.Generator,
    scale: float | None = None,
) -> BodySpec:
    """Return an instance of `kind` that stands on height ``position[2]``, varied a little by `rng`.

    Args:
        name: unique name.
        kind: a key of `STOCK`, and the name of a shipped asset.
        position: x and y of the middle, z of the underside, m.
        yaw_rad: heading.
        rng: of the variation.
        scale: of the size, instead of a drawn one.
    """
    nominal = article(kind)
    size = float(scale if scale is not None else 1.0 + rng.uniform(-SIZE_VARIATION, SIZE_VARIATION))
    mass = nominal.mass_kg * size**3 * (1.0 + rng.uniform(-MASS_VARIATION, MASS_VARIATION))
    friction = nominal.friction
    if nominal.mass_kg > 0.0:
        friction *= 1.0 + rng.uniform(-FRICTION_VARIATION, FRICTION_VARIATION)
    tint = 1.0 + rng.uniform(-TINT_VARIATION, TINT_VARIATION, size=3)
    colour = (float(tint[0]), float(tint[1]), float(tint[2]))
    x, y, z = nominal.extent_m
    extent = (x * size, y * size, z * size)
    return BodySpec(
        name=name,
        kind=kind,
        extent_m=extent,
        position=(position[0], position[1], position[2] + extent[2] / 2.0),
        orientation_xyzw=yaw_quaternion(yaw_rad),
        mass_kg=float(mass),
        urdf=urdf_path(kind),
        scale=size,
        colour=colour,
        friction=float(friction),
        restitution=nominal.restitution,
        rolling_friction=nominal.rolling_friction * size,
        appearance=worn(tinted(appearance(kind), colour), rng),
    )


CRATE_FLOOR_M, CRATE_WALL_M = 0.02, 0.015
"""Of the open crate at scale 1; its room inside is what they leave."""


def open_crate(name: str, at: Vector, yaw_rad: float, rng: np.random.Generator, scale: float) -> BodySpec:
    """Return an open crate that stands at `at`, with its room; who sees its box takes it for a crate."""
    spec = furnish(name, "open_crate", at, yaw_rad, rng, scale=scale)
    x, y, z = spec.extent_m
    wall, bottom = 2.0 * CRATE_WALL_M * scale, CRATE_FLOOR_M * scale
    return replace(spec, kind="crate", cavity=Cavity((0.0, 0.0, 0.5 * bottom), (x - wall, y - wall, z - bottom)))


def plain(
    name: str, kind: str, extent_m: Vector, position: Vector, colour: Vector, rng: np.random.Generator
) -> BodySpec:
    """Return a coloured box that never moves, with the look `kind`; `position` is its middle."""
    return BodySpec(
        name=name,
        kind=kind,
        extent_m=extent_m,
        position=position,
        colour=colour,
        friction=1.0,
        restitution=1.0,
        appearance=worn(appearance(kind), rng),
    )


def worn(look: tuple[float, ...], rng: np.random.Generator) -> tuple[float, ...]:
    """Return the descriptor of one instance of a look: its shape statistics differ a little."""
    noise = LOOK_VARIATION * rng.standard_normal(len(look))
    return tuple([float(value + change) for value, change in zip(look, noise, strict=True)])


def tinted(appearance: tuple[float, ...], tint: tuple[float, float, float]) -> tuple[float, ...]:
    """Return the descriptor of the same thing under a tint: light is linear, so colour statistics scale with it."""
    scaled = [value * factor for value, factor in zip(appearance[:6], (*tint, *tint), strict=True)]
    return (*(min(1.0, value) for value in scaled), *appearance[6:])


def smooth_ball(
    number: int, place: Float[np.ndarray, "2"], diameter_m: float, mass_kg: float, rng: np.random.Generator
) -> BodySpec:
    """Return a bouncing ball without friction on the floor: what forces between pairs move.

    Args:
        number: gives its name and its colour.
        place: of its centre on the floor, m.
        diameter_m, mass_kg: of it.
        rng: of its look.
    """
    colour = BALL_COLOURS[number % len(BALL_COLOURS)]
    return BodySpec(
        name=f"ball_{number}",
        kind="ball",
        extent_m=(diameter_m, diameter_m, diameter_m),
        position=(float(place[0]), float(place[1]), diameter_m / 2.0),
        mass_kg=mass_kg,
        shape="sphere",
        colour=colour,
        friction=0.0,
        restitution=0.9,
        appearance=worn(tinted(appearance("ball"), colour), rng),
    )


def bulk_of(spec: BodySpec) -> Bulk:
    """Return mass and inertia of a body, as its driver needs them."""
    return Bulk.of_box(spec.mass_kg, spec.extent_m)


def on_top(spec: BodySpec, gap_m: float = 0.0005) -> float:
    """Return the height at which something may be put on `spec`."""
    return spec.position[2] + spec.extent_m[2] / 2.0 + gap_m


def places_apart(
    count: int, half_m: tuple[float, float], gap_m: float, rng: np.random.Generator
) -> Float[np.ndarray, "N 2"]:
    """Return N places on a rectangle about the origin: a shaken grid, places `gap_m` apart where there is room.

    Args:
        count: N.
        half_m: half the edges of the rectangle.
        gap_m: between two places.
        rng: draws cells and places in them.
    """
    half = np.asarray(half_m)
    columns, rows = (math.ceil(math.sqrt(count * ratio)) for ratio in (half[0] / half[1], half[1] / half[0]))
    pitch = 2.0 * half / (columns, rows)
    cells = rng.permutation(columns * rows)[:count]
    middle = (np.stack([cells % columns, cells // columns], axis=1) + 0.5) * pitch - half
    room = 0.5 * np.maximum(pitch - gap_m, 0.0)
    return np.asarray(middle + rng.uniform(-room, room, size=(count, 2)))


def fence(
    half_m: tuple[float, float],
    height_m: float,
    colour: Vector,
    rng: np.random.Generator,
    friction: float = 1.0,
    restitution: float = 1.0,
) -> list[BodySpec]:
    """Return four walls about the rectangle of half edges `half_m`, of that friction and restitution."""
    (x, y), thick = half_m, 0.1
    out_x, out_y, middle = x + thick / 2.0, y + thick / 2.0, height_m / 2.0
    parts = {
        "east": ((thick, 2.0 * y + 2.0 * thick, height_m), (out_x, 0.0, middle)),
        "west": ((thick, 2.0 * y + 2.0 * thick, height_m), (-out_x, 0.0, middle)),
        "north": ((2.0 * x, thick, height_m), (0.0, out_y, middle)),
        "south": ((2.0 * x, thick, height_m), (0.0, -out_y, middle)),
    }
    walls = [plain(f"fence_{name}", "wall", edges, at, colour, rng) for name, (edges, at) in parts.items()]
    return [replace(wall, friction=friction, restitution=restitution) for wall in walls]


def floor(edge_m: float) -> BodySpec:
    """Return a square floor whose top is at height 0; bodies' own friction holds against it, and nothing bounces."""
    return BodySpec(
        name="floor",
        kind="floor",
        extent_m=(edge_m, edge_m, 1.0),
        position=(0.0, 0.0, -0.5),
        colour=(0.62, 0.64, 0.66),
        friction=1.0,
        restitution=0.0,
    )


def onlooker(y_m: float, rng: np.random.Generator) -> BodySpec:
    """Return the robot at (0, y_m), facing north: it watches, and nothing is asked of it."""
    return furnish("robot", "robot", (0.0, y_m, 0.001), 0.5 * math.pi, rng, scale=1.0)


def let_watch(physics: SceneBuilder, robot: BodySpec, range_m: float) -> None:
    """Give `robot` its driver and the camera on its mast, and no task."""
    physics.add_driver(Robot(robot.name, bulk_of(robot), robot.extent_m))
    physics.add_camera(CameraSpec("mast", (-0.18, 0.0, MAST_M - robot.position[2]), range_m, robot.name))
    physics.set_task(None, robot.name)


PARTS = ("all", "train", "held_out")
"""Parts of a variation space: the whole of each range, or the halves that training and scoring may use."""


def drawn(rng: np.random.Generator, space: Mapping[str, tuple[float, float]], name: str, part: str = "all") -> float:
    """Return an even draw from the range `name` of a variation space.

    The held-out part is the middle half of each range and the train part the two outer quarters, so that what is held
    out lies between what was trained on, never beyond it. Every part draws once, so that all parts of one seed differ
    in this number alone.

    Args:
        rng: draws.
        space: name -> range.
        name: of the range.
        part: one of `PARTS`.

    Raises:
        UnknownNameError: no such part.
    """
    if part not in PARTS:
        raise UnknownNameError("part of the variation", part, PARTS)
    low, high = space[name]
    at = float(rng.random())
    if part == "held_out":
        at = 0.25 + 0.5 * at
    elif part == "train":
        at = 0.5 * at if at < 0.5 else 0.5 + 0.5 * at
    return low + (high - low) * at
