"""Forces between pairs of bodies that are switched on and off: springs, magnets, tethers, welds."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from worldsim.errors import ConfigurationError, UnknownNameError
from worldsim.simulation.drivers.driver import Actuator, Driver, SceneView
from worldsim.simulation.engine import RigidState
from worldsim.simulation.scene import Vector

PAIR_KINDS = ("spring", "magnet", "tether", "weld")
"""Forces of `PairForce`: spring and weld act at all times, a tether when it is taut, a magnet at any distance."""

MAGNET_CORE_M = 0.1
"""Nearer than this a magnet grows no stronger, as real ones do not."""


@dataclass(frozen=True, slots=True)
class PairForce:
    """A force between two bodies, along the line of their centres.

    Attributes:
        kind: one of `PAIR_KINDS`.
        first, second: names of the bodies.
        strength: spring, tether and weld: stiffness, N/m; magnet: N m^2 (positive pushes apart, negative together).
        length_m: rest length of a spring, length of a tether; of a weld, the distance that it holds, 0 for the one at
            which it is made.
        damping_n_s_m: against the relative velocity along the line (weld: against all of it).
        from_s, until_s: when it acts, s since reset.
    """

    kind: str
    first: str
    second: str
    strength: float
    length_m: float = 0.0
    damping_n_s_m: float = 0.0
    from_s: float = 0.0
    until_s: float = math.inf

    def __post_init__(self) -> None:
        """Check the fields.

        Raises:
            UnknownNameError: no such kind.
            ConfigurationError: a body is paired with itself, or a number cannot work.
        """
        if self.kind not in PAIR_KINDS:
            raise UnknownNameError("pair force", self.kind, PAIR_KINDS)
        if self.first == self.second:
            raise ConfigurationError(f"PairForce: {self.first!r} is paired with itself.")
        finite = all(math.isfinite(v) for v in (self.strength, self.length_m, self.damping_n_s_m, self.from_s))
        if not finite or self.length_m < 0.0 or self.damping_n_s_m < 0.0 or self.until_s < self.from_s:
            raise ConfigurationError(f"PairForce: {self} has a number that cannot work.")

    def acts(self, time_s: float) -> bool:
        """Return whether the force is switched on."""
        return self.from_s <= time_s < self.until_s

    def on_first(self, a: RigidState, b: RigidState) -> Vector:
        """Return the force on the first body, N, world frame; the second gets the opposite."""
        dx, dy, dz = (q - p for p, q in zip(a.position, b.position, strict=True))
        distance = max(math.sqrt(dx * dx + dy * dy + dz * dz), 1e-9)
        ux, uy, uz = dx / distance, dy / distance, dz / distance
        vx, vy, vz = (q - p for p, q in zip(a.linear_velocity, b.linear_velocity, strict=True))
        parting = ux * vx + uy * vy + uz * vz
        if self.kind == "magnet":
            pull = -self.strength / max(distance, MAGNET_CORE_M) ** 2
        elif self.kind == "tether" and distance < self.length_m:
            return (0.0, 0.0, 0.0)
        else:
            pull = self.strength * (distance - self.length_m) + self.damping_n_s_m * parting
        if self.kind == "tether":
            pull = max(pull, 0.0)  # a rope does not push
        if self.kind == "weld":
            sx, sy, sz = (
                self.damping_n_s_m * (v - parting * u) for v, u in zip((vx, vy, vz), (ux, uy, uz), strict=True)
            )
            return (pull * ux + sx, pull * uy + sy, pull * uz + sz)
        return (pull * ux, pull * uy, pull * uz)


class PairForces(Driver):
    """All pair forces of a scene. It belongs to no body of its own; nothing in it moves of itself."""

    def __init__(self, pairs: tuple[PairForce, ...]) -> None:
        """Take charge of `pairs`.

        Raises:
            ConfigurationError: there are none.
        """
        if not pairs:
            raise ConfigurationError("PairForces: no pair was given; leave the driver out.")
        super().__init__(pairs[0].first)
        self.pairs = pairs
        self.active = tuple([pair for pair in pairs if pair.acts(0.0)])

    def decide(self, view: SceneView, rng: np.random.Generator) -> None:
        """Switch pairs on and off."""
        del rng
        self.active = tuple([pair for pair in self.pairs if pair.acts(view.time_s)])

    def drive(self, actuator: Actuator) -> None:
        """Push both ends of every pair that acts, each body once with the sum."""
        names = sorted({name for pair in self.active for name in (pair.first, pair.second)})
        states = {name: actuator.state(name) for name in names}
        if any(_is_unmeasured(pair) for pair in self.active):
            self.pairs = tuple(_measured(pair, states) if pair in self.active else pair for pair in self.pairs)
            self.active = tuple(_measured(pair, states) for pair in self.active)
        total = {name: [0.0, 0.0, 0.0] for name in names}
        for pair in self.active:
            force = pair.on_first(states[pair.first], states[pair.second])
            for axis, value in enumerate(force):
                total[pair.first][axis] += value
                total[pair.second][axis] -= value
        for name, (x, y, z) in total.items():
            actuator.push(name, (x, y, z), (0.0, 0.0, 0.0))

    @property
    def moves(self) -> bool:
        """Say that the bodies do not move of themselves."""
        return False

    def attachments(self) -> tuple[tuple[str, str], ...]:
        """Return the pairs that are welded now."""
        return tuple([(pair.first, pair.second) for pair in self.active if pair.kind == "weld"])

    def forces(self) -> tuple[tuple[str, str, str, float], ...]:
        """Return (first, second, kind, strength) of every pair that acts now."""
        return tuple([(pair.first, pair.second, pair.kind, pair.strength) for pair in self.active])


def _is_unmeasured(pair: PairForce) -> bool:
    return pair.kind == "weld" and pair.length_m == 0.0


def _measured(pair: PairForce, states: Mapping[str, RigidState]) -> PairForce:
    """Return a weld that holds the distance at which it is made; other forces as they are."""
    if not _is_unmeasured(pair):
        return pair
    return replace(pair, length_m=math.dist(states[pair.first].position, states[pair.second].position))
