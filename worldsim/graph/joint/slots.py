"""Which neighbours a node's incoming edges are kept for: fixed slots, so that shapes stay and evidence persists."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy.spatial import cKDTree
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Slots:
    """K slots for each of N nodes.

    Attributes:
        neighbour: [N, K] int64 index of the other end, the node itself where the slot is empty.
        used: [N, K] whether the slot holds a neighbour.
        reverse: [N, K] flat index (into N x K) of the other end's slot for this edge, 0 where it has none.
        mutual: [N, K] whether the other end lists the edge too.
    """

    neighbour: Int[Tensor, "N K"]
    used: Bool[Tensor, "N K"]
    reverse: Int[Tensor, "N K"]
    mutual: Bool[Tensor, "N K"]

    @classmethod
    def of(cls, neighbour: Int[Tensor, "N K"], used: Bool[Tensor, "N K"]) -> Slots:
        """Return the slots with both ends of each edge matched (a sort, O(N K log N K))."""
        count, width = neighbour.shape
        own = torch.arange(count, device=neighbour.device)[:, None].expand_as(neighbour)
        neighbour = torch.where(used, neighbour, own)
        key = torch.where(used, own * count + neighbour, -1 - torch.arange(count * width).view_as(own).to(own.device))
        wanted = neighbour * count + own
        order = key.flatten().argsort()
        ranked = key.flatten()[order]
        place = torch.searchsorted(ranked, wanted.flatten()).clamp_max(count * width - 1)
        mutual = (ranked[place] == wanted.flatten()).view_as(own) & used
        reverse = torch.where(mutual, order[place].view_as(own), torch.zeros_like(own))
        return cls(neighbour, used, reverse, mutual)

    @property
    def pair_weight(self) -> Float[Tensor, "N K"]:
        """Return 1/2 where both ends list the edge, 1 where one does, 0 in empty slots: sums count each edge once."""
        used = self.used.double()
        return torch.where(self.mutual, 0.5 * used, used)

    def ends(self, kinds: int) -> tuple[Int[Tensor, "N d"], Bool[Tensor, "N d"]]:
        """Return `reverse` and `mutual` for d = K x `kinds` coefficient slots, neighbour-major."""
        kind = torch.arange(kinds, device=self.reverse.device)
        reverse = (self.reverse[..., None] * kinds + kind).flatten(1)
        return reverse, self.mutual[..., None].expand(-1, -1, kinds).flatten(1)


@dataclass(frozen=True, slots=True)
class Pairs:
    """The undirected pairs behind the slots, numbered within each of G groups.

    Attributes:
        index: [N, K] number of the slot's pair within its group (0 in empty slots, where no evidence is).
        used: [G, P] whether the group has a pair of that number.
        filled: [N, K] whether the slot has a pair.
    """

    index: Int[Tensor, "N K"]
    used: Bool[Tensor, "G P"]
    filled: Bool[Tensor, "N K"]

    @classmethod
    def of(cls, slots: Slots, group: Int[Tensor, " N"], groups: int) -> Pairs:
        """Number the pairs."""
        count = len(group)
        own = torch.arange(count, device=group.device)[:, None].expand_as(slots.neighbour)
        low, high = torch.minimum(own, slots.neighbour), torch.maximum(own, slots.neighbour)
        key = torch.where(slots.used, (group[:, None] * count + low) * count + high, -1)
        names, place = torch.unique(key, return_inverse=True)
        owner = torch.where(names >= 0, names // (count * count), groups)
        size = torch.bincount(owner, minlength=groups + 1)
        empty = int(size[groups])  # sorted first, since their key is -1
        start = torch.cumsum(size[:groups], 0) - size[:groups] + empty
        index = torch.where(slots.used, place - start[group][:, None], 0)
        width = max(int(size[:groups].max()), 1)
        used = torch.arange(width, device=group.device)[None] < size[:groups, None]
        return cls(index, used, slots.used)

    def columns(self, kinds: int) -> Int[Tensor, "N d"]:
        """Return the column of each coefficient slot among a group's P x `kinds` coefficients, pair-major."""
        kind = torch.arange(kinds, device=self.index.device)
        return (self.index[..., None] * kinds + kind).flatten(1)

    def spread(self, values: Float[Tensor, "N d *S"], group: Int[Tensor, " N"], rest: float) -> Float[Tensor, "G W *S"]:
        """Return what is known of each coefficient of each group, from the slots that speak of it.

        Args:
            values: [N, d, ...] by coefficient slot; both slots of a pair say the same.
            group: [N] scene of each node.
            rest: of a coefficient of which no slot speaks.
        """
        groups, width = self.used.shape
        kinds = values.shape[1] // self.index.shape[1]
        whole = values.new_full((groups, width * kinds + 1, *values.shape[2:]), rest)
        # what empty slots hold goes to a column of its own, not to that of the pair whose number they have
        column = torch.where(self.filled.repeat_interleave(kinds, dim=1), self.columns(kinds), width * kinds)
        whole[group[:, None], column] = values
        return whole[:, :-1]


def all_pairs(group: Int[Tensor, " N"]) -> Slots:
    """Return slots for every pair of each group: for small scenes only, K is the largest group less one."""
    count = len(group)
    same = (group[:, None] == group[None, :]) & ~torch.eye(count, dtype=torch.bool, device=group.device)
    width = max(int(same.sum(1).max()), 1)
    order = torch.argsort(same.to(torch.int8), dim=1, descending=True, stable=True)[:, :width]
    return Slots.of(order, same.gather(1, order))


def grouped_pairs(groups: int, size: int, device: torch.device | None = None) -> Slots:
    """Return `all_pairs` of `groups` equal scenes of `size` nodes in a row, without the N x N mask."""
    inner = torch.arange(size)[:, None] + torch.arange(1, size)[None, :]
    neighbour = (inner % size)[None] + size * torch.arange(groups)[:, None, None]
    flat = neighbour.reshape(groups * size, size - 1).to(device)
    return Slots.of(flat, torch.ones_like(flat, dtype=torch.bool))


def nearest(
    position: Float[Tensor, "N D"],
    width: int,
    keep: tuple[Int[Tensor, " L"], Int[Tensor, " L"]] | None = None,
    reach_m: float = np.inf,
) -> Slots:
    """Return the nearest neighbours of each node and, beside them, an explicit list of likely long-range edges.

    Args:
        position: [N, D] m, all one scene.
        width: K; kept edges come first, the nearest fill the rest.
        keep: (node, neighbour) of directed edges that stay whatever their distance, likeliest first.
        reach_m: farther pairs are no candidates (kept ones are).
    """
    points = position.detach().cpu().numpy()
    count = len(points)
    distance, found = cKDTree(points).query(points, k=min(width + 1, count), distance_upper_bound=reach_m)
    distance, found = distance.reshape(count, -1), found.reshape(count, -1)  # of one node the tree returns numbers
    node = np.repeat(np.arange(count), found.shape[1])
    other, rank = found.ravel(), distance.ravel()
    if keep is not None:
        order = np.arange(len(keep[0]), dtype=float)
        node = np.concatenate([keep[0].cpu().numpy(), node])
        other = np.concatenate([keep[1].cpu().numpy(), other])
        rank = np.concatenate([order - len(order) - 1.0, rank])
    valid = (other < count) & (other != node)
    node, other, rank = node[valid], other[valid], rank[valid]
    first = np.unique(node * count + other, return_index=True)[1]  # a kept edge among the nearest is listed once
    node, other, rank = node[first], other[first], rank[first]
    order = np.lexsort((other, rank, node))
    node, other = node[order], other[order]
    place = np.arange(len(node)) - np.searchsorted(node, node)
    fits = place < width
    neighbour = np.tile(np.arange(count)[:, None], (1, width))
    used = np.zeros((count, width), dtype=bool)
    neighbour[node[fits], place[fits]] = other[fits]
    used[node[fits], place[fits]] = True
    device = position.device
    return Slots.of(torch.from_numpy(neighbour).to(device), torch.from_numpy(used).to(device))


def carry_over(old: Slots, new: Slots) -> tuple[Int[Tensor, "N K"], Bool[Tensor, "N K"]]:
    """Return, for each new slot, the old slot of the same edge at the same node, and whether there was one."""
    same = (new.neighbour[:, :, None] == old.neighbour[:, None, :]) & new.used[:, :, None] & old.used[:, None, :]
    return same.to(torch.int8).argmax(-1), same.any(-1)
