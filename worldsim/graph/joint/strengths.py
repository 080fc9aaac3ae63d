"""What a class of edges has in common: its strength, how far instances deviate, and how often it occurs.

Random effects with unknown between-edge variance: w_e ~ N(sign_e mu, tau^2), mu ~ N(mu_0, V_0), tau^2
inverse-gamma around a coefficient of variation. One expectation-maximisation step per sweep of messages; statistics
are sums over edges (information form), so sources can be added, discounted and removed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from worldsim.graph.joint.states import Sites

DEVIATION = 0.05
"""Coefficient of variation of instances around their class before any is seen."""

DEVIATION_WEIGHT = 2.0
"""Number of edges that `DEVIATION` counts for."""

NULL_SHARE = 0.02
"""Practical null: an edge weaker than about this share of its class's strength is none."""

MINIMUM_DEVIATION = 0.01
"""Instances of a class are never taken to be more alike than this."""


@dataclass(frozen=True, slots=True)
class ClassStrengths:
    """Belief of the strengths of Q kinds in G groups (scenes, or classes of pairs).

    Attributes:
        mean, variance: [G, Q] of the class strength mu (signed kinds: of its magnitude), SI units.
        deviation_variance: [G, Q] tau^2.
        rates: [G, Q, S] expected share of pairs in each state.
        prior_mean, prior_variance: [G, Q] of mu before this group was seen.
        prior_counts: [Q, S] Dirichlet pseudo-counts of the states.
    """

    mean: Float[Tensor, "G Q"]
    variance: Float[Tensor, "G Q"]
    deviation_variance: Float[Tensor, "G Q"]
    rates: Float[Tensor, "G Q S"]
    prior_mean: Float[Tensor, "G Q"]
    prior_variance: Float[Tensor, "G Q"]
    prior_counts: Float[Tensor, "Q S"]

    @classmethod
    def broad(cls, groups: int, scale: Float[Tensor, " Q"], counts: Float[Tensor, "Q S"]) -> ClassStrengths:
        """Return strengths of which only the order of magnitude is known.

        Args:
            groups: G.
            scale: [Q] standard deviation of a strength before anything is known.
            counts: [Q, S] pseudo-counts of the states, 0 where a kind has no such state.
        """
        mean = (math.sqrt(2.0 / math.pi) * scale).expand(groups, -1).clone()  # moments of a half-normal
        variance = ((1.0 - 2.0 / math.pi) * scale.square()).expand(groups, -1).clone()
        rates = (counts / counts.sum(-1, keepdim=True)).expand(groups, *counts.shape).clone()
        return cls(mean, variance, DEVIATION**2 * variance, rates, mean, variance, counts)

    def spread(self) -> Float[Tensor, "G Q"]:
        """Return the predictive variance of one more edge's strength."""
        return self.variance + self.deviation_variance

    def sites(self, group: Int[Tensor, " N"], slots: int) -> Sites:
        """Return the prior of the states of `slots` neighbours x Q kinds for nodes in `group`."""
        mean = self.mean[group]
        magnitude = (mean.square() + self.variance[group]).sqrt()
        null = (NULL_SHARE * magnitude).square()
        spread = self.spread()[group]
        states = self.rates.shape[-1]
        means = torch.stack([torch.zeros_like(mean), mean, -mean][:states], -1)
        variances = torch.stack([null, spread, spread][:states], -1)
        log_rates = self.rates[group].log()
        repeat = (1, slots, 1)
        return Sites(log_rates.repeat(repeat), means.repeat(repeat), variances.repeat(repeat))


def learn(
    strengths: ClassStrengths,
    group: Int[Tensor, " N"],
    share: Float[Tensor, "N K Q S"],
    likelihood: tuple[Float[Tensor, "N K Q S"], Float[Tensor, "N K Q S"]],
    weight: Float[Tensor, "N K"],
) -> ClassStrengths:
    """Return the strengths after one step of expectation-maximisation.

    Args:
        strengths: before.
        group: [N] of each node.
        share: [N, K, Q, S] posterior probability of each state of each edge.
        likelihood: precision and information of the coefficient given the state, without its prior.
        weight: [N, K] of each slot: 1/2 where both ends list the edge, 1 where one does, 0 for padding.
    """
    groups, kinds = strengths.mean.shape
    precision, information = likelihood

    def pool(value: Tensor) -> Tensor:
        per_node = (value * weight[:, :, None, None]).sum(1)
        total = value.new_zeros(groups, *per_node.shape[1:])
        return total.index_add_(0, group, per_node)

    signs = precision.new_tensor([0.0, 1.0, -1.0][: share.shape[-1]])
    tau = strengths.deviation_variance[group][:, None, :, None]
    # a Gaussian likelihood N(w; i/p, 1/p) under w ~ N(mu, tau) tells mu with precision p / (1 + p tau)
    told = share * signs.abs() / (1.0 + precision * tau)
    total = pool(told * precision).sum(-1) + 1.0 / strengths.prior_variance
    # of a kind with both signs the magnitude is learned, or the labels of the signs could swap
    both = (strengths.prior_counts[:, -1] > 0.0).view(-1, 1) if share.shape[-1] > 2 else torch.zeros_like(signs[:1], dtype=torch.bool)
    pull = torch.where(both, information.abs(), information * signs)
    mean = (pool(told * pull).sum(-1) + strengths.prior_mean / strengths.prior_variance) / total
    centre = (mean[group][:, None, :, None]) * signs
    variance = 1.0 / (1.0 / tau + precision)
    posterior = variance * (centre / tau + information)
    residual = (posterior - centre).square() + variance
    seen = pool(share * signs.abs()).sum(-1)
    guess = (DEVIATION * mean).square()
    deviation = (DEVIATION_WEIGHT * guess + pool(share * signs.abs() * residual).sum(-1)) / (DEVIATION_WEIGHT + seen)
    counts = strengths.prior_counts + pool(share)
    return replace(
        strengths,
        mean=mean,
        variance=1.0 / total,
        deviation_variance=torch.maximum(deviation, (MINIMUM_DEVIATION * mean).square()),
        rates=counts / counts.sum(-1, keepdim=True),
    )
