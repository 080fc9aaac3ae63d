"""Correct: fold one observation a row into the density (a Kalman update that subtracts nothing it observed)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from worldsim.dynamics import quaternion
from worldsim.filtering.density import Density, retract
from worldsim.filtering.likelihood import log_diagonal

POSE_DIM = 6


@dataclass(frozen=True, slots=True)
class Innovation:
    """How an observed pose differs from the predicted one.

    Attributes:
        residual: [N, 6] observed minus predicted (m, rad, world frame).
        covariance: [N, 6, 6] of the residual under the prediction: belief plus sensor noise.
        root: [N, 6, 6] its lower Cholesky factor; factored once, read by the surprise too.
        white: [N, 6] the residual whitened by it.
    """

    residual: Float[Tensor, "N 6"]
    covariance: Float[Tensor, "N 6 6"]
    root: Float[Tensor, "N 6 6"]
    white: Float[Tensor, "N 6"]

    @classmethod
    def of(cls, residual: Float[Tensor, "N 6"], covariance: Float[Tensor, "N 6 6"]) -> Innovation:
        """Return the innovation of residuals with these covariances."""
        root = torch.linalg.cholesky_ex(covariance).L
        white = torch.linalg.solve_triangular(root, residual.unsqueeze(-1), upper=False).squeeze(-1)
        return cls(residual, covariance, root, white)

    @property
    def nis(self) -> Float[Tensor, " N"]:
        """Normalised innovation squared, chi-square with 6 degrees of freedom where both are Gaussian."""
        return (self.white * self.white).sum(-1)


def innovation(
    density: Density,
    position: Float[Tensor, "N 3"],
    orientation_xyzw: Float[Tensor, "N 4"],
    noise: Float[Tensor, "N 6 6"],
) -> Innovation:
    """Return the innovation of one observed pose a row (Bar-Shalom et al. 2001, eq. 5.2.3-9 and 5.4.2-2)."""
    states = density.states
    turned = quaternion.difference(orientation_xyzw, states.orientation_xyzw)
    residual = torch.cat([position - states.position, turned], dim=-1)
    return Innovation.of(residual, density.covariance[:, :POSE_DIM, :POSE_DIM] + noise)


def correct(
    density: Density,
    residual: Float[Tensor, "N k"],
    noise: Float[Tensor, "N k k"],
    root: Float[Tensor, "N k k"] | None = None,
    overwrite: bool = False,
) -> tuple[Density, Float[Tensor, " N"]]:
    """Return the posterior rows and the Bayesian surprise KL(posterior || prior) of each, nats.

    The observation is of the first k tangent coordinates (6 for a pose, 12 for pose and twist); `residual` is
    observed minus predicted. `root` is the innovation's, where it is at hand. With `overwrite` the
    posterior covariance takes the place of the prior's.

    With H = [I 0] and S = H P H' + R = L L', the observed rows of the posterior are ``R S^-1 H P``: the Joseph form
    (I - K H) P (I - K H)' + K R K' with its subtractions carried out by hand, so that a belief a million times wider
    than the sensor's noise loses no digits. What was not observed loses ``Y' Y`` with Y = L^-1 H P, a symmetric and
    positive matrix whatever Y was rounded to. Two factorisations, one triangular solve, no inverse.
    """
    k, width = residual.shape[-1], density.covariance.shape[-1]
    prior = density.covariance
    if root is None:
        root = torch.linalg.cholesky_ex(prior[:, :k, :k] + noise).L
    noise_root = torch.linalg.cholesky_ex(noise).L
    # L^-1 B as (B' L^-T)': so it lies as the solver wants it, and is not turned round first; (H P)' is a part of P too
    sides = torch.cat([prior[:, :, :k], noise_root.mT, residual.unsqueeze(1)], dim=1)
    solved = torch.linalg.solve_triangular(root.mT, sides, upper=True, left=False).mT
    white, shrunk, white_residual = solved.split([width, k, 1], dim=-1)
    stripe = noise_root @ (shrunk.mT @ white)
    observed = stripe[:, :, :k]
    posterior = prior if overwrite else prior.clone()
    posterior.baddbmm_(white.mT, white, alpha=-1.0)
    posterior[:, :k, :k] = (observed + observed.mT).mul_(0.5)
    posterior[:, :k, k:] = stripe[:, :, k:]
    posterior[:, k:, :k] = stripe[:, :, k:].mT
    step = (white.mT @ white_residual).squeeze(-1)
    states, parameters = retract(density.states, density.parameters, step)
    return Density(states, parameters, posterior), _observed_divergence(root, noise_root, shrunk, white_residual)


def _observed_divergence(
    root: Float[Tensor, "N k k"],
    noise_root: Float[Tensor, "N k k"],
    shrunk: Float[Tensor, "N k k"],
    white_residual: Float[Tensor, "N k 1"],
) -> Float[Tensor, " N"]:
    """Return KL(posterior || prior) of the observed coordinates (of all the others it is a function of these).

    With K = P S^-1 and posterior (I - K) P, it is half of ``r' S^-1 P S^-1 r - tr K + ln |S| - ln |R|``.

    Args:
        root: L of S = L L'; noise_root: M of R = M M'.
        shrunk: G = L^-1 M, so that ``tr K = k - |G|^2`` and ``S^-1 P S^-1 = L^-T (I - G G') L^-1``.
        white_residual: L^-1 r.
    """
    unexplained = shrunk.mT @ white_residual
    distance = (white_residual * white_residual).sum((1, 2)) - (unexplained * unexplained).sum((1, 2))
    trace = root.shape[-1] - (shrunk * shrunk).sum((1, 2))
    log_ratio = 2.0 * (log_diagonal(root) - log_diagonal(noise_root)).sum(-1)
    return (0.5 * (distance - trace + log_ratio)).clamp_min(0.0)
