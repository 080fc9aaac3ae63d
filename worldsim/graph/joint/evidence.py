"""The evidence that a node's motion gives about its incoming coefficients, in information form.

Given the coefficients w, a node's position and velocity are a linear-Gaussian state that is observed with noise.
The gains of its Kalman filter do not depend on w, and its innovations are linear in w, so one small filter a node
carries the state at w = 0 and the sensitivity to w apart (Friedland 1969, "Treatment of bias in recursive
filtering"), and the innovations accumulate to an exact Gaussian likelihood of w:

    log p(y_1..t | w) = -1/2 [ w' precision w - 2 w' information ] + constant.

The leading axes are H hypotheses about the noise scale and R run lengths; everything is float64.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

LEAST_VARIANCE = 1e-30
"""Of a block of which nothing was seen, m^2."""

REANCHOR = 1e6
"""Variance of a coordinate that starts anew, over that of its observation."""


@dataclass(frozen=True, slots=True)
class NodeEvidence:
    """Sufficient statistics of B = R x H hypotheses for N nodes, D dimensions, d coefficients.

    Attributes:
        state: [B, N, 2D] filtered position and velocity at w = 0.
        sensitivity: [B, N, 2D, d] change of the filtered state per unit of w.
        covariance: [B, N, 2D, 2D] of the filtered state, given w.
        precision: [B, N, d, d]; information: [B, N, d].
        misfit: [B, N] sum of the normalised innovations squared of the predictions; degrees: [B, N] what it should be:
            the number of coordinates. Each frame counts in the measure in which the observation's noise made them.
    """

    state: Float[Tensor, "B N P"]
    sensitivity: Float[Tensor, "B N P d"]
    covariance: Float[Tensor, "B N P P"]
    precision: Float[Tensor, "B N d d"]
    information: Float[Tensor, "B N d"]
    misfit: Float[Tensor, "B N"]
    degrees: Float[Tensor, "B N"]

    @classmethod
    def start(cls, state: Float[Tensor, "N P"], noise: Float[Tensor, "B N P P"], coefficients: int) -> NodeEvidence:
        """Return the evidence after one frame: the state as observed, nothing known of w."""
        banks, count, size = noise.shape[:3]
        return cls(
            state.expand(banks, count, size).clone(),
            state.new_zeros(banks, count, size, coefficients),
            noise.clone(),
            state.new_zeros(banks, count, coefficients, coefficients),
            state.new_zeros(banks, count, coefficients),
            state.new_zeros(banks, count),
            state.new_zeros(banks, count),
        )

    def rows(self, row: Int[Tensor, " N"], node: Int[Tensor, " N"]) -> NodeEvidence:
        """Return one hypothesis a node, as a bank of one."""
        return NodeEvidence(
            self.state[row, node][None],
            self.sensitivity[row, node][None],
            self.covariance[row, node][None],
            self.precision[row, node][None],
            self.information[row, node][None],
            self.misfit[row, node][None],
            self.degrees[row, node][None],
        )

    def posterior(
        self, mean: Float[Tensor, "N d"], variance: Float[Tensor, "N d"]
    ) -> tuple[Float[Tensor, "B N d"], Float[Tensor, "B N d d"]]:
        """Return the mean and the Cholesky factor of the precision under independent Gaussian priors.

        Args:
            mean, variance: [N, d] of the prior.
        """
        factor = stable_cholesky(self.precision + torch.diag_embed(1.0 / variance))
        information = self.information + mean / variance
        return torch.cholesky_solve(information[..., None], factor)[..., 0], factor


def covariance_of(factor: Float[Tensor, "*B d d"]) -> Float[Tensor, "*B d d"]:
    """Return the covariance whose precision has the Cholesky `factor`."""
    return torch.cholesky_inverse(factor)


def stable_cholesky(precision: Float[Tensor, "*B d d"]) -> Float[Tensor, "*B d d"]:
    """Return the Cholesky factor, with a little of the largest entry added to those matrices alone that need it.

    Information grows with the square of what noise-free data tell, and can outrun float64 where columns are collinear.
    """
    factor, failed = torch.linalg.cholesky_ex(precision)
    if not bool(failed.any()):
        return factor
    largest = precision.diagonal(dim1=-2, dim2=-1).amax(-1)
    extra = torch.where(failed > 0, 1e-13 * largest, torch.zeros_like(largest))[..., None, None]
    identity = torch.eye(precision.shape[-1], dtype=precision.dtype, device=precision.device)
    again = torch.linalg.cholesky_ex(precision + extra * identity)[0]
    return torch.where((failed > 0)[..., None, None], again, factor)


def jittered(covariance: Float[Tensor, "*B d d"]) -> Float[Tensor, "*B d d"]:
    """Return a symmetric covariance whose smallest eigenvalue rounding cannot turn negative.

    A body in a close encounter has variances of 1e4 beside others of 1e-15, more than float64 spans; what is added
    lies 1e-13 below the largest.
    """
    largest = covariance.diagonal(dim1=-2, dim2=-1).amax(-1)
    identity = torch.eye(covariance.shape[-1], dtype=covariance.dtype, device=covariance.device)
    return 0.5 * (covariance + covariance.mT) + 1e-13 * largest[..., None, None] * identity


@dataclass(frozen=True, slots=True)
class Transition:
    """One frame as the filter sees it.

    Attributes:
        design: [N, 2D, d] change of (position, velocity) per unit of each coefficient, from `integrate_forces`.
        observed: [N, 2D] position and velocity at its end.
        process: [B, N, 2D, 2D] covariance of what the integrals miss.
        noise: [B, N, 2D, 2D] covariance of the observation.
        blind: [N, 2D] coordinates of which the frame tells nothing (a wall was hit): they start anew.
        dt_s: length, s.
    """

    design: Float[Tensor, "N P d"]
    observed: Float[Tensor, "N P"]
    process: Float[Tensor, "B N P P"]
    noise: Float[Tensor, "B N P P"]
    blind: Bool[Tensor, "N P"]
    dt_s: float

    def rows(self, row: Int[Tensor, " N"], node: Int[Tensor, " N"]) -> Transition:
        """Return the frame under one hypothesis a node, as a bank of one."""
        process, noise = self.process[row, node][None], self.noise[row, node][None]
        return Transition(self.design, self.observed, process, noise, self.blind, self.dt_s)


@dataclass(frozen=True, slots=True)
class Prediction:
    """What the filter expects of a frame, given w: innovation ~ N(columns w, covariance + noise).

    Attributes:
        state: [B, N, 2D] predicted at w = 0; columns: [B, N, 2D, d] its change per unit of w.
        covariance: [B, N, 2D, 2D] of the predicted state, given w.
        innovation: [B, N, 2D] observed minus predicted, 0 on blind coordinates.
    """

    state: Float[Tensor, "B N P"]
    columns: Float[Tensor, "B N P d"]
    covariance: Float[Tensor, "B N P P"]
    innovation: Float[Tensor, "B N P"]

    def rows(self, row: Int[Tensor, " N"], node: Int[Tensor, " N"]) -> Prediction:
        """Return one hypothesis a node, as a bank of one."""
        return Prediction(
            self.state[row, node][None],
            self.columns[row, node][None],
            self.covariance[row, node][None],
            self.innovation[row, node][None],
        )


def predict(evidence: NodeEvidence, frame: Transition) -> Prediction:
    """Carry the state at w = 0 and its sensitivity over a frame."""
    half = frame.observed.shape[-1] // 2
    step = torch.eye(2 * half, dtype=frame.observed.dtype, device=frame.observed.device)
    step[:half, half:] += frame.dt_s * step[:half, :half]
    seen = (~frame.blind).to(step.dtype)
    state = torch.where(frame.blind, frame.observed, evidence.state @ step.T)
    columns = (step @ evidence.sensitivity + frame.design) * seen[:, :, None]
    covariance = (step @ evidence.covariance @ step.T + frame.process) * seen[:, :, None] * seen[:, None, :]
    anew = torch.diag_embed(REANCHOR * frame.noise.diagonal(dim1=-2, dim2=-1) * (1.0 - seen))
    return Prediction(state, columns, covariance + anew, frame.observed - state)


@dataclass(frozen=True, slots=True)
class Fit:
    """How well a frame was predicted, its coefficients integrated out.

    Attributes:
        worse: [B, N] factor by which the frame is worse measured than assumed, 1 for all but outliers.
        log_density: [B, N] of the frame, with that factor.
        nis: [B, N] normalised innovation squared, with that factor; count: [N] of the coordinates that told anything.
        share: [B, N] square of the observation's part in the variance of the innovation: near 0 in a frame whose forces
            or paths are hardly known, of which nothing can be learned about the noise.
    """

    worse: Float[Tensor, "B N"]
    log_density: Float[Tensor, "B N"]
    nis: Float[Tensor, "B N"]
    count: Float[Tensor, " N"]
    share: Float[Tensor, "B N"]


def fitted(
    expected: Prediction,
    frame: Transition,
    mean: Float[Tensor, "B N d"],
    covariance: Float[Tensor, "B N d d"],
    limit: float,
) -> Fit:
    """Compare a frame with what was expected of it.

    Args:
        expected: the prediction.
        frame: the frame.
        mean, covariance: of w before the frame.
        limit: normalised innovation squared a coordinate that is still taken as it is.
    """
    seen = (~frame.blind).to(mean.dtype)
    residual = expected.innovation - (expected.columns @ mean[..., None])[..., 0]
    unknown = expected.columns @ covariance @ expected.columns.mT
    spread = expected.covariance + frame.noise + unknown
    count = seen.sum(-1).clamp_min(1.0)
    # position and velocity each by their traces, so that turning the world changes nothing
    half = seen.shape[-1] // 2
    foreign = ((frame.process + unknown).diagonal(dim1=-2, dim2=-1) * seen).unflatten(-1, (2, half)).sum(-1)
    total = (spread.diagonal(dim1=-2, dim2=-1) * seen).unflatten(-1, (2, half)).sum(-1)
    share = (1.0 - foreign / total.clamp_min(LEAST_VARIANCE)).clamp_min(0.0).mean(-1).square()
    spread = spread * seen[:, :, None] * seen[:, None, :] + torch.diag_embed(1.0 - seen)
    factor = torch.linalg.cholesky(jittered(spread))
    nis = torch.linalg.solve_triangular(factor, residual[..., None], upper=False)[..., 0].square().sum(-1)
    log_determinant = 2.0 * factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)
    worse = torch.where(nis > limit * count, nis / count, torch.ones_like(nis))
    log_density = -0.5 * (nis / worse + log_determinant + count * (worse.log() + math.log(2.0 * math.pi)))
    return Fit(worse, log_density, nis / worse, seen.sum(-1), share)


def correct(evidence: NodeEvidence, frame: Transition, expected: Prediction, fit: Fit | None = None) -> NodeEvidence:
    """Correct with the observed position and velocity, and gather what the innovation says of w.

    Args:
        evidence: before the frame.
        frame, expected: the frame, and what was expected of it.
        fit: how well it was predicted, None where the noise is not to be learned from it.
    """
    factor = torch.linalg.cholesky(jittered(expected.covariance + frame.noise))
    width = expected.columns.shape[-1]
    white = torch.linalg.solve_triangular(
        factor, torch.cat([expected.columns, expected.innovation[..., None], expected.covariance], dim=-1), upper=False
    )
    columns, residual, gain = white[..., :width], white[..., width], white[..., width + 1 :]
    corrected = expected.covariance - gain.mT @ gain
    return NodeEvidence(
        expected.state + (gain.mT @ residual[..., None])[..., 0],
        expected.columns - gain.mT @ columns,
        0.5 * (corrected + corrected.mT),
        evidence.precision + columns.mT @ columns,
        evidence.information + (columns.mT @ residual[..., None])[..., 0],
        evidence.misfit if fit is None else evidence.misfit + fit.share * fit.nis,
        evidence.degrees if fit is None else evidence.degrees + fit.share * fit.count,
    )
