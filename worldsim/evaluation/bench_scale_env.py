"""What the environment adds to its engine: a frame over the engine's own steps, a reset over a rebuild, memory."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import numpy as np

from worldsim.evaluation.bench import Figure
from worldsim.evaluation.statistics import bootstrap
from worldsim.simulation.gym_env import WorldsimEnv

__all__ = ["environment_figures"]

_SCENES: tuple[tuple[str, dict[str, Any]], ...] = (
    ("ForceLab", {"bodies": 10}),
    ("ForceLab", {"bodies": 50}),
    ("Warehouse", {}),
)
_MEMORY_BAR_B = 1e6


def environment_figures(quick: bool, seed: int, rng: np.random.Generator) -> list[Figure]:
    """Return the environment's figures.

    Args:
        quick: fewer frames and resets.
        seed: of the episodes.
        rng: of the bootstraps.
    """
    frames, resets = (20, 3) if quick else (200, 1000)
    figures = []
    for scenario, fields in _SCENES[:1] if quick else _SCENES:
        words = f"{scenario} of {fields['bodies']}" if fields else scenario
        env = WorldsimEnv(scenario=scenario, observation="state", **fields)
        try:
            whole, engine = _frames(env, seed, frames)
        finally:
            env.close()
        found = bootstrap([whole / engine], lambda sample: float(np.median(sample)), rng)
        figures.append(
            Figure.at_most(
                f"{words}: a frame with states over the engine's own steps in it", found.value, 1.25,
                n=frames, interval=found.interval, baselines={"engine_ms": float(1e3 * np.median(engine))},
            )
        )  # fmt: skip
    return figures + _reset_figures(seed, resets)


def _frames(env: WorldsimEnv, seed: int, frames: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the time of each frame, and of the engine's steps in it, s."""
    env.reset(seed=seed)
    engine, spent = env.physics.engine, 0.0
    advance = engine.advance

    def timed() -> None:
        nonlocal spent
        started = time.perf_counter()
        advance()
        spent += time.perf_counter() - started

    engine.advance = timed  # type: ignore[method-assign]  # the clock goes where the engine's step is
    whole, inside, still = [], [], np.zeros(3, dtype=np.float32)
    for _ in range(frames):
        spent, started = 0.0, time.perf_counter()
        env.step(still)
        whole.append(time.perf_counter() - started)
        inside.append(spent)
    return np.array(whole), np.array(inside)


def _reset_figures(seed: int, resets: int) -> list[Figure]:
    env = WorldsimEnv(scenario="ForceLab", observation="state", bodies=10)
    try:
        rebuilt, restored = [], []
        env.reset(seed=seed)
        before = _resident_bytes()
        for _ in range(resets):
            started = time.perf_counter()
            env.reset(seed=seed)
            rebuilt.append(time.perf_counter() - started)
        grown = _resident_bytes() - before
        token = env.physics.snapshot()
        for _ in range(resets):
            started = time.perf_counter()
            env.physics.restore(token)
            restored.append(time.perf_counter() - started)
    finally:
        env.close()
    share = float(np.median(restored) / np.median(rebuilt))
    return [
        Figure.at_most("ForceLab of 10: going back to a snapshot over building anew", share, 0.01, n=resets,
                       baselines={"anew_ms": float(1e3 * np.median(rebuilt))}),
        Figure.at_most(f"memory grown over {resets} resets", float(grown), _MEMORY_BAR_B, unit="B", n=resets),
    ]  # fmt: skip


def _resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
