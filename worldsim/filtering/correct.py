"""Correct: fold one observation a row into the density (Kalman update in Joseph form)."""

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
    density: Density, residual: Float[Tensor, "N k"], noise: Float[Tensor, "N k k"]
) -> tuple[Density, Float[Tensor, " N"]]:
    """Return the posterior rows and the Bayesian surprise KL(posterior || prior) of each, nats.

    The observation is of the first k tangent coordinates (6 for a pose, 12 for pose and twist); `residual` is
    observed minus predicted. Joseph form, (I - K H) P (I - K H)' + K R K' with H = [I 0], so that every product has a
    side of k; symmetrised, Cholesky solves only.
    """
    k = residual.shape[-1]
    prior = density.covariance
    seen = prior[:, :k, :]
    root = torch.linalg.cholesky_ex(seen[:, :, :k] + noise).L
    gain = torch.cholesky_solve(seen, root).mT
    kept = torch.baddbmm(prior, gain, seen, alpha=-1.0)
    posterior = torch.baddbmm(kept, kept[:, :, :k], gain.mT, alpha=-1.0)
    posterior = posterior.baddbmm_(gain @ noise, gain.mT)
    posterior = (posterior + posterior.mT).mul_(0.5)
    weighed = torch.cholesky_solve(residual.unsqueeze(-1), root)
    step = (gain @ residual.unsqueeze(-1)).squeeze(-1)
    states, parameters = retract(density.states, density.parameters, step)
    gained = _observed_divergence(gain[:, :k], root, noise, (weighed.squeeze(-1) * step[:, :k]).sum(-1))
    return Density(states, parameters, posterior), gained


def _observed_divergence(
    gain: Float[Tensor, "N k k"],
    root: Float[Tensor, "N k k"],
    noise: Float[Tensor, "N k k"],
    distance: Float[Tensor, " N"],
) -> Float[Tensor, " N"]:
    """Return KL(posterior || prior) of the observed coordinates (of all the others it is a function of these).

    With S = P + R = root root', K = P S^-1 and posterior (I - K) P, it is half of
    ``r' S^-1 P S^-1 r - tr K + ln |S| - ln |R|``: nothing that nearly cancels is inverted.

    Args:
        gain: K, of the observed coordinates; root: of S; noise: R.
        distance: r' S^-1 P S^-1 r.
    """
    trace = torch.diagonal(gain, dim1=1, dim2=2).sum(-1)
    log_ratio = 2.0 * (log_diagonal(root) - log_diagonal(torch.linalg.cholesky_ex(noise).L)).sum(-1)
    return (0.5 * (distance - trace + log_ratio)).clamp_min(0.0)
