"""Correct: fold one observation a row into the density (Kalman update in Joseph form, float64)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from worldsim.dynamics import quaternion
from worldsim.filtering.density import Density, retract

POSE_DIM = 6


@dataclass(frozen=True, slots=True)
class Innovation:
    """How an observed pose differs from the predicted one.

    Attributes:
        residual: [N, 6] observed minus predicted (m, rad, world frame).
        covariance: [N, 6, 6] of the residual under the prediction: belief plus sensor noise.
        nis: [N] normalised innovation squared, chi-square with 6 degrees of freedom where both are Gaussian.
    """

    residual: Float[Tensor, "N 6"]
    covariance: Float[Tensor, "N 6 6"]
    nis: Float[Tensor, " N"]


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
    covariance = density.covariance[:, :POSE_DIM, :POSE_DIM] + noise
    whitened = torch.cholesky_solve(residual.unsqueeze(-1), torch.linalg.cholesky_ex(covariance).L).squeeze(-1)
    return Innovation(residual, covariance, (residual * whitened).sum(-1))


def correct(
    density: Density, residual: Float[Tensor, "N k"], noise: Float[Tensor, "N k k"]
) -> tuple[Density, Float[Tensor, " N"]]:
    """Return the posterior rows and the Bayesian surprise KL(posterior || prior) of each, nats.

    The observation is of the first k tangent coordinates (6 for a pose, 12 for pose and twist); `residual` is
    observed minus predicted. Joseph form, symmetrised, Cholesky solves only.
    """
    k = residual.shape[-1]
    prior = density.covariance
    gain = torch.cholesky_solve(prior[:, :k, :], torch.linalg.cholesky_ex(prior[:, :k, :k] + noise).L).mT
    keep = torch.eye(prior.shape[-1], dtype=prior.dtype, device=prior.device).repeat(len(density), 1, 1)
    keep[:, :, :k] -= gain
    posterior = keep @ prior @ keep.mT + gain @ noise @ gain.mT
    posterior = 0.5 * (posterior + posterior.mT)
    step = (gain @ residual.unsqueeze(-1)).squeeze(-1)
    states, parameters = retract(density.states, density.parameters, step)
    return Density(states, parameters, posterior), _observed_divergence(prior, posterior, step, k)


def _observed_divergence(
    prior: Float[Tensor, "N X X"], posterior: Float[Tensor, "N X X"], step: Float[Tensor, "N X"], k: int
) -> Float[Tensor, " N"]:
    """Return KL(posterior || prior) of the observed coordinates (of all the others it is a function of these)."""
    a, b, d = posterior[:, :k, :k], prior[:, :k, :k], step[:, :k].unsqueeze(-1)
    ridge = 1e-12 * torch.eye(k, dtype=a.dtype, device=a.device)
    root_a, root_b = torch.linalg.cholesky_ex(a + ridge).L, torch.linalg.cholesky_ex(b + ridge).L
    trace = torch.diagonal(torch.cholesky_solve(a, root_b), dim1=1, dim2=2).sum(-1)
    distance = (d * torch.cholesky_solve(d, root_b)).sum((-2, -1))
    log_ratio = 2.0 * (_log_diagonal(root_b) - _log_diagonal(root_a))
    return 0.5 * (trace + distance - k + log_ratio)


def _log_diagonal(root: Float[Tensor, "N k k"]) -> Float[Tensor, " N"]:
    return torch.diagonal(root, dim1=1, dim2=2).clamp_min(1e-30).log().sum(-1)
