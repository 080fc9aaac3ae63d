"""What the host remembers of each slot: counts and motion statistics, for lifecycle and for queries."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from jaxtyping import Bool, Float, Int

from worldsim.types.record import CHANNELS

_STILL_M_S = 0.1
_UNTOLD = 3  # looks, the birth among them, that tell no velocity yet that it could have changed from
_FADE = 0.9  # of the surprise shares a frame: about the last ten frames count


@dataclass(slots=True)
class Ledger:
    """Per-slot counters, C long.

    Attributes:
        hits: frames in which the object was seen.
        quiet: frames in a row in which it moved and surprised little.
        settled: a model has been chosen (before that, it is tracked with the generic one).
        learning_since_s: s since when a new model is being learned for it, NaN where none is.
        learning_gain_nats: by how much the broad model had beaten every candidate then, nats.
        speed_sum, speed_max, acceleration_square_sum, turn_square_sum, height_sum, still_sum: motion statistics.
        previous_velocity: [C, 3] m/s.
        surprise_sum: [C, channels] faded excess surprise by channel, nats.
    """

    hits: Int[np.ndarray, " C"]
    quiet: Int[np.ndarray, " C"]
    settled: Bool[np.ndarray, " C"]
    learning_since_s: Float[np.ndarray, " C"]
    learning_gain_nats: Float[np.ndarray, " C"]
    speed_sum: Float[np.ndarray, " C"]
    speed_max: Float[np.ndarray, " C"]
    acceleration_square_sum: Float[np.ndarray, " C"]
    turn_square_sum: Float[np.ndarray, " C"]
    height_sum: Float[np.ndarray, " C"]
    still_sum: Float[np.ndarray, " C"]
    previous_velocity: Float[np.ndarray, "C 3"]
    surprise_sum: Float[np.ndarray, "C channels"]

    @classmethod
    def empty(cls, capacity: int) -> Ledger:
        """Return a ledger of `capacity` blank slots."""

        def zeros() -> np.ndarray:
            return np.zeros(capacity)

        return cls(
            np.zeros(capacity, dtype=np.int64),
            np.zeros(capacity, dtype=np.int64),
            np.zeros(capacity, dtype=bool),
            np.full(capacity, np.nan),
            zeros(),
            zeros(),
            zeros(),
            zeros(),
            zeros(),
            zeros(),
            zeros(),
            np.zeros((capacity, 3)),
            np.zeros((capacity, len(CHANNELS))),
        )

    def grow(self) -> None:
        """Double the capacity."""
        more = Ledger.empty(len(self.hits))
        for f in fields(self):
            setattr(self, f.name, np.concatenate([getattr(self, f.name), getattr(more, f.name)]))

    def clear(self, slots: Int[np.ndarray, " n"]) -> None:
        """Blank some slots."""
        blank = Ledger.empty(1)
        for f in fields(self):
            getattr(self, f.name)[slots] = getattr(blank, f.name)[0]

    def watch(
        self,
        slots: Int[np.ndarray, " n"],
        velocity: Float[np.ndarray, "n 3"],
        bottom_m: Float[np.ndarray, " n"],
        since_s: Float[np.ndarray, " n"],
    ) -> None:
        """Fold one seen frame of some slots into their motion statistics.

        Args:
            slots: which.
            velocity: m/s.
            bottom_m: height of the underside.
            since_s: s since each was seen last: it may have been out of sight.
        """
        speed = np.linalg.norm(velocity, axis=1)
        before = self.previous_velocity[slots]
        old = np.linalg.norm(before[:, :2], axis=1)
        turn = np.arctan2(
            before[:, 0] * velocity[:, 1] - before[:, 1] * velocity[:, 0], (before[:, :2] * velocity[:, :2]).sum(1)
        )
        known = self.hits[slots] >= _UNTOLD
        moving = known & (np.minimum(old, speed) > 2 * _STILL_M_S)
        self.hits[slots] += 1
        self.speed_sum[slots] += speed
        self.speed_max[slots] = np.maximum(self.speed_max[slots], speed)
        self.acceleration_square_sum[slots] += np.where(
            known, (((velocity - before) / since_s[:, None]) ** 2).sum(1), 0.0
        )
        self.turn_square_sum[slots] += np.where(moving, (turn / since_s) ** 2, 0.0)
        self.height_sum[slots] += bottom_m
        self.still_sum[slots] += speed < _STILL_M_S
        self.previous_velocity[slots] = velocity

    def blame(self, slots: Int[np.ndarray, " n"], surprise: Float[np.ndarray, "n channels"]) -> None:
        """Fold one frame's excess surprise by channel into the faded sums."""
        self.surprise_sum[slots] = _FADE * self.surprise_sum[slots] + np.clip(surprise, 0.0, 100.0)

    @property
    def watched(self) -> Int[np.ndarray, " C"]:
        """Frames in the sums, at least 1: at an object's birth there is nothing to be watched."""
        return np.maximum(self.hits - 1, 1)

    def motion(self, slot: int) -> dict[str, float]:
        """Return the motion statistics of a slot, by the names that cards use."""
        n, changes = int(self.watched[slot]), max(int(self.hits[slot]) - _UNTOLD, 1)
        return {
            "speed_mean": float(self.speed_sum[slot] / n),
            "speed_max": float(self.speed_max[slot]),
            "acceleration_rms": float(np.sqrt(self.acceleration_square_sum[slot] / changes)),
            "turn_rate_rms": float(np.sqrt(self.turn_square_sum[slot] / changes)),
            "height": float(self.height_sum[slot] / n),
            "still_share": float(self.still_sum[slot] / n),
        }

    def channel_share(self, slot: int) -> dict[str, float]:
        """Return each channel's share of the slot's recent surprise."""
        total = self.surprise_sum[slot].sum()
        if total <= 0.0:
            return {}
        return {str(c): float(v / total) for c, v in zip(CHANNELS, self.surprise_sum[slot], strict=True)}
