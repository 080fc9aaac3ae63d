"""Proves that a scenario keeps its contract.

A plug-in's test::

    def test_my_scenario_conforms():
        check_scenario(WorldsimEnv(scenario=MyScenario()))
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from worldsim.contracts.scenario import Scenario
from worldsim.errors import PluginError
from worldsim.types.planning import Preferences

__all__ = ["check_scenario"]


def check_scenario(env: Any, *, seed: int = 0, frames: int = 5) -> None:
    """Play a scenario for a few frames and check what the environment, the agents and the scores rely on.

    Checked: the scenario is a frozen, hashable dataclass whose preferences are `Preferences` and whose `duration_s`, if
    it has one, is positive; it commands a body; observations and rewards are finite; the same seed gives the same bytes
    and another seed others.

    Args:
        env: a `worldsim.simulation.gym_env.WorldsimEnv` of the scenario; it is stepped and left open.
        seed: of the first world.
        frames: of each of the three episodes.

    Raises:
        PluginError: the contract is broken; the message says where.
    """
    env = env.unwrapped
    scenario: Scenario = env.scenario
    parameters = getattr(type(scenario), "__dataclass_params__", None)
    _require(scenario, parameters is not None and parameters.frozen, "it is no frozen dataclass")
    try:
        hash(scenario)
    except TypeError as error:
        raise PluginError(f"{type(scenario).__name__}: it cannot be hashed: {error}; use tuples for lists.") from error
    made = dataclasses.replace(scenario)  # type: ignore[type-var]
    _require(scenario, made == scenario, "a copy of it with the same fields is not equal to it")
    wanted = scenario.preferences()
    _require(scenario, isinstance(wanted, Preferences), f"preferences() returns {type(wanted).__name__}")
    duration_s = getattr(scenario, "duration_s", None)
    _require(scenario, duration_s is None or duration_s > 0.0, f"duration_s is {duration_s}, expected > 0")
    _require(
        scenario,
        env.physics.observe().ego is not None,
        "build() commands no body: call physics.set_task(task, name of the body); the task None asks nothing",
    )
    # the other seed comes between, since the world of an equal seed is put back and not built again
    first, other, again = (_played(env, scenario, s, frames) for s in (seed, seed + 1, seed))
    _require(scenario, first == again, f"two episodes of seed {seed} differ: draw from the rng of build() alone")
    _require(scenario, first != other, "another seed gives the same world: build() draws nothing from its rng")


def _played(env: Any, scenario: Scenario, seed: int, frames: int) -> bytes:
    """Return all that is observed in an episode without an action."""
    observation, _ = env.reset(seed=seed)
    seen, over = [_bytes(scenario, observation)], False
    while len(seen) <= frames and not over:
        observation, reward, terminated, truncated, _ = env.step(np.zeros(env.action_space.shape, dtype=np.float32))
        _require(scenario, bool(np.isfinite(reward)), f"the reward of frame {len(seen)} is {reward}")
        seen.append(_bytes(scenario, observation))
        over = terminated or truncated
    return b"".join(seen)


def _bytes(scenario: Scenario, observation: dict[str, np.ndarray]) -> bytes:
    for name, value in observation.items():
        _require(scenario, bool(np.isfinite(value).all()), f"the observation's {name} is not finite")
    return b"".join(observation[name].tobytes() for name in sorted(observation))


def _require(scenario: Scenario, kept: bool, problem: str) -> None:
    if not kept:
        raise PluginError(f"{type(scenario).__name__}: {problem}.")
