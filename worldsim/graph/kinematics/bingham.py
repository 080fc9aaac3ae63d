"""An unknown axis as a Bingham distribution: p(a) proportional to exp(a'Ba / 2) on the unit sphere, a and -a alike.

Source: Bingham (1974), "An antipodally symmetric distribution on the sphere". Ours integrates the normalising constant
by quadrature over the polar angle about the strongest axis, which holds from no concentration to 1e12.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

_NODES = 160
_SMALLEST_LOG_ANGLE = -18.0  # exp of it is 1.5e-8 rad; nothing measured here is sharper


def log_mean_over_axes(form: Float[Tensor, "... 3 3"]) -> Float[Tensor, "..."]:
    """Return log E[exp(a'Ba / 2)] for a uniform on the sphere, of each symmetric B, float64.

    >>> float(log_mean_over_axes(torch.zeros(3, 3)))
    0.0
    """
    values = torch.linalg.eigvalsh(form.double())
    top = values[..., 2]
    low, middle = values[..., 0] - top, values[..., 1] - top  # both <= 0
    step = -_SMALLEST_LOG_ANGLE / _NODES
    log_angle = math.log(math.pi / 2.0) - step * (
        torch.arange(_NODES, dtype=torch.float64, device=form.device) + 0.5
    )  # midpoints: smooth and decaying at both ends of the logarithm
    angle = log_angle.exp()
    across = 0.5 * torch.sin(angle).square()
    # averaged over the azimuth, exp(across * (low cos^2 + middle sin^2)) is a Bessel function
    mean, half = 0.5 * (low + middle)[..., None], 0.5 * (middle - low)[..., None]
    bessel = torch.special.i0e(half * across).log() + (mean + half) * across
    weight = (torch.sin(angle) * angle * step).log()
    uniform = torch.logsumexp(weight, dim=-1)  # the same rule's own sum: a form of zero gives exactly zero
    return 0.5 * top + torch.logsumexp(bessel + weight, dim=-1) - uniform


def likeliest_axis(form: Float[Tensor, "... 3 3"]) -> tuple[Float[Tensor, "... 3"], Float[Tensor, "... 3 3"]]:
    """Return the mode of the axis and the covariance of its tangent (rad^2; at most that of no knowledge, 1/3)."""
    values, vectors = torch.linalg.eigh(form.double())
    axis = vectors[..., 2]
    spread = 1.0 / (values[..., 2:] - values[..., :2]).clamp_min(3.0)
    across = vectors[..., :2]
    return axis, (across * spread[..., None, :]) @ across.mT
