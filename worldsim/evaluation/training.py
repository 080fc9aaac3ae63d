"""Trains a learning agent over several seeds, in pieces that a kill does not lose.

::

    RUN/run.json, metrics.json, report.html
    RUN/policy.*                       the last policy of the seed whose last evaluation was best
    RUN/seed-0/policy.*                what that seed learned
    RUN/seed-0/checkpoint-1024/        all that going on needs; written beside, then renamed: whole or not there
    RUN/seed-0/tensorboard/            the same curves, as they grow

The history of a training (its frames, episodes and evaluations) lies in its checkpoint and nowhere else. A training
that is taken up again starts from the newest checkpoint: frames after it were never counted, so none is counted twice.
"""

from __future__ import annotations

import functools
import json
import os
import shutil
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from safetensors import SafetensorError

from worldsim.contracts.agent import Agent, Learner, LearningAgent
from worldsim.errors import ConfigurationError, DataError
from worldsim.evaluation.play import PlayOptions, has_own_body, learning_agent
from worldsim.evaluation.run_folder import RunFolder
from worldsim.evaluation.training_log import TrainingLog
from worldsim.plugins import load_plugin
from worldsim.simulation.gym_env import WorldsimEnv
from worldsim.types.observation import Observation
from worldsim.types.record import StepRecord

__all__ = [
    "Evaluation",
    "SeedResult",
    "TrainOptions",
    "check_training",
    "clear_trained",
    "evaluate",
    "floors",
    "keep_best",
    "newest_checkpoint",
    "train_seed",
    "train_seeds",
]

HELD_OUT_SEED = 1_000_000
"""Evaluations play the episodes of this seed and the following ones; no training does."""
_HISTORY = "history.json"
_AGENT_STREAM = 2

OnStep = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class TrainOptions:
    """What to train.

    Attributes:
        scenario, agent, observation: names, as in `PlayOptions`.
        steps: frames to learn from, over all environments of a seed.
        seeds: how many trainings, one after the other; training i has the seed ``seed + i``.
        seed: of the first.
        envs: environments side by side.
        checkpoint_every: frames between checkpoints (and at most between evaluations); 0 for a tenth of `steps`.
        evaluation_episodes: episodes an evaluation, on held-out seeds; 0 for none.
        evaluation_frames: at most so many frames an episode of an evaluation, 0 for no limit.
        scenario_arguments: fields of the scenario.
    """

    scenario: str
    agent: str = "ppo"
    observation: str = "detections"
    steps: int = 20_000
    seeds: int = 1
    seed: int = 0
    envs: int = 1
    checkpoint_every: int = 0
    evaluation_episodes: int = 2
    evaluation_frames: int = 0
    scenario_arguments: tuple[tuple[str, Any], ...] = ()

    def make_env(self) -> WorldsimEnv:
        """Return one environment, of whose truth nobody asks."""
        env = WorldsimEnv(scenario=self.scenario, observation=self.observation, **dict(self.scenario_arguments))
        has_own_body(env)
        if env.physics.task is None:
            fields = getattr(type(env.scenario), "__dataclass_fields__", {})
            how = "`--set reward=dense` gives it one" if "reward" in fields else "its build() has to set a task"
            env.close()
            raise ConfigurationError(
                f"scenario {self.scenario} asks for nothing as it stands, so that no training is paid: {how} "
                "(docs/tasks.md)."
            )
        env.physics.notes_touches = False
        return env

    @property
    def piece(self) -> int:
        """Frames between checkpoints."""
        return self.checkpoint_every or max(1, self.steps // 10)


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What an agent scores on held-out episodes.

    Attributes:
        step: frames learned from before it.
        returns: one an episode.
        success: share of the episodes that succeeded.
        frames: played in it.
    """

    step: int
    returns: tuple[float, ...]
    success: float
    frames: int = 0


@dataclass(frozen=True, slots=True)
class SeedResult:
    """What one training came to: its history, as in the last checkpoint.

    Attributes:
        seed: of the training; steps: frames learned from; restarts: how often it was taken up again.
        episodes: (step, return, frames) of every episode that ended in it.
        evaluations: before the first frame, at the last, and at every checkpoint between them that comes after as
            many frames of learning as the evaluation before it played.
    """

    seed: int
    steps: int
    restarts: int
    episodes: tuple[tuple[int, float, int], ...]
    evaluations: tuple[Evaluation, ...]


@dataclass
class _History:
    """What a checkpoint keeps beside the learner's own state."""

    restarts: int = 0
    evaluations: list[Evaluation] = field(default_factory=list)

    def write(self, folder: Path) -> None:
        content = {"restarts": self.restarts, "evaluations": [asdict(e) for e in self.evaluations]}
        (folder / _HISTORY).write_text(json.dumps(content) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, folder: Path) -> _History:
        try:
            content = json.loads((folder / _HISTORY).read_text(encoding="utf-8"))
            found = [
                Evaluation(e["step"], tuple(e["returns"]), e["success"], e["frames"]) for e in content["evaluations"]
            ]
            return cls(int(content["restarts"]), found)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataError(f"{folder} holds no readable history of a training ({error}).") from error


def train_seeds(
    options: TrainOptions,
    folder: RunFolder,
    *,
    resume: bool,
    on_step: OnStep | None = None,
    known: Mapping[int, SeedResult] | None = None,
    on_result: Callable[[SeedResult], None] | None = None,
) -> list[SeedResult]:
    """Train every seed, from its newest checkpoint where `resume` says so; save what each learned.

    Args:
        options: what to train.
        folder: of the run.
        resume: go on from checkpoints; a seed without one begins.
        on_step: called with the number of the training and the frames it has done.
        known: seed -> what it came to, of seeds that need not be trained.
        on_result: called with what a seed came to, as soon as it ends.

    Raises:
        ConfigurationError: the agent does not learn, or an option cannot work.
        DataError: a checkpoint cannot be read.
    """
    made = check_training(options)
    if not resume:
        clear_trained(folder.path, known or {})
    results = []
    for number in range(options.seeds):
        if known is not None and options.seed + number in known:
            results.append(known[options.seed + number])
            continue
        told = None if on_step is None else functools.partial(on_step, number)
        place = folder.path / f"seed-{options.seed + number}"
        results.append(train_seed(options, made, options.seed + number, place, told))
        if on_result is not None:
            on_result(results[-1])
    keep_best(results, folder)
    return results


def check_training(options: TrainOptions) -> type[LearningAgent]:
    """Return the class of the agent that is to be trained.

    Raises:
        ConfigurationError: it does not learn, or an option cannot work.
    """
    if min(options.steps, options.seeds, options.envs) < 1:
        raise ConfigurationError(
            f"train: steps {options.steps}, seeds {options.seeds} and envs {options.envs} must all be at least 1."
        )
    return learning_agent(PlayOptions(options.scenario, options.agent, observation=options.observation))


def clear_trained(folder: Path, kept: Collection[int]) -> None:
    """Remove what an earlier training left in `folder`, but for the seeds `kept`: nothing of two is taken for one."""
    for place in folder.glob("seed-*"):
        number = place.name.removeprefix("seed-")
        if place.is_dir() and number.isdecimal() and int(number) not in kept:
            shutil.rmtree(place)
    for file in folder.glob("policy.*"):
        file.unlink()


def keep_best(results: list[SeedResult], folder: RunFolder) -> None:
    """Copy the policy of the seed whose last evaluation was best, of those trained here, to the run folder's top."""
    here = [result for result in results if (folder.path / f"seed-{result.seed}").is_dir()]
    if not here:
        return
    best = max(here, key=_last_mean)
    for file in sorted((folder.path / f"seed-{best.seed}").glob("policy.*")):
        shutil.copyfile(file, folder.path / file.name)


def train_seed(
    options: TrainOptions,
    made: type[LearningAgent],
    seed: int,
    place: Path,
    on_step: Callable[[int], None] | None = None,
) -> SeedResult:
    """Train one seed in the folder `place`, from the newest checkpoint there, if there is one.

    Args:
        options: what to train.
        made: class of the agent.
        seed: of the training.
        place: its folder; it is made where it is missing.
        on_step: called with the frames done so far.

    Raises:
        DataError: a checkpoint cannot be read.
    """
    learner = made.learner(options.make_env, options.envs, options.steps, seed)
    place.mkdir(parents=True, exist_ok=True)
    judge = options.make_env() if options.evaluation_episodes else None
    try:
        history = _History()
        start = newest_checkpoint(place)
        if start is not None:
            learner.restore(start)
            history = _History.read(start)
            history.restarts += learner.steps < options.steps  # a look at what is done takes up nothing
        with TrainingLog(place / "tensorboard", learner.steps) as log:
            if start is None:
                _evaluate_into(history, learner, judge, options, log)
                _checkpoint(learner, history, place)
            while learner.steps < options.steps:
                before = len(learner.episodes)
                learner.learn(min(learner.steps + options.piece, options.steps), on_step)
                log.piece(learner.steps, learner.episodes[before:], learner.scalars)
                if learner.steps >= options.steps or _evaluation_is_due(history, learner.steps):
                    _evaluate_into(history, learner, judge, options, log)
                _checkpoint(learner, history, place)
        learner.agent().save(place)
        episodes = tuple((e.step, e.total, e.frames) for e in learner.episodes)
        return SeedResult(seed, learner.steps, history.restarts, episodes, tuple(history.evaluations))
    finally:
        learner.close()
        if judge is not None:
            judge.close()


def _evaluation_is_due(history: _History, step: int) -> bool:
    """Return whether as many frames were learned from since the last evaluation as it played: never more judging."""
    return not history.evaluations or step - history.evaluations[-1].step >= history.evaluations[-1].frames


def _evaluate_into(
    history: _History, learner: Learner, judge: WorldsimEnv | None, options: TrainOptions, log: TrainingLog
) -> None:
    if judge is None:
        return
    found = evaluate(
        learner.agent(), judge, options.evaluation_episodes, step=learner.steps, max_frames=options.evaluation_frames
    )
    history.evaluations.append(found)
    log.evaluation(found.step, float(np.mean(found.returns)), found.success)


def evaluate(
    agent: Agent,
    env: WorldsimEnv,
    episodes: int,
    *,
    step: int = 0,
    max_frames: int = 0,
) -> Evaluation:
    """Return what `agent` scores, without a world model, in `episodes` episodes of held-out seeds.

    Args:
        agent: decides.
        env: is reset and stepped, and left open.
        episodes: how many, with the seeds `HELD_OUT_SEED`, `HELD_OUT_SEED` + 1, ...
        step: frames that it learned from.
        max_frames: at most so many frames an episode, 0 for no limit.
    """
    returns, successes, played = [], [], 0
    for seed in range(HELD_OUT_SEED, HELD_OUT_SEED + episodes):
        rng = np.random.default_rng([seed, _AGENT_STREAM])
        raw, info = env.reset(seed=seed)
        agent.reset()
        total, frames, over = 0.0, 0, False
        while not over:
            raw, reward, terminated, truncated, info = env.step(agent.act(Observation.from_gym(raw), None, rng))
            total, frames = total + float(reward), frames + 1
            over = terminated or truncated or 0 < max_frames <= frames
        played += frames
        returns.append(total)
        successes.append(bool(info.get("is_success", False)))
    return Evaluation(step, tuple(returns), float(np.mean(successes)), played)


class _Still(Agent):
    """Does nothing: the floor that a task's own rewards give to whoever stands by."""

    def act(
        self, observation: Observation, record: StepRecord | None, rng: np.random.Generator
    ) -> Float[np.ndarray, " U"]:
        """Return no motion."""
        del observation, record, rng
        return np.zeros(3, dtype=np.float32)


def floors(options: TrainOptions) -> dict[str, Evaluation]:
    """Return what an agent that acts at random and one that stands still score on the held-out episodes."""
    if not options.evaluation_episodes:
        return {}
    random_agent = load_plugin("worldsim.agents", "random", Agent)  # type: ignore[type-abstract]
    env = options.make_env()
    try:
        count, most = options.evaluation_episodes, options.evaluation_frames
        return {
            "random": evaluate(random_agent(), env, count, max_frames=most),
            "still": evaluate(_Still(), env, count, max_frames=most),
        }
    finally:
        env.close()


def _checkpoint(learner: Learner, history: _History, place: Path) -> None:
    """Write a checkpoint beside the others, give it its name when it is whole, and remove the older ones.

    Raises:
        ConfigurationError: the disk refuses.
    """
    final = place / f"checkpoint-{learner.steps}"
    unfinished = place / ".checkpoint-unfinished"
    shutil.rmtree(unfinished, ignore_errors=True)
    try:
        learner.save(unfinished)
        history.write(unfinished)
        if final.exists():
            shutil.rmtree(final)
        os.replace(unfinished, final)
    except (OSError, SafetensorError) as error:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise ConfigurationError(
            f"cannot write the checkpoint {final}: {error}. The one before is untouched; free space, and go on with "
            "--resume."
        ) from error
    for older in place.glob("checkpoint-*"):
        if older != final:
            shutil.rmtree(older)


def newest_checkpoint(place: Path) -> Path | None:
    """Return the checkpoint with the most frames, None where there is none."""
    found = [p for p in place.glob("checkpoint-*") if p.name.removeprefix("checkpoint-").isdecimal()]
    return max(found, key=lambda p: int(p.name.removeprefix("checkpoint-"))) if found else None


def _last_mean(result: SeedResult) -> float:
    if result.evaluations:
        return float(np.mean(result.evaluations[-1].returns))
    return float(np.mean([total for _, total, _ in result.episodes[-10:]])) if result.episodes else -np.inf
