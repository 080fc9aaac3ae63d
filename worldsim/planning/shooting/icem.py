"""The cross-entropy method made sample efficient: coloured noise, elites that are kept, fewer samples each round."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from worldsim.planning.shooting.optimiser import (
    CandidateCost,
    ShootingOptimiser,
    Shot,
    check_counts,
    priced,
    smooth_noise,
)

_STD_FLOOR = 0.05


class ICEM(ShootingOptimiser):
    """CEM with noise that is correlated in time and elites that compete again in the next round.

    Source: Pinneri et al. 2020, "Sample-efficient cross-entropy method for real-time planning", Algorithm 1. As there,
    the number of samples shrinks from round to round, a share of the elites is kept, and the best sequence that was
    priced is returned. Ours draws a quarter of every first round about zero instead of the last plan: the way out when
    that has gone stale.
    """

    def __init__(
        self,
        samples: int = 256,
        elites: int = 20,
        rounds: int = 3,
        std: float = 0.7,
        exponent: float = 2.0,
        shrink: float = 1.5,
        kept: float = 0.3,
        momentum: float = 0.1,
    ) -> None:
        """Build the search.

        Args:
            samples: S candidates of the first round.
            elites: how many of them the next distribution is fitted to.
            rounds: how often.
            std: of the first distribution, in units of an action's range.
            exponent: of the noise's spectrum, 0 for white noise.
            shrink: a round draws so many times fewer candidates than the one before, and never fewer than two elites'.
            kept: share of the elites that compete again.
            momentum: share of the last distribution in the next one.

        Raises:
            ConfigurationError: a number cannot work.
        """
        check_counts("ICEM", samples=samples, elites=elites, rounds=rounds)
        self.samples, self.elites, self.rounds, self.std = samples, min(elites, samples), rounds, std
        self.exponent, self.shrink, self.kept, self.momentum = exponent, shrink, kept, momentum

    def __repr__(self) -> str:
        """Return what the search was built with."""
        return (
            f"ICEM(samples={self.samples}, elites={self.elites}, rounds={self.rounds}, std={self.std}, "
            f"exponent={self.exponent}, shrink={self.shrink}, kept={self.kept}, momentum={self.momentum})"
        )

    @torch.no_grad()
    def optimise(
        self,
        model: CandidateCost,
        info_dict: Mapping[str, Any],
        start: Float[Tensor, "B T U"],
        rng: np.random.Generator,
    ) -> Shot:
        """Return the cheapest sequences priced."""
        mean, std = start.clone(), torch.full_like(start, self.std)
        elite, elite_cost = start[:, None], None
        asked = 0
        for round_ in range(self.rounds):
            count = max(int(self.samples / self.shrink**round_), 2 * self.elites)
            noise = smooth_noise((start.shape[0], count, *start.shape[1:]), self.exponent, rng)
            candidates = mean[:, None] + std[:, None] * noise
            if round_ == 0:
                candidates[:, count - count // 4 :] -= mean[:, None]
            candidates = torch.cat([mean[:, None], candidates], dim=1).clamp(-1.0, 1.0)
            cost = priced(model, info_dict, candidates)
            asked += candidates.shape[1]
            if elite_cost is not None:  # the model's costs do not change within a plan, so elites are not priced again
                again = max(int(self.kept * self.elites), 1)
                candidates = torch.cat([candidates, elite[:, :again]], dim=1)
                cost = torch.cat([cost, elite_cost[:, :again]], dim=1)
            elite_cost, order = cost.topk(self.elites, dim=1, largest=False)
            elite = candidates.gather(1, order[..., None, None].expand(-1, -1, *start.shape[1:]))
            mean = self.momentum * mean + (1.0 - self.momentum) * elite.mean(dim=1)
            spread = elite.std(dim=1, correction=0)
            std = (self.momentum * std + (1.0 - self.momentum) * spread).clamp(min=_STD_FLOOR)
        assert elite_cost is not None  # there is at least one round
        return Shot(elite[:, 0], elite_cost[:, 0], asked)
