"""Open crates with things inside that are carried and pushed about, while things are put in and taken out."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from worldsim.contracts.scenario import Scenario
from worldsim.errors import ConfigurationError
from worldsim.simulation.drivers import Hoist, Push, Pushes, Trip
from worldsim.simulation.scene import BodySpec, CameraSpec, SceneBuilder, Vector
from worldsim.types.planning import Preferences
from worldsim_scenarios.stock import bulk_of, floor, furnish, let_watch, on_top, onlooker, open_crate

if TYPE_CHECKING:
    from worldsim.contracts.physics import Physics
    from worldsim.types.record import StepRecord

# ---------------------------------------------------------------------- constants

MOST_CONTAINERS = 9
MOST_CONTENTS = 4
LANE_M = 2.3
"""Width of the strip of ground that a container has to itself."""
REACH_M = 0.8
"""A carried crate goes from so far before the middle of its lane to so far behind it, over what lies there."""
BESIDE_M = 0.64
"""From the middle of a crate to that of what lies beside it."""
ASIDE_M = 0.75
"""From the middle of a pallet to that of what lies on the ground beside it."""
RIM_M = 0.42
"""How far above a crate's floor something is carried over its rim."""
DROP_M = 0.02
"""Height over its place at which what is put down is let go."""
MOST_PUSH_N = 450.0
SETTLE_S = 1.0
YARD_M = 2.0
"""Width of the strip beside the lanes where the robot stands."""
CAMERA_HEIGHT_M = 4.5
CAMERA_RANGE_M = 60.0

# ---------------------------------------------------------------------- assets

CONTENTS = ("parcel", "parcel", "ball")
"""What a small thing is drawn from."""
NOMINAL_M = {"parcel": 0.35, "ball": 0.32}
MOVES = ("carried", "pushed", "still")
"""What becomes of a crate, in turn: lifted and carried over; pushed to and fro on a pallet; left where it is."""

# ---------------------------------------------------------------------- variation space

VARIATION: dict[str, tuple[float, float]] = {
    "crate_size": (0.9, 1.15),
    "content_m": (0.09, 0.14),
    "turn_rad": (-0.3, 0.3),
    "shift_m": (-0.015, 0.015),
    "carry_s": (3.2, 4.0),
    "carry_m_s": (0.5, 0.9),
    "lift_m": (0.45, 0.7),
    "push_s": (3.2, 4.0),
    "push_m_s": (0.3, 0.6),
    "push_m": (0.3, 0.6),
    "early_s": (0.3, 0.8),
    "hand_m_s": (0.6, 1.0),
}
"""Range of what is drawn evenly at each reset; a crate has from 0 to `Containers.contents` things in it."""


@dataclass(frozen=True)
class Containers(Scenario):
    """Crates in lanes; each has contents, and things that lie beside it, in its way, or under a bench.

    Attributes:
        containers: how many crates, 1 to 9.
        contents: most things in a crate at the start, 1 to 4.
        put_in: things that are lifted into a crate, no more than crates.
        taken_out: things that are lifted out of another crate; with `put_in` no more than crates.
        benches: 0 or 1: a bench with a thing on it and others under it.
        duration_s: length of an episode, s.
    """

    containers: int = 4
    contents: int = 3
    put_in: int = 2
    taken_out: int = 2
    benches: int = 1
    duration_s: float = 10.0

    def __post_init__(self) -> None:
        """Check the fields.

        Raises:
            ConfigurationError: a number cannot work.
        """
        if not 1 <= self.containers <= MOST_CONTAINERS:
            raise ConfigurationError(f"Containers: containers is {self.containers}, expected 1 to {MOST_CONTAINERS}.")
        if not 1 <= self.contents <= MOST_CONTENTS:
            raise ConfigurationError(f"Containers: contents is {self.contents}, expected 1 to {MOST_CONTENTS}.")
        if min(self.put_in, self.taken_out) < 0 or self.put_in + self.taken_out > self.containers:
            raise ConfigurationError(
                f"Containers: put_in is {self.put_in} and taken_out is {self.taken_out}, expected numbers >= 0 that "
                f"are together no more than containers ({self.containers})."
            )
        if self.benches not in (0, 1) or not self.duration_s > 0.0:
            raise ConfigurationError("Containers: expected benches 0 or 1, and duration_s > 0.")

    # ------------------------------------------------------------------ build

    def build(self, physics: Physics, rng: np.random.Generator) -> None:
        """Put floor, crates, contents, hoists, hands and the watching robot into `physics`."""
        if not isinstance(physics, SceneBuilder):
            raise ConfigurationError(
                f"Containers: {type(physics).__name__} cannot be furnished; it is no SceneBuilder."
            )
        half = 0.5 * LANE_M * (self.containers + self.benches)
        order = [int(i) for i in rng.permutation(self.containers)]
        filled, emptied = order[: self.put_in], order[self.put_in : self.put_in + self.taken_out]
        lanes = []
        for number in range(self.containers):
            hand = "put_in" if number in filled else "taken_out" if number in emptied else None
            middle = LANE_M * (number + 0.5) - half
            lanes.append(self._lane(number, middle, MOVES[number % len(MOVES)], hand, rng))
        robot = onlooker(-REACH_M - YARD_M, rng)
        physics.add_body(floor(2.0 * half + 6.0 * YARD_M), background=True)
        physics.add_body(robot)
        for lane in lanes:
            for spec in lane.bodies:
                physics.add_body(spec)
        for spec in _bench(half - 0.5 * LANE_M, rng) if self.benches else ():
            physics.add_body(spec)
        physics.settle(SETTLE_S)
        let_watch(physics, robot, CAMERA_RANGE_M)
        for lane in lanes:
            for hoist in lane.hoists:
                physics.add_driver(hoist)
        pushes = tuple(push for lane in lanes for push in lane.pushes)
        if pushes:
            physics.add_driver(Pushes(pushes))
        for i, side in enumerate((-1.0, -0.33, 0.33, 1.0)):
            physics.add_camera(CameraSpec(f"ceiling_{i}", (side * half, 0.0, CAMERA_HEIGHT_M), CAMERA_RANGE_M))

    def _lane(self, number: int, x: float, move: str, hand: str | None, rng: np.random.Generator) -> _Lane:
        """Return a crate with what is in it and about it, and what moves it."""
        y = -REACH_M if move == "carried" else 0.0
        pallet = furnish(f"pallet_{number}", "pallet", (x, y, 0.0005), 0.0, rng) if move == "pushed" else None
        ground = on_top(pallet) if pallet is not None else 0.0005
        at = (x - 0.2 if pallet is not None else x, y, ground)
        turn = 0.0 if pallet is not None else _drawn(rng, "turn_rad")
        crate = open_crate(f"crate_{number}", at, turn, rng, _drawn(rng, "crate_size"))
        fewest = 1 if hand == "taken_out" else 0
        count = int(rng.integers(fewest, min(self.contents, MOST_CONTENTS - (hand == "put_in")) + 1))
        slots = [int(i) for i in rng.permutation(MOST_CONTENTS)]
        inside = [_content(f"content_{number}_{i}", crate, slots[i], rng) for i in range(count)]
        beside = _beside(f"beside_{number}", crate, pallet, rng)
        lane = _Lane([*([pallet] if pallet is not None else []), crate, *inside, beside], [], [])
        aside = (at[0], y - ASIDE_M) if pallet is not None else (at[0] + BESIDE_M, y)
        if hand == "put_in":
            place = _slot(crate, slots[count])
            item = _small(f"hand_{number}", (*aside, 0.0005), rng)
            lane.bodies.append(item)
            lane.hoists.append(_hand(item, crate, (*place, _floor_of(crate) + DROP_M), rng))
        elif hand == "taken_out":
            lane.hoists.append(_hand(inside[0], crate, (*aside, DROP_M), rng))
        loaded = crate.mass_kg + sum(spec.mass_kg for spec in inside)
        if move == "carried":
            lane.bodies.append(_small(f"under_{number}", (x, 0.0, 0.0005), rng))
            to = (x, REACH_M, crate.position[2])
            trip = Trip(crate.position[2] + _drawn(rng, "lift_m"), to, _drawn(rng, "carry_m_s"), _drawn(rng, "carry_s"),
                        loaded)  # fmt: skip
            lane.hoists.append(Hoist(crate.name, bulk_of(crate), trip))
        if pallet is not None:
            lane.pushes.extend(_to_and_fro(pallet, loaded + pallet.mass_kg + beside.mass_kg, rng))
        return lane

    # ------------------------------------------------------------------ preferences

    def preferences(self) -> Preferences:
        """Return what is asked of the robot: nothing but to keep clear."""
        return Preferences(goal_position=None, goal_tolerance_m=0.25, clearance_m=0.5)

    # ------------------------------------------------------------------ is over

    def is_over(self, record: StepRecord) -> bool:
        """Return whether the time is up."""
        return record.time_s >= self.duration_s


@dataclass(frozen=True, slots=True)
class _Lane:
    """Bodies of a lane, the hoists over it and the pushes in it."""

    bodies: list[BodySpec]
    hoists: list[Hoist]
    pushes: list[Push]


def _drawn(rng: np.random.Generator, name: str) -> float:
    return float(rng.uniform(*VARIATION[name]))


def _small(name: str, at: Vector, rng: np.random.Generator) -> BodySpec:
    """Return a small thing that stands at `at`."""
    kind = CONTENTS[int(rng.integers(len(CONTENTS)))]
    scale = _drawn(rng, "content_m") / NOMINAL_M[kind]
    return furnish(name, kind, at, float(rng.uniform(-math.pi, math.pi)), rng, scale=scale)


def _floor_of(crate: BodySpec) -> float:
    """Return the height of the floor inside a crate."""
    assert crate.cavity is not None
    return crate.position[2] + crate.cavity.centre_m[2] - 0.5 * crate.cavity.extent_m[2]


def _slot(crate: BodySpec, number: int) -> tuple[float, float]:
    """Return the middle of a quarter of a crate's floor."""
    assert crate.cavity is not None
    x, y, _ = crate.cavity.extent_m
    along, across = ((-1.0, 1.0)[number % 2] * 0.25 * x, (-1.0, 1.0)[number // 2] * 0.25 * y)
    yaw = 2.0 * math.atan2(crate.orientation_xyzw[2], crate.orientation_xyzw[3])
    c, s = math.cos(yaw), math.sin(yaw)
    return crate.position[0] + c * along - s * across, crate.position[1] + s * along + c * across


def _content(name: str, crate: BodySpec, slot: int, rng: np.random.Generator) -> BodySpec:
    x, y = _slot(crate, slot)
    return _small(name, (x + _drawn(rng, "shift_m"), y, _floor_of(crate) + 0.0005), rng)


def _beside(name: str, crate: BodySpec, pallet: BodySpec | None, rng: np.random.Generator) -> BodySpec:
    """Return what lies beside a crate: on the same pallet, where there is one, and carried along with it."""
    if pallet is not None:
        return _small(name, (pallet.position[0] + 0.42, pallet.position[1], on_top(pallet)), rng)
    return _small(name, (crate.position[0] - BESIDE_M, crate.position[1], 0.0005), rng)


def _hand(item: BodySpec, crate: BodySpec, to: Vector, rng: np.random.Generator) -> Hoist:
    """Return the hoist that takes `item` over the rim of `crate` and puts its underside down at `to`."""
    half = 0.5 * item.extent_m[2]
    clear = _floor_of(crate) + RIM_M + half
    trip = Trip(clear, (to[0], to[1], to[2] + half), _drawn(rng, "hand_m_s"), _drawn(rng, "early_s"), item.mass_kg)
    return Hoist(item.name, bulk_of(item), trip)


def _to_and_fro(pallet: BodySpec, mass_kg: float, rng: np.random.Generator) -> list[Push]:
    """Return two pushes of a loaded pallet, north and back."""
    speed, start = _drawn(rng, "push_m_s"), _drawn(rng, "push_s")
    lasts, way = _drawn(rng, "push_m") / speed, 0.5 * math.pi
    there = Push(pallet.name, mass_kg, way, speed, MOST_PUSH_N, start, start + lasts)
    back = replace(there, heading_rad=-way, from_s=start + lasts + 1.0, until_s=start + 2.0 * lasts + 1.0)
    return [there, back]


def _bench(x: float, rng: np.random.Generator) -> list[BodySpec]:
    """Return the bench, two things under it and one on it."""
    bench = replace(furnish("bench", "bench", (x, 0.0, 0.0005), 0.5 * math.pi, rng), kind="table")
    under = [_small(f"below_{i}", (x, side * 0.25, 0.0005), rng) for i, side in enumerate((-1.0, 1.0))]
    return [bench, *under, _small("above", (x, 0.0, on_top(bench)), rng)]
