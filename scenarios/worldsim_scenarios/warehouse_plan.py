"""Where things stand in the warehouse: x to the east, y to the north, metres, the origin in the middle of the hall."""

from __future__ import annotations

import math

from worldsim.simulation.floorplan import Point

HALL: Point = (20.0, 14.0)
WALL_HEIGHT = 3.0
WALL_THICKNESS = 0.2
QUARTER = math.pi / 2.0

GATES: dict[str, tuple[Point, Point]] = {"east": ((10.1, -1.0), (-1.0, 0.0)), "west": ((-10.1, 0.0), (1.0, 0.0))}
"""Middle of each gate and the direction into the hall."""
GATE_WIDTH = 2.0
ANNEX_DEPTH = 3.2

WALLS: tuple[tuple[float, float, float, float], ...] = (
    (0.0, 7.1, 20.4, 0.2),
    (0.0, -7.1, 20.4, 0.2),
    (10.1, 3.5, 0.2, 7.0),
    (10.1, -4.5, 0.2, 5.0),
    (-10.1, 4.0, 0.2, 6.0),
    (-10.1, -4.0, 0.2, 6.0),
    (5.45, 5.4, 0.1, 3.2),
    (5.89, 3.85, 0.98, 0.1),
    (9.02, 3.85, 1.96, 0.1),
)
"""Middle and edges of each wall: the hall's four sides (two of them parted by a gate), and the office."""

OFFICE: Point = (5.4, 3.8)
"""Corner of the office, which reaches from here to the hall's north-east corner, behind the swing door."""

DOOR_FRAMES: tuple[Point, ...] = ((6.44, 3.85), (7.98, 3.85))
DOOR: Point = (7.21, 3.85)

SHELVES: tuple[tuple[float, float, float], ...] = (
    *((x, 6.6, 0.0) for x in (-6.0, -3.5, -1.0)),
    *((x, -6.6, 0.0) for x in (-3.5, -1.0, 1.5)),
    *((x, y, 0.0) for y in (2.6, -2.4) for x in (-3.75, -1.25)),
)
PILLARS: tuple[Point, ...] = ((0.27, 2.6), (0.27, -2.4), (-5.27, 2.6), (-5.27, -2.4))

STATIONS: dict[str, tuple[float, float, float]] = {
    "a": (-9.3, 4.6, QUARTER),
    "b": (-9.3, -4.6, QUARTER),
    "c": (9.3, -4.8, QUARTER),
    "d": (3.2, 6.55, 0.0),
}
"""x, y and yaw of each station."""
PICKUPS: dict[str, Point] = {"a": (-8.1, 5.2), "b": (-8.1, -5.2), "c": (8.1, -5.4), "d": (2.5, 5.3)}
DROP_OFFS: dict[str, Point] = {"a": (-8.1, 3.9), "b": (-8.1, -3.9), "c": (8.1, -4.1), "d": (3.9, 5.3)}
ROUTES: tuple[tuple[str, str], ...] = (("a", "b"), ("b", "a"), ("a", "d"), ("d", "a"), ("c", "d"), ("d", "c"))
"""Which station delivers to which."""

PALLETS: tuple[tuple[float, float, float, int], ...] = (
    (4.4, -6.25, 0.0, 4),
    (6.2, -6.25, 0.0, 4),
    (-6.4, -6.3, 0.0, 3),
    (-9.3, 1.9, QUARTER, 3),
    (9.3, 2.2, QUARTER, 2),
)
"""x, y, yaw and number of crates of each pallet."""
FLOOR_STACKS: tuple[tuple[float, float, int], ...] = ((-9.4, -2.2, 2),)
BARRELS: tuple[Point, ...] = ((9.4, -6.4), (8.7, -6.5), (-9.4, -6.4), (-9.4, 6.4))

TUG_LOOP: tuple[Point, ...] = ((-6.3, 4.5), (1.5, 4.5), (1.5, 0.7), (-6.3, 0.7))

PLACES: tuple[Point, ...] = (
    (-2.0, 0.0),
    (-6.8, 0.0),
    (3.0, 0.0),
    (6.5, -2.5),
    (7.2, 1.5),
    (3.0, -4.4),
    (-2.0, -4.4),
    (-6.8, -4.4),
    (-6.8, 4.0),
    (-2.0, 4.6),
    (3.0, 3.6),
    (7.2, 2.8),
    (7.2, 5.3),
)
"""Free places that people walk to."""

CAMERAS: tuple[tuple[float, float, float], ...] = ((-5.0, 0.0, 5.0), (5.0, 0.0, 5.0))
CAMERA_RANGE_M = 15.0
MAST_M = 1.4
