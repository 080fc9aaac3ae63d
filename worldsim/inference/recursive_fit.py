"""A Gaussian belief over the parameters of a smooth model, corrected batch by batch from how its predictions miss.

Each batch is seen once. Its correction is an iterated, robust linearised least squares in information form with the
belief as prior (an iterated extended Kalman filter over constants): precision adds up, nothing is stored of the past.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from worldsim.types.card import ParameterPrior

__all__ = ["GaussianBelief", "Misses", "RecursiveFit"]

Misses = Callable[[Float[np.ndarray, "K P"]], Float[np.ndarray, "K W M"]]
"""Natural parameters -> predicted minus observed: K parameter values, W windows, M numbers a window."""


@dataclass(frozen=True, slots=True)
class GaussianBelief:
    """A Gaussian over P parameters in transformed coordinates.

    Attributes:
        priors: names, transforms and priors of the P columns.
        mean: [P].
        precision: [P, P] inverse covariance.
        miss_scale: typical size of a miss, learned.
        windows: how many were watched.
    """

    priors: tuple[ParameterPrior, ...]
    mean: Float[np.ndarray, " P"]
    precision: Float[np.ndarray, "P P"]
    miss_scale: float
    windows: int = 0

    @classmethod
    def prior(cls, priors: tuple[ParameterPrior, ...], miss_scale: float) -> GaussianBelief:
        """Return the belief before anything was watched."""
        mean = np.array([np.log(p.mean) if p.transform == "log" else p.mean for p in priors])
        return cls(priors, mean, np.diag([p.std**-2.0 for p in priors]), miss_scale)

    @property
    def covariance(self) -> Float[np.ndarray, "P P"]:
        """Covariance in transformed coordinates."""
        root = np.linalg.inv(np.linalg.cholesky(self.precision))
        return np.asarray(root.T @ root)

    def natural(self, values: Float[np.ndarray, "... P"] | None = None) -> Float[np.ndarray, "... P"]:
        """Return `values` (the mean where None) in natural units."""
        chosen = self.mean if values is None else values
        is_log = np.array([prior.transform == "log" for prior in self.priors])
        return np.where(is_log, np.exp(np.where(is_log, chosen, 0.0)), chosen)

    def draw(self, count: int, rng: np.random.Generator) -> Float[np.ndarray, "S P"]:
        """Return samples in natural units."""
        root = np.linalg.cholesky(self.covariance)
        return self.natural(self.mean + rng.standard_normal((count, len(self.mean))) @ root.T)

    def interval(self, normal_quantile: float = 1.645) -> dict[str, tuple[float, float, float]]:
        """Return (median, low, high) of every parameter in natural units, 90 % by default."""
        spread = normal_quantile * np.sqrt(np.diag(self.covariance))
        rows = self.natural(np.stack([self.mean, self.mean - spread, self.mean + spread]))
        return {prior.name: (float(m), float(lo), float(hi)) for prior, m, lo, hi in zip(self.priors, *rows)}

    def widened(self, share: float) -> GaussianBelief:
        """Return the belief about another instance of the same kind: `share` of the prior's spread added."""
        added = np.diag([(share * prior.std) ** 2 for prior in self.priors])
        covariance = self.covariance + added
        root = np.linalg.inv(np.linalg.cholesky(covariance))
        return replace(self, precision=root.T @ root)


@dataclass(frozen=True, slots=True)
class RecursiveFit:
    """Corrects a `GaussianBelief` by windows.

    Attributes:
        iterations: linearisations a batch.
        independent: how many independent measurements a window counts for; the misses along one window are
            one miss seen many times, and the model is not the truth.
        student_dof: tails of the misses; a window that is wrong by far weighs little.
        step: of the differences, in standard deviations of the prior.
        longest_move: most that a parameter moves in one linearisation, in standard deviations of the prior.
    """

    iterations: int = 4
    independent: float = 0.5
    student_dof: float = 3.0
    step: float = 1e-4
    longest_move: float = 0.8

    def correct(self, belief: GaussianBelief, misses: Misses) -> GaussianBelief:
        """Return the belief after watching one batch of windows.

        Source: Bell and Cathey 1993, "The iterated Kalman filter update as a Gauss-Newton method". Ours differs:
            weights of a Student-t likelihood, a window at a time, tempered to `independent` measurements.
        """
        size, point, scale = len(belief.mean), belief.mean, belief.miss_scale
        widths = np.array([prior.std for prior in belief.priors])
        steps = self.step * widths
        shifts = np.concatenate([np.zeros((1, size)), np.diag(steps)])
        information = np.zeros((size, size))
        for _ in range(self.iterations):
            found = misses(belief.natural(point + shifts))
            base = found[0]
            usable = np.isfinite(found).all(axis=(0, 2))
            if not usable.any():
                return belief
            slope = (found[1:] - base)[:, usable] / steps[:, None, None]
            base = base[usable]
            square = (base**2).mean(axis=1)
            weight = (self.student_dof + 1.0) / (self.student_dof + square / scale**2) / scale**2
            weight = weight * (self.independent / base.shape[1])
            information = np.einsum("iwm,jwm,w->ij", slope, slope, weight, optimize=True)
            gradient = np.einsum("iwm,wm,w->i", slope, base, weight, optimize=True)
            pull = belief.precision @ (point - belief.mean)
            move = -np.linalg.solve(belief.precision + information, gradient + pull)
            point = point + np.clip(move, -self.longest_move * widths, self.longest_move * widths)
            if np.abs(move / widths).max() < 1e-3:
                break
        count = int(usable.sum())
        rate = count / (count + belief.windows + 5.0)
        typical = np.sqrt(np.median(square))
        return replace(
            belief,
            mean=point,
            precision=belief.precision + 0.5 * (information + information.T),
            miss_scale=float(np.exp((1.0 - rate) * np.log(scale) + rate * np.log(max(typical, 1e-6)))),
            windows=belief.windows + count,
        )
