"""The cat in the warehouse with its models a network away: as with them at hand, and while nobody answers."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from worldsim.contracts.agent import Agent
from worldsim.contracts.registry import Registry
from worldsim.evaluation.bench import BenchOptions, Figure
from worldsim.evaluation.cat_scoring import EpisodeScore, score_episode
from worldsim.evaluation.episode import Frame, LogOptions, run_episode
from worldsim.evaluation.registry_serving import served
from worldsim.loop import WorldModel
from worldsim.plugins import load_plugin
from worldsim.registry import HttpRegistry, open_registry, open_stored
from worldsim.registry.blob_cache import BlobCache
from worldsim.registry.builtin import shipped_models
from worldsim.simulation.gym_env import WorldsimEnv

__all__ = ["story"]

_DURATION_S, _STOPPED_S = 40.0, 10.0
_BEFORE_ALARM_S = 0.12  # the server is stopped two frames before the question is put
_STEP_BAR_S = 1.0  # far beyond a step on a busy machine, far below the 5 s that one attempt at a silent server takes
_AGENT_STREAM = 1
OnFrame = Callable[[Frame], None]


def story(folder: Path, seed: int, options: BenchOptions) -> list[Figure]:
    """Run one episode with the registry at hand, over HTTP, and over HTTP with the server frozen in mid-query.

    Args:
        folder: for the served registry and the clients' caches.
        seed: of the episode; a cat comes in.
        options: whom to tell.
    """
    address = f"sqlite:///{folder / 'shipped.db'}"
    with open_stored(address) as registry:
        if len(registry) == 0:
            registry.store_checked(list(shipped_models()))
    with open_registry("builtin") as at_hand:
        embedded, _ = _episode(at_hand, seed)
    options.tell("story: with the registry at hand")
    with served(address) as service:
        with _client(service.url, service.token, folder / "cache-1") as far:
            over_http, _ = _episode(far, seed)
        options.tell("story: over HTTP")
        stop_s = (embedded.alarm_s or 0.0) - _BEFORE_ALARM_S
        freezer = _Freezer(service.pid, stop_s)
        try:
            with _client(service.url, service.token, folder / "cache-2") as far:
                frozen, steps_s = _episode(far, seed, freezer)
        finally:
            freezer.thaw()
    options.tell("story: with the server stopped in mid-query")
    share = float(over_http.adopted_kind == embedded.adopted_kind == "cat")
    waited = (frozen.adopted_s or np.nan) - (frozen.alarm_s or np.nan)
    return [
        Figure.at_least("right kind adopted over HTTP, as with the registry at hand", share, 1.0, n=1),
        Figure.told("time from alarm to adoption over HTTP", _between(over_http), unit="s", n=1,
                    baselines={"at hand": _between(embedded)}),
        Figure.at_least(f"right kind adopted although the server stood still for {_STOPPED_S:g} s in mid-query",
                        float(frozen.adopted_kind == "cat" and freezer.froze), 1.0, n=1),
        Figure.told("time from alarm to adoption then", float(waited), unit="s", n=1),
        Figure.at_most("longest step of the world model then", max(steps_s), _STEP_BAR_S, unit="s", n=len(steps_s)),
        Figure.at_most("contacts of robot and intruder in the three runs",
                       float(sum(s.touched for s in (embedded, over_http, frozen))), 0.0, n=3),
    ]  # fmt: skip


class _Freezer:
    """Stops a process at a moment of the episode, and lets it go on some seconds of the clock later."""

    def __init__(self, pid: int, stop_s: float) -> None:
        self.pid, self.stop_s, self.froze = pid, stop_s, False
        self._timer = threading.Timer(_STOPPED_S, self.thaw)

    def __call__(self, frame: Frame) -> None:
        if not self.froze and frame.time_s >= self.stop_s:
            self.froze = True
            os.kill(self.pid, signal.SIGSTOP)
            self._timer.start()

    def thaw(self) -> None:
        self._timer.cancel()
        os.kill(self.pid, signal.SIGCONT)


def _client(url: str, token: str, cache: Path) -> HttpRegistry:
    return HttpRegistry(url, token=token, cache=BlobCache(cache))


def _episode(registry: Registry, seed: int, on_frame: OnFrame | None = None) -> tuple[EpisodeScore, list[float]]:
    """Return the score of one episode, and how long each step of the world model took, s."""
    torch.set_num_threads(1)
    env = WorldsimEnv(scenario="Warehouse", intruder="cat", duration_s=_DURATION_S)
    world_model = WorldModel(registry=registry, device="cpu", seed=seed)
    made: type[Any] = load_plugin("worldsim.agents", "deliverer", Agent)
    try:
        log = run_episode(
            env,
            world_model,
            made(world_model=world_model),
            np.random.default_rng([seed, _AGENT_STREAM]),
            seed=seed,
            log=LogOptions(observations=False, forecasts_every=0),
            on_frame=on_frame,
        )
    finally:
        env.close()
    return score_episode(log), [frame.model_s for frame in log.frames]


def _between(score: EpisodeScore) -> float:
    return (score.adopted_s or np.nan) - (score.alarm_s or np.nan)
