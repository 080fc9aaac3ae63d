"""What the joint graph filter says: for each candidate edge and kind, one probability and one strength."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from worldsim.graph.joint.settings import ForceLaw
from worldsim.graph.joint.slots import Slots
from worldsim.graph.joint.states import SlotMarginals
from worldsim.types import InteractionGraph

BISECTIONS = 60
"""Halvings of a bracket when a quantile is sought: from 1 to below what float64 tells apart."""


@dataclass(frozen=True, slots=True)
class EdgePosterior:
    """Posterior over K candidate neighbours x Q kinds of each of N nodes. Both ends of an edge hold the same numbers.

    Attributes:
        kinds: names of the Q kinds.
        slots: the candidate pairs.
        state: [N, K, Q, S] probability of absent, present, and (signed kinds) present with a negative strength.
        strength, strength_std: [N, K, Q] of the coefficient given that the edge is there, SI units of the kind.
        mixture: [N, K, Q, M] share, mean and variance of the M Gaussians that the strength is a mixture of.
        noise_index: [N] which noise scale of the bank the node's scene is read with.
        frames: number of frames seen.
    """

    kinds: tuple[str, ...]
    slots: Slots
    state: Float[Tensor, "N K Q S"]
    strength: Float[Tensor, "N K Q"]
    strength_std: Float[Tensor, "N K Q"]
    mixture: tuple[Float[Tensor, "N K Q M"], Float[Tensor, "N K Q M"], Float[Tensor, "N K Q M"]]
    noise_index: Int[Tensor, " N"]
    frames: int

    @classmethod
    def of(
        cls, laws: Sequence[ForceLaw], slots: Slots, edge: SlotMarginals, bank: Tensor, frames: int
    ) -> EdgePosterior:
        """Return the posterior in the shape of nodes, neighbours, kinds."""
        count, width = slots.neighbour.shape
        shape = (count, width, len(laws), edge.mean.shape[-1])
        state = torch.softmax(edge.log_weight, -1).view(shape)
        state = torch.where(slots.used[..., None, None], state, torch.zeros_like(state))
        mean, variance = edge.mean.view(shape)[..., 1:], edge.variance.view(shape)[..., 1:]
        there = state[..., 1:] / state[..., 1:].sum(-1, keepdim=True).clamp_min(1e-300)
        strength = (there * mean).sum(-1)
        # about the mean: on clean data a strength is known to 1e-8, and a difference of squares would be rounding
        spread = (there * (variance + (mean - strength[..., None]).square())).sum(-1)
        std = spread.clamp_min(1e-30).sqrt()
        if edge.mixture is None:
            mixture = (there, mean, variance)
        else:
            each = (edge.mixture.share, edge.mixture.mean, edge.mixture.variance)
            share, means, variances = (part.view(*shape, -1)[..., 1:, :] for part in each)
            mixture = ((there[..., None] * share).flatten(-2), means.flatten(-2), variances.flatten(-2))
        return cls(tuple(law.kind for law in laws), slots, state, strength, std, mixture, bank, frames)

    @property
    def probability(self) -> Float[Tensor, "N K Q"]:
        """Return the probability that the edge is there."""
        return self.state[..., 1:].sum(-1)

    def strength_interval(self, level: float = 0.9) -> tuple[Float[Tensor, "N K Q"], Float[Tensor, "N K Q"]]:
        """Return both ends of the central interval of each strength, given that the edge is there.

        Args:
            level: probability that it holds, in (0, 1).
        """
        share, mean, variance = self.mixture
        std = variance.clamp_min(1e-60).sqrt()
        ends = []
        for tail in (0.5 - 0.5 * level, 0.5 + 0.5 * level):
            own = mean + std * torch.special.ndtri(torch.full_like(mean, tail))
            low, high = own.amin(-1), own.amax(-1)  # a mixture's quantile lies among those of its parts
            for _ in range(BISECTIONS):
                middle = 0.5 * (low + high)
                below = (share * torch.special.ndtr((middle[..., None] - mean) / std)).sum(-1) < tail
                low, high = torch.where(below, middle, low), torch.where(below, high, middle)
            ends.append(0.5 * (low + high))
        return ends[0], ends[1]

    def dense(self, group_size: int, groups: int) -> Float[Tensor, "G n n Q S"]:
        """Return state probabilities as matrices of `groups` equal scenes (receiver, sender); small scenes only."""
        count, _, kinds, states = self.state.shape
        full = self.state.new_zeros(count, group_size, kinds, states)
        column = (self.slots.neighbour % group_size)[..., None, None].expand_as(self.state)
        full.scatter_add_(1, column, self.state)
        return full.view(groups, group_size, group_size, kinds, states)

    def graph(self, object_ids: Int[Tensor, " N"] | None = None, threshold: float = 0.02) -> InteractionGraph:
        """Return the edges with at least probability `threshold`, each pair once, smaller id first."""
        node = torch.arange(len(self.state), device=self.state.device)[:, None].expand_as(self.slots.neighbour)
        ids = node[:, 0] if object_ids is None else object_ids
        source, target = ids[node], ids[self.slots.neighbour]
        once = self.slots.used & ((source < target) | ~self.slots.mutual)
        chosen = (once[..., None] & (self.probability >= threshold)).nonzero(as_tuple=True)
        p = self.probability[chosen].clamp(1e-12, 1.0 - 1e-12).cpu().numpy()
        first, second = source[chosen[:2]].cpu().numpy(), target[chosen[:2]].cpu().numpy()
        low, high = np.minimum(first, second), np.maximum(first, second)
        names = tuple(self.kinds[k] for k in chosen[2].tolist())
        all_ids = tuple(int(i) for i in ids.tolist())
        return InteractionGraph(low, high, names, np.log(p) - np.log1p(-p), all_ids, tuple("" for _ in all_ids))
