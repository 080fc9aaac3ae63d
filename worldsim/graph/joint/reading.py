"""Which of the hypotheses of a filter's bank is read: noise scales weighed scene by scene, run lengths node by node."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from worldsim.graph.joint.evidence import NodeEvidence

SCALE_WEIGHT = 20.0
"""Degrees of freedom that the noise bank's own value counts for when the residuals refine the noise scale."""


def scene_weights(
    log_weight: Float[Tensor, "B N"], runs: int, group: Int[Tensor, " N"], groups: int
) -> tuple[Float[Tensor, "R H N"], Float[Tensor, "G H"]]:
    """Return log weights by run length, noise scale and node, and those of each scene's noise scales.

    Args:
        log_weight: run-major.
        runs: R run lengths.
        group: [N] scene of each node.
        groups: number of scenes.
    """
    weight = log_weight.view(runs, -1, log_weight.shape[-1])
    scene = weight.new_zeros(groups, weight.shape[1])
    return weight, scene.index_add_(0, group, torch.logsumexp(weight, 0).T)


def noise_believed(
    scene: Float[Tensor, "G H"], noise: Float[Tensor, "H N P P"], group: Int[Tensor, " N"]
) -> Float[Tensor, "N P P"]:
    """Return the mean of the observations' covariance over the noise scales, by their probability."""
    return torch.einsum("nh,hnpq->npq", torch.softmax(scene, -1)[group], noise)


def likeliest_rows(
    weight: Float[Tensor, "R H N"], scene: Float[Tensor, "G H"], group: Int[Tensor, " N"]
) -> Int[Tensor, " N"]:
    """Return the row of the bank that each node is read from: its scene's noise scale, its own run."""
    bank = scene.argmax(1)[group]
    run = weight.gather(1, bank.expand(len(weight), 1, -1))[:, 0].argmax(0)
    return run * weight.shape[1] + bank


def noise_scale(
    evidence: NodeEvidence, row: Int[Tensor, " N"], group: Int[Tensor, " N"], groups: int
) -> Float[Tensor, " N"]:
    """Return the variance of each scene's residuals over what the bank assumes (normal-inverse-gamma mean).

    Args:
        evidence: of all hypotheses.
        row: which of them each node is read from.
        group: [N] scene of each node.
        groups: number of scenes.
    """
    node = torch.arange(len(row), device=row.device)
    told = torch.stack([evidence.misfit[row, node], evidence.degrees[row, node]], -1)
    sums = told.new_zeros(groups, 2).index_add_(0, group, told)
    return ((SCALE_WEIGHT + sums[:, 0]) / (SCALE_WEIGHT + sums[:, 1]))[group]
