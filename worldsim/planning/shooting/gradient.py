"""Gradient planning: follow the derivative of the cost through the model's own rollout."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from worldsim.errors import ConfigurationError
from worldsim.planning.shooting.optimiser import (
    CandidateCost,
    ShootingOptimiser,
    Shot,
    check_counts,
    priced,
    smooth_noise,
)


class GradientShooting(ShootingOptimiser):
    """Descends from several starts at once by Adam, inside the bounds, and returns the cheapest sequence met.

    Source: Kingma & Ba 2015 for the descent; planning by back-propagation as in Nguyen & Widrow 1990. The bounds
    are kept by a hyperbolic tangent; several starts, since contact makes many local minima.
    """

    def __init__(self, starts: int = 24, steps: int = 10, rate: float = 0.2, std: float = 0.7) -> None:
        """Build the search.

        Args:
            starts: S sequences descended from side by side; the first is the last plan.
            steps: of the descent.
            rate: Adam's, in units of the inverse hyperbolic tangent of an action.
            std: of the other starts about the last plan.

        Raises:
            ConfigurationError: a number cannot work.
        """
        check_counts("GradientShooting", starts=starts, steps=steps)
        if not rate > 0.0:
            raise ConfigurationError(f"GradientShooting: rate is {rate}, expected > 0.")
        self.starts, self.steps, self.rate, self.std = starts, steps, rate, std

    def __repr__(self) -> str:
        """Return what the search was built with."""
        return f"GradientShooting(starts={self.starts}, steps={self.steps}, rate={self.rate}, std={self.std})"

    def optimise(
        self,
        model: CandidateCost,
        info_dict: Mapping[str, Any],
        start: Float[Tensor, "B T U"],
        rng: np.random.Generator,
    ) -> Shot:
        """Return the cheapest sequences met on the way down.

        Raises:
            ConfigurationError: the model's costs cannot be differentiated.
        """
        noise = smooth_noise((start.shape[0], self.starts, *start.shape[1:]), 2.0, rng)
        begun = start[:, None] + self.std * noise
        begun[:, 0] = start
        free = torch.atanh(begun.clamp(-0.97, 0.97)).detach().requires_grad_()
        descent = torch.optim.Adam([free], lr=self.rate)
        best = torch.tanh(free).detach()
        best_cost = start.new_full(best.shape[:2], float("inf"))
        for step in range(self.steps + 1):
            with torch.enable_grad():
                candidates = torch.tanh(free)
                cost = priced(model, info_dict, candidates)
            better = cost.detach() < best_cost
            best = torch.where(better[..., None, None], candidates.detach(), best)
            best_cost = torch.where(better, cost.detach(), best_cost)
            if step == self.steps:
                break
            if not cost.requires_grad:
                raise ConfigurationError(
                    f"GradientShooting: the costs of {type(model).__name__} have no gradient. Plan by 'cem', 'icem' or "
                    "'mppi', or make get_cost differentiable."
                )
            descent.zero_grad()
            cost.sum().backward()
            descent.step()
        least, at = best_cost.min(dim=1)
        return Shot(best[torch.arange(len(at)), at], least, self.starts * (self.steps + 1))
