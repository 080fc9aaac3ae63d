"""The contract of an agent: an observation and what the world model made of it go in, an action comes out."""

from __future__ import annotations

import abc
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from jaxtyping import Float

from worldsim.errors import ConfigurationError
from worldsim.types.explanation import Explanation
from worldsim.types.observation import Observation
from worldsim.types.planning import Plan
from worldsim.types.record import StepRecord


class Agent(abc.ABC):
    """Decides what the own body does next (entry-point group ``worldsim.agents``).

    Attributes:
        last_plan: what the last `act` rested on, None for an agent that does not plan. Reports read its terms.
        questions: decisions of this episode at which something was priced for what it tells; 0 for an agent that never
            asks. Where it is 0, the worth of information has changed no act.
    """

    last_plan: Plan | None = None
    questions: int = 0

    @abc.abstractmethod
    def act(
        self, observation: Observation, record: StepRecord | None, rng: np.random.Generator
    ) -> Float[np.ndarray, " U"]:
        """Return the action for the coming frame, float32, each in [-1, 1].

        Args:
            observation: what the sensors gave. An agent with a world model reads only ``task`` from it.
            record: what the world model's last step did, None on the first frame of an episode.
            rng: the only source of randomness.
        """

    def reset(self) -> None:  # noqa: B027 - an agent without memory has nothing to forget
        """Forget the last episode."""

    def explain(self, step: int) -> Explanation:
        """Return why the agent did what it did in frame `step` of this episode (-1: the last one).

        Raises:
            ConfigurationError: the agent does not plan on beliefs, or kept no decision of that frame.
        """
        raise ConfigurationError(
            f"{type(self).__name__} cannot explain step {step}: it keeps no beliefs and preferences apart. "
            "'deliverer' does; what a plan of another agent cost, by term, is in its `last_plan.terms`."
        )


@dataclass(frozen=True, slots=True)
class TrainingEpisode:
    """One episode that ended during a training.

    Attributes:
        step: frames learned from when it ended, over all environments.
        total: sum of its rewards.
        frames: its length.
        success: whether it reached what was asked, None where the scenario does not say.
    """

    step: int
    total: float
    frames: int
    success: bool | None


class Learner(abc.ABC):
    """A training under way: it goes on piece by piece, and between two pieces it can be saved and taken up again."""

    @property
    @abc.abstractmethod
    def steps(self) -> int:
        """Frames learned from so far, over all environments; each counted once, also after a restart."""

    @property
    @abc.abstractmethod
    def episodes(self) -> tuple[TrainingEpisode, ...]:
        """The episodes that ended so far, in order."""

    @property
    @abc.abstractmethod
    def scalars(self) -> Mapping[str, float]:
        """What the last piece says of itself (losses and the like), for a log."""

    @abc.abstractmethod
    def learn(self, until: int, on_step: Callable[[int], None] | None = None) -> None:
        """Go on until at least `until` frames are learned from; a piece is never cut, so it may be a few more."""

    @abc.abstractmethod
    def agent(self) -> LearningAgent:
        """Return an agent that acts by what was learned so far."""

    @abc.abstractmethod
    def save(self, folder: Path) -> None:
        """Write all that going on needs into `folder`: data, never code."""

    @abc.abstractmethod
    def restore(self, folder: Path) -> None:
        """Go on from what `save` wrote.

        Raises:
            DataError: there is none, or it is of another training.
        """

    def close(self) -> None:  # noqa: B027 - a learner without environments of its own has nothing to close
        """Close the environments."""


class LearningAgent(Agent):
    """An agent that is trained before it acts; what it learned is data in a folder."""

    @classmethod
    @abc.abstractmethod
    def train(cls, env: Any, steps: int, seed: int, on_step: Callable[[int], None] | None = None) -> Self:
        """Return an agent that learned from `steps` frames of a Gymnasium environment.

        Args:
            env: the environment; it is stepped and reset, and left open.
            steps: how many frames at least.
            seed: of everything random in the learning.
            on_step: called with the number of frames done so far.
        """

    @classmethod
    def learner(cls, make_env: Callable[[], Any], envs: int, steps: int, seed: int) -> Learner:
        """Return a training of `steps` frames that can be saved and taken up again.

        Args:
            make_env: makes one environment; it can be sent to another process.
            envs: how many to run side by side.
            steps: how many frames in all; a method may choose its rates by it.
            seed: of everything random.

        Raises:
            ConfigurationError: the agent cannot be trained in pieces.
        """
        raise ConfigurationError(f"{cls.__name__} cannot be trained in pieces; it knows LearningAgent.train alone.")

    @property
    @abc.abstractmethod
    def returns(self) -> tuple[float, ...]:
        """Return of every episode that ended during the training, in order."""

    @abc.abstractmethod
    def save(self, folder: Path) -> None:
        """Write what was learned into `folder`: data, never code."""

    @classmethod
    @abc.abstractmethod
    def load(cls, folder: Path) -> Self:
        """Return the agent that `save` wrote into `folder`.

        Raises:
            DataError: there is none, or it is of another class.
        """
