"""What the environment adds to its engine: a frame over the engine's own steps, a reset over a rebuild, memory."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from worldsim.evaluation.bench import Figure
from worldsim.evaluation.statistics import bootstrap
from worldsim.simulation.gym_env import WorldsimEnv

__all__ = ["environment_figures"]

FRAME_S = 1.0 / 60.0
"""Length of an agent's step in these figures; the engine takes four of its own in it."""

# Boxes at rest and falling, where the engine has contacts to solve: there is nothing to compare an environment with
# where the engine does next to nothing. The last two are told without a bar: forces between balls, and everybody who
# walks or drives, are computed in Python at every engine step, and belong to the world.
_BARRED: tuple[dict[str, Any], ...] = (
    {"stacks": 2, "tallest": 4, "pushed": 1, "dropped": 1},
    {"stacks": 5},
    {"stacks": 12, "tallest": 5},
)
_TOLD: tuple[tuple[str, dict[str, Any]], ...] = (("ForceLab", {"bodies": 10}), ("Warehouse", {}))
_STATES_BAR, _CONTACTS_BAR = 1.25, 1.40
_MEMORY_BAR_B = 1e6
_REBUILT = 200


def environment_figures(quick: bool, seed: int, rng: np.random.Generator) -> list[Figure]:
    """Return the environment's figures.

    Args:
        quick: fewer frames and resets.
        seed: of the episodes.
        rng: of the bootstraps.
    """
    frames, resets = (20, 3) if quick else (400, 1000)
    figures = []
    for fields in _BARRED[:1] if quick else _BARRED:
        figures += [_over_engine("Stacks", fields, contacts, frames, seed, rng, bar=True) for contacts in (False, True)]
    for scenario, fields in () if quick else _TOLD:
        figures.append(_over_engine(scenario, fields, False, frames, seed, rng, bar=False))
    return figures + _reset_figures(seed, resets)


def _over_engine(
    scenario: str, fields: dict[str, Any], contacts: bool, frames: int, seed: int, rng: np.random.Generator, bar: bool
) -> Figure:
    """Return the time of a frame over that of the engine's steps in it, of the same frames."""
    env = WorldsimEnv(scenario=scenario, observation="state", frame_s=FRAME_S, **fields)
    try:
        whole, engine, _ = _frames(env, seed, frames, contacts)
        _, _, drivers = _frames(env, seed, frames, contacts, clock_drivers=True)  # the same frames: a clock costs time
        bodies = sum(spec.movable for spec in env.physics.specs)
    finally:
        env.close()
    found = bootstrap([whole / engine], lambda sample: float(np.median(sample)), rng)
    words = f"{scenario}, {bodies} bodies: a frame with states{' and contacts' if contacts else ''} over the engine's"
    rest: dict[str, Any] = {
        "n": frames,
        "interval": found.interval,
        "baselines": {"engine_ms": 1e3 * float(np.median(engine)), "drivers_ms": 1e3 * float(np.median(drivers))},
    }
    if not bar:
        return Figure.told(words, found.value, **rest)
    return Figure.at_most(words, found.value, _CONTACTS_BAR if contacts else _STATES_BAR, **rest)


def _frames(
    env: WorldsimEnv, seed: int, frames: int, contacts: bool, clock_drivers: bool = False
) -> tuple[Float[np.ndarray, " T"], Float[np.ndarray, " T"], Float[np.ndarray, " T"]]:
    """Return the time of each frame, of the engine's steps in it, and of what its drivers compute (if asked), s."""
    env.reset(seed=seed)
    clocks = {"engine": 0.0, "drivers": 0.0}
    engine = env.physics.engine
    engine.advance = _timed(type(engine).advance.__get__(engine), "engine", clocks)  # type: ignore[method-assign]
    for driver in env.physics.drivers if clock_drivers else ():
        driver.drive = _timed(driver.drive, "drivers", clocks)  # type: ignore[method-assign]
    rows, still = [], np.zeros(3, dtype=np.float32)
    for _ in range(frames):
        clocks.update(engine=0.0, drivers=0.0)
        started = time.perf_counter()
        env.step(still)
        if contacts:
            env.physics.contacts()
        rows.append((time.perf_counter() - started, clocks["engine"], clocks["drivers"]))
    whole, inside, driven = np.array(rows).T
    return whole, inside, driven


def _timed(call: Callable[..., Any], name: str, clocks: dict[str, float]) -> Callable[..., Any]:
    def timed(*arguments: Any) -> Any:
        started = time.perf_counter()
        found = call(*arguments)
        clocks[name] += time.perf_counter() - started
        return found

    return timed


def _reset_figures(seed: int, resets: int) -> list[Figure]:
    env = WorldsimEnv(scenario="ForceLab", observation="state", bodies=10)
    try:
        rebuilt, restored = [], []
        for number in range(min(resets, _REBUILT)):  # another seed each time, or it would only be put back
            started = time.perf_counter()
            env.reset(seed=seed + 1 + number)
            rebuilt.append(time.perf_counter() - started)
        first, _ = env.reset(seed=seed)
        same = 0
        for _ in range(resets):
            env.step(np.ones(3, dtype=np.float32))
            started = time.perf_counter()
            again, _ = env.reset(seed=seed)
            restored.append(time.perf_counter() - started)
            same += all(again[name].tobytes() == first[name].tobytes() for name in first)
    finally:
        env.close()
    # in a process of its own: where others freed memory before, pages that were theirs come back and count as growth
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        grown, later = pool.submit(grown_bytes, seed, resets).result()
    share = float(np.median(restored) / np.median(rebuilt))
    return [
        Figure.at_most("ForceLab of 10: a reset to the same world over building it anew", share, 0.01, n=resets,
                       baselines={"anew_ms": float(1e3 * np.median(rebuilt))}),
        Figure.at_least("resets to the same world that gave the same bytes", same / resets, 1.0, n=resets),
        Figure.at_most(f"memory grown over {resets} resets", float(grown), _MEMORY_BAR_B, unit="B", n=resets,
                       baselines={f"over {resets} more (B)": float(later)}),
    ]  # fmt: skip


def grown_bytes(seed: int, resets: int) -> tuple[int, int]:
    """Return by how much the memory of this process grows while an environment is reset to other worlds, and to more.

    At first Python's and glibc's stores of freed memory fill; what leaks goes on.
    """
    env = WorldsimEnv(scenario="ForceLab", observation="state", bodies=10)
    try:
        env.reset(seed=seed)
        taken = [_resident_bytes()]
        for number in range(2 * resets):
            env.reset(seed=seed + 1 + number)
            if number + 1 in (resets, 2 * resets):
                taken.append(_resident_bytes())
        return taken[1] - taken[0], taken[2] - taken[1]
    finally:
        env.close()


def _resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
