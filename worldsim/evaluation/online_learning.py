"""Agents that learn their models as they act: one world model over many episodes, from the generic start or another.

The generic start is a registry with one card, ``generic/unknown``: nothing is known of any kind of thing, the own body
included. The world model asks its registry about whatever moves and has no model of its own, learns those that nobody
knows, and publishes them there, where later episodes, and other runs, find them.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from worldsim.contracts.agent import Agent
from worldsim.contracts.registry import Registry
from worldsim.engine.settings import LoopSettings, WorldModelSettings
from worldsim.errors import ConfigurationError
from worldsim.evaluation.foreseeing import ForecastWatch
from worldsim.evaluation.play import construct
from worldsim.evaluation.sweep import Score, play_episode
from worldsim.evaluation.training import HELD_OUT_SEED
from worldsim.loop import WorldModel
from worldsim.plugins import load_plugin
from worldsim.registry import open_registry
from worldsim.simulation.gym_env import WorldsimEnv

__all__ = ["Learned", "LearningJob", "generic_registry", "learn", "learn_job"]

GENERIC_CARD = "generic/unknown"
_SEEDS_APART = 10_000  # between the episodes of two runs


@dataclass(frozen=True, slots=True)
class LearningJob:
    """One run of an agent that learns online.

    Attributes:
        scenario, agent: names in the plug-in tables.
        seed: of the run.
        frames: to learn from; the episode that reaches them is cut there.
        episodes: held-out ones to be scored on afterwards, each with the models of that moment.
        goes_on_learning: whether models are made in the held-out episodes, too. Where not, what moves and has no model
            in the registry is filtered by the broad one to the end.
        registry: address of a registry to start from; empty for the generic start.
        scenario_arguments: fields of the scenario.
        agent_arguments: keywords of the agent.
    """

    scenario: str
    agent: str
    seed: int
    frames: int
    episodes: int = 1
    goes_on_learning: bool = True
    registry: str = ""
    scenario_arguments: tuple[tuple[str, Any], ...] = ()
    agent_arguments: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check that no episode of the run is a held-out one.

        Raises:
            ConfigurationError: the seed is too large, or negative.
        """
        runs = HELD_OUT_SEED // _SEEDS_APART - 1
        if not 0 <= self.seed < runs:
            raise ConfigurationError(f"learning: a run has the seed {self.seed}, expected 0 to {runs - 1}.")


@dataclass(frozen=True, slots=True)
class Learned:
    """What came of it.

    Attributes:
        seed: of the run; frames: learned from.
        curve: (frames before it, score) of every episode it learned from.
        scores: of the held-out episodes.
        models: ids of all models in its registry in the end.
        foreseen_m: mean error of forecasts in each held-out episode, NaN where there were none; see
            `worldsim.evaluation.foreseeing`.
    """

    seed: int
    frames: int
    curve: tuple[tuple[int, Score], ...]
    scores: tuple[Score, ...]
    models: tuple[str, ...]
    foreseen_m: tuple[float, ...] = ()

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> Learned:
        """Return the run of which `worldsim.evaluation.jsonable.to_jsonable` made `row`."""
        curve = tuple((before, Score(**score)) for before, score in row["curve"])
        scores, models = (tuple(row[name]) for name in ("scores", "models"))
        foreseen = tuple(math.nan if error is None else error for error in row["foreseen_m"])
        return cls(row["seed"], row["frames"], curve, tuple(Score(**s) for s in scores), models, foreseen)


def generic_registry(url: str = "sqlite://") -> Registry:
    """Return the registry at `url` (by default one in memory), with the generic card in it."""
    registry = open_registry(url)
    if GENERIC_CARD not in {card.model_id for card in registry.cards()}:
        registry.publish(open_registry("builtin").fetch(GENERIC_CARD))
    return registry


def learn_job(job: LearningJob) -> Learned:
    """Return what the run came to; it depends on nothing but the job, and on the registry that the job names."""
    return learn(job, open_registry(job.registry) if job.registry else generic_registry())


def learn(job: LearningJob, registry: Registry) -> Learned:
    """Play until `job.frames` frames are learned from, then the held-out episodes.

    Args:
        job: what to play.
        registry: where models are looked for and published.

    Raises:
        UnknownNameError: no scenario or agent of that name.
    """
    torch.set_num_threads(1)  # the tensors are small; a second thread only waits
    env = WorldsimEnv(job.scenario, **dict(job.scenario_arguments))
    made: Any = load_plugin("worldsim.agents", job.agent, Agent)
    try:
        world_model, agent = _learner(job, made, env, registry)
        curve: list[tuple[int, Score]] = []
        frames = 0
        while frames < job.frames:
            left = job.frames - frames
            seed = _SEEDS_APART * (job.seed + 1) + len(curve)
            score = play_episode(env, agent, seed, world_model=world_model, max_frames=left)
            curve.append((frames, score))
            frames += score.frames
        if not job.goes_on_learning:
            world_model, agent = _learner(job, made, env, registry, learn_s=math.inf)
        watches = [ForecastWatch() for _ in range(job.episodes)]
        scores = tuple(
            play_episode(env, agent, HELD_OUT_SEED + i, world_model=world_model, watch=watch)
            for i, watch in enumerate(watches)
        )
        models, foreseen = tuple(card.model_id for card in registry.cards()), tuple(w.mean_m for w in watches)
        return Learned(job.seed, frames, tuple(curve), scores, models, foreseen)
    finally:
        env.close()


def _learner(
    job: LearningJob, made: Any, env: WorldsimEnv, registry: Registry, learn_s: float | None = None
) -> tuple[WorldModel, Agent]:
    """Return a world model over `registry` that makes a model in `learn_s` (its default where None), and its agent."""
    loop = LoopSettings(ask_about_strangers=True)
    if learn_s is not None:
        loop = dataclasses.replace(loop, learn_s=learn_s)
    world_model = WorldModel(registry=registry, settings=WorldModelSettings(loop=loop), device="cpu", seed=job.seed)
    maker: Any = functools.partial(made, **job.agent_arguments)
    return world_model, construct(maker, world_model, 3, env.scenario.preferences())
