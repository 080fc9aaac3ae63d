"""What a belief over a cube's parameters says of a toss: samples, a point prediction, and calibrated intervals."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from worldsim.dynamics import quaternion
from worldsim.inference.identification import Identifier, ParameterCloud
from worldsim.inference.rigid_rollout import BoxStart

__all__ = ["Calibration", "StartNoise", "TossPrediction", "predict"]


@dataclass(frozen=True, slots=True)
class StartNoise:
    """Standard deviations of a measured start: m, rad, m/s, rad/s.

    The defaults are the recordings' noise at rest (0.03 mm, 0.015 degrees) and what its difference over one frame of
    148 Hz makes of it.
    """

    position_m: float = 3e-5
    rotation_rad: float = 2.6e-4
    velocity_m_s: float = 6.3e-3
    spin_rad_s: float = 0.055

    def draw(self, start: BoxStart, rng: np.random.Generator) -> BoxStart:
        """Return starts that might have been measured as `start`.

        The noise is drawn along each toss's own heading, so that a toss seen from another side gets the same.
        """
        shape, dtype = start.position.shape, start.position.dtype
        heading = torch.atan2(start.linear_velocity[:, 1], start.linear_velocity[:, 0])
        zero = torch.zeros_like(heading)
        turn = torch.stack([zero, zero, torch.sin(0.5 * heading), torch.cos(0.5 * heading)], dim=-1)

        def noise(scale: float) -> Tensor:
            drawn = torch.as_tensor(scale * rng.standard_normal(shape), dtype=dtype)
            return quaternion.rotate(turn, drawn)

        return BoxStart(
            start.position + noise(self.position_m),
            quaternion.multiply(quaternion.exp(noise(self.rotation_rad)), start.orientation_xyzw),
            start.linear_velocity + noise(self.velocity_m_s),
            start.angular_velocity + noise(self.spin_rad_s),
            start.velocity_lag_s,
        )


@dataclass(frozen=True, slots=True)
class TossPrediction:
    """Predicted poses of n tosses over T frames.

    Attributes:
        position: [T, n, 3] m: at each frame the point with the least mean distance to the samples.
        orientation_xyzw: [T, n, 4] the sample with the least mean angle to the others.
        samples: [S, T, n, 3] m positions.
        spread_m: [T, n, 3] standard deviation of the samples, axis by axis.
    """

    position: Float[np.ndarray, "T n 3"]
    orientation_xyzw: Float[np.ndarray, "T n 4"]
    samples: Float[np.ndarray, "S T n 3"]
    spread_m: Float[np.ndarray, "T n 3"]


def predict(
    identifier: Identifier,
    cloud: ParameterCloud,
    start: BoxStart,
    frames: int,
    dt_s: float,
    samples: int,
    rng: np.random.Generator,
    noise: StartNoise | None = None,
) -> TossPrediction:
    """Predict tosses open loop; every sample has its own parameters and its own start."""
    count = len(start.position)
    starts = (noise or StartNoise()).draw(start.repeated(samples), rng)
    natural = cloud.natural(cloud.draw(samples, rng))
    positions, orientations = identifier.roll_out(natural, starts, frames, dt_s, identifier.settings)
    cloud_of_points = positions.nan_to_num(nan=0.0).unflatten(1, (samples, count)).movedim(1, 0)
    drawn = cloud_of_points.double().numpy()
    return TossPrediction(
        _geometric_median(drawn),
        _central_rotation(orientations.nan_to_num(nan=0.5).unflatten(1, (samples, count)).movedim(1, 0)),
        drawn,
        drawn.std(axis=0),
    )


@dataclass(frozen=True, slots=True)
class Calibration:
    """How far observations lie from predictions, in units of the predicted spread.

    Each toss is compared before it is learned from.

    Attributes:
        level: of the intervals.
        ratios: prequential |error| / spread, one [T, n, 3] array a prediction, NaN where nothing was observed.
    """

    level: float = 0.9
    ratios: tuple[Float[np.ndarray, "T n 3"], ...] = field(default=(), repr=False)

    def watched(
        self, prediction: TossPrediction, position: Float[np.ndarray, "T n 3"], scored: Bool[np.ndarray, "T n"]
    ) -> Calibration:
        """Return the calibration after comparing a prediction with what then happened."""
        length = len(prediction.position)
        error = np.abs(position[:length] - prediction.position) / _scale(prediction.spread_m)
        return Calibration(self.level, (*self.ratios, np.where(scored[:length, :, None], error, np.nan)))

    def factors(self, frames: int) -> Float[np.ndarray, "T 3"]:
        """Return, for every frame and axis, the multiple of the spread that holds `level` of the observations.

        The two horizontal axes are pooled; the vertical one stands for itself, since the floor bounds it. Each frame
        pools its neighbours within a twentieth of a second at 148 Hz; beyond the longest toss watched the last
        well-observed value stays. With nothing watched it is the Gaussian's.
        """
        if not self.ratios:
            return np.full((frames, 3), GAUSSIAN_FACTOR)
        length = max(len(r) for r in self.ratios)
        padded = [np.pad(r, ((0, length - len(r)), (0, 0), (0, 0)), constant_values=np.nan) for r in self.ratios]
        pooled = np.concatenate(padded, axis=1)
        horizontal = self._quantiles(pooled[..., :2].reshape(length, -1), frames)
        vertical = self._quantiles(pooled[..., 2], frames)
        return np.stack([horizontal, horizontal, vertical], axis=-1)

    def _quantiles(self, pooled: Float[np.ndarray, "T n"], frames: int) -> Float[np.ndarray, " F"]:
        found, value = np.empty(frames), GAUSSIAN_FACTOR
        for frame in range(frames):
            near = pooled[max(0, frame - POOLED_FRAMES) : frame + POOLED_FRAMES + 1]
            near = near[np.isfinite(near)]
            if len(near) >= LEAST_POOLED:
                value = float(np.quantile(near, self.level))
            found[frame] = value
        return found

    def half_width(self, prediction: TossPrediction) -> Float[np.ndarray, "T n 3"]:
        """Return the half width (m) of the intervals of `level`, axis by axis."""
        factors = self.factors(len(prediction.position))
        return np.asarray(factors[:, None, :] * _scale(prediction.spread_m))


GAUSSIAN_FACTOR, POOLED_FRAMES, LEAST_POOLED = 1.645, 7, 200
LEAST_SPREAD_M = 3e-4
"""Spread that a prediction has at least: the samples of a body at rest agree better than its model deserves."""


def _scale(spread_m: Float[np.ndarray, "T n 3"]) -> Float[np.ndarray, "T n 3"]:
    return np.sqrt(spread_m**2 + LEAST_SPREAD_M**2)


def _geometric_median(samples: Float[np.ndarray, "S T n 3"]) -> Float[np.ndarray, "T n 3"]:
    """Return the point of least mean distance, by Weiszfeld's iteration from the mean."""
    point = samples.mean(axis=0)
    for _ in range(12):
        weight = 1.0 / np.maximum(np.linalg.norm(samples - point, axis=-1, keepdims=True), 1e-6)
        point = (weight * samples).sum(axis=0) / weight.sum(axis=0)
    return np.asarray(point)


def _central_rotation(samples: Float[Tensor, "S T n 4"]) -> Float[np.ndarray, "T n 4"]:
    """Return the sample whose mean angle to the others is least, frame by frame."""
    batch = samples.permute(1, 2, 0, 3)
    cosine = (batch @ batch.mT).abs().clamp(max=1.0)
    best = torch.acos(cosine).mean(dim=-1).argmin(dim=-1)
    return torch.gather(batch, 2, best[..., None, None].expand(-1, -1, 1, 4))[:, :, 0].double().numpy()
