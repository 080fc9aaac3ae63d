"""The cross-entropy method: draw, keep the best, draw around them."""

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


class CEM(ShootingOptimiser):
    """Fits a normal distribution with independent entries to the cheapest sequences, again and again.

    Source: Rubinstein & Kroese 2004, chapter 4; for planning Chua et al. 2018 (PETS). Ours returns the cheapest
    sequence that was priced, and not the mean of the last distribution, which is bad where there are two ways round.
    """

    def __init__(self, samples: int = 256, elites: int = 24, rounds: int = 4, std: float = 0.6) -> None:
        """Build the search.

        Args:
            samples: S candidates a round.
            elites: how many of them the next distribution is fitted to.
            rounds: how often.
            std: of the first distribution, in units of an action's range.

        Raises:
            ConfigurationError: a number cannot work.
        """
        check_counts("CEM", samples=samples, elites=elites, rounds=rounds)
        self.samples, self.elites, self.rounds, self.std = samples, min(elites, samples), rounds, std

    def __repr__(self) -> str:
        """Return what the search was built with."""
        return f"CEM(samples={self.samples}, elites={self.elites}, rounds={self.rounds}, std={self.std})"

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
        best, best_cost = start.clone(), start.new_full((start.shape[0],), float("inf"))
        for _ in range(self.rounds):
            noise = smooth_noise((start.shape[0], self.samples, *start.shape[1:]), 0.0, rng)
            candidates = (mean[:, None] + std[:, None] * noise).clamp(-1.0, 1.0)
            candidates[:, 0] = mean.clamp(-1.0, 1.0)
            cost = priced(model, info_dict, candidates)
            elite_cost, order = cost.topk(self.elites, dim=1, largest=False)
            elite = candidates.gather(1, order[..., None, None].expand(-1, -1, *start.shape[1:]))
            mean = elite.mean(dim=1)
            std = elite.std(dim=1, correction=0).clamp(min=_STD_FLOOR)
            better = elite_cost[:, 0] < best_cost
            best = torch.where(better[:, None, None], elite[:, 0], best)
            best_cost = torch.where(better, elite_cost[:, 0], best_cost)
        return Shot(best, best_cost, self.samples * self.rounds)
