"""How well a row explains an observation, in nats: heavy-tailed for poses, Gaussian for size and appearance."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from scipy.special import digamma
from torch import Tensor

LOG_TWO_PI = math.log(2.0 * math.pi)


def student_t_log_density(
    residual: Float[Tensor, "N k"], covariance: Float[Tensor, "N k k"], dof: float
) -> Float[Tensor, " N"]:
    """Return log t(residual; 0, covariance, dof) of a multivariate Student t *with that covariance*.

    The scale matrix is covariance (dof - 2) / dof, so that the second moment is the filter's whatever the tails
    (Kotz and Nadarajah 2004, eq. 1.1).
    """
    root = torch.linalg.cholesky_ex(covariance).L
    white = torch.linalg.solve_triangular(root, residual.unsqueeze(-1), upper=False).squeeze(-1)
    return whitened_student_t((white * white).sum(-1), 2.0 * log_diagonal(root).sum(-1), residual.shape[-1], dof)


def whitened_student_t(
    squared: Float[Tensor, " N"], log_det: Float[Tensor, " N"], dim: int, dof: float
) -> Float[Tensor, " N"]:
    """Return the same from the squared Mahalanobis distance and the log determinant of the covariance."""
    shrunk = log_det + dim * math.log((dof - 2.0) / dof)
    constant = math.lgamma(0.5 * (dof + dim)) - math.lgamma(0.5 * dof) - 0.5 * dim * math.log(dof * math.pi)
    return constant - 0.5 * shrunk - 0.5 * (dof + dim) * torch.log1p(squared / (dof - 2.0))


def student_t_entropy(dim: int, dof: float) -> float:
    """Return the expected surprisal under that Student t with covariance one, nats.

    Under another covariance it is half the log determinant more (Kotz and Nadarajah 2004, section 1.10).

    Args:
        dim: of the space.
        dof: degrees of freedom.
    """
    a, b = 0.5 * (dof + dim), 0.5 * dof
    constant = math.lgamma(b) - math.lgamma(a) + 0.5 * dim * math.log(dof * math.pi)
    return 0.5 * dim * math.log((dof - 2.0) / dof) + constant + a * float(digamma(a) - digamma(b))


def log_diagonal(root: Float[Tensor, "N k k"]) -> Float[Tensor, "N k"]:
    """Return the logs of a Cholesky factor's diagonal: half the log determinant, coordinate by coordinate."""
    return torch.diagonal(root, dim1=1, dim2=2).clamp_min(1e-30).log()


def gaussian_log_density(residual: Float[Tensor, "... k"], variance: Float[Tensor, "... k"]) -> Float[Tensor, "..."]:
    """Return the log density of independent Gaussians, summed over the last axis."""
    return -0.5 * (residual * residual / variance + torch.log(variance) + LOG_TWO_PI).sum(-1)


def seen_log_density(residual: Float[Tensor, "... k"], variance: Float[Tensor, "... k"]) -> Float[Tensor, "..."]:
    """Return the same over what was seen: a residual that is NaN says nothing."""
    return -0.5 * (residual * residual / variance + torch.log(variance) + LOG_TWO_PI).nansum(-1)
