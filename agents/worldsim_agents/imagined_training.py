"""Policies that are learned in imagined worlds: a few real frames, and many imagined ones that start from them.

The policy acts in the real environment while the world model learns from what it sees there; from the moments that were
believed on the way, short imagined worlds begin, and in those Stable-Baselines3 trains the policy.

Source: Sutton 1991, "Dyna"; Janner et al. 2019, "When to Trust Your Model: Model-Based Policy Optimization".
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import numpy as np

from worldsim.contracts.agent import Learner, TrainingEpisode
from worldsim.errors import ConfigurationError, DataError
from worldsim.extras import need
from worldsim.loop import WorldModel
from worldsim.planning.planar.imagined import believed_moment, roles_spoken_of
from worldsim.registry import open_registry
from worldsim.types.observation import Observation
from worldsim_agents.clamp import works_by_hand
from worldsim_agents.sb3_agent import PPOAgent, SACAgent, SB3Agent, policy_fields, policy_spaces
from worldsim_agents.sb3_training import SB3Learner, log_nowhere

__all__ = ["ImaginedLearner", "ImaginedPPOAgent", "ImaginedSACAgent"]

_EXPERIENCE = "experience.json"
_HORIZON_S = 3.0
_MOMENT_EVERY_S = 1.0
_MOMENTS = 400  # the latest; a moment takes about 50 kB a thing that moves
_PIECE = 200  # real frames between two trainings
_HELD_FRAMES = 10  # what is done at random is held so long
_FIRST = 400  # real frames before the policy acts


class ImaginedLearner(SB3Learner):
    """Counts real frames; the frames that Stable-Baselines3 counts are imagined."""

    def __init__(self, made: type[_Imagining], make_env: Callable[[], Any], steps: int, seed: int) -> None:
        """Make the environment, the world model, the imagined worlds and the untrained networks (as `SB3Learner`).

        Raises:
            ConfigurationError: nothing can be earned in imagined worlds (`roles_spoken_of`), or the clamp is needed.
        """
        from worldsim_agents.imagined_env import ImaginedVecEnv

        self._env = make_env()
        roles_spoken_of(self._env.scenario.preferences())
        given: Any = self._env.observation_space
        self._task = {name: int(box.shape[0]) for name, box in given.items() if name.startswith("task_")}
        if works_by_hand(self._task, self._env.scenario.preferences()):
            raise ConfigurationError(
                "imagined worlds: the task is done by the clamp, and in them nothing is taken hold of. Train `ppo` or "
                "`sac`, which the environment rewards, or play `active_inference`, which plans with the clamp."
            )
        self._room = int(given["mask"].shape[0])
        self._preferences, self._frame_s = self._env.scenario.preferences(), float(self._env.physics.frame_s)
        self._imagined = ImaginedVecEnv(*policy_spaces(self._room, self._task), self._preferences, self._frame_s)
        self._each = made.imagined_frames
        super().__init__(made, self._imagined, steps * self._each, seed)
        self._world_model = WorldModel(registry=open_registry("builtin"), device="cpu", seed=seed)
        self._frames = 0
        self._begin()

    def _begin(self) -> None:
        """Draw and play anew, from seeds that were not used before."""
        self._began = self._frames
        self._rng = np.random.default_rng([self.seed, self._began])
        self._observation: Observation | None = None
        self._total, self._length, self._seed = 0.0, 0, int(self._rng.integers(2**19))
        self._action = np.zeros(3, dtype=np.float32)

    @property
    def steps(self) -> int:
        """Real frames learned from so far."""
        return self._frames

    def learn(self, until: int, on_step: Callable[[int], None] | None = None) -> None:
        """Go on until `until` real frames: by turns look at the real world, and train in imagined ones.

        Raises:
            ConfigurationError: there was nothing to imagine: no moment in which the task's object was believed in.
        """
        while self._frames < until:
            piece = min(_PIECE, until - self._frames)
            for _ in range(piece):
                self._look()
                if on_step is not None:
                    on_step(self._frames)
            if not self._imagined.moments and self._frames - self._began >= _FIRST:
                raise ConfigurationError(
                    f"agent {self.made.algorithm!r}: in {self._frames} frames there was no moment in which own body "
                    "and the task's object were believed in, so there is nothing to imagine. What is hidden is to be "
                    "searched for by `active_inference`; `ppo` and `sac` train on what the environment rewards."
                )
            if self._imagined.moments:
                log_nowhere(self.algorithm)
                self.algorithm.learn(piece * self._each, reset_num_timesteps=False, log_interval=None)  # type: ignore[arg-type]

    def _look(self) -> None:
        """Play one real frame, and remember the moment where one is due."""
        if self._observation is None:
            raw, _ = self._env.reset(seed=self._seed)
            self._seed += 1
            self._observation = Observation.from_gym(raw)
            self._world_model.reset(self._observation)
            self._total, self._length = 0.0, 0
        action = self._chosen()
        raw, reward, terminated, truncated, info = self._env.step(action)
        self._observation = Observation.from_gym(raw)
        self._world_model.step(self._observation, action)
        self._frames, self._length, self._total = self._frames + 1, self._length + 1, self._total + float(reward)
        every = max(1, round(_MOMENT_EVERY_S / self._frame_s))
        if self._length % every == 0:
            moment = believed_moment(self._world_model, self._observation, self._preferences, _HORIZON_S)
            if moment is not None:
                self._imagined.moments = [*self._imagined.moments[-_MOMENTS + 1 :], moment]
        if terminated or truncated:
            success = bool(info["is_success"]) if "is_success" in info else None
            self._episodes.append(TrainingEpisode(self._frames, self._total, self._length, success))
            self._observation = None

    def _chosen(self) -> np.ndarray:
        """Return what is done next: at first something at random for a while, then what the policy draws."""
        assert self._observation is not None
        if self._frames < _FIRST:
            if self._frames % _HELD_FRAMES == 0:
                self._action = self._rng.uniform(-1.0, 1.0, 3).astype(np.float32)
            return self._action
        fields = policy_fields(self._observation, self._room, self._task)
        action, _ = self.algorithm.policy.predict(fields, deterministic=False)
        return np.asarray(action, dtype=np.float32)

    def save(self, folder: Path) -> None:
        """Write what `SB3Learner` does, and the real frames; the moments are not saved, and are made anew."""
        super().save(folder)
        counts = {"frames": self._frames, "imagined": int(self.algorithm.num_timesteps)}
        (folder / _EXPERIENCE).write_text(json.dumps(counts) + "\n", encoding="utf-8")

    def restore(self, folder: Path) -> None:
        """Go on from what `save` wrote (errors as `SB3Learner.restore`)."""
        super().restore(folder)
        try:
            counts = json.loads((folder / _EXPERIENCE).read_text(encoding="utf-8"))
            self._frames, self.algorithm.num_timesteps = int(counts["frames"]), int(counts["imagined"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataError(f"{folder} holds no readable training ({type(error).__name__}: {error}).") from error
        self._begin()

    def close(self) -> None:
        """Close the environment."""
        super().close()
        self._env.close()


class _Imagining(SB3Agent):
    """What makes an agent of Stable-Baselines3 learn in imagined worlds."""

    imagined_frames: int
    """How many imagined frames to a real one."""

    @classmethod
    def train(cls, env: Any, steps: int, seed: int, on_step: Callable[[int], None] | None = None) -> Self:
        """Learn from `steps` real frames of `env` (errors as `learner`)."""
        learner = cls.learner(lambda: env, 1, steps, seed)
        learner.learn(steps, on_step)
        agent: Any = learner.agent()
        return agent

    @classmethod
    def learner(cls, make_env: Callable[[], Any], envs: int, steps: int, seed: int) -> Learner:
        """Return a training of `steps` real frames that can be saved and taken up again.

        Raises:
            ConfigurationError: more than one environment is asked for.
        """
        need("stable_baselines3", f"agent {cls.algorithm!r}")
        if envs != 1:
            raise ConfigurationError(
                f"agent {cls.algorithm!r}: --envs is {envs}, expected 1: one world model follows one environment; "
                "the worlds that are many are imagined."
            )
        return ImaginedLearner(cls, make_env, steps, seed)


class ImaginedPPOAgent(_Imagining, PPOAgent):
    """`PPOAgent`, trained on imagined rollouts."""

    algorithm = "imagined_ppo"
    imagined_frames = 30


class ImaginedSACAgent(_Imagining, SACAgent):
    """`SACAgent`, trained on imagined rollouts; one update to as many imagined frames as there are worlds."""

    algorithm = "imagined_sac"
    imagined_frames = 30
