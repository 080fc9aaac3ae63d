"""Springs and magnets between balls in PyBullet: who is tied to whom, from noisy places at 60 Hz.

The sensor gives places alone, with a noise of 0.5 mm in each direction; which ball is which is known, and so are their
masses and radii (from their cards) and the fence. The joint filter is told neither the noise nor any strength. Frames
in which a ball may have touched another or the fence tell it nothing of that ball's forces.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import torch

from worldsim.evaluation.bench import BenchOptions, Figure
from worldsim.evaluation.bench_graph_baselines import baselines
from worldsim.evaluation.bench_graph_pairs import BODIES, RATE_HZ, STEP_S, SeenPairs, play
from worldsim.evaluation.bench_graph_scoring import LAWS, Score, score
from worldsim.evaluation.statistics import bootstrap
from worldsim.graph.joint import ClassStrengths, JointGraphFilter, JointSettings, grouped_pairs

SENSOR_STD_M = 5e-4
SETTINGS = JointSettings(
    substep_s=STEP_S,
    noise_bank_m=(1.25e-4, 2.5e-4, 5e-4, 1e-3, 2e-3),
    velocity_noise_per_s=math.sqrt(2.0) * RATE_HZ,
    velocity_from_places=True,
)
SEEDS, QUICK_SEEDS = range(1000, 1040), range(3)
ASKED_HZ = 10
"""Rate of what the simple rules see: at 60 Hz differences of noisy places would be noise."""


def spring_figures(options: BenchOptions) -> list[Figure]:
    """Return the accuracy on springs after one second."""
    return _figures("spring", "spring", 1.0, 0.99, options)


def magnet_figures(options: BenchOptions) -> list[Figure]:
    """Return the accuracy on magnets, signs included, after 3.3 seconds."""
    return _figures("charge", "magnet", 3.3, 0.99, options)


def _figures(layer: str, kind: str, after_s: float, bar: float, options: BenchOptions) -> list[Figure]:
    frames = round(after_s * RATE_HZ) + 1
    seeds = options.seeds_or(SEEDS, QUICK_SEEDS)
    rng = np.random.default_rng(options.seed)
    seen = SeenPairs.of([play((kind,), seed, frames) for seed in seeds], layer, SENSOR_STD_M, rng)
    scenes = seen.scenes
    found = _judged(seen, layer, SETTINGS, None)
    told = _judged(seen, layer, replace(SETTINGS, noise_bank_m=(SENSOR_STD_M,)), _true_strengths(seen, layer))
    slow = replace(scenes, position=scenes.position[:, :: RATE_HZ // ASKED_HZ])
    velocity = slow.position.diff(dim=1, prepend=slow.position[:, :1]) * ASKED_HZ
    strength = float(scenes.strength[layer][scenes.edges[layer] != 0].mean())  # type: ignore[index]
    slow = replace(slow, velocity=velocity, strength={layer: strength})
    beside: dict[str, float | None] = dict(baselines(slow, slow.frames))
    beside["oracle"] = float(told.correct.double().mean())
    by_scene = bootstrap([found.by_scene], lambda sample: float(np.mean(sample)), rng)
    words = f"{kind}s in PyBullet, 60 Hz, noise 0.5 mm: pairs right after {after_s:g} s, {BODIES} balls"
    rest = {"interval": by_scene.interval, "n": by_scene.n, "baselines": beside}
    inside = found.strength_inside.double().numpy()
    covered = bootstrap([inside], lambda sample: float(np.mean(sample)), rng)
    return [
        Figure.at_least(words, by_scene.value, bar, **rest),
        Figure.told(
            f"{kind}s in PyBullet: strengths inside their 90 % intervals after {after_s:g} s",
            covered.value, interval=covered.interval, n=covered.n,
        ),
    ]  # fmt: skip


def _judged(seen: SeenPairs, layer: str, settings: JointSettings, strengths: ClassStrengths | None) -> Score:
    """Return what the filter says after the last frame."""
    scenes = seen.scenes
    count, size = len(scenes), scenes.size
    graph = JointGraphFilter(
        [LAWS[layer]()],
        settings=settings,
        slots=grouped_pairs(count, size),
        group=torch.arange(count).repeat_interleave(size),
        inverse_mass=seen.inverse_mass,
        strengths=strengths,
    )
    for frame in range(1, scenes.frames):  # the first has no velocity
        place, speed = scenes.position[:, frame].flatten(0, 1), scenes.velocity[:, frame].flatten(0, 1)
        graph.assimilate(place, speed, 1.0 / RATE_HZ, seen.struck[:, frame].flatten())
    return score(scenes, graph.posterior())


def _true_strengths(seen: SeenPairs, layer: str) -> ClassStrengths:
    """Return the mean and the spread that the strengths really have, for the oracle."""
    scenes = seen.scenes
    law = LAWS[layer]()
    there = scenes.strength[layer][scenes.edges[layer] != 0]  # type: ignore[index]
    told = ClassStrengths.for_laws([law], len(scenes), scenes.position)
    mean, variance = told.mean * 0.0 + there.mean(), told.mean * 0.0 + there.var()
    tight = 1e-4 * mean.square()
    return replace(told, mean=mean, variance=tight, deviation_variance=variance, prior_mean=mean, prior_variance=tight)
