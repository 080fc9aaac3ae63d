"""What is played for composition: learned apart and used together, and one network for all of it."""

from __future__ import annotations

import dataclasses
import tempfile
from dataclasses import dataclass
from typing import Any

import torch

from worldsim.contracts.agent import LearningAgent
from worldsim.evaluation.online_learning import Learned, LearningJob, generic_registry, learn
from worldsim.evaluation.sweep import Score, play_episode
from worldsim.evaluation.training import HELD_OUT_SEED
from worldsim.plugins import load_plugin
from worldsim.simulation.alternating import AlternatingEnv
from worldsim.simulation.gym_env import WorldsimEnv

__all__ = ["ComposedJob", "Monolith", "MonolithJob", "composed_job", "monolith_job"]


@dataclass(frozen=True, slots=True)
class ComposedJob:
    """Separate runs, one a scenario, that publish to one registry; then held-out episodes elsewhere.

    Attributes:
        there: the run that is scored; its `frames` are to be 0, since nothing is trained there.
        apart: scenarios that are learned from.
        frames: in each of them.
    """

    there: LearningJob
    apart: tuple[str, ...]
    frames: int


@dataclass(frozen=True, slots=True)
class MonolithJob:
    """One network that learns from episodes of several scenarios in turns, then plays held-out episodes.

    Attributes:
        learned_from: names of the scenarios.
        scored_in: name of the scenario of the held-out episodes.
        seed: of the training.
        frames: in all.
        episodes: held-out ones.
        units: of the network's layer.
        scenario_arguments: fields of all the scenarios.
    """

    learned_from: tuple[str, ...]
    scored_in: str
    seed: int
    frames: int
    episodes: int
    units: int
    scenario_arguments: tuple[tuple[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class Monolith:
    """What came of one network: how many numbers it has, and the scores of the held-out episodes."""

    weights: int
    scores: tuple[Score, ...]


def composed_job(job: ComposedJob) -> Learned:
    """Return what came of it; nothing but the registry passes from one run to the next (errors as `learn`)."""
    with tempfile.TemporaryDirectory(prefix="worldsim-composition-") as folder:
        url = f"sqlite:///{folder}/registry.db"
        for scenario in job.apart:
            learn(
                dataclasses.replace(job.there, scenario=scenario, frames=job.frames, episodes=0), generic_registry(url)
            )
        return learn(job.there, generic_registry(url))


def monolith_job(job: MonolithJob) -> Monolith:
    """Return what came of it.

    Raises:
        UnknownNameError: no scenario of that name, or no agent ``monolith`` is installed.
    """
    torch.set_num_threads(1)
    made: Any = load_plugin("worldsim.agents", "monolith", LearningAgent)
    arguments = dict(job.scenario_arguments)
    env = WorldsimEnv(job.scored_in, **arguments)

    def together() -> AlternatingEnv:
        return AlternatingEnv([WorldsimEnv(name, **arguments) for name in job.learned_from])

    learner = made.sized(job.units).learner(together, 1, job.frames, job.seed)
    try:
        learner.learn(job.frames)
        agent = learner.agent()
        scores = tuple(play_episode(env, agent, HELD_OUT_SEED + i) for i in range(job.episodes))
        return Monolith(agent.weights, scores)
    finally:
        learner.close()
        env.close()
