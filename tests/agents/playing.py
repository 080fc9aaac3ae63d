"""An episode in a real environment with a real world model."""

from __future__ import annotations

import numpy as np

from worldsim.loop import WorldModel
from worldsim.registry import open_registry
from worldsim.simulation.gym_env import WorldsimEnv
from worldsim.types import Observation


def played(scenario, seed, made, frames=10_000, **arguments):
    """Return the agent that `made` makes, whether it succeeded, and the phases of the level above in order."""
    env = WorldsimEnv(scenario, **arguments)
    world_model = WorldModel(registry=open_registry("builtin"), device="cpu")
    agent, rng, phases, info = made(world_model, env.scenario.preferences()), np.random.default_rng(seed), [], {}
    observation = Observation.from_gym(env.reset(seed=seed)[0])
    record = world_model.reset(observation)
    for _ in range(frames):
        action = agent.act(observation, record, rng)
        raw, _, terminated, truncated, info = env.step(action)
        observation = Observation.from_gym(raw)
        record = world_model.step(observation, action)
        if agent.above is not None and (not phases or phases[-1] is not agent.above.phase):
            phases.append(agent.above.phase)
        if terminated or truncated:
            break
    env.close()
    return agent, bool(info["is_success"]), phases
