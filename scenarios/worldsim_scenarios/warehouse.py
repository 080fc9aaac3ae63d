"""A robot carries parcels through a warehouse; at some time, something comes in that it may never have met."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from worldsim.contracts.scenario import Scenario
from worldsim.errors import ConfigurationError, UnknownNameError
from worldsim.simulation.drivers import Cat, Dog, Driver, Drone, Entry, Load, Robot, Thrown, Tug, Worker
from worldsim.simulation.floorplan import Floorplan, Point
from worldsim.simulation.scene import BodySpec, CameraSpec, SceneBuilder, Vector
from worldsim.simulation.task import REWARDS, Delivery, DeliveryTask
from worldsim.types.planning import Preferences, PreferredOutcome
from worldsim_assets import urdf_path
from worldsim_scenarios import warehouse_plan as plan
from worldsim_scenarios.stock import article, bulk_of, furnish, on_top, plain

if TYPE_CHECKING:
    from worldsim.contracts.physics import Physics
    from worldsim.types.record import StepRecord

# ---------------------------------------------------------------------- constants

INTRUDERS = ("cat", "dog", "ball", "trolley", "drone")
"""What may come in; the last is a kind that no registry holds."""
SETTLE_S = 0.75
ENCORE_STAY_S = 10.0
ENCORE_GAP_S = 16.0

# ---------------------------------------------------------------------- assets

WALL_COLOUR: Vector = (0.82, 0.82, 0.79)
FRAME_COLOUR: Vector = (0.25, 0.27, 0.30)
CURTAIN_COLOUR: Vector = (0.55, 0.72, 0.62)
ANNEX_COLOUR: Vector = (0.45, 0.46, 0.48)

# ---------------------------------------------------------------------- variation space

VARIATION: dict[str, tuple[float, float]] = {
    "parcel_yaw_rad": (-0.15, 0.15),
    "loose_yaw_rad": (-0.06, 0.06),
    "robot_start_distance_m": (2.5, 5.0),
    "worker_speed_m_s": (1.05, 1.35),
    "tug_speed_m_s": (0.7, 0.9),
    "ball_diameter_m": (0.25, 0.45),
    "ball_speed_m_s": (1.5, 3.0),
    "trolley_speed_m_s": (1.5, 2.1),
    "door_damping_nms": (1.5, 4.0),
}
"""Range of what is drawn evenly at each reset; sizes, masses, surfaces and tints vary as `stock` says."""


@dataclass(frozen=True)
class Warehouse(Scenario):
    """About 65 bodies, two workers, a tug, a swing door, deliveries, and one thing from outside.

    Attributes:
        intruder: one of `INTRUDERS`, ``auto`` (drawn from the seed) or ``none``.
        intruder_time_s: range of the time at which it comes in, s.
        duration_s: length of an episode, s.
        deliveries: how many, one after the other (1 to 3).
        encore: the intruder leaves again, and another of its kind comes in later, by the other gate.
        end_when_done: end the episode with the last delivery.
        reward: ``dense`` (the way, m; 10 for a delivery, less for what is touched) or ``sparse``.
    """

    intruder: str = "auto"
    intruder_time_s: tuple[float, float] = (6.0, 14.0)
    duration_s: float = 40.0
    deliveries: int = 1
    encore: bool = False
    end_when_done: bool = False
    reward: str = "dense"

    expert: ClassVar[str] = "carrier"
    scoring: ClassVar[Mapping[str, Any]] = MappingProxyType({"end_when_done": True})

    def __post_init__(self) -> None:
        """Check the fields.

        Raises:
            UnknownNameError: no such intruder or reward.
            ConfigurationError: a number cannot work.
        """
        if self.intruder not in (*INTRUDERS, "auto", "none"):
            raise UnknownNameError("intruder", self.intruder, (*INTRUDERS, "auto", "none"))
        if self.reward not in REWARDS:
            raise UnknownNameError("reward", self.reward, REWARDS)
        object.__setattr__(self, "intruder_time_s", tuple(float(t) for t in self.intruder_time_s))  # a list is fine too
        if len(self.intruder_time_s) != 2 or not 0.0 <= self.intruder_time_s[0] <= self.intruder_time_s[1]:
            raise ConfigurationError(f"Warehouse: intruder_time_s is {self.intruder_time_s}, expected 0 <= from <= to.")
        if not 1 <= self.deliveries <= 3:
            raise ConfigurationError(f"Warehouse: deliveries is {self.deliveries}, expected 1 to 3.")
        if not self.duration_s > 0.0:
            raise ConfigurationError(f"Warehouse: duration_s is {self.duration_s}, expected > 0.")

    # ------------------------------------------------------------------ build

    def build(self, physics: Physics, rng: np.random.Generator) -> None:
        """Put hall, goods, people, robot and intruder into `physics`."""
        if not isinstance(physics, SceneBuilder):
            raise ConfigurationError(f"Warehouse: {type(physics).__name__} cannot be furnished; it is no SceneBuilder.")
        bodies = [*_building(rng), *_goods(rng)]
        task, parcels = _parcels(rng, self.deliveries)
        solid = [b for b in (*bodies, *parcels) if b.kind != "door"]
        floorplan = _floorplan(solid)
        walkers = [_walker(i, start, rng) for i, start in enumerate(_worker_starts(rng))]
        tug, tug_driver = _tug(rng)
        keep_off = [(b.position[0], b.position[1]) for b in (*walkers, tug)]
        robot = _robot(rng, floorplan, plan.PICKUPS[task[0][0]], keep_off)
        surroundings = _surroundings()
        curtains = [b for b in surroundings if b.kind == "curtain"]
        tall = [b for b in solid if on_top(b) > 0.9]  # what stands in the way of what flies
        guests = self._guests(rng, _floorplan([*solid, *curtains]), _floorplan([*tall, *curtains]))
        for spec in surroundings:
            physics.add_body(spec, background=True)
        for spec in (robot, *bodies, *parcels, tug, *walkers, *(spec for spec, _ in guests)):
            physics.add_body(spec)
        loads = tuple(Load(p.name, bulk_of(p), p.extent_m) for p in parcels)
        physics.add_driver(Robot(robot.name, bulk_of(robot), robot.extent_m, loads))
        physics.add_driver(tug_driver)
        for walker in walkers:
            speed = _drawn(rng, "worker_speed_m_s")
            physics.add_driver(Worker(walker.name, bulk_of(walker), floorplan, plan.PLACES, speed))
        for _, driver in guests:
            physics.add_driver(driver)
        mast = plan.MAST_M - robot.position[2]
        physics.add_camera(CameraSpec("mast", (-0.18, 0.0, mast), plan.CAMERA_RANGE_M, robot.name))
        for i, position in enumerate(plan.CAMERAS):
            physics.add_camera(CameraSpec(f"ceiling_{i}", position, plan.CAMERA_RANGE_M))
        orders = tuple(Delivery(f"parcel_{i}", (*plan.DROP_OFFS[to], 0.15)) for i, (_, to) in enumerate(task))
        physics.settle(SETTLE_S)
        physics.set_task(DeliveryTask(robot.name, orders, self.end_when_done, reward=self.reward), robot.name)

    def _guests(self, rng: np.random.Generator, low: Floorplan, high: Floorplan) -> list[tuple[BodySpec, Driver]]:
        """Return the intruders and their drivers; draws the same numbers whatever comes in."""
        kind = INTRUDERS[int(rng.integers(len(INTRUDERS)))]
        gates = [sorted(plan.GATES)[i] for i in rng.permutation(len(plan.GATES))]
        at_s = float(rng.uniform(*self.intruder_time_s))
        seeds = rng.spawn(2)
        if self.intruder == "none":
            return []
        kind = kind if self.intruder == "auto" else self.intruder
        guests = []
        for visit in range(2 if self.encore else 1):
            gate, inward = plan.GATES[gates[visit]]
            stay = ENCORE_STAY_S if self.encore and visit == 0 else None
            entry = Entry(gate, inward, at_s + visit * (ENCORE_STAY_S + ENCORE_GAP_S), stay)
            name = "intruder" if visit == 0 else f"intruder_{visit + 1}"
            guests.append(_guest(name, kind, entry, high if kind == "drone" else low, seeds[visit]))
        return guests

    # ------------------------------------------------------------------ preferences

    def preferences(self) -> Preferences:
        """Return what the robot's agent is asked to want: the parcel where it is to go, and half a metre of room."""
        deliver = PreferredOutcome("deliver", "object", "goal", scale_m=0.3)
        return Preferences(goal_position=None, goal_tolerance_m=0.25, clearance_m=0.5, outcomes=(deliver,))

    # ------------------------------------------------------------------ is over

    def is_over(self, record: StepRecord) -> bool:
        """Return whether the time is up."""
        return record.time_s >= self.duration_s


def _drawn(rng: np.random.Generator, name: str) -> float:
    return float(rng.uniform(*VARIATION[name]))


def _building(rng: np.random.Generator) -> list[BodySpec]:
    height = plan.WALL_HEIGHT
    bodies = [
        plain(f"wall_{i}", "wall", (length, width, height), (x, y, height / 2.0), WALL_COLOUR, rng)
        for i, (x, y, length, width) in enumerate(plan.WALLS)
    ]
    bodies += [
        plain(f"door_frame_{i}", "door_frame", (0.12, 0.12, 2.1), (x, y, 1.05), FRAME_COLOUR, rng)
        for i, (x, y) in enumerate(plan.DOOR_FRAMES)
    ]
    for i, (x, y, yaw) in enumerate(plan.SHELVES):
        bodies.append(furnish(f"shelf_{i}", "shelf", (x, y, 0.0), yaw, rng, scale=1.0))
    for i, (x, y) in enumerate(plan.PILLARS):
        bodies.append(furnish(f"pillar_{i}", "pillar", (x, y, 0.0), 0.0, rng, scale=1.0))
    for name, (x, y, yaw) in plan.STATIONS.items():
        bodies.append(furnish(f"station_{name}", "station", (x, y, 0.0), yaw, rng, scale=1.0))
    leaf = furnish("door", "door", (*plan.DOOR, 0.01), 0.0, rng, scale=1.0)
    bodies.append(replace(leaf, part="leaf", joint_damping_nms=_drawn(rng, "door_damping_nms")))
    return bodies


def _goods(rng: np.random.Generator) -> list[BodySpec]:
    bodies: list[BodySpec] = []
    crates = 0
    for i, (x, y, yaw, count) in enumerate(plan.PALLETS):
        pallet = furnish(f"pallet_{i}", "pallet", (x, y, 0.0005), yaw + _drawn(rng, "loose_yaw_rad"), rng)
        bodies.append(pallet)
        columns = [(x + side * 0.3 * math.cos(yaw), y + side * 0.3 * math.sin(yaw)) for side in (-1.0, 1.0)]
        for column, (cx, cy) in enumerate(columns):
            below = pallet
            for _ in range((count + 1 - column) // 2):
                below = _crate(crates, (cx, cy, on_top(below)), yaw + plan.QUARTER, rng)
                bodies.append(below)
                crates += 1
    for x, y, count in plan.FLOOR_STACKS:
        height = 0.0005
        for _ in range(count):
            crate = _crate(crates, (x, y, height), 0.0, rng)
            bodies.append(crate)
            height, crates = on_top(crate), crates + 1
    for i, (x, y) in enumerate(plan.BARRELS):
        bodies.append(furnish(f"barrel_{i}", "barrel", (x, y, 0.0005), float(rng.uniform(-3.0, 3.0)), rng))
    return bodies


def _crate(number: int, position: Vector, yaw_rad: float, rng: np.random.Generator) -> BodySpec:
    return furnish(f"crate_{number}", "crate", position, yaw_rad + _drawn(rng, "loose_yaw_rad"), rng)


def _parcels(rng: np.random.Generator, deliveries: int) -> tuple[list[tuple[str, str]], list[BodySpec]]:
    """Return the orders (from, to) and three parcels; the first ones are to be delivered, from different stations."""
    orders: list[tuple[str, str]] = []
    while len(orders) < deliveries:
        used = {start for start, _ in orders}
        ends = {end for _, end in orders}
        free = [r for r in plan.ROUTES if r[0] not in used and r[1] not in ends]
        if free:
            orders.append(free[int(rng.integers(len(free)))])
        else:  # those that were drawn leave no other
            orders = []
    spare = [name for name in plan.PICKUPS if name not in {start for start, _ in orders}]
    starts = [start for start, _ in orders] + spare
    parcels = []
    for i, start in enumerate(starts[:3]):
        yaw = _drawn(rng, "parcel_yaw_rad")
        parcels.append(furnish(f"parcel_{i}", "parcel", (*plan.PICKUPS[start], 0.0005), yaw, rng))
    return orders, parcels


def _worker_starts(rng: np.random.Generator) -> list[Point]:
    west, east = ((-6.8, -4.4), (-2.0, -4.4)), ((7.2, 1.5), (7.2, 5.3), (6.5, -2.5))
    return [west[int(rng.integers(len(west)))], east[int(rng.integers(len(east)))]]


def _walker(number: int, start: Point, rng: np.random.Generator) -> BodySpec:
    return furnish(f"worker_{number}", "worker", (*start, 0.001), float(rng.uniform(-3.0, 3.0)), rng)


def _tug(rng: np.random.Generator) -> tuple[BodySpec, Driver]:
    corner = int(rng.integers(len(plan.TUG_LOOP)))
    here, there = plan.TUG_LOOP[corner], plan.TUG_LOOP[(corner + 1) % len(plan.TUG_LOOP)]
    share = float(rng.uniform(0.1, 0.6))
    x, y = here[0] + share * (there[0] - here[0]), here[1] + share * (there[1] - here[1])
    spec = furnish("agv", "agv", (x, y, 0.001), math.atan2(there[1] - here[1], there[0] - here[0]), rng)
    driver = Tug(spec.name, bulk_of(spec), spec.extent_m, plan.TUG_LOOP, _drawn(rng, "tug_speed_m_s"))
    driver.goal = (corner + 1) % len(plan.TUG_LOOP)
    return spec, driver


def _robot(rng: np.random.Generator, floorplan: Floorplan, pickup: Point, keep_off: list[Point]) -> BodySpec:
    """Return the robot at a free place some metres from the first parcel, away from gates and from what moves."""
    low, high = VARIATION["robot_start_distance_m"]
    keep_off = [*keep_off, *(gate for gate, _ in plan.GATES.values())]
    for _ in range(1000):
        angle, distance = rng.uniform(-math.pi, math.pi), rng.uniform(low, high)
        place = (pickup[0] + distance * math.cos(angle), pickup[1] + distance * math.sin(angle))
        inside = abs(place[0]) < plan.HALL[0] / 2.0 and abs(place[1]) < plan.HALL[1] / 2.0
        inside &= place[0] < plan.OFFICE[0] or place[1] < plan.OFFICE[1]  # the robot does not push the door open
        if inside and floorplan.clearance(place) > 0.8 and min(math.dist(place, other) for other in keep_off) > 2.2:
            yaw = math.atan2(pickup[1] - place[1], pickup[0] - place[0]) + rng.uniform(-0.8, 0.8)
            return furnish("robot", "robot", (*place, 0.001), float(yaw), rng, scale=1.0)
    raise ConfigurationError(f"Warehouse: no free place for the robot within {high} m of {pickup}.")


def _guest(
    name: str, kind: str, entry: Entry, floorplan: Floorplan, rng: np.random.Generator
) -> tuple[BodySpec, Driver]:
    """Return an intruder behind its gate, and what drives it."""
    x, y = entry.ahead(-1.4)
    yaw = math.atan2(entry.inward[1], entry.inward[0])
    scale = _drawn(rng, "ball_diameter_m") / article("ball").extent_m[0] if kind == "ball" else None
    spec = furnish(name, kind, (x, y, 0.0), yaw, rng, scale=scale)
    bulk = bulk_of(spec)
    if kind == "cat":
        return spec, Cat(name, bulk, entry, floorplan, rng)
    if kind == "dog":
        return spec, Dog(name, bulk, entry, floorplan, rng)
    if kind == "drone":
        return spec, Drone(name, bulk, entry, floorplan, rng)
    if kind == "ball":
        return spec, Thrown(name, bulk, entry, floorplan, _drawn(rng, "ball_speed_m_s"), spec.extent_m[0] / 2.0, 0.1)
    return spec, Thrown(name, bulk, entry, floorplan, _drawn(rng, "trolley_speed_m_s"), None, 0.3)


def _floorplan(bodies: list[BodySpec]) -> Floorplan:
    boxes = []
    for body in bodies:
        yaw = 2.0 * math.atan2(body.orientation_xyzw[2], body.orientation_xyzw[3])
        boxes.append((body.position[0], body.position[1], body.extent_m[0], body.extent_m[1], yaw))
    return Floorplan.of_boxes(boxes, plan.PLACES)


def _surroundings() -> list[BodySpec]:
    """Return what is not an object: the floor, the curtains, and the rooms behind the gates."""
    floor = BodySpec("floor", "floor", (30.0, 18.0, 1.0), (0.0, 0.0, -0.5), urdf=urdf_path("floor"), friction=1.0,
                     restitution=1.0)  # fmt: skip
    found = [floor]
    half, thick, height = plan.GATE_WIDTH / 2.0, plan.WALL_THICKNESS, plan.WALL_HEIGHT
    for name, ((x, y), (inward, _)) in plan.GATES.items():
        outer = x - inward * (thick / 2.0 + plan.ANNEX_DEPTH)
        middle = x - inward * (thick + plan.ANNEX_DEPTH) / 2.0
        parts = {
            "back": ((thick, 2.0 * half + 2.0 * thick, height), (outer - inward * thick / 2.0, y, height / 2.0)),
            "left": ((plan.ANNEX_DEPTH, thick, height), (middle, y + half + thick / 2.0, height / 2.0)),
            "right": ((plan.ANNEX_DEPTH, thick, height), (middle, y - half - thick / 2.0, height / 2.0)),
            "roof": ((plan.ANNEX_DEPTH, 2.0 * half, thick), (middle, y, height - thick / 2.0)),
        }
        for part, (edges, at) in parts.items():
            found.append(BodySpec(f"annex_{name}_{part}", "annex", edges, at, colour=ANNEX_COLOUR, restitution=1.0))
        edges, at = (0.04, 2.0 * half, height), (x, y, height / 2.0)
        curtain = BodySpec(f"curtain_{name}", "curtain", edges, at, colour=CURTAIN_COLOUR, solid=False)
        found.append(curtain)
    return found
