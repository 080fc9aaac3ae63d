"""``worldsim bench scenarios``: every scenario with a task is sound, its floors are low and its expert is good.

Scores are shares of seeds on which the task was done, over the share on which it can be done (`ceiling`). With
``--stages NAME,NAME`` only some scenarios are scored; with ``--out`` every episode is kept in that folder, and an
interrupted measurement goes on.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from worldsim.contracts.agent import Agent
from worldsim.contracts.scenario import Scenario
from worldsim.errors import ConfigurationError
from worldsim.evaluation.bench import BenchOptions, Figure
from worldsim.evaluation.ceiling import best_attempt
from worldsim.evaluation.kept_stages import kept_jobs
from worldsim.evaluation.ray_workers import JobMap, in_turn
from worldsim.evaluation.statistics import bootstrap, proportion_interval
from worldsim.evaluation.sweep import Score, play_episode
from worldsim.plugins import load_plugin, plugin_names
from worldsim.simulation.env_check import complaints, trajectory
from worldsim.simulation.gym_env import WorldsimEnv
from worldsim.types.observation import Observation

__all__ = ["Constant", "bench_scenarios", "scenarios_with_an_expert"]

EXPERT_BAR, FLOOR_BAR = 0.8, 0.2
_DRIVES: tuple[tuple[float, float], ...] = (
    *((0.0, 0.0), (1.0, 0.0), (-1.0, 0.0), (0.0, 1.0), (1.0, 1.0), (1.0, -1.0), (1.0, 0.3), (1.0, -0.3)),
    *((0.4, 0.0), (0.4, 0.3), (0.4, -0.3), (-1.0, 0.5), (-1.0, -0.5)),
)
CONSTANTS: tuple[tuple[float, float, float], ...] = (
    *((speed, turn, 0.0) for speed, turn in _DRIVES),
    *((speed, 0.0, 1.0) for speed in (1.0, 0.4, -1.0)),
)
"""Speed, yaw rate and hold command of the constant actions that compete."""
QUICK_CONSTANTS = 2
QUICK = ("Crowd", "Intercept")
"""The only scenarios of a quick run that names none."""
_CHECK_FRAMES = 40
_CHOOSING_SEEDS, _CHOOSING_FRAMES = 10_000, 400  # the best constant is chosen on seeds of its own, by their first 20 s


@dataclass(frozen=True, slots=True)
class Attempt:
    """An episode of a scenario by somebody, named by what they are.

    Attributes:
        scenario: name of the scenario.
        who: who plays.
        seed: of the episode.
        max_frames: stop after so many, 0 for no limit.
    """

    scenario: str
    who: str
    seed: int
    max_frames: int = 0


class Constant(Agent):
    """Does the same all the time."""

    def __init__(self, action: tuple[float, float, float]) -> None:
        """Build the agent for a (speed, yaw rate, hold), each in [-1, 1]."""
        self.action = action

    def __repr__(self) -> str:
        """Return what the agent was built with."""
        return f"Constant({self.action})"

    def act(self, observation: Observation, record: Any, rng: np.random.Generator) -> Float[np.ndarray, "3"]:
        """Return the action."""
        del observation, record, rng
        return np.array(self.action, dtype=np.float32)


def scenarios_with_an_expert() -> dict[str, type[Scenario]]:
    """Return name -> class of the scenarios that name a scripted expert (attribute ``expert``)."""
    found: dict[str, type[Scenario]] = {}
    for name in sorted(plugin_names("worldsim.scenarios")):
        found[name] = load_plugin("worldsim.scenarios", name, Scenario)  # type: ignore[type-abstract]
    return {name: made for name, made in found.items() if getattr(made, "expert", None) is not None}


def bench_scenarios(options: BenchOptions) -> list[Figure]:
    """Return the figures of every scenario that names a scripted expert.

    Raises:
        ConfigurationError: none is installed.
        UnknownNameError: a stage was named that is no such scenario.
    """
    seeds = options.seeds_or(range(50), range(1))
    figures: list[Figure] = []
    known = scenarios_with_an_expert()
    names = QUICK if options.quick and options.stages is None else options.stages_of(tuple(known))
    for name in names:
        made = known[name]
        fields = {"reward": "dense", **getattr(made, "scoring", {})}  # whoever names an expert has a reward
        scenario = made(**fields)
        env, exact = WorldsimEnv(scenario), WorldsimEnv(scenario, observation="state")
        try:
            options.tell(f"scenarios: {name}, checks")
            figures += _soundness(name, env)
            figures += _scores(name, env, exact, seeds, options)
        finally:
            env.close()
            exact.close()
    if not figures:
        raise ConfigurationError("bench scenarios: no installed scenario names a scripted expert.")
    return figures


def _soundness(name: str, env: WorldsimEnv) -> list[Figure]:
    """Return whether the environment is sound: it is checked, resets vary, and the same seed is the same episode."""
    found = complaints(env)
    actions = np.random.default_rng(0).uniform(-1.0, 1.0, (_CHECK_FRAMES, 3)).astype(np.float32)
    first, again, other = (trajectory(env, seed, actions) for seed in (1, 1, 2))
    return [
        Figure.at_most(f"{name}: complaints of Gymnasium's checker", float(len(found)), 0.0),
        Figure.at_least(f"{name}: frames equal to the byte, same seed", _share(first, again), 1.0, n=len(first)),
        Figure.at_most(f"{name}: frames equal to the byte, another seed", _share(first, other), 0.0, n=len(first)),
    ]


def _share(first: list[bytes], second: list[bytes]) -> float:
    same = sum(a == b for a, b in zip(first, second, strict=False))
    return same / max(len(first), len(second))


def _scores(name: str, env: WorldsimEnv, exact: WorldsimEnv, seeds: range, options: BenchOptions) -> list[Figure]:
    """Return success rates and dense returns of the expert, beside those of the floors, over the ceiling."""
    play = kept_jobs(in_turn, None if options.out is None else options.out / "episodes", lambda row: Score(**row))
    expert = load_plugin("worldsim.agents", str(env.scenario.expert), Agent)()  # type: ignore[type-abstract,attr-defined]
    random = load_plugin("worldsim.agents", "random", Agent)()  # type: ignore[type-abstract]
    constant = _best_constant(name, env, play, options)
    played: dict[str, list[Score]] = {}
    for who, agent in (("expert", expert), ("random", random), ("constant", constant)):
        played[who] = _played(env, agent, [Attempt(name, f"{who}: {agent!r}", seed) for seed in seeds], play)
        options.tell(f"scenarios: {name}, {who}: {sum(s.success for s in played[who])} of {len(seeds)}")
        failed = [seed for seed, score in zip(seeds, played[who], strict=True) if not score.success]
        if who == "expert" and failed:
            options.tell(f"scenarios: {name}, expert failed on seeds {failed}")
    known = dict(zip(seeds, played["expert"], strict=True))

    def at_best(job: Attempt) -> Score:
        return best_attempt(exact, expert, job.seed, known[job.seed])

    played["oracle"] = play(at_best, [Attempt(name, "oracle", seed) for seed in seeds])
    options.tell(f"scenarios: {name}, oracle: {sum(s.success for s in played['oracle'])} of {len(seeds)}")
    return _figures(name, played, options)


def _best_constant(name: str, env: WorldsimEnv, play: JobMap, options: BenchOptions) -> Constant:
    """Return the constant action with the best return, by seeds of their own."""
    choosing = range(_CHOOSING_SEEDS, _CHOOSING_SEEDS + (1 if options.quick else 5))
    agents = [Constant(action) for action in (CONSTANTS[:QUICK_CONSTANTS] if options.quick else CONSTANTS)]
    means = []
    for agent in agents:
        jobs = [Attempt(name, f"constant: {agent!r}", seed, _CHOOSING_FRAMES) for seed in choosing]
        means.append(float(np.mean([score.total for score in _played(env, agent, jobs, play)])))
    best = agents[int(np.argmax(means))]
    options.tell(f"scenarios: {name}, best constant action {best.action}")
    return best


def _played(env: WorldsimEnv, agent: Agent, jobs: list[Attempt], play: JobMap) -> list[Score]:
    """Return what came of the attempts of one agent."""

    def attempt(job: Attempt) -> Score:
        return play_episode(env, agent, job.seed, max_frames=job.max_frames)

    return list(play(attempt, jobs))


def _figures(name: str, played: dict[str, list[Score]], options: BenchOptions) -> list[Figure]:
    rate = {who: float(np.mean([s.success for s in scores])) for who, scores in played.items()}
    floors: dict[str, float | None] = {who: rate[who] for who in ("random", "constant")}
    n, rng = len(played["expert"]), np.random.default_rng(options.seed)
    ceiling, able = rate["oracle"], sum(s.success for s in played["oracle"])
    made = [Figure.told(f"{name}: success rate, oracle", ceiling, interval=proportion_interval(able, n), n=n)]
    for who, bar in (("expert", EXPERT_BAR), ("random", FLOOR_BAR), ("constant", FLOOR_BAR)):
        kind: Callable[..., Figure] = Figure.at_least if who == "expert" else Figure.at_most
        value = rate[who] / ceiling if ceiling > 0.0 else float("nan")
        known = floors if who == "expert" else {}
        # of the seeds on which it can be done: those on which it was done are among them
        shares = proportion_interval(min(sum(s.success for s in played[who]), able), able)
        made.append(kind(f"{name}: success, {who} over oracle", value, bar, interval=shares, n=able, baselines=known))
    for who, scores in played.items():
        mean = bootstrap([np.array([s.total for s in scores])], lambda sample: float(np.mean(sample)), rng)
        made.append(Figure.told(f"{name}: dense return, {who}", mean.value, interval=mean.interval, n=n))
    seconds = [s.seconds for s in played["expert"] if s.success]
    if seconds:
        made.append(
            Figure.told(f"{name}: time to success, expert", float(np.median(seconds)), unit="s", n=len(seconds))
        )
    return made
