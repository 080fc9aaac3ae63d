"""What can be reached at all: the best that anybody did on the very same world, with everything known.

A score says little without what was possible. The ceiling of a scenario is found in hindsight: for each seed the best
of several attempts at the same world, by the scripted expert that sees exactly, by the same with its actions shaken a
little, and, where all of those failed, by a planner whose model is the true world itself. Every attempt is a sequence
of actions that was really played, so the ceiling is never above what is possible; it may be below.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from worldsim.contracts.agent import Agent
from worldsim.contracts.physics import Physics
from worldsim.errors import ConfigurationError
from worldsim.evaluation.sweep import Score, play_episode
from worldsim.planning.shooting import ICEM, ShootingOptimiser
from worldsim.simulation.gym_env import WorldsimEnv
from worldsim.types.observation import Observation
from worldsim.types.record import StepRecord

__all__ = ["OraclePlanner", "Shaken", "TrueWorldCost", "best_attempt"]

_FRAMES_A_STEP = 5
_ATTEMPTS, _SHAKEN = 3, 0.05  # of the oracle on a world on which the expert failed; shaken by so much of the range


class TrueWorldCost:
    """The true world as a model that prices action sequences: it tries each one, and comes back.

    It has the shape of `worldsim.planning.shooting.CandidateCost`. Scoring only: no agent may have it.
    """

    def __init__(self, physics: Physics, frames_a_step: int = _FRAMES_A_STEP) -> None:
        """Build the model.

        Args:
            physics: a world with a task, at the moment to plan from.
            frames_a_step: for how many frames each action is held.
        """
        self.physics: Any = physics
        self.frames_a_step = frames_a_step

    def get_cost(
        self, info_dict: Mapping[str, Any], action_candidates: Float[Tensor, "1 S T U"]
    ) -> Float[Tensor, "1 S"]:
        """Return minus the reward that each candidate really earns.

        Raises:
            ConfigurationError: candidates for several worlds.
        """
        del info_dict
        if action_candidates.shape[0] != 1:
            raise ConfigurationError(
                f"TrueWorldCost: got candidates for {action_candidates.shape[0]} worlds; there is one true world."
            )
        start = self.physics.snapshot()
        costs = []
        for actions in action_candidates[0].detach().numpy():
            costs.append(-self._earned(actions))
            self.physics.restore(start)
        return torch.tensor([costs], dtype=torch.float32)

    def _earned(self, actions: Float[np.ndarray, "T U"]) -> float:
        total = 0.0
        for action in actions:
            for _ in range(self.frames_a_step):
                self.physics.step(np.array([*action[:2], 0.0]))
                total += self.physics.last_task_step.reward
                if self.physics.last_task_step.terminated:
                    return total
        return total


class OraclePlanner(Agent):
    """Plans with the true world as its model: an upper bound for planners, and no agent that anybody may use."""

    def __init__(self, true_env: WorldsimEnv, optimiser: ShootingOptimiser | None = None, steps: int = 8) -> None:
        """Build the planner for the world of `true_env`; it looks `steps` times a quarter of a second ahead."""
        self.env, self.optimiser, self.steps = true_env, optimiser or ICEM(8, 3, 2), steps
        self.reset()

    def reset(self) -> None:
        """Forget the last plan."""
        self._actions: Float[Tensor, "T 2"] = torch.zeros(self.steps, 2)
        self._frame = 0

    def act(
        self, observation: Observation, record: StepRecord | None, rng: np.random.Generator
    ) -> Float[np.ndarray, "3"]:
        """Return the action for the coming frame."""
        del observation, record
        held = _FRAMES_A_STEP
        if self._frame % (2 * held) == 0:  # every half second
            start = torch.cat([self._actions[2:], self._actions[-1:].expand(2, 2)]) if self._frame else self._actions
            model = TrueWorldCost(self.env.physics)
            self._actions = self.optimiser.optimise(model, {}, start[None], rng).actions[0]
        at = (self._frame % (2 * held)) // held
        self._frame += 1
        return np.array([*self._actions[at].tolist(), 0.0], dtype=np.float32)


class Shaken(Agent):
    """Another agent whose actions are shaken a little: another attempt at the same world."""

    def __init__(self, agent: Agent, std: float) -> None:
        """Shake the actions of `agent` by `std` of their range."""
        self.agent, self.std = agent, std

    def reset(self) -> None:
        """Forget the last episode."""
        self.agent.reset()

    def act(self, observation: Observation, record: StepRecord | None, rng: np.random.Generator) -> np.ndarray:
        """Return the other agent's action, shaken."""
        action = self.agent.act(observation, record, rng)
        noise = rng.normal(0.0, self.std, 2)
        return np.clip(action + np.array([*noise, 0.0]), -1.0, 1.0).astype(np.float32)


def best_attempt(exact: WorldsimEnv, expert: Agent, seed: int, known: Score) -> Score:
    """Return the best that was done on the world of `seed`, in hindsight: successes first, then the return.

    Args:
        exact: an environment of the same scenario whose observations are exact.
        expert: the scripted expert.
        seed: of the world.
        known: what the expert did there by what its sensors gave.
    """
    done = [known, play_episode(exact, expert, seed)]
    attempts: list[Agent] = [Shaken(expert, _SHAKEN)] * _ATTEMPTS
    for number, agent in enumerate([*attempts, OraclePlanner(exact)]):
        if any(score.success for score in done):
            break
        done.append(play_episode(exact, agent, seed, stream=2 + number))
    return max(done, key=lambda score: (score.success, score.total))
