"""Policies learned by Stable-Baselines3: the model-free baseline under every score.

They read the raw detections and no world model. What is learned is kept as safetensors and JSON, not in
Stable-Baselines3's own files, which hold pickles. Stable-Baselines3 (the extra ``train``) is imported when a policy
is made, so that the agents can be listed without it.
"""

from __future__ import annotations

import abc
import functools
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from jaxtyping import Float

from worldsim.contracts.agent import Learner, LearningAgent
from worldsim.errors import ConfigurationError, DataError
from worldsim.extras import need
from worldsim.types.observation import APPEARANCE_DIM, Observation
from worldsim.types.record import StepRecord

if TYPE_CHECKING:
    from gymnasium import Env, spaces
    from stable_baselines3.common.base_class import BaseAlgorithm
    from stable_baselines3.common.monitor import Monitor
    from stable_baselines3.common.policies import BasePolicy
    from stable_baselines3.common.vec_env import VecEnv

__all__ = ["PPOAgent", "SACAgent", "SB3Agent", "policy_fields", "policy_spaces"]

_WEIGHTS, _CARD = "policy.safetensors", "policy.json"
_ROWS = {"position": 3, "orientation_xyzw": 4, "extent_m": 3, "appearance": APPEARANCE_DIM}
_OWN = {"ego_position": 3, "ego_orientation_xyzw": 4, "ego_linear_velocity": 3, "ego_angular_velocity": 3}
_TASK = "task_"
"""A policy reads every field of this beginning: what a task tells is as long as the task says."""
_ACTION_DIM = 3
_BATCH, _ROLLOUT_BATCHES = 64, 32
_REPLAY_FRAMES = 100_000  # one takes about 16 kB
_RANDOM_FRAMES = 10_000


class SB3Agent(LearningAgent):
    """Acts by a policy network over the detections, with its likeliest action."""

    algorithm: ClassVar[str]

    def __init__(self, policy: BasePolicy, returns: tuple[float, ...] = ()) -> None:
        """Act by `policy`; `returns` are those of its training."""
        self.policy = policy
        self._returns = returns
        spaces: Any = policy.observation_space
        self._max_objects = int(spaces["mask"].shape[0])
        self._task = {name: int(box.shape[0]) for name, box in spaces.items() if name.startswith(_TASK)}

    def __repr__(self) -> str:
        """Return the algorithm and the size of the policy."""
        size = sum(weight.numel() for weight in self.policy.parameters())
        return f"{type(self).__name__}(weights={size}, max_objects={self._max_objects})"

    @classmethod
    @abc.abstractmethod
    def make_learner(cls, env: Env[Any, Any] | VecEnv, steps: int, seed: int) -> BaseAlgorithm:
        """Return the untrained learner for `steps` frames of `env`."""

    @classmethod
    @abc.abstractmethod
    def make_policy(cls, observation_space: spaces.Dict, action_space: spaces.Box) -> BasePolicy:
        """Return an untrained policy of the shape that `make_learner` trains."""

    @classmethod
    def network(cls) -> dict[str, Any]:
        """Return the shape of actor and critic, as Stable-Baselines3's ``policy_kwargs``."""
        from worldsim_agents.set_policy import SetExtractor

        return {"features_extractor_class": SetExtractor}

    @classmethod
    def train(cls, env: Any, steps: int, seed: int, on_step: Callable[[int], None] | None = None) -> Self:
        """Learn from `steps` frames of `env`.

        Raises:
            ConfigurationError: the environment does not give what the policy reads.
        """

        def told(local: dict[str, Any], _: dict[str, Any]) -> bool:
            if on_step is not None:
                on_step(int(local["self"].num_timesteps))
            return True

        need("stable_baselines3", f"agent {cls.algorithm!r}")
        from worldsim_agents.sb3_training import log_nowhere

        monitor = _monitored(lambda: env)
        learner = cls.make_learner(monitor, steps, seed)
        log_nowhere(learner)
        learner.learn(steps, callback=told)
        return cls(learner.policy, tuple(monitor.get_episode_rewards()))

    @classmethod
    def learner(cls, make_env: Callable[[], Any], envs: int, steps: int, seed: int) -> Learner:
        """Return a training that can be saved and taken up again, over `envs` environments side by side."""
        from worldsim_agents.sb3_training import SB3Learner, vector_environment

        need("stable_baselines3", f"agent {cls.algorithm!r}")
        return SB3Learner(cls, vector_environment(functools.partial(_monitored, make_env), envs), steps, seed)

    @property
    def returns(self) -> tuple[float, ...]:
        """Return of every episode that ended during the training, in order."""
        return self._returns

    def act(
        self, observation: Observation, record: StepRecord | None, rng: np.random.Generator
    ) -> Float[np.ndarray, " U"]:
        """Return the policy's likeliest action; the world model's record is not read."""
        del record, rng
        action, _ = self.policy.predict(policy_fields(observation, self._max_objects, self._task), deterministic=True)
        return np.asarray(action, dtype=np.float32)

    def save(self, folder: Path) -> None:
        """Write ``policy.safetensors`` and ``policy.json`` into `folder`."""
        from safetensors.torch import save_file

        folder.mkdir(parents=True, exist_ok=True)
        # clones, since actor and critic share what reads the observation and safetensors stores no shared memory
        weights = {name: value.detach().cpu().clone() for name, value in self.policy.state_dict().items()}
        save_file(weights, folder / _WEIGHTS)
        card = {
            "algorithm": self.algorithm,
            "max_objects": self._max_objects,
            "task": self._task,
            "returns": list(self._returns),
        }
        (folder / _CARD).write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Return the agent that `save` wrote into `folder`.

        Raises:
            DataError: there is none, it is corrupt, or it is of another algorithm.
            ConfigurationError: Stable-Baselines3 is not installed.
        """
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        need("stable_baselines3", f"agent {cls.algorithm!r}")
        try:
            card = json.loads((folder / _CARD).read_text(encoding="utf-8"))
            algorithm, max_objects = str(card["algorithm"]), int(card["max_objects"])
            returns = tuple(float(value) for value in card["returns"])
            if algorithm != cls.algorithm:
                raise DataError(
                    f"{folder} holds a policy of {algorithm!r}, expected {cls.algorithm!r}: use --agent {algorithm}."
                )
            task = {str(name): int(width) for name, width in card["task"].items()}
            policy = cls.make_policy(*policy_spaces(max_objects, task))
            policy.load_state_dict(load_file(folder / _WEIGHTS))
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RuntimeError, SafetensorError) as error:
            raise DataError(
                f"{folder} holds no readable policy ({type(error).__name__}: {error}). "
                f"`worldsim train SCENARIO --agent {cls.algorithm} --out DIR` writes one."
            ) from error
        policy.set_training_mode(False)
        return cls(policy, returns)


class PPOAgent(SB3Agent):
    """Proximal policy optimisation (Schulman et al. 2017).

    Trained as RL Baselines3 Zoo trains it where nothing was tuned (``mujoco-defaults`` in its ``ppo.yml``):
    Stable-Baselines3's own settings, with rewards scaled by the running spread of the return. Observations are not
    scaled: `SetExtractor` reads metres and unit vectors.
    """

    algorithm = "ppo"

    @classmethod
    def make_learner(cls, env: Env[Any, Any] | VecEnv, steps: int, seed: int) -> BaseAlgorithm:
        """Return PPO with rollouts short enough that `steps` hold several."""
        from stable_baselines3 import PPO
        from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv, VecNormalize

        batches = int(np.clip(steps // 4 // _BATCH, 1, _ROLLOUT_BATCHES))  # whole ones, over all environments
        vector = env if isinstance(env, VecEnv) else DummyVecEnv([lambda: env])
        return PPO(
            "MultiInputPolicy",
            VecNormalize(vector, norm_obs=False),
            n_steps=max(1, batches * _BATCH // vector.num_envs),
            batch_size=_BATCH,
            policy_kwargs=cls.network(),
            seed=seed,
            device="cpu",
        )

    @classmethod
    def make_policy(cls, observation_space: spaces.Dict, action_space: spaces.Box) -> BasePolicy:
        """Return an untrained actor and critic."""
        from stable_baselines3.ppo import MultiInputPolicy

        return MultiInputPolicy(observation_space, action_space, _no_schedule, **cls.network())


class SACAgent(SB3Agent):
    """Soft actor-critic (Haarnoja et al. 2018).

    Trained as RL Baselines3 Zoo trains it where nothing was tuned (``mujoco-defaults`` in its ``sac.yml``):
    Stable-Baselines3's own settings, one update a frame, after 10,000 frames at random (a tenth of a short training).
    """

    algorithm = "sac"

    @classmethod
    def network(cls) -> dict[str, Any]:
        """Return the shape of actor and critics; Adam takes all weights in one pass."""
        return super().network() | {"optimizer_kwargs": {"fused": True}}

    @classmethod
    def make_learner(cls, env: Env[Any, Any] | VecEnv, steps: int, seed: int) -> BaseAlgorithm:
        """Return SAC with a replay memory that fits into two gigabytes."""
        from stable_baselines3 import SAC

        from worldsim_agents.sac_policy import EgocentricReplayBuffer, SACPolicy

        return SAC(
            SACPolicy,
            env,
            replay_buffer_class=EgocentricReplayBuffer,
            buffer_size=min(steps, _REPLAY_FRAMES),
            learning_starts=min(_RANDOM_FRAMES, steps // 10),
            policy_kwargs=cls.network(),
            seed=seed,
            device="cpu",
        )

    @classmethod
    def make_policy(cls, observation_space: spaces.Dict, action_space: spaces.Box) -> BasePolicy:
        """Return an untrained actor and its critics."""
        from worldsim_agents.sac_policy import SACPolicy

        return SACPolicy(observation_space, action_space, _no_schedule, **cls.network())


def _monitored(make_env: Callable[[], Any]) -> Monitor[Any, Any]:
    """Return the environment with nothing but what a policy reads, and a record of its episodes.

    Raises:
        ConfigurationError: the environment does not give what a policy reads.
    """
    from gymnasium.wrappers import FilterObservation
    from stable_baselines3.common.monitor import Monitor

    env = make_env()
    wanted, given = ["mask", *_ROWS, *_OWN], sorted(getattr(env.observation_space, "spaces", ()))
    missing = sorted(set(wanted) - set(given))
    if missing:
        raise ConfigurationError(f"a learned policy reads {missing}, which the environment's observation lacks.")
    wanted += [name for name in given if name.startswith(_TASK)]
    return Monitor(FilterObservation(env, filter_keys=wanted))


def _no_schedule(_: float) -> float:
    """Give a policy that is not trained further the learning rate it never uses."""
    return 0.0


def policy_spaces(max_objects: int, task: Mapping[str, int]) -> tuple[spaces.Dict, spaces.Box]:
    """Return the spaces of a policy over `max_objects` padded rows and the numbers of a task, by name and length.

    Bounds play no part in a policy's shape.
    """
    from gymnasium import spaces

    widths = {"mask": max_objects} | {name: max_objects * width for name, width in _ROWS.items()} | _OWN | dict(task)
    boxes: dict[str, spaces.Space[Any]] = {
        name: spaces.Box(-np.inf, np.inf, (width,), np.float32) for name, width in sorted(widths.items())
    }
    return spaces.Dict(boxes), spaces.Box(-1.0, 1.0, (_ACTION_DIM,), np.float32)


def policy_fields(observation: Observation, max_objects: int, wanted: Mapping[str, int]) -> dict[str, np.ndarray]:
    """Return what the policy reads of an observation, padded to `max_objects` rows as the environment does.

    Raises:
        ConfigurationError: the observation has no own body, or it is of another task than the policy learned.
    """
    detections, ego, task = observation.detections, observation.ego, observation.task or {}
    if ego is None or not set(wanted) <= set(task):
        raise ConfigurationError(
            f"a learned policy steers an own body and reads {sorted(wanted)}; the observation has "
            f"{'no own body' if ego is None else sorted(task)}. Train it on the scenario that it is to act in."
        )
    n = min(len(detections), max_objects)
    fields: dict[str, np.ndarray] = {"mask": (np.arange(max_objects) < n).astype(np.float32)}
    for name, width in _ROWS.items():
        rows = np.zeros((max_objects, width), dtype=np.float32)
        rows[:n] = np.nan_to_num(getattr(detections, name)[:n])  # an unknown appearance is that of the padding
        fields[name] = rows.reshape(-1)
    for name in (*_OWN, *wanted):
        value = getattr(ego, name.removeprefix("ego_")) if name in _OWN else task[name]
        fields[name] = np.asarray(value, dtype=np.float32).reshape(-1)
    return fields
