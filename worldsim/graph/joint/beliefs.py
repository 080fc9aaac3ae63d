"""What the joint filter carries from frame to frame, and its hypotheses about the time of the last change."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from worldsim.graph.joint.evidence import NodeEvidence, covariance_of
from worldsim.graph.joint.settings import JointSettings

Gaussians = tuple[Float[Tensor, "B N d"], Float[Tensor, "B N d d"]]


@dataclass(frozen=True, slots=True)
class FilterBelief:
    """What is carried from frame to frame; leading axis B = run lengths x noise scales, run-major.

    `violence` is the log evidence against *absent* of each slot from frames too wild to be measured, nats (<= 0).
    """

    position: Float[Tensor, "N D"]
    velocity: Float[Tensor, "N D"]
    evidence: NodeEvidence
    log_weight: Float[Tensor, "B N"]
    violence: Float[Tensor, "N d"]


def branched(
    belief: FilterBelief,
    found: Gaussians,
    prior: tuple[Float[Tensor, "N d"], Float[Tensor, "N d"]],
    settings: JointSettings,
) -> tuple[FilterBelief, Tensor, Tensor]:
    """Replace the lightest run of each node by one in which the graph changed just now.

    Args:
        belief: before the frame.
        found: mean of the coefficients, and Cholesky factor of their precision.
        prior: mean and variance of the coefficients of a graph that was just drawn.
        settings: of the filter.

    Returns:
        The belief with the new run, and its means and factors.
    """
    mean, factor = found
    prior_mean, prior_variance = prior
    runs, count = settings.run_lengths, belief.position.shape[0]
    banks = belief.log_weight.shape[0] // runs
    weight = belief.log_weight.view(runs, banks, count)
    total = torch.logsumexp(weight, 0)
    best = weight.argmax(0)
    worst = weight.argmin(0)
    rows = torch.arange(banks, device=best.device)[:, None] + best * banks
    columns = torch.arange(count, device=best.device).expand_as(rows)
    place = torch.arange(banks, device=best.device)[:, None] + worst * banks
    evidence = belief.evidence
    parent_mean, covariance = mean[rows, columns], covariance_of(factor[rows, columns])
    sensitivity = evidence.sensitivity[rows, columns]
    fresh_state = evidence.state[rows, columns] + (sensitivity @ parent_mean[..., None])[..., 0]
    fresh_covariance = evidence.covariance[rows, columns] + sensitivity @ covariance @ sensitivity.mT
    zero = evidence.information.new_zeros(())
    put = (place, columns)
    evidence = NodeEvidence(
        evidence.state.index_put(put, fresh_state),
        evidence.sensitivity.index_put(put, zero),
        evidence.covariance.index_put(put, 0.5 * (fresh_covariance + fresh_covariance.mT)),
        evidence.precision.index_put(put, zero),
        evidence.information.index_put(put, zero),
        evidence.misfit.index_put(put, zero),
        evidence.degrees.index_put(put, zero),
    )
    stay = math.log1p(-settings.change_hazard)
    log_weight = (belief.log_weight + stay).index_put(put, total + settings.log_hazard)
    mean = mean.index_put(put, prior_mean.expand(banks, -1, -1))
    factor = factor.index_put(put, torch.diag_embed(prior_variance.rsqrt()).expand(banks, -1, -1, -1))
    return replace(belief, evidence=evidence, log_weight=log_weight), mean, factor
