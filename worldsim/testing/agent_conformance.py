"""Proves that an agent keeps its contract.

A plug-in's test::

    def test_my_agent_conforms():
        check_agent(MyAgent(), WorldsimEnv(scenario="Intercept"))
"""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float

from worldsim.contracts.agent import Agent
from worldsim.errors import PluginError
from worldsim.types.observation import Observation

__all__ = ["check_agent"]


def check_agent(agent: Agent, env: Any, world_model: Any = None, *, seed: int = 0, frames: int = 20) -> None:
    """Let `agent` act in two episodes of one seed and check what every runner relies on.

    Checked: each action has the shape of the action space, is float32, finite and within [-1, 1]; the observation is
    left as it was; after `reset` the same observations and the same generator give the same actions (so nothing is
    remembered of the last episode, and the generator passed in is the only source of randomness); this last only where
    there is no world model, which learns from one episode to the next.

    Args:
        agent: acts.
        env: a `worldsim.simulation.gym_env.WorldsimEnv` of a scenario that the agent is made for; left open.
        world_model: the `worldsim.WorldModel` that a planning agent holds; None for one that reads observations alone.
        seed: of the episodes.
        frames: of each.

    Raises:
        PluginError: the contract is broken; the message says where.
    """
    if not isinstance(agent, Agent):
        raise PluginError(f"{type(agent).__name__} is no subclass of worldsim.contracts.Agent.")
    first = _acts(agent, env, world_model, seed, frames)
    if world_model is not None:
        return  # a world model that has learned since then lets the second episode be another one
    again = _acts(agent, env, world_model, seed, frames)
    for number, (one, other) in enumerate(zip(first, again, strict=False)):
        _require(agent, np.array_equal(one, other), f"frame {number} of a second, equal episode has another action")


def _acts(agent: Agent, env: Any, world_model: Any, seed: int, frames: int) -> list[Float[np.ndarray, " U"]]:
    """Return the actions of one episode."""
    rng = np.random.default_rng(seed)
    raw, _ = env.reset(seed=seed)
    agent.reset()
    acts: list[np.ndarray] = []
    over = False
    while len(acts) < frames and not over:
        record = None
        if world_model is not None:
            record = world_model.step(raw, acts[-1]) if acts else world_model.reset(raw)
        observation = Observation.from_gym(raw)
        before = {name: value.copy() for name, value in raw.items()}
        action = agent.act(observation, record, rng)
        _check_action(agent, action, env.action_space.shape, len(acts))
        for name, value in before.items():
            _require(agent, np.array_equal(value, raw[name]), f"act changes the observation's {name}")
        acts.append(np.array(action))
        raw, _, terminated, truncated, _ = env.step(action)
        over = terminated or truncated
    return acts


def _check_action(agent: Agent, action: Any, shape: tuple[int, ...], number: int) -> None:
    where = f"act returns in frame {number}"
    _require(agent, isinstance(action, np.ndarray), f"{where} a {type(action).__name__}, expected an array")
    _require(agent, action.shape == shape, f"{where} an action of shape {action.shape}, expected {shape}")
    _require(agent, action.dtype == np.float32, f"{where} an action of dtype {action.dtype}, expected float32")
    _require(agent, bool(np.isfinite(action).all()), f"{where} an action that is not finite")
    _require(agent, bool((np.abs(action) <= 1.0).all()), f"{where} {action}, expected each in [-1, 1]")


def _require(agent: Agent, kept: bool, problem: str) -> None:
    if not kept:
        raise PluginError(f"{type(agent).__name__}: {problem}.")
