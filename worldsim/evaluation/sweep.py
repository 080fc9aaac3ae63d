"""Episodes as jobs: each depends on its own fields alone, so that it can be played here, elsewhere, and again."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from worldsim.contracts.agent import Agent
from worldsim.evaluation.play import construct
from worldsim.loop import WorldModel
from worldsim.plugins import load_plugin
from worldsim.registry import open_registry
from worldsim.simulation.gym_env import WorldsimEnv
from worldsim.types.observation import Observation
from worldsim.types.record import StepRecord
from worldsim.types.truth import WorldTruth

__all__ = ["HALF_LIFE_S", "EpisodeJob", "Score", "play_episode", "play_job"]

HALF_LIFE_S = 20.0
"""A reward that comes so much later is worth half as much in a discounted return."""

_AGENT_STREAM = 1  # the environment draws from the seed itself; the agent from a stream of its own


@dataclass(frozen=True, slots=True)
class Score:
    """One episode.

    Attributes:
        success: whether the task was done.
        total: sum of the rewards.
        seconds: simulated time.
        frames: how many steps the environment took.
        questions: decisions at which the agent priced information.
        discounted: sum of the rewards, each halved for every `HALF_LIFE_S` that it took to come.
    """

    success: bool
    total: float
    seconds: float
    frames: int = 0
    questions: int = 0
    discounted: float = 0.0


@dataclass(frozen=True, slots=True)
class EpisodeJob:
    """One episode to play.

    Attributes:
        scenario, agent: names in the plug-in tables.
        seed: of the episode.
        scenario_arguments: fields of the scenario.
        agent_arguments: keywords of the agent.
        observation: one of `worldsim.simulation.gym_env.OBSERVATION_MODES`.
        world_model: whether a world model steps along, as it is installed; the agent gets it if it asks for it.
    """

    scenario: str
    agent: str
    seed: int
    scenario_arguments: tuple[tuple[str, Any], ...] = ()
    agent_arguments: Mapping[str, Any] = field(default_factory=dict)
    observation: str = "detections"
    world_model: bool = False


def play_job(job: EpisodeJob) -> Score:
    """Return what the episode came to.

    Raises:
        UnknownNameError: no scenario or agent of that name.
    """
    torch.set_num_threads(1)  # the tensors are small; a second thread only waits
    env = WorldsimEnv(job.scenario, observation=job.observation, **dict(job.scenario_arguments))
    agent_class: Any = load_plugin("worldsim.agents", job.agent, Agent)
    made: Any = functools.partial(agent_class, **job.agent_arguments)
    try:
        world_model = WorldModel(registry=open_registry("builtin"), device="cpu") if job.world_model else None
        action_dim = int(np.prod(env.action_space.shape or (1,)))
        agent = construct(made, world_model, action_dim, env.scenario.preferences(), env)
        return play_episode(env, agent, job.seed, world_model=world_model)
    finally:
        env.close()


def play_episode(
    env: WorldsimEnv,
    agent: Agent,
    seed: int,
    stream: int = _AGENT_STREAM,
    world_model: WorldModel | None = None,
    max_frames: int = 0,
    watch: Callable[[WorldTruth, WorldModel], None] | None = None,
) -> Score:
    """Play one episode.

    Args:
        env: is reset and stepped, and left open.
        agent: decides; it is reset.
        seed: of the episode.
        stream: chooses the agent's random numbers.
        world_model: steps along where one is given; without it the agent has the observations alone.
        max_frames: stop after so many frames, 0 for no limit.
        watch: told the truth and the world model after each of its steps, for scoring.
    """
    raw, _ = env.reset(seed=seed)
    observation = Observation.from_gym(raw)
    record: StepRecord | None = None if world_model is None else world_model.reset(observation)
    agent.reset()
    rng = np.random.default_rng([seed, stream])
    total, discounted, frames, over = 0.0, 0.0, 0, False
    info: dict[str, Any] = {}
    while not over:
        action = agent.act(observation, record, rng)
        raw, reward, terminated, truncated, info = env.step(action)
        observation = Observation.from_gym(raw)
        if world_model is not None:
            record = world_model.step(observation, action)
            if watch is not None:
                watch(env.physics.truth(), world_model)
        total, frames, over = total + float(reward), frames + 1, terminated or truncated
        discounted += float(reward) * 0.5 ** (observation.time_s / HALF_LIFE_S)
        over = over or 0 < max_frames <= frames
    return Score(bool(info["is_success"]), total, observation.time_s, frames, agent.questions, discounted)
