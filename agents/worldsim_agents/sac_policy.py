"""Stable-Baselines3's policy and memory for soft actor-critic, without work whose result is known or not needed."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3.common.buffers import DictReplayBuffer
from stable_baselines3.common.policies import ContinuousCritic
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.type_aliases import DictReplayBufferSamples
from stable_baselines3.common.vec_env import VecNormalize
from stable_baselines3.sac import MultiInputPolicy
from stable_baselines3.sac.policies import Actor
from torch import Tensor

from worldsim_agents.set_policy import Egocentric

__all__ = ["EgocentricReplayBuffer", "SACPolicy"]


class EgocentricReplayBuffer(DictReplayBuffer):
    """Remembers what `Egocentric` makes of observations, and not the observations.

    An observation is drawn some 250 times in a training, and each time read by actor, critics and target critics. Seen
    from the robot it is worked out once, when it comes.
    """

    def __init__(
        self, buffer_size: int, observation_space: spaces.Dict, action_space: spaces.Box, **options: Any
    ) -> None:
        """Make room for `buffer_size` observations of `observation_space` (`options` as the base has them)."""
        self.egocentric = view = Egocentric(observation_space)
        shapes = {"rows": (view.room, view.row_width), "own": (view.own_width,)}
        boxes: dict[str, spaces.Space[Any]] = {
            name: spaces.Box(-np.inf, np.inf, shape, np.float32) for name, shape in shapes.items()
        }
        self._last: tuple[dict[str, np.ndarray], dict[str, np.ndarray]] = {}, {}
        super().__init__(
            buffer_size, spaces.Dict({"seen": spaces.MultiBinary(view.room), **boxes}), action_space, **options
        )

    def add(self, obs: dict[str, np.ndarray], next_obs: dict[str, np.ndarray], *rest: Any) -> None:  # type: ignore[override]
        """Remember a step of every environment; arguments as the base has them."""
        came, known = self._last  # what came after the step before is what this one began with, unless an episode ended
        same = came.keys() == obs.keys() and all(np.array_equal(came[name], value) for name, value in obs.items())
        after = self._viewed(next_obs)
        super().add(known if same else self._viewed(obs), after, *rest)
        self._last = next_obs, after

    def _get_samples(  # type: ignore[override]
        self, batch_inds: np.ndarray, env: VecNormalize | None = None
    ) -> DictReplayBufferSamples:
        """Return what the base does, without the padding behind the last row that is seen in any of the samples."""
        whole = self.observations, self.next_observations
        self.observations, self.next_observations = (_without_padding(rows, batch_inds) for rows in whole)
        try:
            return super()._get_samples(batch_inds, env)
        finally:
            self.observations, self.next_observations = whole

    def _viewed(self, observations: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        fields = {name: torch.as_tensor(value) for name, value in observations.items()}
        viewed = {name: value.numpy() for name, value in self.egocentric(fields).items()}
        padding = self.egocentric.room - viewed["rows"].shape[1]
        viewed["seen"] = np.pad(viewed["seen"], ((0, 0), (0, padding)))
        viewed["rows"] = np.pad(viewed["rows"], ((0, 0), (0, padding), (0, 0)))
        return viewed


def _without_padding(memory: dict[str, np.ndarray], chosen: np.ndarray) -> dict[str, np.ndarray]:
    """Return views of a memory's fields that hold every row that is seen at the `chosen` times, at least one."""
    columns = memory["seen"][chosen].any(axis=(0, 1)).nonzero()[0]
    used = int(columns[-1]) + 1 if len(columns) else 1
    return memory | {name: memory[name][:, :, :used] for name in ("seen", "rows")}


class SACPolicy(MultiInputPolicy):
    """Trains to the same bits as its base, with a tenth less work, and reads what `EgocentricReplayBuffer` remembers.

    The actor's loss is led back through the critics to the actions. On the way Stable-Baselines3 works out the
    gradients of the critics' weights too, and throws them away.
    """

    def make_critic(self, features_extractor: BaseFeaturesExtractor | None = None) -> ContinuousCritic:
        """Return the critics."""
        return _Critic(**self._update_features_extractor(self.critic_kwargs, features_extractor)).to(self.device)

    def make_actor(self, features_extractor: BaseFeaturesExtractor | None = None) -> Actor:
        """Return the actor."""
        return _Actor(**self._update_features_extractor(self.actor_kwargs, features_extractor)).to(self.device)


class _Actor(Actor):
    def extract_features(self, obs: Any, features_extractor: BaseFeaturesExtractor) -> Tensor:
        """Return the features; what is seen from the robot is no part of the observation space, and needs no check."""
        return features_extractor(obs)


class _Critic(ContinuousCritic):
    def extract_features(self, obs: Any, features_extractor: BaseFeaturesExtractor) -> Tensor:
        """Return the features, as the actor does."""
        return features_extractor(obs)

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
