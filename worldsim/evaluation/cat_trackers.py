"""The constant-velocity tracker that the world model's forecasts are measured against.

It is meant to be hard to beat: a bank of nearly-constant-velocity Kalman filters (white acceleration noise) of seven
noise intensities, weighted by how well each predicted the last second. So it need not be told whether it follows a
rolling ball or a darting cat, which one filter with one noise would.

Source: Bar-Shalom, Li, Kirubarajan, *Estimation with Applications to Tracking and Navigation* (2001), section 6.2
(the discretised white-noise-acceleration model) and 11.6 (multiple models). Ours forgets old weights exponentially in
place of a Markov chain over models.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float

__all__ = ["ConstantVelocityTracker"]

_INTENSITIES_M2_S3 = np.geomspace(1e-3, 1e2, 7)
_MEMORY_S = 1.0
_INITIAL_SPEED_STD_M_S = 2.0


@dataclass(slots=True)
class ConstantVelocityTracker:
    """Follows one thing from position detections; B filters side by side.

    Attributes:
        time_s: time of the estimate; None before the first detection.
        mean: [B, 6] position and velocity; covariance: [B, 6, 6].
        log_weight: [B] log weights of the filters.
        detections: how many detections it has had.
    """

    time_s: float | None = None
    mean: Float[np.ndarray, "B 6"] = field(default_factory=lambda: np.zeros((len(_INTENSITIES_M2_S3), 6)))
    covariance: Float[np.ndarray, "B 6 6"] = field(default_factory=lambda: np.zeros((len(_INTENSITIES_M2_S3), 6, 6)))
    log_weight: Float[np.ndarray, " B"] = field(default_factory=lambda: np.zeros(len(_INTENSITIES_M2_S3)))
    detections: int = 0

    def correct(self, time_s: float, position: Float[np.ndarray, "3"], covariance_m2: Float[np.ndarray, "3 3"]) -> None:
        """Take in one detection at `time_s` (not before the last one)."""
        self.detections += 1
        if self.time_s is None:
            self.time_s = time_s
            self.mean[:, :3] = position
            self.covariance[:, :3, :3] = covariance_m2
            self.covariance[:, 3:, 3:] = _INITIAL_SPEED_STD_M_S**2 * np.eye(3)
            return
        elapsed = time_s - self.time_s
        self.mean, self.covariance = self._ahead(elapsed)
        self.time_s = time_s
        innovation = position - self.mean[:, :3]
        spread = self.covariance[:, :3, :3] + covariance_m2
        gain = np.linalg.solve(spread, self.covariance[:, :3, :]).transpose(0, 2, 1)
        scaled = np.linalg.solve(spread, innovation[:, :, None])[:, :, 0]
        log_likelihood = -0.5 * ((innovation * scaled).sum(1) + np.linalg.slogdet(2 * np.pi * spread)[1])
        self.log_weight = self.log_weight * np.exp(-elapsed / _MEMORY_S) + log_likelihood
        self.log_weight -= self.log_weight.max()
        self.mean = self.mean + (gain @ innovation[:, :, None])[:, :, 0]
        keep = np.eye(6) - gain @ np.eye(3, 6)
        self.covariance = keep @ self.covariance @ keep.transpose(0, 2, 1) + gain @ covariance_m2 @ gain.transpose(
            0, 2, 1
        )

    def forecast(self, time_s: float) -> tuple[Float[np.ndarray, "3"], Float[np.ndarray, "3"]]:
        """Return mean and standard deviation of the position at `time_s`, over the whole bank.

        Raises:
            ValueError: nothing was detected yet.
        """
        if self.time_s is None:
            raise ValueError("forecast of a tracker that has had no detection; call correct() first.")
        mean, covariance = self._ahead(time_s - self.time_s)
        weight = np.exp(self.log_weight) / np.exp(self.log_weight).sum()
        centre = weight @ mean[:, :3]
        variance = np.diagonal(covariance[:, :3, :3], axis1=1, axis2=2) + (mean[:, :3] - centre) ** 2
        return centre, np.sqrt(weight @ variance)

    def _ahead(self, elapsed_s: float) -> tuple[Float[np.ndarray, "B 6"], Float[np.ndarray, "B 6 6"]]:
        move = np.eye(6)
        move[:3, 3:] = elapsed_s * np.eye(3)
        noise = np.kron([[elapsed_s**3 / 3, elapsed_s**2 / 2], [elapsed_s**2 / 2, elapsed_s]], np.eye(3))
        covariance = move @ self.covariance @ move.T + _INTENSITIES_M2_S3[:, None, None] * noise
        return self.mean @ move.T, covariance
