"""Six kinds of interaction at once: springs, magnets, welds and touch on a table, a stack, a crate with contents."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.spatial import cKDTree

from worldsim.contracts.scenario import Scenario
from worldsim.errors import ConfigurationError
from worldsim.simulation.drivers import Hoist, Launch, PairForce, PairForces, Trip
from worldsim.simulation.scene import BodySpec, CameraSpec, SceneBuilder, Vector
from worldsim.types.planning import Preferences
from worldsim_scenarios.stock import (
    bulk_of,
    fence,
    floor,
    furnish,
    let_watch,
    on_top,
    onlooker,
    open_crate,
    places_apart,
    smooth_ball,
)

if TYPE_CHECKING:
    from worldsim.contracts.physics import Physics
    from worldsim.types.record import StepRecord

# ---------------------------------------------------------------------- constants

MOST_BODIES = 40
ROOM_M2 = 0.7
"""Area of the table a ball."""
BALL_M = 0.16
GAP_M = 1.5
"""Balls start at least so many diameters apart."""
FENCE_M = 0.3
STACK_M, CRATE_M = -0.8, 0.6
"""Where stack and crate stand along the far side of the table."""
BEHIND_M = 0.9
"""From the fence to the middle of the stack and of the crate."""
CARRY_M = 0.6
"""How far the crate is carried."""
SETTLE_S = 1.0
YARD_M = 1.6
"""Width of the strip beside the table where the robot stands."""
CAMERA_HEIGHT_M = 4.0
CAMERA_RANGE_M = 60.0

# ---------------------------------------------------------------------- assets

FENCE_COLOUR: Vector = (0.30, 0.33, 0.37)
CONTENT_SCALE = 0.34
"""Of the parcels in the crate."""

# ---------------------------------------------------------------------- variation space

VARIATION: dict[str, tuple[float, float]] = {
    "mass_kg": (0.4, 0.6),
    "speed_m_s": (0.1, 0.4),
    "spring_n_m": (0.9, 1.4),
    "magnet_n_m2": (0.11, 0.13),
    "weld_n_m": (250.0, 350.0),
    "crate_size": (0.95, 1.1),
    "carry_s": (1.5, 3.0),
    "turn_rad": (-0.3, 0.3),
}
"""Range of what is drawn evenly at each reset."""


@dataclass(frozen=True)
class Mixed(Scenario):
    """Balls in a fence, tied in pairs by springs, magnets that push apart, and welds; behind it a stack and a crate.

    Attributes:
        bodies: number of balls, 4 to 40.
        springs, magnets, welds: number of pairs of each kind.
        duration_s: length of an episode, s.
    """

    bodies: int = 8
    springs: int = 3
    magnets: int = 4
    welds: int = 1
    duration_s: float = 10.0

    def __post_init__(self) -> None:
        """Check the fields.

        Raises:
            ConfigurationError: a number cannot work.
        """
        if not 4 <= self.bodies <= MOST_BODIES:
            raise ConfigurationError(f"Mixed: bodies is {self.bodies}, expected 4 to {MOST_BODIES}.")
        pairs = self.springs + self.magnets + self.welds
        if min(self.springs, self.magnets, self.welds) < 0 or not 1 <= pairs <= 1.5 * self.bodies:
            raise ConfigurationError(
                f"Mixed: springs is {self.springs}, magnets {self.magnets} and welds {self.welds}, expected numbers "
                f">= 0, together 1 to {math.floor(1.5 * self.bodies)} for {self.bodies} bodies."
            )
        if not self.duration_s > 0.0:
            raise ConfigurationError(f"Mixed: duration_s is {self.duration_s}, expected > 0.")

    # ------------------------------------------------------------------ build

    def build(self, physics: Physics, rng: np.random.Generator) -> None:
        """Put table, fence, balls, forces, stack, crate and the watching robot into `physics`."""
        if not isinstance(physics, SceneBuilder):
            raise ConfigurationError(f"Mixed: {type(physics).__name__} cannot be furnished; it is no SceneBuilder.")
        half = 0.5 * math.sqrt(self.bodies * ROOM_M2) + BALL_M
        places = places_apart(self.bodies, (half - BALL_M, half - BALL_M), GAP_M * BALL_M, rng)
        balls = [smooth_ball(i, place, BALL_M, _drawn(rng, "mass_kg"), rng) for i, place in enumerate(places)]
        crate, contents = _crate((CRATE_M, half + BEHIND_M, 0.0005), rng)
        robot = onlooker(-half - YARD_M / 2.0, rng)
        physics.add_body(floor(2.0 * half + 6.0 * YARD_M), background=True)
        physics.add_body(robot)
        for spec in (*fence((half, half), FENCE_M, FENCE_COLOUR, rng), *balls, crate, *contents):
            physics.add_body(spec)
        for spec in _stack((STACK_M, half + BEHIND_M), rng):
            physics.add_body(spec)
        physics.settle(SETTLE_S)
        let_watch(physics, robot, CAMERA_RANGE_M)
        physics.add_driver(Launch({ball.name: _impulse(ball, rng) for ball in balls}))
        physics.add_driver(PairForces(self._pairs(balls, places, rng)))
        physics.add_driver(_carried(crate, contents, rng))
        for i, side in enumerate((-1.0, 1.0)):
            physics.add_camera(CameraSpec(f"ceiling_{i}", (side * half / 2.0, 0.5, CAMERA_HEIGHT_M), CAMERA_RANGE_M))

    def _pairs(self, balls: list[BodySpec], places: np.ndarray, rng: np.random.Generator) -> tuple[PairForce, ...]:
        """Return the forces, between near neighbours; what is welded has no other."""
        wanted = ["weld"] * self.welds + ["spring"] * self.springs + ["magnet"] * self.magnets
        _, order = cKDTree(places).query(places, k=min(6, len(places)))
        near = sorted({(min(i, int(j)), max(i, int(j))) for i, row in enumerate(order) for j in row[1:]})
        near = [near[int(k)] for k in rng.permutation(len(near))]
        taken: set[int] = set()
        made = []
        for kind in wanted:
            pair = next((p for p in near if taken.isdisjoint(p)), None)
            if pair is None:
                break
            near.remove(pair)
            taken |= set(pair) if kind == "weld" else set()
            i, j = pair
            made.append(_force(kind, balls[i].name, balls[j].name, float(np.linalg.norm(places[i] - places[j])), rng))
        return tuple(made)

    # ------------------------------------------------------------------ preferences

    def preferences(self) -> Preferences:
        """Return what is asked of the robot: nothing but to keep clear."""
        return Preferences(goal_position=None, goal_tolerance_m=0.25, clearance_m=0.5)

    # ------------------------------------------------------------------ is over

    def is_over(self, record: StepRecord) -> bool:
        """Return whether the time is up."""
        return record.time_s >= self.duration_s


def _drawn(rng: np.random.Generator, name: str) -> float:
    return float(rng.uniform(*VARIATION[name]))


def _force(kind: str, first: str, second: str, distance: float, rng: np.random.Generator) -> PairForce:
    """Return a pair force; a magnet pushes apart, since two that attract would stick."""
    if kind == "spring":
        return PairForce(kind, first, second, _drawn(rng, "spring_n_m"))
    if kind == "magnet":
        return PairForce(kind, first, second, _drawn(rng, "magnet_n_m2"))
    return PairForce(kind, first, second, _drawn(rng, "weld_n_m"), distance, 4.0)


def _impulse(ball: BodySpec, rng: np.random.Generator) -> Vector:
    heading = float(rng.uniform(-math.pi, math.pi))
    size = ball.mass_kg * _drawn(rng, "speed_m_s")
    return (size * math.cos(heading), size * math.sin(heading), 0.0)


def _crate(at: Vector, rng: np.random.Generator) -> tuple[BodySpec, list[BodySpec]]:
    """Return the crate and two parcels in it."""
    crate = open_crate("crate", at, _drawn(rng, "turn_rad"), rng, _drawn(rng, "crate_size"))
    assert crate.cavity is not None
    bottom = crate.position[2] + crate.cavity.centre_m[2] - 0.5 * crate.cavity.extent_m[2] + 0.0005
    yaw = float(rng.uniform(-math.pi, math.pi))
    contents = [
        furnish(f"content_{i}", "parcel", (at[0] + side * 0.13, at[1], bottom), yaw, rng, scale=CONTENT_SCALE)
        for i, side in enumerate((-1.0, 1.0))
    ]
    return crate, contents


def _carried(crate: BodySpec, contents: list[BodySpec], rng: np.random.Generator) -> Hoist:
    """Return the hoist that carries the crate along the table."""
    x, y, z = crate.position
    loaded = crate.mass_kg + sum(spec.mass_kg for spec in contents)
    return Hoist(crate.name, bulk_of(crate), Trip(z + 0.3, (x + CARRY_M, y, z), 0.5, _drawn(rng, "carry_s"), loaded))


def _stack(place: tuple[float, float], rng: np.random.Generator) -> list[BodySpec]:
    """Return a parcel on a crate."""
    below = furnish("below", "crate", (*place, 0.0005), _drawn(rng, "turn_rad"), rng)
    return [below, furnish("above", "parcel", (*place, on_top(below)), _drawn(rng, "turn_rad"), rng)]
