"""``worldsim bench soak``: a small world for a very long time, to see that nothing wears out.

Three walkers among three crates, seen without ids, for a million frames: the belief stays finite, its covariances
positive definite, its quaternions of unit length; what it says of its own errors is as true at the end as at the start;
memory does not grow. The truth is read for scoring alone.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float

from worldsim.engine.settings import LoopSettings, WorldModelSettings
from worldsim.evaluation.bench import BenchOptions, Figure
from worldsim.evaluation.scale_worlds import Plain, known_models
from worldsim.evaluation.statistics import bootstrap
from worldsim.loop import WorldModel
from worldsim.types.belief import WorldBelief

__all__ = ["bench_soak"]

_WALKERS, _CRATES = 3, 3
_STEPS, _QUICK_STEPS = 1_000_000, 600
_BLOCKS = 20  # of equal length; the first is left out: what is learned and allocated at the start is no wear
_LOOKS = 25  # of each block
_TOLD_S = 60.0


@dataclass(slots=True)
class _Block:
    """What was seen in one stretch of frames."""

    nees: list[float] = field(default_factory=list)
    covered: list[bool] = field(default_factory=list)
    smallest: float = np.inf
    unit_error: float = 0.0
    finite: bool = True
    resident_bytes: int = 0


def bench_soak(options: BenchOptions) -> list[Figure]:
    """Return the figures; `BenchOptions.steps` frames, a million where None."""
    steps = options.steps or (_QUICK_STEPS if options.quick else _STEPS)
    models, rng = known_models(), np.random.default_rng(options.seed)
    world = Plain(_WALKERS, _CRATES, models, rng)
    fast = LoopSettings(linearisation="derivatives", precision="float32")
    wm = WorldModel(models=models, device="cpu", settings=WorldModelSettings(loop=fast), seed=options.seed)
    blocks = [_Block() for _ in range(_BLOCKS)]
    each = max(1, steps // _BLOCKS)
    every = max(1, each // _LOOKS)
    started = told = time.perf_counter()
    for number, observation in enumerate(world.frames()):
        if number == 0:
            wm.reset(observation)
            continue
        wm.step(observation)
        block = blocks[min(_BLOCKS - 1, (number - 1) // each)]
        if number % every == 0:
            _look(block, wm.belief, world.position)
        if number % each == 0:
            block.resident_bytes = _resident_bytes()
        if time.perf_counter() - told > _TOLD_S:
            told = time.perf_counter()
            options.tell(f"soak: {number} of {steps} frames, {number / (told - started):.0f} a second")
        if number == steps:
            break
    return _figures(blocks[1:], steps, time.perf_counter() - started, rng)


def _look(block: _Block, belief: WorldBelief, truth: Float[np.ndarray, "N 3"]) -> None:
    """Score the belief of this moment."""
    alive = belief.alive.nonzero().squeeze(-1)
    joint = belief.joint_covariance.index_select(0, alive).double()
    orientation = belief.orientation_xyzw.index_select(0, alive).double()
    block.finite &= bool(torch.isfinite(joint).all() and torch.isfinite(orientation).all())
    if not block.finite:
        return
    block.unit_error = max(block.unit_error, float((orientation.norm(dim=-1) - 1.0).abs().max()))
    for row in joint:  # a fixed parameter has no variance, and is left out
        free = torch.diagonal(row) > 0.0
        scale = torch.diagonal(row)[free].rsqrt()
        block.smallest = min(
            block.smallest, float(torch.linalg.eigvalsh(scale[:, None] * row[free][:, free] * scale).min())
        )
    position = belief.position.index_select(0, alive).double().numpy()
    for at in truth:
        nearest = int(np.linalg.norm(position - at, axis=1).argmin())
        error = at - position[nearest]
        nees = float(error @ np.linalg.solve(joint[nearest, :3, :3].numpy(), error))
        block.nees.append(nees)
        block.covered.append(nees < _NINETY)


_NINETY = 6.251  # chi-square with 3 degrees of freedom, 90 %


def _figures(blocks: list[_Block], steps: int, seconds: float, rng: np.random.Generator) -> list[Figure]:
    fifth = max(1, len(blocks) // 5)
    start = np.array([value for block in blocks[:fifth] for value in block.nees])
    end = np.array([value for block in blocks[-fifth:] for value in block.nees])
    last = len(end)
    drift = bootstrap([end, start], lambda both: float(np.median(both[:last]) / np.median(both[last:])), rng)
    covered = np.array([value for block in blocks for value in block.covered], dtype=np.float64)
    coverage = bootstrap([covered], lambda sample: float(sample.mean()), rng)
    resident = np.array([block.resident_bytes for block in blocks if block.resident_bytes], dtype=np.float64)
    grown = float(resident[-1] / resident[0] - 1.0) if len(resident) else float("nan")
    return [
        Figure.at_least("looks at the belief in which everything was finite", float(all(b.finite for b in blocks)),
                        1.0, n=len(blocks)),
        Figure.at_least("smallest eigenvalue of any correlation matrix", min(b.smallest for b in blocks), 1e-7,
                        n=len(covered)),
        Figure.at_most("furthest that a quaternion was from unit length", max(b.unit_error for b in blocks), 1e-5,
                       n=len(covered)),
        Figure.within("NEES of positions, median of the last fifth over that of the first", drift.value, 0.8, 1.25,
                      n=len(start) + len(end), interval=drift.interval,
                      baselines={"chi-square's median would be": 2.366, "median, first fifth": float(np.median(start)),
                                 "median, last fifth": float(np.median(end))}),
        Figure.told("coverage of positions at 90 %", coverage.value, n=len(covered), interval=coverage.interval),
        Figure.at_most("memory grown, share", grown, 0.02, n=len(resident)),
        Figure.told("frames a second", steps / seconds, unit="1/s", n=steps),
    ]  # fmt: skip


def _resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
