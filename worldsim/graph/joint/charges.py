"""Kinds whose coefficient is a product of two node attributes: the sign of an edge is the product of two charges.

If pair forces come from charges, the states of all pairs of a scene follow from one label a node (-1, 0 or +1), and a
pair that was never measured well is known from the others. Whether a scene has that structure is itself uncertain:
the evidence of "charges" against "any signs" decides, and the two answers are averaged.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

NEUTRAL_SHARE = 0.2
"""Prior probability that a node carries no charge."""

STRUCTURE_PRIOR = 0.5
"""Prior probability that a scene's signs come from charges."""

CHARGE_BEAM = 512
"""Assignments of charges kept a scene."""

STATE_OF_PRODUCT = (2, 0, 1)
"""Index of the edge state (absent, positive, negative) by the product of two charges + 1."""


def charge_posterior(
    log_likelihood: Float[Tensor, "G n n S"], log_rates: Float[Tensor, "G S"]
) -> Float[Tensor, "G n n S"]:
    """Return log probabilities of the states of all pairs, charges and free signs averaged by their evidence.

    Args:
        log_likelihood: symmetric, of each pair's state; the diagonal is ignored.
        log_rates: prior of the states where signs are free.
    """
    size = log_likelihood.shape[1]
    free = log_likelihood + log_rates[:, None, None]
    off = ~torch.eye(size, dtype=torch.bool, device=free.device)
    evidence_free = 0.5 * (torch.logsumexp(free, -1) * off).sum((1, 2))
    charges, log_weight = _enumerate_charges(log_likelihood)
    evidence_charges = torch.logsumexp(log_weight, 1)
    share = (log_weight - evidence_charges[:, None]).exp()
    product = charges[:, :, :, None] * charges[:, :, None, :]
    states = [(share[..., None, None] * (product == sign)).sum(1) for sign in (0, 1, -1)]
    structured = torch.stack(states, -1).clamp_min(1e-30)
    odds = evidence_charges - evidence_free + math.log(STRUCTURE_PRIOR / (1.0 - STRUCTURE_PRIOR))
    weight = torch.sigmoid(odds)[:, None, None, None]
    return (weight * structured + (1.0 - weight) * torch.softmax(free, -1)).clamp_min(1e-30).log()


def _enumerate_charges(log_likelihood: Float[Tensor, "G n n S"]) -> tuple[Tensor, Tensor]:
    """Return charges [G, H, n] in {-1, 0, 1} and their log weights [G, H], the best `CHARGE_BEAM` of a tree."""
    groups, size = log_likelihood.shape[:2]
    device = log_likelihood.device
    options = torch.tensor([-1, 0, 1], device=device)
    lookup = torch.tensor(STATE_OF_PRODUCT, device=device)
    prior = torch.log(
        log_likelihood.new_tensor([0.5 * (1.0 - NEUTRAL_SHARE), NEUTRAL_SHARE, 0.5 * (1.0 - NEUTRAL_SHARE)])
    )
    charges = torch.zeros(groups, 1, 0, dtype=torch.int64, device=device)
    weight = log_likelihood.new_zeros(groups, 1)
    for node in range(size):  # depth of the tree: nodes of one small scene
        state = lookup[charges[:, :, None, :] * options[:, None] + 1]  # [G, H, 3, node]
        row = log_likelihood[:, node, :node][:, None, None].expand(-1, *state.shape[1:], -1)
        gain = row.gather(-1, state[..., None])[..., 0].sum(-1)
        weight = (weight[..., None] + prior + gain).flatten(1)
        grown = charges[:, :, None].expand(-1, -1, 3, -1)
        added = options[None, None, :, None].expand(groups, charges.shape[1], 3, 1)
        charges = torch.cat([grown, added], -1).flatten(1, 2)
        if weight.shape[1] > CHARGE_BEAM:
            weight, kept = weight.topk(CHARGE_BEAM, dim=1)
            charges = charges.gather(1, kept[..., None].expand(-1, -1, node + 1))
    return charges, weight
