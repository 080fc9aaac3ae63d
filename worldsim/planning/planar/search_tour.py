"""What it costs not to know where a thing is: the way of a search, less the way of somebody who knows."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def tours(between_m: Float[Tensor, "K K"], weight: Float[Tensor, " K"]) -> Float[Tensor, "K K"]:
    """Return how far it is to every place along the tour that begins at each, m.

    A tour goes on to the place with the least way per probability that is left, as a rule for the least expected way
    (the minimum latency problem is NP-hard; the greedy tour is short enough for a price that is made anew every plan).

    >>> tours(torch.tensor([[0.0, 1.0, 3.0], [1.0, 0.0, 2.0], [3.0, 2.0, 0.0]]), torch.ones(3))[1].tolist()
    [1.0, 0.0, 4.0]

    Args:
        between_m: [K, K] from each place (row) to each (column).
        weight: [K] probabilities, up to a factor; a place of none is gone to last.
    """
    way, share = between_m.tolist(), [max(p, 1e-6) for p in weight.tolist()]
    found = torch.zeros_like(between_m)
    for first in range(len(way)):
        left, here, gone = set(range(len(way))) - {first}, first, 0.0
        while left:
            there = min(left, key=lambda k: (way[here][k] / share[k], k))
            gone += way[here][there]
            found[first, there] = gone
            left.remove(there)
            here = there
    return found


def detour_m(
    distance_m: Float[Tensor, "... K"], unseen: Float[Tensor, "... K"], tour_m: Float[Tensor, "K K"]
) -> Float[Tensor, "..."]:
    """Return the expected way of a search less the expected way of somebody who knows, m.

    The thing is at place k and not yet found with probability ``u_k``. Who knows goes ``sum_k u_k d_k``; who searches
    goes to some place j and on along its tour, ``min_j (d_j sum_k u_k + sum_k u_k c_jk)``. What was found costs no
    detour. So much is worth what a future tells of the thing's place: the value of information (Howard 1966) of looks
    that lie beyond every horizon, too.

    Args:
        distance_m: [..., K] to each place.
        unseen: [..., K] u.
        tour_m: [K, K] c, as `tours` gives it.
    """
    searching = unseen.sum(dim=-1, keepdim=True) * distance_m + unseen @ tour_m.T
    return (searching.amin(dim=-1) - (unseen * distance_m).sum(dim=-1)).clamp(min=0.0)
