"""Stacks of crates and parcels: hands push boxes off or askew, and cranes drop boxes on top."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from worldsim.contracts.scenario import Scenario
from worldsim.errors import ConfigurationError
from worldsim.simulation.drivers import Crane, Push, Pushes
from worldsim.simulation.scene import BodySpec, CameraSpec, SceneBuilder
from worldsim.types.planning import Preferences
from worldsim_scenarios.stock import floor, furnish, let_watch, on_top, onlooker, places_apart

if TYPE_CHECKING:
    from worldsim.contracts.physics import Physics
    from worldsim.types.record import StepRecord

# ---------------------------------------------------------------------- constants

MOST_STACKS = 12
TALLEST = 5
ROOM_M = 2.2
"""Edge of the ground that a stack has: a pallet, and what falls off it."""
PALLET_M = 1.45
"""Diagonal of a pallet: middles of stacks start at least so far apart."""
SETTLE_S = 1.0
MOST_PUSH_N = 450.0
"""What somebody who leans into it can do."""
YARD_M = 2.0
"""Width of the strip beside the stacks where the robot stands."""
CAMERA_HEIGHT_M = 3.5
CAMERA_RANGE_M = 60.0

# ---------------------------------------------------------------------- assets

BOXES = ("crate", "crate", "parcel")
"""What a box is drawn from."""

# ---------------------------------------------------------------------- variation space

VARIATION: dict[str, tuple[float, float]] = {
    "size": (0.9, 1.15),
    "askew_m": (-0.04, 0.04),
    "turn_rad": (-0.2, 0.2),
    "push_s": (1.5, 6.0),
    "push_m_s": (0.3, 0.7),
    "push_m": (0.15, 0.6),
    "drop_s": (1.0, 5.0),
    "drop_m": (0.15, 0.35),
}
"""Range of what is drawn evenly at each reset; the heights of stacks are drawn from 2 to `Stacks.tallest`."""


@dataclass(frozen=True)
class Stacks(Scenario):
    """Stacks on the floor and on pallets; a push or a drop takes or gives support, each at its own drawn time.

    Attributes:
        stacks: how many, 1 to 12.
        tallest: most boxes in a stack, 2 to 5.
        pushed: stacks of which a box, not the lowest, is pushed.
        dropped: other stacks, onto which a box is dropped.
        duration_s: length of an episode, s.
    """

    stacks: int = 5
    tallest: int = 4
    pushed: int = 2
    dropped: int = 2
    duration_s: float = 10.0

    def __post_init__(self) -> None:
        """Check the fields.

        Raises:
            ConfigurationError: a number cannot work.
        """
        if not 1 <= self.stacks <= MOST_STACKS:
            raise ConfigurationError(f"Stacks: stacks is {self.stacks}, expected 1 to {MOST_STACKS}.")
        if not 2 <= self.tallest <= TALLEST:
            raise ConfigurationError(f"Stacks: tallest is {self.tallest}, expected 2 to {TALLEST} boxes.")
        if min(self.pushed, self.dropped) < 0 or self.pushed + self.dropped > self.stacks:
            raise ConfigurationError(
                f"Stacks: pushed is {self.pushed} and dropped is {self.dropped}, expected numbers >= 0 "
                f"that are together no more than stacks ({self.stacks})."
            )
        if not self.duration_s > 0.0:
            raise ConfigurationError(f"Stacks: duration_s is {self.duration_s}, expected > 0.")

    # ------------------------------------------------------------------ build

    def build(self, physics: Physics, rng: np.random.Generator) -> None:
        """Put floor, stacks, hands, cranes and the watching robot into `physics`."""
        if not isinstance(physics, SceneBuilder):
            raise ConfigurationError(f"Stacks: {type(physics).__name__} cannot be furnished; it is no SceneBuilder.")
        half = 0.5 * ROOM_M * math.ceil(math.sqrt(self.stacks))
        places = places_apart(self.stacks, (half, half), PALLET_M, rng)
        stacks = [self._stack(number, place, rng) for number, place in enumerate(places)]
        chosen = [int(i) for i in rng.permutation(self.stacks)]
        pushes = tuple(_push(stacks[i], rng) for i in chosen[: self.pushed])
        under = chosen[self.pushed : self.pushed + self.dropped]
        hung = [_hung(number, stacks[i][-1], rng) for number, i in enumerate(under)]
        cranes = [Crane(box.name, box.mass_kg, box.position, _drawn(rng, "drop_s")) for box in hung]
        robot = onlooker(-half - YARD_M / 2.0, rng)
        physics.add_body(floor(2.0 * half + 6.0 * YARD_M), background=True)
        for spec in (robot, *(spec for stack in stacks for spec in stack), *hung):
            physics.add_body(spec)
        physics.settle(SETTLE_S, cranes)
        let_watch(physics, robot, CAMERA_RANGE_M)
        for driver in (*cranes, *([Pushes(pushes)] if pushes else [])):
            physics.add_driver(driver)
        for i, (x, y) in enumerate(((-half, -half), (half, -half), (half, half), (-half, half))):
            physics.add_camera(CameraSpec(f"corner_{i}", (1.2 * x, 1.2 * y, CAMERA_HEIGHT_M), CAMERA_RANGE_M))

    def _stack(self, number: int, place: np.ndarray, rng: np.random.Generator) -> list[BodySpec]:
        """Return a stack from the ground up; half of all stacks stand on a pallet."""
        x, y, yaw = float(place[0]), float(place[1]), float(rng.uniform(-math.pi, math.pi))
        stack = []
        if rng.random() < 0.5:
            stack.append(furnish(f"pallet_{number}", "pallet", (x, y, 0.0005), yaw, rng))
        for level in range(int(rng.integers(2, self.tallest + 1))):
            height = on_top(stack[-1]) if stack else 0.0005
            at = (x + _drawn(rng, "askew_m"), y + _drawn(rng, "askew_m"), height)
            stack.append(_box(f"box_{number}_{level}", at, yaw + _drawn(rng, "turn_rad"), rng))
        return stack

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


def _box(name: str, at: tuple[float, float, float], yaw_rad: float, rng: np.random.Generator) -> BodySpec:
    kind = BOXES[int(rng.integers(len(BOXES)))]
    return furnish(name, kind, at, yaw_rad, rng, scale=_drawn(rng, "size"))


def _push(stack: list[BodySpec], rng: np.random.Generator) -> Push:
    """Return a push of a box that stands on another one."""
    boxes = [spec for spec in stack if spec.kind != "pallet"]
    box = boxes[int(rng.integers(1, len(boxes)))]
    speed, start = _drawn(rng, "push_m_s"), _drawn(rng, "push_s")
    heading = float(rng.uniform(-math.pi, math.pi))
    until = start + _drawn(rng, "push_m") / speed
    return Push(box.name, box.mass_kg, heading, speed, MOST_PUSH_N, start, until)


def _hung(number: int, below: BodySpec, rng: np.random.Generator) -> BodySpec:
    """Return a box that hangs over `below`."""
    x, y, z = below.position
    at = (x + _drawn(rng, "askew_m"), y + _drawn(rng, "askew_m"), z + below.extent_m[2] / 2.0 + _drawn(rng, "drop_m"))
    return replace(_box(f"hung_{number}", at, 0.0, rng), orientation_xyzw=below.orientation_xyzw)
