"""One job of the benchmark `cat`: an episode in a process of its own, and its row of the result."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch

from worldsim.contracts.agent import Agent
from worldsim.contracts.registry import Registry
from worldsim.evaluation.cat_scoring import EpisodeScore, ForecastScore, score_episode
from worldsim.evaluation.episode import EpisodeLog, LogOptions, run_episode
from worldsim.loop import WorldModel
from worldsim.plugins import load_plugin
from worldsim.registry import open_registry
from worldsim.simulation.gym_env import WorldsimEnv

__all__ = ["PLAYED", "SCORED", "CatJob", "CatRow", "Variant", "played", "row_from_json", "run_job"]

PLAYED = (
    "worldsim", "agents", "scenarios", "assets", "constraints.txt", ":!worldsim/evaluation", ":!worldsim/commands",
)  # fmt: skip
"""Git's pathspecs of what decides how an episode goes; with `SCORED` it decides a row."""

SCORED = tuple(
    f"worldsim/evaluation/{name}.py"
    for name in ("cat_jobs", "cat_scoring", "cat_trackers", "episode", "intruder", "model_names")
)
"""Git's pathspecs of what makes an episode into a row; the rest of the evaluation only adds rows up."""

Variant = Literal["world_model", "surprise_off", "constant_velocity"]

_AGENT_STREAM = 1  # the environment draws from the seed itself; the agent from a stream of its own
_NEXT_MEETING = 1_000_000  # added to the seed for the second meeting, which is another episode with another seed


@dataclass(frozen=True, slots=True)
class CatJob:
    """What to run.

    Attributes:
        variant: the world model, or it without surprise, or a constant-velocity tracker in its place.
        seed: of the episode.
        intruder: ``auto`` (drawn from the seed) or ``none``.
        duration_s: of the episode.
        intruder_time_s: range in which the intruder comes in.
        max_wall_s: stop after so much wall time, 0 for no limit (the quick version).
        engine: what computes the true world, ``bullet`` or ``mujoco``.
    """

    variant: Variant
    seed: int
    intruder: str = "auto"
    duration_s: float = 40.0
    intruder_time_s: tuple[float, float] = (6.0, 14.0)
    max_wall_s: float = 0.0
    engine: str = "bullet"

    @property
    def key(self) -> str:
        """What tells this job from every other."""
        elsewhere = "" if self.engine == "bullet" else f"/{self.engine}"
        return f"{self.variant}/{self.intruder}/{self.seed}/{self.duration_s:g}/{self.max_wall_s:g}{elsewhere}"


@dataclass(frozen=True, slots=True)
class CatRow:
    """What a job gave.

    Attributes:
        key: of the job; variant, intruder: of the job.
        known: the registry held the intruder's kind at the start.
        first: the episode.
        next: the next meeting with a kind that was unknown: another episode, another world model, the same registry.
    """

    key: str
    variant: Variant
    intruder: str
    known: bool
    first: EpisodeScore
    next: EpisodeScore | None = None


def run_job(job: CatJob) -> CatRow:
    """Run the job in this process, on one thread; a job depends on nothing but its own fields."""
    torch.set_num_threads(1)
    registry = open_registry("builtin")  # a private copy: what one run publishes, no other run finds
    kinds = {card.kind for card in registry.cards()}
    first = _episode(job, registry, job.seed, job.intruder)
    known = first.kind in kinds
    unknown_met = first.kind != "none" and not known
    again = None
    if job.variant == "world_model" and unknown_met and first.published_id is not None:
        again = _episode(job, registry, job.seed + _NEXT_MEETING, first.kind)
    return CatRow(job.key, job.variant, job.intruder, known, first, again)


def row_from_json(text: Mapping[str, Any]) -> CatRow:
    """Return the row that was written as JSON.

    Raises:
        KeyError, TypeError: it is no row.
    """
    return CatRow(
        key=str(text["key"]),
        variant=text["variant"],
        intruder=str(text["intruder"]),
        known=bool(text["known"]),
        first=_score(text["first"]),
        next=None if text["next"] is None else _score(text["next"]),
    )


def _score(text: Mapping[str, Any]) -> EpisodeScore:
    return EpisodeScore(**{**text, "forecast": ForecastScore(**text["forecast"])})


def _episode(job: CatJob, registry: Registry, seed: int, intruder: str) -> EpisodeScore:
    return score_episode(played(job, registry, seed, intruder))


def played(job: CatJob, registry: Registry, seed: int, intruder: str) -> EpisodeLog:
    """Return the log of one episode of the job's variant, with that registry, seed and intruder."""
    env = WorldsimEnv(
        scenario="Warehouse",
        intruder=intruder,
        duration_s=job.duration_s,
        intruder_time_s=job.intruder_time_s,
        engine=job.engine,
    )
    world_model = WorldModel(
        registry=registry,
        device="cpu",
        surprise=job.variant != "surprise_off",
        tracker="constant_velocity" if job.variant == "constant_velocity" else "world_model",
        seed=seed,
    )
    made: type[Any] = load_plugin("worldsim.agents", "deliverer", Agent)
    scored = intruder != "none"  # nothing is forecast where nothing comes in, which saves memory and time
    log = LogOptions(observations=scored, forecasts_every=4 if scored else 0, max_wall_s=job.max_wall_s)
    try:
        rng = np.random.default_rng([seed, _AGENT_STREAM])
        return run_episode(env, world_model, made(world_model=world_model), rng, seed=seed, log=log)
    finally:
        env.close()
