"""Playing an episode by observations alone, for tests of scenarios and their experts."""

from __future__ import annotations

from typing import Any

import numpy as np

from worldsim.contracts.agent import Agent
from worldsim.contracts.scenario import Scenario
from worldsim.simulation.gym_env import WorldsimEnv
from worldsim.types.observation import Observation


def played(scenario: Scenario, agent: Agent, seed: int) -> tuple[float, float, dict[str, Any]]:
    """Return the sum of the rewards, how far the task's progress changed, and the last frame's info."""
    env = WorldsimEnv(scenario)
    raw, _ = env.reset(seed=seed)
    agent.reset()
    task: Any = env.physics.task
    start, total, over = task.progress_before, 0.0, False
    info: dict[str, Any] = {}
    while not over:
        action = agent.act(Observation.from_gym(raw), None, np.random.default_rng(0))
        raw, reward, terminated, truncated, info = env.step(action)
        total, over = total + float(reward), terminated or truncated
    change = task.progress_before - start
    env.close()
    return total, change, info
