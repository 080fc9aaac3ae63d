"""How well a row explains an observation, in nats: heavy-tailed for poses, Gaussian for size and appearance."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

LOG_TWO_PI = math.log(2.0 * math.pi)


def student_t_log_density(
    residual: Float[Tensor, "N k"], covariance: Float[Tensor, "N k k"], dof: float
) -> Float[Tensor, " N"]:
    """Return log t(residual; 0, covariance, dof) of a multivariate Student t *with that covariance*.

    The scale matrix is covariance (dof - 2) / dof, so that the second moment is the filter's whatever the tails
    (Kotz and Nadarajah 2004, eq. 1.1).
    """
    k = residual.shape[-1]
    root = torch.linalg.cholesky_ex(covariance).L
    white = torch.linalg.solve_triangular(root, residual.unsqueeze(-1), upper=False).squeeze(-1)
    squared = (white * white).sum(-1) * dof / (dof - 2.0)
    log_det = 2.0 * torch.diagonal(root, dim1=1, dim2=2).log().sum(-1) + k * math.log((dof - 2.0) / dof)
    constant = math.lgamma(0.5 * (dof + k)) - math.lgamma(0.5 * dof) - 0.5 * k * math.log(dof * math.pi)
    return constant - 0.5 * log_det - 0.5 * (dof + k) * torch.log1p(squared / dof)


def student_t_entropy(covariance: Float[Tensor, "N k k"], dof: float) -> Float[Tensor, " N"]:
    """Return the expected surprisal under that Student t, nats (Kotz and Nadarajah 2004, section 1.10)."""
    k = covariance.shape[-1]
    log_det = torch.linalg.slogdet(covariance).logabsdet + k * math.log((dof - 2.0) / dof)
    a, b = 0.5 * (dof + k), 0.5 * dof
    constant = math.lgamma(b) - math.lgamma(a) + 0.5 * k * math.log(dof * math.pi)
    digammas = torch.digamma(torch.tensor([a, b], dtype=torch.float64))
    return 0.5 * log_det + constant + a * float(digammas[0] - digammas[1])


def gaussian_log_density(residual: Float[Tensor, "... k"], variance: Float[Tensor, "... k"]) -> Float[Tensor, "..."]:
    """Return the log density of independent Gaussians, summed over the last axis."""
    return -0.5 * (residual * residual / variance + torch.log(variance) + LOG_TWO_PI).sum(-1)
