"""Stable-Baselines3's policy for soft actor-critic, without gradients that nobody follows."""

from __future__ import annotations

import torch
from stable_baselines3.common.policies import ContinuousCritic
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.sac import MultiInputPolicy
from torch import Tensor

__all__ = ["SACPolicy"]


class SACPolicy(MultiInputPolicy):
    """Trains to the same bits as its base, with a tenth less work.

    The actor's loss is led back through the critics to the actions. On the way Stable-Baselines3 works out the
    gradients of the critics' weights too, and throws them away.
    """

    def make_critic(self, features_extractor: BaseFeaturesExtractor | None = None) -> ContinuousCritic:
        """Return the critics."""
        return _Critic(**self._update_features_extractor(self.critic_kwargs, features_extractor)).to(self.device)


class _Critic(ContinuousCritic):
    def forward(self, obs: Tensor, actions: Tensor) -> tuple[Tensor, ...]:
        """Return the value that each critic gives an action.

        Args:
            obs: the fields of observations by name, whatever the base calls it.
            actions: [B, U]; where they are the actor's, who learns through them, weights get no gradient.
        """
        if not (torch.is_grad_enabled() and actions.requires_grad):
            return super().forward(obs, actions)
        self.requires_grad_(False)
        try:
            return super().forward(obs, actions)
        finally:
            self.requires_grad_(True)
