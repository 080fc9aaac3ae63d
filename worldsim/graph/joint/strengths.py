"""What a class of edges has in common: its strength, how far instances deviate, and how often it occurs.

Random effects with unknown between-edge variance: w_e ~ N(sign_e mu, tau^2), mu ~ N(mu_0, V_0), tau^2
inverse-gamma around a coefficient of variation. One expectation-maximisation step per sweep of messages; statistics
are sums over edges (information form), so sources can be added, discounted and removed.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from worldsim.graph.joint.settings import ForceLaw
from worldsim.graph.joint.states import Sites

DEVIATION = 0.05
"""Coefficient of variation of instances around their class before any is seen."""

DEVIATION_WEIGHT = 2.0
"""Number of edges that `DEVIATION` counts for."""

NULL_SHARE = 0.003
"""Practical null: standard deviation of what a pair without an edge may still do, over the prior mean of its class."""

MINIMUM_DEVIATION = 0.01
"""Instances of a class are never taken to be more alike than this."""

MAXIMUM_DEVIATION = 0.3
"""Nor less alike than this: a class that reaches from its mean to zero would take in the pairs without an edge."""

LEAST_STRENGTH = 0.02
"""A class weaker than this share of its prior's mean is no class: it would be the null under another name."""

SURE_WITHIN = 0.05
"""From a probability of 1/2 on, what a state teaches of its class sets in over so much."""

START_FACTORS = (1.0, 0.15)
"""Guesses of a strength over its prior scale from which learning begins."""

START_DOUBT = 0.05
"""Squared coefficient of variation of a prior beyond which more than one guess is tried."""


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

    @classmethod
    def for_laws(cls, laws: Sequence[ForceLaw], groups: int, like: Tensor) -> ClassStrengths:
        """Return broad strengths at the scales of `laws`, on the device and in the precision of `like`."""
        states = 3 if any(law.signed for law in laws) else 2
        counts = like.new_tensor([[1.0, 0.5, 0.5] if law.signed else [1.0, 1.0, 0.0][:states] for law in laws])
        return cls.broad(groups, like.new_tensor([law.strength_scale for law in laws]), counts)

    def starts(self) -> list[ClassStrengths]:
        """Return where to begin learning: this belief, and smaller ones where only an order of magnitude is known."""
        broad = (self.prior_variance > START_DOUBT * self.prior_mean.square()).all(0).tolist()
        starts = []
        for factors in itertools.product(*[START_FACTORS if open_ else (1.0,) for open_ in broad]):
            scale = self.mean.new_tensor(factors)
            starts.append(
                replace(
                    self,
                    mean=self.mean * scale,
                    variance=self.variance * scale.square(),
                    deviation_variance=self.deviation_variance * scale.square(),
                )
            )
        return starts

    def where(self, chosen: Bool[Tensor, " G"], other: ClassStrengths) -> ClassStrengths:
        """Return this belief in the `chosen` groups and `other` elsewhere."""

        def pick(a: Tensor, b: Tensor) -> Tensor:
            return torch.where(chosen.view(-1, *[1] * (a.ndim - 1)), a, b)

        return replace(
            self,
            mean=pick(self.mean, other.mean),
            variance=pick(self.variance, other.variance),
            deviation_variance=pick(self.deviation_variance, other.deviation_variance),
            rates=pick(self.rates, other.rates),
        )

    def spread(self) -> Float[Tensor, "G Q"]:
        """Return the predictive variance of one more edge's strength."""
        return self.variance + self.deviation_variance

    def sites(self, group: Int[Tensor, " N"], slots: int) -> Sites:
        """Return the prior of the states of `slots` neighbours x Q kinds for nodes in `group`."""
        mean = self.mean[group]
        # fixed by the prior: a null that followed the class would reward shrinking the class
        null = (NULL_SHARE * self.prior_mean[group]).square()
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
    groups = len(strengths.mean)
    precision, information = likelihood

    def pool(value: Tensor) -> Tensor:
        per_node = (value * weight[:, :, None, None]).sum(1)
        total = value.new_zeros(groups, *per_node.shape[1:])
        return total.index_add_(0, group, per_node)

    signs = precision.new_tensor([0.0, 1.0, -1.0][: share.shape[-1]])
    tau = strengths.deviation_variance[group][:, None, :, None]
    # a Gaussian likelihood N(w; i/p, 1/p) under w ~ N(mu, tau) tells mu with precision p / (1 + p tau)
    # pairs that are more likely without an edge say nothing: a small share of many precise zeros would pull mu to 0
    sure = share * ((share - 0.5) / SURE_WITHIN).clamp(0.0, 1.0) * signs.abs()
    told = sure / (1.0 + precision * tau)
    total = pool(told * precision).sum(-1) + 1.0 / strengths.prior_variance
    # of a kind with both signs the magnitude is learned, or the labels of the signs could swap
    both = (strengths.prior_counts[:, 2:].sum(-1) > 0.0).view(-1, 1)
    pull = torch.where(both, information.abs(), information * signs)
    mean = (pool(told * pull).sum(-1) + strengths.prior_mean / strengths.prior_variance) / total
    mean = torch.maximum(mean, LEAST_STRENGTH * strengths.prior_mean)
    centre = (mean[group][:, None, :, None]) * signs
    variance = 1.0 / (1.0 / tau + precision)
    posterior = variance * (centre / tau + information)
    residual = (posterior - centre).square() + variance
    seen = pool(sure).sum(-1)
    guess = (DEVIATION * mean).square()
    deviation = (DEVIATION_WEIGHT * guess + pool(sure * residual).sum(-1)) / (DEVIATION_WEIGHT + seen)
    counts = strengths.prior_counts + pool(share)
    return replace(
        strengths,
        mean=mean,
        variance=1.0 / total,
        deviation_variance=deviation.clamp((MINIMUM_DEVIATION * mean).square(), (MAXIMUM_DEVIATION * mean).square()),
        rates=counts / counts.sum(-1, keepdim=True),
    )
