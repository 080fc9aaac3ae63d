"""The impacts of round bodies within one step: found in order of time, each resolved by Newton's law."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Protocol

from worldsim.simulation.geometry import cross
from worldsim.simulation.scene import Vector

__all__ = ["Mover", "Pair", "Round", "resolve_impacts"]

_SLOW_M_S = 0.02  # slower impacts are left to the engine, which brings to rest
_MOST_EVENTS = 100  # in one step; what is not resolved by then is left to the engine


class Round(Protocol):
    """What an impact asks of a sphere."""

    @property
    def mass_kg(self) -> float:
        """Its mass."""

    @property
    def moments_kg_m2(self) -> Vector:
        """Its moments."""

    @property
    def radius_m(self) -> float | None:
        """Its radius."""

    @property
    def friction(self) -> float:
        """Coulomb coefficient of its impacts."""

    @property
    def restitution(self) -> float:
        """Of its impacts."""


@dataclass(slots=True)
class Mover:
    """A free body during the step.

    Attributes:
        body: its properties.
        velocity: at the present moment of the step, m/s.
        spin: likewise, rad/s.
        pull: its constant acceleration, m/s^2.
        moved: how far it has come since the start of the step, m.
        hits: how many impacts it has had.
    """

    body: Round
    velocity: Vector
    spin: Vector
    pull: Vector
    moved: Vector = field(default=(0.0, 0.0, 0.0))
    hits: int = 0

    def fly(self, time_s: float) -> None:
        """Advance freely."""
        v, a, x = self.velocity, self.pull, self.moved
        half = 0.5 * time_s * time_s
        self.moved = (
            x[0] + v[0] * time_s + a[0] * half,
            x[1] + v[1] * time_s + a[1] * half,
            x[2] + v[2] * time_s + a[2] * half,
        )
        self.velocity = (v[0] + a[0] * time_s, v[1] + a[1] * time_s, v[2] + a[2] * time_s)


@dataclass(slots=True)
class Pair:
    """Two things that may meet.

    Attributes:
        a: a sphere.
        b: another, or None for what never moves.
        gap_m: between their surfaces at the start of the step.
        normal: unit vector from b to a; of two spheres, at the moment of the impact.
        apart_m: from the centre of b to that of a at the start of the step, where b is a sphere too.
        quiet: met too slowly to bounce.
    """

    a: Mover
    b: Mover | None
    gap_m: float
    normal: Vector
    apart_m: Vector | None = None
    quiet: bool = False

    def along(self, name: str) -> float:
        """Return the relative `velocity`, `moved` or `pull` along the normal."""
        value = _dot(getattr(self.a, name), self.normal)
        return value if self.b is None else value - _dot(getattr(self.b, name), self.normal)

    def time_to_impact(self) -> float:
        """Return when the surfaces meet while approaching, counted from now; infinity where they do not."""
        if self.b is not None and self.apart_m is not None:
            return self._time_to_touch(self.b, self.apart_m)
        gap, speed, pull = self.gap_m + self.along("moved"), self.along("velocity"), self.along("pull")
        if gap <= 0.0:
            return 0.0 if speed < 0.0 else math.inf
        # gap + speed t + pull t^2 / 2 = 0, in the form that does not cancel
        inside = speed * speed - 2.0 * pull * gap
        if inside < 0.0 or (speed >= 0.0 and pull >= 0.0):
            return math.inf
        root = math.sqrt(inside)
        if speed < 0.0:
            return 2.0 * gap / (root - speed)
        return -(speed + root) / pull

    def _time_to_touch(self, b: Mover, apart_m: Vector) -> float:
        """Return the same for two spheres, which the same pull moves alike: |d + v t| is the sum of the radii."""
        d, v = self._between(b, apart_m), _minus(self.a.velocity, b.velocity)
        closing = -_dot(d, v)
        if closing <= 0.0:
            return math.inf
        reach = (self.a.body.radius_m or 0.0) + (b.body.radius_m or 0.0)
        outside = _dot(d, d) - reach * reach
        if outside <= 0.0:
            return 0.0
        inside = closing * closing - _dot(v, v) * outside
        return math.inf if inside < 0.0 else outside / (closing + math.sqrt(inside))

    def _between(self, b: Mover, apart_m: Vector) -> Vector:
        x, y, z = _minus(self.a.moved, b.moved)
        return (apart_m[0] + x, apart_m[1] + y, apart_m[2] + z)

    def meet(self) -> None:
        """Take the normal as it is now."""
        if self.b is not None and self.apart_m is not None:
            d = self._between(self.b, self.apart_m)
            self.normal = _times(d, 1.0 / math.hypot(*d))


def resolve_impacts(pairs: list[Pair], movers: list[Mover], step_s: float) -> None:
    """Advance `movers` through the step, and resolve every impact of `pairs` at its time."""
    now = 0.0
    for _ in range(_MOST_EVENTS):
        waits = [(math.inf if pair.quiet else pair.time_to_impact(), i) for i, pair in enumerate(pairs)]
        wait, index = min(waits, default=(math.inf, -1))
        if now + wait >= step_s:
            break
        for mover in movers:
            mover.fly(wait)
        now += wait
        pair = pairs[index]
        pair.meet()
        if pair.along("velocity") > -_SLOW_M_S:
            pair.quiet = True
        else:
            _strike(pair)
    for mover in movers:
        mover.fly(step_s - now)


def _strike(pair: Pair) -> None:
    """Apply the impulse of one impact: Newton's restitution along the normal, Coulomb's friction across."""
    n, sides = pair.normal, [(pair.a, 1.0)] + ([] if pair.b is None else [(pair.b, -1.0)])
    restitution = pair.a.body.restitution if pair.b is None else max(pair.a.body.restitution, pair.b.body.restitution)
    friction = pair.a.body.friction if pair.b is None else max(pair.a.body.friction, pair.b.body.friction)
    yields = sum(1.0 / mover.body.mass_kg for mover, _ in sides)
    impulse = -(1.0 + restitution) * pair.along("velocity") / yields
    slip, gives = [0.0, 0.0, 0.0], 0.0
    for mover, sign in sides:
        radius, moment = mover.body.radius_m or 0.0, mover.body.moments_kg_m2[0]
        at = cross(mover.spin, _times(n, -sign * radius))
        for axis in range(3):
            slip[axis] += sign * (mover.velocity[axis] + at[axis])
        gives += 1.0 / mover.body.mass_kg + radius * radius / moment
    normal_part = _dot((slip[0], slip[1], slip[2]), n)
    across = (slip[0] - normal_part * n[0], slip[1] - normal_part * n[1], slip[2] - normal_part * n[2])
    speed = math.hypot(*across)
    drag = min(friction * impulse, speed / gives) / speed if speed > 0.0 else 0.0
    push = (impulse * n[0] - drag * across[0], impulse * n[1] - drag * across[1], impulse * n[2] - drag * across[2])
    for mover, sign in sides:
        v, w, share = mover.velocity, mover.spin, sign / mover.body.mass_kg
        mover.velocity = (v[0] + share * push[0], v[1] + share * push[1], v[2] + share * push[2])
        lever = _times(n, -sign * (mover.body.radius_m or 0.0))
        twist = cross(lever, _times(push, sign / mover.body.moments_kg_m2[0]))
        mover.spin = (w[0] + twist[0], w[1] + twist[1], w[2] + twist[2])
        mover.hits += 1


def _dot(a: Vector, b: Vector) -> float:
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


def _minus(a: Vector, b: Vector) -> Vector:
    return (a[0] - b[0], a[1] - b[1], a[2] - b[2])


def _times(a: Vector, factor: float) -> Vector:
    return (a[0] * factor, a[1] * factor, a[2] * factor)
