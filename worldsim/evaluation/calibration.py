"""Whether a belief's error bars are honest: coverage, chi-square tests, reliability, proper scores.

Sources: Bar-Shalom, Li and Kirubarajan (2001), section 5.4 (NEES, NIS and their bounds); Gneiting and Raftery (2007),
equations 20 (CRPS) and 22 (energy score); Guo et al. (2017) (expected calibration error).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from scipy import stats

from worldsim.errors import ConfigurationError

__all__ = [
    "ConsistencyTest",
    "ReliabilityCurve",
    "average_bounds",
    "central_interval",
    "consistency",
    "crps_gaussian",
    "crps_samples",
    "ellipsoid_coverage",
    "energy_score",
    "expected_calibration_error",
    "interval_coverage",
    "normalised_squares",
    "reliability_curve",
]


def normalised_squares(
    error: Float[np.ndarray, "N D"], covariance: Float[np.ndarray, "N D D"]
) -> Float[np.ndarray, " N"]:
    """Return ``e' P^-1 e`` of each row: NEES of state errors, NIS of innovations.

    >>> normalised_squares(np.array([[2.0, 0.0]]), np.array([[[4.0, 0.0], [0.0, 1.0]]])).tolist()
    [1.0]
    """
    factor = np.linalg.cholesky(np.asarray(covariance, dtype=np.float64))
    white = np.linalg.solve(factor, np.asarray(error, dtype=np.float64)[..., None])[..., 0]
    return (white**2).sum(axis=-1)


@dataclass(frozen=True, slots=True)
class ConsistencyTest:
    """How a filter's normalised squares compare with the chi-square law that they should follow.

    Attributes:
        mean: average of the normalised squares (expected: `dof`).
        median: their median (expected: `expected_median`).
        dof: degrees of freedom of one.
        n: how many.
        bounds: two-sided bounds of the average, were they independent and chi-square.
        share_inside: share of single values inside their own two-sided bounds (expected: `level`).
        level: of both kinds of bounds.
    """

    mean: float
    median: float
    dof: int
    n: int
    bounds: tuple[float, float]
    share_inside: float
    level: float

    @property
    def expected_median(self) -> float:
        """Median of the chi-square law."""
        return float(stats.chi2.median(self.dof))

    @property
    def holds(self) -> bool:
        """Whether the average lies inside its bounds."""
        return self.bounds[0] <= self.mean <= self.bounds[1]


def average_bounds(dof: int, n: int, level: float = 0.95) -> tuple[float, float]:
    """Return the two-sided bounds of an average of `n` chi-square values.

    >>> low, high = average_bounds(2, 50)
    >>> round(low, 2), round(high, 2)
    (1.48, 2.59)
    """
    tail = 0.5 * (1.0 - level)
    return (float(stats.chi2.ppf(tail, dof * n) / n), float(stats.chi2.ppf(1.0 - tail, dof * n) / n))


def consistency(squares: Float[np.ndarray, " N"], dof: int, level: float = 0.95) -> ConsistencyTest:
    """Test normalised squares against the chi-square law with `dof` degrees of freedom.

    Raises:
        ConfigurationError: there are none, or one is not finite.
    """
    squares = np.asarray(squares, dtype=np.float64)
    if squares.size == 0 or not np.isfinite(squares).all():
        raise ConfigurationError(f"consistency needs finite values, got {squares.size}, not all finite.")
    low, high = average_bounds(dof, 1, level)
    inside = float(((squares >= low) & (squares <= high)).mean())
    bounds = average_bounds(dof, squares.size, level)
    return ConsistencyTest(float(squares.mean()), float(np.median(squares)), dof, squares.size, bounds, inside, level)


def central_interval(
    samples: Float[np.ndarray, "S *N"], level: float = 0.9
) -> tuple[Float[np.ndarray, "*N"], Float[np.ndarray, "*N"]]:
    """Return the ends of the interval in which one more draw like the S samples lies with probability `level`.

    The ends have the ranks ``p (S + 1)`` among the samples (Hyndman & Fan 1996, type 6). The usual ``1 + p (S - 1)``
    holds a share of ``level (S - 1) / (S + 1)`` alone: 87 % for 90 of 64 samples.
    """
    tail = 0.5 * (1.0 - level)
    low, high = np.quantile(samples, [tail, 1.0 - tail], axis=0, method="weibull")
    return low, high


def interval_coverage(
    observed: Float[np.ndarray, " N"], mean: Float[np.ndarray, " N"], std: Float[np.ndarray, " N"], level: float = 0.9
) -> float:
    """Return the share of values inside their central Gaussian interval."""
    half = float(stats.norm.ppf(0.5 + 0.5 * level))
    return float((np.abs(observed - mean) <= half * std).mean())


def ellipsoid_coverage(
    error: Float[np.ndarray, "N D"], covariance: Float[np.ndarray, "N D D"], level: float = 0.9
) -> float:
    """Return the share of errors inside their Gaussian ellipsoid."""
    inside = normalised_squares(error, covariance) <= stats.chi2.ppf(level, error.shape[-1])
    return float(inside.mean())


@dataclass(frozen=True, slots=True)
class ReliabilityCurve:
    """What happened against what was said, in equal-width bins of the stated probability.

    Attributes:
        stated: [B] mean stated probability of each bin, NaN where the bin is empty.
        happened: [B] share of outcomes that happened, NaN where empty.
        count: [B] members.
    """

    stated: Float[np.ndarray, " B"]
    happened: Float[np.ndarray, " B"]
    count: np.ndarray


def reliability_curve(
    probability: Float[np.ndarray, " N"], outcome: Bool[np.ndarray, " N"], bins: int = 10
) -> ReliabilityCurve:
    """Return the reliability curve of stated probabilities.

    Raises:
        ConfigurationError: a probability is outside [0, 1].
    """
    probability = np.asarray(probability, dtype=np.float64)
    if not ((probability >= 0.0) & (probability <= 1.0)).all():
        raise ConfigurationError("reliability_curve got a probability outside [0, 1].")
    index = np.minimum((probability * bins).astype(np.int64), bins - 1)
    count = np.bincount(index, minlength=bins)
    with np.errstate(invalid="ignore"):
        stated = np.bincount(index, weights=probability, minlength=bins) / count
        happened = np.bincount(index, weights=np.asarray(outcome, dtype=np.float64), minlength=bins) / count
    return ReliabilityCurve(stated, happened, count)


def expected_calibration_error(
    probability: Float[np.ndarray, " N"], outcome: Bool[np.ndarray, " N"], bins: int = 10
) -> float:
    """Return the mean distance of the reliability curve from the diagonal, weighted by the bins' members."""
    curve = reliability_curve(probability, outcome, bins)
    used = curve.count > 0
    gap = np.abs(curve.stated[used] - curve.happened[used])
    return float((gap * curve.count[used]).sum() / curve.count.sum())


def crps_gaussian(
    observed: Float[np.ndarray, " N"], mean: Float[np.ndarray, " N"], std: Float[np.ndarray, " N"]
) -> Float[np.ndarray, " N"]:
    """Return the continuous ranked probability score of Gaussian forecasts; lower is better, in the data's unit."""
    z = (observed - mean) / std
    return std * (z * (2.0 * stats.norm.cdf(z) - 1.0) + 2.0 * stats.norm.pdf(z) - 1.0 / np.sqrt(np.pi))


def crps_samples(samples: Float[np.ndarray, "S N"], observed: Float[np.ndarray, " N"]) -> Float[np.ndarray, " N"]:
    """Return the fair (unbiased over the samples) CRPS of an ensemble."""
    return energy_score(samples[..., None], observed[..., None])


def energy_score(samples: Float[np.ndarray, "S N D"], observed: Float[np.ndarray, "N D"]) -> Float[np.ndarray, " N"]:
    """Return the fair energy score of an ensemble of S forecasts; lower is better, in the data's unit.

    ``mean |x - y| - 1/2 mean |x - x'|``, the second mean over pairs of distinct samples.

    Raises:
        ConfigurationError: fewer than two samples.
    """
    size = len(samples)
    if size < 2:
        raise ConfigurationError(f"energy_score needs at least two samples, got {size}.")
    distance = np.linalg.norm(samples - observed, axis=-1).mean(axis=0)
    spread = sum(np.linalg.norm(samples[i + 1 :] - samples[i], axis=-1).sum(axis=0) for i in range(size - 1))
    return np.asarray(distance - spread / (size * (size - 1)))
