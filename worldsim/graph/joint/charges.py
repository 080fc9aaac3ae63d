"""Kinds whose coefficient is a product of two node attributes: the sign of an edge is the product of two charges.

If pair forces come from charges, the states of all pairs of a scene follow from one label a node (-1, 0 or +1), and a
pair that was never measured well is known from the others. Whether a scene has that structure is itself uncertain:
the evidence of "charges" against "any signs" decides, and the two answers are averaged.
"""

from __future__ import annotations

import itertools
import math

import torch
from jaxtyping import Float, Int
from torch import Tensor

from worldsim.graph.joint.evidence import stable_cholesky

NEUTRAL_SHARE = 0.2
"""Prior probability that a node carries no charge."""

STRUCTURE_PRIOR = 0.5
"""Prior probability that a scene's signs come from charges."""

CHARGE_BEAM = 512
"""Assignments of charges kept a scene."""

LARGEST_EXACT = 10
"""Scenes of up to so many nodes have all their assignments of charges weighed, by the scene's joint likelihood."""

CHUNK = 8_000_000
"""Numbers held at a time while assignments are weighed."""

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


def joint_charges(
    likelihood: tuple[Float[Tensor, "G P P"], Float[Tensor, "G P"]],
    strength: tuple[Float[Tensor, " G"], Float[Tensor, " G"]],
    against: Float[Tensor, "G P"],
    size: int,
) -> tuple[Float[Tensor, "G P S"], Float[Tensor, " G"]]:
    """Weigh every assignment of charges by the joint likelihood of all pairs of a scene.

    Pairs that say nothing on their own (two bodies that circle each other) are tied to each other through the
    likelihood: their states are known together or not at all, which no product of single pairs can tell. Given the
    charges q, the coefficients are N(mu q_i q_j, D) with one variance of all pairs, so their evidence is a quadratic
    form of the products.

    Args:
        likelihood: precision and information of the pairs' coefficients, pairs in the order (0, 1), (0, 2) ...
        strength: magnitude mu of the coefficients, and the variance D about it.
        against: log weight of *absent*, a pair.
        size: n nodes.

    Returns:
        Log probability of absent, positive and negative of each pair, and the scene's log evidence.
    """
    precision, information = likelihood
    mean, spread = strength
    charges = _all_charges(size, precision.device)
    pairs = torch.triu_indices(size, size, 1, device=precision.device)
    product = charges[:, pairs[0]] * charges[:, pairs[1]]
    sign = product.to(precision.dtype)
    neutral = (charges == 0).sum(1)
    shares = precision.new_tensor([0.5 * (1.0 - NEUTRAL_SHARE), NEUTRAL_SHARE]).log()
    prior = (size - neutral) * shares[0] + neutral * shares[1] + math.log(2.0)  # a sign of all charges says nothing
    identity = torch.eye(information.shape[1], dtype=precision.dtype, device=precision.device)
    own = identity / spread[:, None, None]
    factor = stable_cholesky(precision + own)
    told = torch.cholesky_solve(information[..., None], factor)[..., 0]
    # in terms of the prior's own precision: the likelihood's may be so large that a difference of two is rounding
    pull = mean[:, None] * told / spread[:, None]
    curve = mean.square()[:, None, None] * (own - torch.cholesky_inverse(factor) / spread.square()[:, None, None])
    whole = 0.5 * (information * told).sum(-1) - factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)
    whole = whole - 0.5 * information.shape[1] * spread.log()
    states, evidence = [], []
    for part in torch.arange(len(mean), device=mean.device).split(max(CHUNK // sign.numel(), 1)):
        weight = prior + pull[part] @ sign.T + against[part] @ (product == 0).to(sign).T
        weight = weight - 0.5 * ((sign @ curve[part]) * sign).sum(-1)
        evidence.append(torch.logsumexp(weight, 1))
        share = (weight - evidence[-1][:, None]).exp()
        states.append(torch.stack([share @ (product == each).to(sign) for each in (0, 1, -1)], -1))
    return torch.cat(states).clamp_min(1e-30).log(), torch.cat(evidence) + whole


def _all_charges(size: int, device: torch.device) -> Int[Tensor, "H n"]:
    """Return every assignment of -1, 0, 1 to the nodes, one of each pair that differs by the sign of all charges."""
    every = torch.tensor(list(itertools.product((0, 1, -1), repeat=size)), device=device)
    first = every.gather(1, (every != 0).to(torch.int8).argmax(1, keepdim=True))[:, 0]
    return every[first >= 0]


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
