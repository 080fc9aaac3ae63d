"""What information gain is worth: the active-inference agent with it and without it, on the same seeds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from worldsim.contracts.agent import Agent
from worldsim.contracts.scenario import Scenario
from worldsim.evaluation.bench import BenchOptions, Figure
from worldsim.evaluation.bench_scenarios import Score
from worldsim.evaluation.statistics import paired_bootstrap
from worldsim.loop import WorldModel
from worldsim.planning.planar import Drives
from worldsim.plugins import load_plugin, plugin_names
from worldsim.registry import open_registry
from worldsim.simulation.gym_env import WorldsimEnv
from worldsim.types.observation import Observation
from worldsim.types.planning import Preferences

__all__ = ["information_figures", "play_with_belief", "scenarios_with_outcomes"]

QUICK = ("Intercept",)
BETTER_BAR = 3
ON, OFF = Drives(), Drives(use_states_info_gain=False, use_param_info_gain=False)


def scenarios_with_outcomes() -> dict[str, type[Scenario]]:
    """Return name -> class of the scenarios whose preferences name outcomes, and that have a reward."""
    found: dict[str, type[Scenario]] = {}
    for name in sorted(plugin_names("worldsim.scenarios")):
        made = load_plugin("worldsim.scenarios", name, Scenario)  # type: ignore[type-abstract]
        if getattr(made, "expert", None) is not None and made().preferences().outcomes:
            found[name] = made
    return found


def play_with_belief(env: WorldsimEnv, make: Callable[[WorldModel, Preferences], Agent], seed: int) -> Score:
    """Play one episode with an agent that acts on a belief; the world model starts as it is installed."""
    torch.set_num_threads(1)  # the tensors are small; a second thread only waits
    world_model = WorldModel(registry=open_registry("builtin"), device="cpu")
    raw, _ = env.reset(seed=seed)
    observation = Observation.from_gym(raw)
    record = world_model.reset(observation)
    agent, rng = make(world_model, env.scenario.preferences()), np.random.default_rng([seed, 1])
    total, over = 0.0, False
    info: dict[str, Any] = {}
    while not over:
        action = agent.act(observation, record, rng)
        raw, reward, terminated, truncated, info = env.step(action)
        observation = Observation.from_gym(raw)
        record = world_model.step(observation, action)
        total, over = total + reward, terminated or truncated
    return Score(bool(info["is_success"]), total, observation.time_s)


def information_figures(options: BenchOptions) -> list[Figure]:
    """Return the agent's return with information gain less without it, a scenario at a time, and what that comes to."""
    seeds, rng = options.seeds_or(range(10), range(1)), np.random.default_rng(options.seed)
    made: Any = load_plugin("worldsim.agents", "active_inference", Agent)
    figures, better, worse = [], 0, 0
    names = [name for name in scenarios_with_outcomes() if not options.quick or name in QUICK]
    for name in names:
        env = WorldsimEnv(scenarios_with_outcomes()[name](reward="dense"))  # type: ignore[call-arg]
        try:
            played: dict[Drives, list[Score]] = {}
            for drives in (ON, OFF):
                played[drives] = [play_with_belief(env, _maker(made, drives), seed) for seed in seeds]
                done = sum(score.success for score in played[drives])
                options.tell(f"agents: {name}, information gain {'on' if drives is ON else 'off'}: {done} successes")
        finally:
            env.close()
        on, off = (np.array([score.total for score in played[drives]]) for drives in (ON, OFF))
        # the mean over seeds of return with it less return without it
        found = paired_bootstrap([on], [off], lambda a: float(np.mean(a)), rng)
        better, worse = better + (found.interval[0] > 0.0), worse + (found.interval[1] < 0.0)
        successes = {
            f"success, {which}": float(np.mean([s.success for s in played[drives]]))
            for which, drives in (("on", ON), ("off", OFF))
        }
        title = f"{name}: dense return with information gain less without"
        figures.append(Figure.told(title, found.value, interval=found.interval, n=len(seeds), baselines=successes))
    if options.quick:  # one scenario and one seed decide nothing
        return figures
    n = len(names)
    figures.append(Figure.at_most("scenarios significantly worse with information gain", float(worse), 0.0, n=n))
    figures.append(
        Figure.at_least("scenarios significantly better with information gain", float(better), BETTER_BAR, n=n)
    )
    return figures


def _maker(made: Any, drives: Drives) -> Callable[[WorldModel, Preferences], Agent]:
    """Return what makes the agent `made` with those drives."""

    def make(world_model: WorldModel, preferences: Preferences) -> Agent:
        agent: Agent = made(world_model, preferences, drives=drives)
        return agent

    return make
