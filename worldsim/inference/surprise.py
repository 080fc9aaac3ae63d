"""Surprise: surprisal by channel, its excess, and the e-detector that decisions rest on."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from worldsim.filtering.correct import POSE_DIM, Innovation
from worldsim.filtering.likelihood import (
    gaussian_log_density,
    log_diagonal,
    seen_log_density,
    student_t_entropy,
    student_t_log_density,
    whitened_student_t,
)

_DOF_NOW = 8.0  # tails of what the current model predicts: a quick step aside is no alarm
_DOF_ALTERNATIVE = 4.0
_EXPECTED_NATS = student_t_entropy(POSE_DIM, _DOF_NOW)
_WIDER = 16.0  # the near alternative: four times as wide
_JUMP_M, _JUMP_RAD = 0.3, 0.5  # the far alternative: it may be anywhere about here


@dataclass(frozen=True, slots=True)
class PoseSurprise:
    """Surprise of N observed poses.

    Attributes:
        position_nats, rotation_nats: [N] -log p of the position, and of the rotation given the position.
        excess_nats: [N] the sum minus its expectation under the model.
        log_e: [N] log of the e-value of this frame, ln p_alternative - ln p_now.
    """

    position_nats: Float[Tensor, " N"]
    rotation_nats: Float[Tensor, " N"]
    excess_nats: Float[Tensor, " N"]
    log_e: Float[Tensor, " N"]


def pose_surprise(innovation: Innovation, manoeuvre: Float[Tensor, " N"]) -> PoseSurprise:
    """Return the surprise of each observed pose.

    A mover changes its mind, and a thing beside a mover is pushed, now and then: the prediction is a mixture that
    allows for it with probability `manoeuvre` ([N], a frame). One such frame is no evidence against the model; many
    in a row are.

    The e-value of a frame compares the prediction with a fixed mixture of the same prediction four times as wide and
    one that lets the thing be anywhere within a step of 0.3 m and half a radian. Both are densities, so the e-value's
    expectation is at most 1 while the model is right, and the e-detector built on it is honest whatever its
    alternative (Shin, Ramdas and Rinaldo 2023, definition 2.2).
    """
    r, s = innovation.residual, innovation.covariance
    squares, halves = innovation.white**2, log_diagonal(innovation.root)
    squared, log_det = squares.sum(-1), 2.0 * halves.sum(-1)
    now = whitened_student_t(squared, log_det, POSE_DIM, _DOF_NOW)
    # the leading block of a Cholesky factor is the factor of the leading block
    position = whitened_student_t(squares[:, :3].sum(-1), 2.0 * halves[:, :3].sum(-1), 3, _DOF_NOW)
    near = whitened_student_t(squared / _WIDER, log_det + POSE_DIM * math.log(_WIDER), POSE_DIM, _DOF_ALTERNATIVE)
    jump = torch.tensor([_JUMP_M**2] * 3 + [_JUMP_RAD**2] * 3, dtype=s.dtype, device=s.device)
    far = student_t_log_density(r, s + torch.diag(jump), _DOF_ALTERNATIVE)
    alternative = torch.logaddexp(near, far) - math.log(2.0)
    allowed = torch.logaddexp(torch.log1p(-manoeuvre) + now, torch.log(manoeuvre) + alternative)
    expected = _EXPECTED_NATS + 0.5 * log_det
    return PoseSurprise(-position, -(now - position), -now - expected, alternative - allowed)


def appearance_surprisal(
    extent_residual: Float[Tensor, "N 3"],
    extent_variance: Float[Tensor, "N 3"],
    appearance_residual: Float[Tensor, "N A"],
    appearance_variance: Float[Tensor, "N A"],
) -> Float[Tensor, " N"]:
    """Return -log p of size and appearance under the belief, nats; an appearance that is NaN surprises nobody."""
    return -gaussian_log_density(extent_residual, extent_variance) - seen_log_density(
        appearance_residual, appearance_variance
    )


def accumulate(
    log_e_value: Float[Tensor, " N"], log_e: Float[Tensor, " N"], observed: Bool[Tensor, " N"]
) -> Float[Tensor, " N"]:
    """Return the e-detector after this frame: ``W_t = max(1, W_{t-1}) e_t`` (Shin et al. 2023, eq. 12), in logs.

    If the current model is right, the mean time to W > 1/alpha is at least 1/alpha frames.
    """
    return torch.where(observed, log_e_value.clamp_min(0.0) + log_e, log_e_value)
