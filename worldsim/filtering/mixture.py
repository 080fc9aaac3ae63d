"""A mixture of Gaussians on the state, told as one Gaussian."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from worldsim.filtering.density import Density, local, retract
from worldsim.types.belief import TANGENT_DIM


def with_state_of(row: Density, hypotheses: Density, weight: Float[Tensor, " H"]) -> Density:
    """Return `row` with the state that H weighted hypotheses expect, by moment matching; its parameters stay.

    The mean is taken on the tangent space at the heaviest hypothesis (Bar-Shalom et al. 2001, eq. 1.4.16-9 and -11;
    it is what an interacting multiple-model estimator puts out, eq. 11.6.6-13).

    Args:
        row: one row, whose parameters are kept, uncorrelated with the state.
        hypotheses: H rows about the same object.
        weight: [H] posterior probabilities.
    """
    best = weight.argmax().reshape(1)
    centre = hypotheses.select(best)
    offset = local(hypotheses.states, centre.states.select(torch.zeros_like(weight, dtype=torch.int64)))
    mean = (weight.unsqueeze(-1) * offset).sum(0, keepdim=True)
    spread = offset - mean
    within = hypotheses.covariance[:, :TANGENT_DIM, :TANGENT_DIM]
    matched = (weight.reshape(-1, 1, 1) * (within + spread.unsqueeze(2) * spread.unsqueeze(1))).sum(0)
    step = torch.nn.functional.pad(mean, (0, row.parameters.shape[-1]))
    states, _ = retract(centre.states, row.parameters, step)
    covariance = row.covariance.clone()
    covariance[:, :TANGENT_DIM, TANGENT_DIM:] = 0.0
    covariance[:, TANGENT_DIM:, :TANGENT_DIM] = 0.0
    covariance[0, :TANGENT_DIM, :TANGENT_DIM] = matched
    return Density(states, row.parameters, covariance)
