"""Trainings by Stable-Baselines3 that outlive their process: everything they need to go on, as safetensors and JSON.

Stable-Baselines3 saves pickles; this saves the same tensors as data. What is not saved is where the environments were
within their episodes: after a restart every environment begins a new one, and the cut episode counts for nothing but
its frames. The replay memory of an off-policy method is saved with the rest, about 16 kB a frame of the warehouse.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from worldsim.contracts.agent import Learner, TrainingEpisode
from worldsim.errors import DataError

if TYPE_CHECKING:
    from stable_baselines3.common.base_class import BaseAlgorithm
    from stable_baselines3.common.buffers import DictReplayBuffer
    from stable_baselines3.common.vec_env import VecEnv

    from worldsim_agents.sb3_agent import SB3Agent

__all__ = ["SB3Learner", "log_nowhere", "vector_environment"]

_TENSORS, _STATE = "learner.safetensors", "learner.json"
_SPREAD = "rewards/spread"
"""Mean, variance and count of the discounted returns by which rewards are scaled, where the method scales them."""
_ROW_FIELDS = ("actions", "rewards", "dones", "timeouts")


def vector_environment(make_env: Callable[[], Any], envs: int) -> VecEnv:
    """Return `envs` environments side by side; the numbers that they give do not depend on where they run.

    Each has a process of its own where there is a core for each. Otherwise all run in this process: processes that
    share a core only take turns, and sending what they see costs more than they save.
    """
    from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv

    if envs == 1 or envs > len(os.sched_getaffinity(0)):
        return DummyVecEnv([make_env] * envs)
    return SubprocVecEnv([make_env] * envs, start_method="spawn")  # an engine is not to be forked


def log_nowhere(algorithm: BaseAlgorithm) -> None:
    """Give `algorithm` a new logger that holds numbers in memory alone.

    Stable-Baselines3's own makes a folder in the system's temporary one at each call of `learn`, and leaves it there.
    """
    from stable_baselines3.common.logger import Logger

    algorithm.set_logger(Logger(folder=None, output_formats=[]))


@contextmanager
def _denormals_as_zero() -> Iterator[None]:
    """Take numbers below 1e-38 for zero, as far as the processor can.

    Adam's mean of a gradient that has become zero, as a dead unit's has, halves every seven updates and is that small
    soon; to compute with it takes a processor a hundred times as long.
    """
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)


class SB3Learner(Learner):
    """Trains one of the Stable-Baselines3 agents in pieces."""

    def __init__(self, made: type[SB3Agent], vector: VecEnv, steps: int, seed: int) -> None:
        """Make the untrained networks.

        Args:
            made: class of the agent.
            vector: environments that give what the agent's policy reads; closed with the learner.
            steps: how many of their frames in all.
            seed: of everything random.
        """
        self.made, self.seed, self.vector = made, seed, vector
        self.algorithm: BaseAlgorithm = made.make_learner(vector, steps, seed)
        # one after the other, the seeds of a training's environments would be those of the next training's
        vector.seed(int(np.random.SeedSequence([seed, 0]).generate_state(1)[0]))
        self._episodes: list[TrainingEpisode] = []

    @property
    def steps(self) -> int:
        """Frames learned from so far."""
        return int(self.algorithm.num_timesteps)

    @property
    def episodes(self) -> tuple[TrainingEpisode, ...]:
        """The episodes that ended so far."""
        return tuple(self._episodes)

    @property
    def scalars(self) -> Mapping[str, float]:
        """Losses and rates of the last piece, by Stable-Baselines3's names."""
        if getattr(self.algorithm, "_logger", None) is None:  # there was no piece yet
            return {}
        values = self.algorithm.logger.name_to_value
        return {name: float(value) for name, value in values.items() if isinstance(value, int | float | np.number)}

    def learn(self, until: int, on_step: Callable[[int], None] | None = None) -> None:
        """Go on until at least `until` frames; an on-policy method ends with a whole rollout."""
        missing = until - self.steps
        if missing <= 0:
            return

        def told(local: dict[str, Any], _: dict[str, Any]) -> bool:
            step = self.steps
            for info in local["infos"]:
                if "episode" in info:
                    success = bool(info["is_success"]) if "is_success" in info else None
                    ended = info["episode"]
                    self._episodes.append(TrainingEpisode(step, float(ended["r"]), int(ended["l"]), success))
            if on_step is not None:
                on_step(step)
            return True

        log_nowhere(self.algorithm)
        with _denormals_as_zero():
            self.algorithm.learn(missing, callback=told, reset_num_timesteps=False, log_interval=None)  # type: ignore[arg-type]

    def agent(self) -> SB3Agent:
        """Return an agent with a copy of the policy as it is now."""
        with torch.random.fork_rng(devices=[]):  # who looks at a training does not change it
            policy = self.made.make_policy(self.algorithm.policy.observation_space, self.algorithm.policy.action_space)  # type: ignore[arg-type]
        policy.load_state_dict(self.algorithm.policy.state_dict())
        policy.set_training_mode(False)
        return self.made(policy, tuple(episode.total for episode in self._episodes))

    # ------------------------------------------------------------------ saving

    def save(self, folder: Path) -> None:
        """Write networks, optimisers, replay memory and history into `folder`."""
        from safetensors.torch import save_file

        folder.mkdir(parents=True, exist_ok=True)
        tensors: dict[str, Tensor] = {}
        groups: dict[str, Any] = {}
        dicts, variables = self.algorithm._get_torch_save_params()
        for name in dicts:
            state = _attribute(self.algorithm, name).state_dict()
            if name.endswith("optimizer"):
                groups[name] = state["param_groups"]
                state = {f"{i}.{key}": value for i, entry in state["state"].items() for key, value in entry.items()}
            tensors |= {f"{name}/{key}": torch.as_tensor(value) for key, value in state.items()}
        tensors |= {f"variable/{name}": _attribute(self.algorithm, name).data for name in variables}
        memory = self._memory()
        if memory is not None:
            tensors |= {f"memory/{name}": torch.from_numpy(rows) for name, rows in _rows(memory, memory.size()).items()}
        scaling = self.algorithm.get_vec_normalize_env()
        if scaling is not None:
            spread = scaling.ret_rms
            tensors[_SPREAD] = torch.tensor([float(spread.mean), float(spread.var), spread.count], dtype=torch.float64)
        tensors["random/torch"] = torch.get_rng_state()
        save_file({name: value.detach().cpu().clone() for name, value in tensors.items()}, folder / _TENSORS)
        state = {
            "algorithm": self.made.algorithm,
            "steps": self.steps,
            "updates": int(getattr(self.algorithm, "_n_updates", 0)),
            "seed": self.seed,
            "groups": groups,
            "memory": None if memory is None else {"at": memory.pos, "full": memory.full},
            "episodes": [asdict(episode) for episode in self._episodes],
        }
        (folder / _STATE).write_text(json.dumps(state) + "\n", encoding="utf-8")

    def restore(self, folder: Path) -> None:
        """Go on from what `save` wrote; the environments begin new episodes, with seeds not used before.

        Raises:
            DataError: there is none, it is corrupt, or of another algorithm or size.
        """
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            state = json.loads((folder / _STATE).read_text(encoding="utf-8"))
            if state["algorithm"] != self.made.algorithm:
                raise DataError(
                    f"{folder} is of a training of {state['algorithm']!r}, this one is of {self.made.algorithm!r}."
                )
            self._put_back(state, load_file(folder / _TENSORS))
        except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
            raise DataError(f"{folder} holds no readable training ({type(error).__name__}: {error}).") from error

    def _put_back(self, state: dict[str, Any], tensors: dict[str, Tensor]) -> None:
        dicts, variables = self.algorithm._get_torch_save_params()
        for name in dicts:
            mine = {key.removeprefix(f"{name}/"): value for key, value in tensors.items() if key.startswith(f"{name}/")}
            if name.endswith("optimizer"):
                entries: dict[int, dict[str, Tensor]] = {}
                for key, value in mine.items():
                    number, _, field = key.partition(".")
                    entries.setdefault(int(number), {})[field] = value
                mine = {"state": entries, "param_groups": state["groups"][name]}  # type: ignore[dict-item]
            _attribute(self.algorithm, name).load_state_dict(mine)
        for name in variables:
            _attribute(self.algorithm, name).data.copy_(tensors[f"variable/{name}"])
        memory = self._memory()
        if memory is not None and state["memory"] is not None:
            at, filled = int(state["memory"]["at"]), len(tensors["memory/rewards"])
            first = at if state["memory"]["full"] else 0  # the oldest row: a longer training has a larger memory
            for name, rows in _rows(memory, filled).items():
                rows[:] = np.roll(tensors[f"memory/{name}"].numpy(), -first, axis=0)
            memory.pos, memory.full = filled % memory.buffer_size, filled == memory.buffer_size
        scaling = self.algorithm.get_vec_normalize_env()
        if scaling is not None:
            mean, var, scaling.ret_rms.count = tensors[_SPREAD].tolist()
            scaling.ret_rms.mean, scaling.ret_rms.var = np.array(mean), np.array(var)
        self._episodes = [TrainingEpisode(**episode) for episode in state["episodes"]]
        steps = int(state["steps"])
        self.algorithm.num_timesteps = steps
        self.algorithm._n_updates = int(state["updates"])
        # the same seed again would play the first episodes again
        self.algorithm.set_random_seed(int(np.random.SeedSequence([self.seed, steps]).generate_state(1)[0]))
        torch.set_rng_state(tensors["random/torch"])

    def _memory(self) -> DictReplayBuffer | None:
        return getattr(self.algorithm, "replay_buffer", None)

    def close(self) -> None:
        """Close the environments."""
        self.vector.close()


def _attribute(owner: Any, path: str) -> Any:
    for name in path.split("."):
        owner = getattr(owner, name)
    return owner


def _rows(memory: DictReplayBuffer, filled: int) -> dict[str, np.ndarray]:
    """Return views of the first `filled` rows of a replay memory."""
    rows = {name: getattr(memory, name)[:filled] for name in _ROW_FIELDS}
    rows |= {f"observations.{key}": value[:filled] for key, value in memory.observations.items()}
    rows |= {f"next_observations.{key}": value[:filled] for key, value in memory.next_observations.items()}
    return rows
