"""Path integral control over any model: average the candidates by the exponential of their cost."""

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


class PathIntegral(ShootingOptimiser):
    """MPPI: one round (or a few) of noise about the last plan, and the softmin-weighted average of what came of it.

    Source: Williams et al. 2017, "Information theoretic MPC", Algorithm 1. As in `worldsim.planning.MPPI`, which plans
    over the warehouse's own terms, noise is smooth, the temperature follows the spread of the best tenth of the costs,
    and the best candidate is taken where the average costs more. Its cost of control is left out: the model prices
    effort as it likes.
    """

    def __init__(self, samples: int = 256, rounds: int = 2, std: float = 0.6, exponent: float = 2.0) -> None:
        """Build the search.

        Args:
            samples: S candidates a round.
            rounds: how often.
            std: of the noise, in units of an action's range.
            exponent: of the noise's spectrum, 0 for white noise.

        Raises:
            ConfigurationError: a number cannot work.
        """
        check_counts("PathIntegral", samples=samples, rounds=rounds)
        self.samples, self.rounds, self.std, self.exponent = samples, rounds, std, exponent

    def __repr__(self) -> str:
        """Return what the search was built with."""
        return f"PathIntegral(samples={self.samples}, rounds={self.rounds}, std={self.std}, exponent={self.exponent})"

    @torch.no_grad()
    def optimise(
        self,
        model: CandidateCost,
        info_dict: Mapping[str, Any],
        start: Float[Tensor, "B T U"],
        rng: np.random.Generator,
    ) -> Shot:
        """Return the weighted averages, or the cheapest candidates where those cost less."""
        mean, asked = start.clone(), 0
        best_cost = start.new_zeros(start.shape[0])
        for _ in range(self.rounds):
            noise = smooth_noise((start.shape[0], self.samples, *start.shape[1:]), self.exponent, rng)
            candidates = mean[:, None] + self.std * noise
            # the way out when the last plan has gone stale
            candidates[:, self.samples - self.samples // 4 :] -= mean[:, None]
            candidates = torch.cat([mean[:, None], candidates], dim=1).clamp(-1.0, 1.0)
            cost = priced(model, info_dict, candidates)
            least, at = cost.min(dim=1)
            temperature = 0.3 * (torch.quantile(cost, 0.1, dim=1) - least) + 1e-4
            weight = torch.softmax(-(cost - least[:, None]) / temperature[:, None], dim=1)
            averaged = torch.einsum("bs,bstu->btu", weight, candidates)
            found = candidates[torch.arange(len(at)), at]
            average_cost = priced(model, info_dict, averaged[:, None])[:, 0]
            good = average_cost <= least
            mean = torch.where(good[:, None, None], averaged, found)
            best_cost = torch.where(good, average_cost, least)
            asked += candidates.shape[1] + 1
        return Shot(mean, best_cost, asked)
