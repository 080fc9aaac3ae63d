"""People who walk where people were seen to walk: recorded tracks, followed by bounded forces."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float

from worldsim.errors import ConfigurationError
from worldsim.simulation.drivers.driver import Actuator, Bulk, Driver, Limits, SceneView, shortened, steer
from worldsim.simulation.scene import Vector

_PULL_PER_S = 1.5  # back onto the track, for who was pushed off it
_FASTEST_M_S = 2.5
_LIMITS = Limits(4.0, 6.0, turn_gain_per_s=5.0, turn_rate_rad_s=3.0)


class Followers(Driver):
    """Moves people along tracks; they come in where their track begins, and are taken away where it ends."""

    def __init__(
        self,
        bodies: tuple[str, ...],
        bulks: tuple[Bulk, ...],
        time_s: Float[np.ndarray, " T"],
        track: Float[np.ndarray, "T N 2"],
        waiting: Vector,
    ) -> None:
        """Take charge of N `bodies`.

        Args:
            bodies: their names; bulks: of the bodies.
            time_s: of the track's points, s since reset, rising.
            track: where each walks, m; NaN before it comes and after it has left.
            waiting: where the first of them stands meanwhile; the others a metre apart along x.

        Raises:
            ConfigurationError: the lengths do not belong together.
        """
        if not bodies or track.shape != (len(time_s), len(bodies), 2) or len(bulks) != len(bodies):
            raise ConfigurationError(
                f"Followers: {len(bodies)} bodies, {len(bulks)} bulks, {len(time_s)} times and a track of shape "
                f"{track.shape} do not belong together."
            )
        super().__init__(bodies[0])
        self.bodies, self.bulks, self.waiting = bodies, bulks, waiting
        self._time_s, self._track = np.asarray(time_s, dtype=np.float64), np.asarray(track, dtype=np.float64)
        self.inside = [False] * len(bodies)
        self.velocities: dict[int, tuple[float, float]] = {}
        self._starts: dict[int, tuple[float, float]] = {}
        self.headings: dict[str, float] = {}

    @property
    def away(self) -> tuple[str, ...]:
        """Names of who has not come yet, or has left."""
        return tuple([body for body, inside in zip(self.bodies, self.inside, strict=True) if not inside])

    def decide(self, view: SceneView, rng: np.random.Generator) -> None:
        """Look up where everyone should be at the end of the coming frame."""
        del rng
        now, soon = view.time_s, view.time_s + view.dt_s
        self.velocities = {}
        for n in range(len(self.bodies)):
            there = self._at(n, now)
            ahead = self._at(n, soon)
            if there is None or ahead is None:
                continue
            x, y = view.place(self.bodies[n])
            pace = ((ahead[0] - there[0]) / view.dt_s, (ahead[1] - there[1]) / view.dt_s)
            back = (_PULL_PER_S * (there[0] - x), _PULL_PER_S * (there[1] - y)) if self.inside[n] else (0.0, 0.0)
            self.velocities[n] = shortened(pace[0] + back[0], pace[1] + back[1], _FASTEST_M_S)
            if math.hypot(*pace) > 0.2:
                self.headings[self.bodies[n]] = math.atan2(pace[1], pace[0])
        self._starts = {n: start for n in self.velocities if (start := self._at(n, now)) is not None}

    def _at(self, n: int, time_s: float) -> tuple[float, float] | None:
        """Return where person `n` is at a time, between two seen points; None where it is away."""
        after = int(np.searchsorted(self._time_s, time_s, side="right"))
        if after == 0 or after >= len(self._time_s):
            return None
        first, second = self._track[after - 1, n], self._track[after, n]
        if not (np.isfinite(first).all() and np.isfinite(second).all()):
            return None
        share = (time_s - self._time_s[after - 1]) / (self._time_s[after] - self._time_s[after - 1])
        x, y = first + share * (second - first)
        return float(x), float(y)

    def drive(self, actuator: Actuator) -> None:
        """Bring in who comes, take away who has left, and push the others along."""
        for n, body in enumerate(self.bodies):
            if n not in self.velocities:
                if self.inside[n]:
                    self.inside[n] = False
                    actuator.withdraw(body, (self.waiting[0] + n, self.waiting[1], self.waiting[2]))
                continue
            if not self.inside[n]:
                self.inside[n] = True
                actuator.withdraw(body, (*self._starts[n], self.waiting[2]))
            state = actuator.state(body)
            force, torque = steer(state, self.bulks[n], self.velocities[n], self.headings.get(body), _LIMITS)
            actuator.push(body, force, torque)
