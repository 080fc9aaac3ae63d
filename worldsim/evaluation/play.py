"""Plays a scenario with an agent and a world model, and leaves a run folder behind."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from worldsim.contracts.agent import Agent, LearningAgent
from worldsim.contracts.scenario import Scenario
from worldsim.errors import ConfigurationError, PluginError
from worldsim.evaluation.cat_scoring import EpisodeScore, score_episode
from worldsim.evaluation.episode import EpisodeLog, Frame, LogOptions, run_episode
from worldsim.evaluation.report import write_animation, write_report
from worldsim.evaluation.report.animation import draw_pictures
from worldsim.evaluation.run_folder import RunFolder, read_run
from worldsim.evaluation.saved_beliefs import keep_belief
from worldsim.evaluation.trajectory_io import write_trajectory
from worldsim.loop import WorldModel
from worldsim.plugins import load_plugin
from worldsim.registry import open_existing
from worldsim.simulation.gym_env import WorldsimEnv
from worldsim.simulation.staged import FRAME_S
from worldsim.types.planning import Preferences

__all__ = [
    "PlayOptions",
    "agent_for",
    "check",
    "construct",
    "has_own_body",
    "learning_agent",
    "make_agent",
    "play",
    "score_row",
]

FILM, REPORT = "scene.mp4", "report.html"
_AGENT_STREAM = 1  # the environment draws from the seed itself; the agent from a stream of its own
_FILM_EVERY = 2  # frames

OnFrame = Callable[[int, Frame], None]


@dataclass(frozen=True, slots=True)
class PlayOptions:
    """What to play.

    Attributes:
        scenario: name in the plug-in table.
        agent: name in the plug-in table.
        episodes: how many; episode i has the seed ``seed + i``.
        observation: ``state``, ``detections`` or ``rgbd``.
        seed: of the first episode.
        registry: where the world model asks for models (see `worldsim.registry.open_registry`).
        policy: folder that a learning agent was saved in, None for an agent that does not learn.
        film: film the first episode.
        max_frames: stop an episode after so many frames, 0 for no limit.
        beliefs_every_s: keep the belief in the folder every so many seconds, 0 for the end of an episode alone.
        scenario_arguments: fields of the scenario.
        engine: what computes the true world, ``bullet`` or ``mujoco``.
    """

    scenario: str
    agent: str = "deliverer"
    episodes: int = 1
    observation: str = "detections"
    seed: int = 0
    registry: str = "builtin"
    policy: Path | None = None
    film: bool = False
    max_frames: int = 0
    beliefs_every_s: float = 0.0
    scenario_arguments: tuple[tuple[str, Any], ...] = ()
    engine: str = "bullet"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an episode came to for the agent.

    Attributes:
        total_reward: sum of the rewards.
        success: whether what the scenario asks was done, None where it does not say.
    """

    total_reward: float
    success: bool | None


def agent_for(scenario: str, arguments: tuple[tuple[str, Any], ...], otherwise: str) -> str:
    """Return who plays a scenario where nobody was named: its scripted expert, where it has one and something is asked.

    Not in the warehouse, where what happens on an alarm is the story.

    Raises:
        UnknownNameError, PluginError: as `check`.
    """
    made = load_plugin("worldsim.scenarios", scenario, Scenario)  # type: ignore[type-abstract]
    asked = getattr(made(**dict(arguments)), "reward", "none") != "none"
    return str(getattr(made, "expert", otherwise)) if asked and scenario != "Warehouse" else otherwise


def check(options: PlayOptions) -> type[Agent]:
    """Return the class of the agent, after a look at every name, so that nothing is written for a misspelt one.

    Raises:
        UnknownNameError: no scenario or agent of that name.
        PluginError: one does not import, or does not keep its contract.
        ConfigurationError: the agent learns, and no policy is given; or the other way round.
    """
    made = _agent_class(options)
    learns = issubclass(made, LearningAgent)
    if learns and options.policy is None:
        raise ConfigurationError(
            f"agent {options.agent!r} has to be trained first: "
            f"`worldsim train {options.scenario} --agent {options.agent} --out DIR`, then --policy DIR."
        )
    if not learns and options.policy is not None:
        raise ConfigurationError(f"agent {options.agent!r} does not learn; leave --policy out.")
    return made


def learning_agent(options: PlayOptions) -> type[LearningAgent]:
    """Return the class of an agent that can be trained.

    Raises:
        UnknownNameError, PluginError: as `check`.
        ConfigurationError: the agent does not learn.
    """
    made = _agent_class(options)
    if not issubclass(made, LearningAgent):
        raise ConfigurationError(f"agent {options.agent!r} does not learn: run it with `worldsim run`.")
    return made


def make_agent(
    options: PlayOptions,
    world_model: WorldModel,
    action_dim: int,
    preferences: Preferences | None = None,
    true_env: WorldsimEnv | None = None,
) -> Agent:
    """Return the agent that the options name, given what its constructor asks for by name (errors as `check`)."""
    made = check(options)
    if issubclass(made, LearningAgent) and options.policy is not None:
        return made.load(options.policy)
    return construct(made, world_model, action_dim, preferences, true_env)


def construct(
    made: Callable[..., Agent],
    world_model: WorldModel | None,
    action_dim: int,
    preferences: Preferences | None,
    true_env: WorldsimEnv | None = None,
) -> Agent:
    """Return the agent that `made` makes of what it asks for by name; what is None is not offered.

    `true_env` is the true world itself: what asks for it is a ceiling for scores and no agent that anybody may use.

    Raises:
        PluginError: its constructor asks for something else, or for what is None.
    """
    offered = {"world_model": world_model, "action_dim": action_dim, "preferences": preferences, "true_env": true_env}
    wanted = inspect.signature(made).parameters
    missing = [
        name
        for name, parameter in wanted.items()
        if parameter.default is parameter.empty
        and parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
        and offered.get(name) is None
    ]
    if missing:
        raise PluginError(
            f"agent {getattr(made, '__name__', made)!r} asks its constructor for {missing}; offered are "
            f"{[name for name, value in offered.items() if value is not None]}. Give everything else a default."
        )
    return made(**{name: value for name, value in offered.items() if name in wanted and value is not None})


def play(
    options: PlayOptions,
    folder: RunFolder,
    on_frame: OnFrame | None = None,
    on_log: Callable[[EpisodeLog], None] | None = None,
) -> dict[str, Any]:
    """Play every episode; write events, trajectories, metrics, and the first episode's report.

    The world model keeps what it learned from one episode to the next. Events are written as they happen, and the
    metrics after each episode, so that a run that is interrupted has those of the episodes that were played.

    Args:
        options: what to play.
        folder: where to write.
        on_frame: called with the number of the episode and each frame as it is done.
        on_log: called with each whole episode.

    Returns:
        The metrics, as in ``metrics.json``.
    """
    scores: list[EpisodeScore] = []
    outcomes: list[Outcome] = []
    metrics: dict[str, Any] = {}
    for episode, log in enumerate(_episodes(options, folder, on_frame)):
        write_trajectory(log, folder.path / f"trajectory-{log.seed}.npz")
        scores.append(score_episode(log))
        outcomes.append(Outcome(log.total_reward, log.success))
        rows = [score_row(score) | asdict(outcome) for score, outcome in zip(scores, outcomes, strict=True)]
        metrics = {"summary": _summary(scores, outcomes), "episodes": rows}
        folder.write_metrics(metrics)
        if episode == 0:
            _report(log, folder, options)
        if on_log is not None:
            on_log(log)
    return metrics


def score_row(score: EpisodeScore) -> dict[str, Any]:
    """Return a score as a run tells it: an alarm on a thing of which no loaded model knows is right, so none is false.

    The benchmark counts alarms on anything but the intruder as false, for it plays where all else is known.
    """
    row = asdict(score)
    return {"other_alarms" if name == "false_alarms" else name: value for name, value in row.items()}


def _agent_class(options: PlayOptions) -> type[Agent]:
    load_plugin("worldsim.scenarios", options.scenario, Scenario)  # type: ignore[type-abstract]
    return load_plugin("worldsim.agents", options.agent, Agent)  # type: ignore[type-abstract]


def _episodes(options: PlayOptions, folder: RunFolder, on_frame: OnFrame | None) -> Iterator[EpisodeLog]:
    torch.set_num_threads(1)  # the tensors are small; a second thread only waits
    env = WorldsimEnv(
        scenario=options.scenario,
        observation=options.observation,
        render_mode="rgb_array" if options.film else None,
        expose_truth=True,  # the log scores every frame by it
        engine=options.engine,
        **dict(options.scenario_arguments),
    )
    try:
        has_own_body(env)
        world_model = WorldModel(registry=open_existing(options.registry), device="cpu")
        agent = make_agent(
            options, world_model, int(np.prod(env.action_space.shape or (1,))), env.scenario.preferences(), env
        )
        for episode in range(options.episodes):
            seed = options.seed + episode
            log = run_episode(
                env,
                world_model,
                agent,
                np.random.default_rng([seed, _AGENT_STREAM]),
                seed=seed,
                log=LogOptions(
                    images_every=_FILM_EVERY if options.film and episode == 0 else 0, max_frames=options.max_frames
                ),
                on_frame=_keeping(options, world_model, folder, seed, episode, on_frame),
            )
            keep_belief(world_model, folder.path, seed)
            yield log
    finally:
        env.close()


def has_own_body(env: WorldsimEnv) -> None:
    """Look whether there is a body to command, before an agent acts.

    Raises:
        ConfigurationError: the scenario names none.
    """
    if env.physics.observe().ego is None:
        name = type(env.scenario).__name__
        raise ConfigurationError(
            f"scenario {name} commands no body: its build() has to call physics.set_task(task, name of the body), with "
            f"the task None where nothing is asked. `worldsim.testing.scenario_conformance` checks it."
        )


def _keeping(
    options: PlayOptions, world_model: WorldModel, folder: RunFolder, seed: int, episode: int, on_frame: OnFrame | None
) -> Callable[[Frame], None]:
    """Return what is called with every frame: it writes events, keeps the belief when it is time, tells `on_frame`."""
    every = max(1, round(options.beliefs_every_s / FRAME_S)) if options.beliefs_every_s else 0

    def told(frame: Frame) -> None:
        for event in frame.record.events if frame.record is not None else ():
            folder.write_event(event, episode=seed)
        if every and round(frame.time_s / FRAME_S) % every == 0:
            keep_belief(world_model, folder.path, seed)
        if on_frame is not None:
            on_frame(episode, frame)

    return told


def _report(log: EpisodeLog, folder: RunFolder, options: PlayOptions) -> None:
    film = write_animation(draw_pictures(log), folder.path / FILM) if options.film else None
    beside = [path.name for path in sorted(folder.path.iterdir()) if path.name != REPORT]
    run = read_run(folder.path)
    write_report(log, folder.path / REPORT, title=options.scenario, run=run, video=film, beside=beside)


def _summary(scores: Sequence[EpisodeScore], outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Return the figures over all episodes, the agent's first; None where a figure says nothing of this scenario."""
    seconds, wall = sum(s.seconds for s in scores), sum(s.wall_s for s in scores)
    judged = [outcome.success for outcome in outcomes if outcome.success is not None]
    delivers, intruded = any(s.deliveries_wanted for s in scores), any(s.kind != "none" for s in scores)
    return {
        "episodes": len(scores),
        "success_share": float(np.mean(judged)) if judged else None,
        "mean_return": float(np.mean([outcome.total_reward for outcome in outcomes])),
        "simulated_s": seconds,
        "real_time_factor": seconds / wall if wall > 0.0 else None,
        "deliveries": sum(s.deliveries for s in scores) if delivers else None,
        "deliveries_wanted": sum(s.deliveries_wanted for s in scores) if delivers else None,
        "episodes_with_contact": sum(s.touched for s in scores) if intruded else None,
        "alarms_on_intruder": sum(s.alarm_s is not None for s in scores) if intruded else None,
        "other_alarms" if intruded else "alarms": sum(s.false_alarms for s in scores),
        "adopted_kinds": [s.adopted_kind for s in scores if s.adopted_kind is not None],
    }
