"""Balls on a slippery table, tied by springs, magnets, tethers and welds that are made and broken."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from scipy.spatial import cKDTree

from worldsim.contracts.scenario import Scenario
from worldsim.errors import ConfigurationError, UnknownNameError
from worldsim.simulation.drivers import Launch, PairForce, PairForces
from worldsim.simulation.drivers.pairs import PAIR_KINDS
from worldsim.simulation.scene import BodySpec, CameraSpec, SceneBuilder, Vector
from worldsim.types.planning import Preferences
from worldsim_scenarios.stock import fence, floor, let_watch, onlooker, places_apart, smooth_ball

if TYPE_CHECKING:
    from worldsim.contracts.physics import Physics
    from worldsim.types.record import StepRecord

# ---------------------------------------------------------------------- constants

MOST_BODIES = 1000
ROOM_M2 = 0.7
"""Area of the table a ball."""
BALL_M = 0.16
FENCE_M = 0.3
GAP_M = 1.35
"""Balls start at least so many diameters apart."""
YARD_M = 1.6
"""Width of the strip beside the table where the robot stands."""
CAMERA_HEIGHT_M = 4.0
CAMERA_RANGE_M = 60.0

# ---------------------------------------------------------------------- assets

FENCE_COLOUR: Vector = (0.30, 0.33, 0.37)

# ---------------------------------------------------------------------- variation space

VARIATION: dict[str, tuple[float, float]] = {
    "mass_kg": (0.4, 0.6),
    "speed_m_s": (0.1, 0.4),
    "spring_n_m": (0.8, 1.6),
    "magnet_n_m2": (0.06, 0.12),
    "tether_n_m": (20.0, 40.0),
    "weld_n_m": (250.0, 350.0),
    "switch_s": (4.0, 8.0),
}
"""Range of what is drawn evenly at each reset."""


@dataclass(frozen=True)
class ForceLab(Scenario):
    """N balls without friction in a fence; pairs are drawn among near neighbours, kinds in turn.

    Attributes:
        bodies: N, 3 to 1,000.
        kinds: which of `PAIR_KINDS` occur.
        pairs_a_body: mean number of pairs a ball belongs to.
        switching: half of the pairs are broken, and as many made anew, once, at a drawn time.
        duration_s: length of an episode, s.
    """

    bodies: int = 6
    kinds: tuple[str, ...] = PAIR_KINDS
    pairs_a_body: float = 1.5
    switching: bool = True
    duration_s: float = 12.0

    def __post_init__(self) -> None:
        """Check the fields.

        Raises:
            UnknownNameError: no such kind of force.
            ConfigurationError: a number cannot work.
        """
        object.__setattr__(self, "kinds", tuple(self.kinds))  # a list is fine too
        for kind in self.kinds:
            if kind not in PAIR_KINDS:
                raise UnknownNameError("pair force", kind, PAIR_KINDS)
        if not 3 <= self.bodies <= MOST_BODIES:
            raise ConfigurationError(f"ForceLab: bodies is {self.bodies}, expected 3 to {MOST_BODIES}.")
        if not self.kinds or self.pairs_a_body <= 0.0:
            raise ConfigurationError("ForceLab: at least one kind of force and a positive pairs_a_body are needed.")
        if not self.duration_s > 0.0:
            raise ConfigurationError(f"ForceLab: duration_s is {self.duration_s}, expected > 0.")

    # ------------------------------------------------------------------ build

    def build(self, physics: Physics, rng: np.random.Generator) -> None:
        """Put table, fence, balls, forces and the watching robot into `physics`."""
        if not isinstance(physics, SceneBuilder):
            raise ConfigurationError(f"ForceLab: {type(physics).__name__} cannot be furnished; it is no SceneBuilder.")
        half = 0.5 * math.sqrt(self.bodies * ROOM_M2) + BALL_M
        places = places_apart(self.bodies, (half - BALL_M, half - BALL_M), GAP_M * BALL_M, rng)
        balls = [smooth_ball(i, place, BALL_M, _drawn(rng, "mass_kg"), rng) for i, place in enumerate(places)]
        robot = onlooker(-half - YARD_M / 2.0, rng)
        physics.add_body(floor(2.0 * half + 4.0 * YARD_M), background=True)
        physics.add_body(robot)
        for spec in (*fence((half, half), FENCE_M, FENCE_COLOUR, rng), *balls):
            physics.add_body(spec)
        let_watch(physics, robot, CAMERA_RANGE_M)
        physics.add_driver(Launch({ball.name: _impulse(ball, rng) for ball in balls}))
        physics.add_driver(PairForces(self._pairs(balls, places, rng)))
        for i, side in enumerate((-1.0, 1.0)):
            physics.add_camera(CameraSpec(f"ceiling_{i}", (side * half / 2.0, 0.0, CAMERA_HEIGHT_M), CAMERA_RANGE_M))

    def _pairs(self, balls: list[BodySpec], places: np.ndarray, rng: np.random.Generator) -> tuple[PairForce, ...]:
        count = max(1, round(0.5 * self.pairs_a_body * self.bodies))
        chosen = _near_pairs(places, 2 * count, rng)
        switch_s = rng.uniform(*VARIATION["switch_s"], size=len(chosen))
        made: list[PairForce] = []
        for number, (i, j) in enumerate(chosen):
            late, odd = number >= count, number % 2 == 1
            if late and (odd or not self.switching):
                continue
            kind = self.kinds[len(made) % len(self.kinds)]
            pair = _pair(kind, balls[i].name, balls[j].name, float(np.linalg.norm(places[i] - places[j])), rng)
            if late:
                pair = replace(pair, from_s=float(switch_s[number]))
                if kind == "weld":
                    pair = replace(pair, length_m=0.0)  # it holds the distance at which it is made
            elif self.switching and not odd:
                pair = replace(pair, until_s=float(switch_s[number]))
            made.append(pair)
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


def _near_pairs(places: np.ndarray, count: int, rng: np.random.Generator) -> list[tuple[int, int]]:
    """Return up to `count` distinct pairs, each ball with one of its five nearest."""
    distance, order = cKDTree(places).query(places, k=min(6, len(places)))
    del distance
    pairs = sorted({(min(i, int(j)), max(i, int(j))) for i, row in enumerate(order) for j in row[1:]})
    chosen = rng.permutation(len(pairs))[:count]
    return [pairs[k] for k in chosen]


def _pair(kind: str, first: str, second: str, distance: float, rng: np.random.Generator) -> PairForce:
    """Return a pair force of that kind that pulls nobody hard at the start."""
    if kind == "spring":
        return PairForce(kind, first, second, _drawn(rng, "spring_n_m"))
    if kind == "magnet":
        sign = -1.0 if rng.random() < 0.5 else 1.0
        return PairForce(kind, first, second, sign * _drawn(rng, "magnet_n_m2"))
    if kind == "tether":
        return PairForce(kind, first, second, _drawn(rng, "tether_n_m"), 1.1 * distance, 0.3)
    return PairForce(kind, first, second, _drawn(rng, "weld_n_m"), distance, 4.0)


def _impulse(ball: BodySpec, rng: np.random.Generator) -> Vector:
    size, angle = ball.mass_kg * _drawn(rng, "speed_m_s"), float(rng.uniform(-math.pi, math.pi))
    return (size * math.cos(angle), size * math.sin(angle), 0.0)
