"""Welds that are made and broken between balls in PyBullet: how soon each is seen, from noisy places at 60 Hz.

`ForceLab` with welds and springs. The sensor gives places alone, with a noise of 0.5 mm in each direction; which ball
is which is known, and so are their masses and radii (from their cards) and the fence. Two that are held together
through a third are neither right nor wrong. A weld that breaks while nothing pulls at it cannot be seen until something
does.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool
from scipy.sparse.csgraph import connected_components

from worldsim.evaluation.bench import BenchOptions, Figure
from worldsim.evaluation.bench_graph_blows import blow_directions
from worldsim.evaluation.bench_graph_pairs import RATE_HZ, Play, play
from worldsim.evaluation.statistics import bootstrap
from worldsim.graph.kinematics.bonds import BondFilter

__all__ = ["weld_figures"]

SENSOR_STD_M = 5e-4
SEEDS, QUICK_SEEDS = range(1000, 1020), range(1)
SECONDS = 10.0
FRAMES_BAR, FALSE_BAR = 6, 0.01
NEVER = 10**6
RULE_M_S, RULE_FRAMES = 0.05, 6
"""The simple rule: what passed each other by less than this over the last frames is welded."""


@dataclass(frozen=True, slots=True)
class _Judged:
    """What was said of the pairs of one scene.

    Attributes:
        made, broken: frames until each event was seen; a weld that was not seen while it held is not seen to break.
        false, free: pair-frames said to be welded among those that were not, less those in which a break was not seen
            yet; those frames.
        seen, there: pair-frames with a weld in which it is seen; those frames.
    """

    made: list[int]
    broken: list[int]
    false: int
    free: int
    seen: int
    there: int


def weld_figures(options: BenchOptions) -> list[Figure]:
    """Return how soon welds are seen to be made and broken, and how often two that are free are called welded."""
    rng = np.random.default_rng(options.seed)
    ours, rule = [], []
    for seed in options.seeds_or(SEEDS, QUICK_SEEDS):
        options.tell(f"graph: welds, seed {seed}")
        scene = play(("weld", "spring"), seed, round(SECONDS * RATE_HZ), switching=True)
        seen = scene.position + SENSOR_STD_M * rng.standard_normal(scene.position.shape)
        ours.append(_judged(_said(seen, scene), scene))
        rule.append(_judged(_ruled(seen), scene))
    figures = [_delay(word, ours, rule, rng) for word in ("made", "broken")]
    shares = np.array([[each.false, each.free] for each in ours], dtype=np.float64)
    found = bootstrap([np.arange(len(ours), dtype=np.float64)], lambda rows: _ratio(shares[rows.astype(int)]), rng)
    told = {"relative speed by a rule": _ratio(np.array([[r.false, r.free] for r in rule], dtype=np.float64))}
    words = "welds in PyBullet: pair-frames without a weld in which one is seen"
    rest = {"interval": found.interval, "n": found.n, "baselines": told}
    figures.append(Figure.at_most(words, found.value, FALSE_BAR, **rest))
    shares = np.array([[each.seen, each.there] for each in ours], dtype=np.float64)
    found = bootstrap([np.arange(len(ours), dtype=np.float64)], lambda rows: _ratio(shares[rows.astype(int)]), rng)
    told = {"relative speed by a rule": _ratio(np.array([[r.seen, r.there] for r in rule], dtype=np.float64))}
    words = "welds in PyBullet: pair-frames with a weld in which it is seen"
    return [*figures, Figure.told(words, found.value, interval=found.interval, n=found.n, baselines=told)]


def _delay(word: str, ours: list[_Judged], rule: list[_Judged], rng: np.random.Generator) -> Figure:
    frames = np.array([d for each in ours for d in getattr(each, word)], dtype=np.float64)
    theirs = np.array([d for each in rule for d in getattr(each, word)], dtype=np.float64)
    median = bootstrap([frames], lambda sample: float(np.median(sample)), rng)
    told = {
        "within 6 frames": float((frames <= FRAMES_BAR).mean()),
        "relative speed by a rule": float(np.median(theirs)),
        "within 6 frames by a rule": float((theirs <= FRAMES_BAR).mean()),
    }
    words = f"welds in PyBullet, 60 Hz, noise 0.5 mm: frames until one that was {word} is seen, median"
    rest = {"interval": median.interval, "n": median.n, "baselines": told}
    return Figure.at_most(words, median.value, FRAMES_BAR, **rest)


def _ratio(counts: np.ndarray) -> float:
    total = counts.sum(axis=0)
    return float(total[0] / max(total[1], 1.0))


def _said(seen: np.ndarray, scene: Play) -> Bool[np.ndarray, "T P"]:
    """Return which pairs the filter calls welded, frame by frame."""
    first, second = np.triu_indices(seen.shape[1], 1)
    blows = torch.from_numpy(blow_directions(seen, scene)[:, first, second])
    apart = torch.from_numpy(seen[:, second] - seen[:, first])
    bonds = BondFilter(torch.from_numpy(1.0 / scene.mass_kg[first] + 1.0 / scene.mass_kg[second]))
    noise = SENSOR_STD_M * np.sqrt(2.0)
    frames = [bonds.observe(r, noise, 1.0 / RATE_HZ, hit).numpy() for r, hit in zip(apart, blows, strict=True)]
    return np.array(frames) > 0.5


def _ruled(seen: np.ndarray) -> Bool[np.ndarray, "T P"]:
    first, second = np.triu_indices(seen.shape[1], 1)
    apart = seen[:, second] - seen[:, first]
    said = np.zeros(apart.shape[:2], dtype=bool)
    passed = np.linalg.norm(apart[RULE_FRAMES:] - apart[:-RULE_FRAMES], axis=-1)
    said[RULE_FRAMES:] = passed < RULE_M_S * RULE_FRAMES / RATE_HZ
    return said


def _judged(said: Bool[np.ndarray, "T P"], scene: Play) -> _Judged:
    first, second = np.triu_indices(len(scene.mass_kg), 1)
    there = scene.welded[:, first, second]
    labels = np.array([connected_components(frame)[1] for frame in scene.welded])
    free = labels[:, first] != labels[:, second]
    found: dict[bool, list[int]] = {True: [], False: []}
    for pair in range(there.shape[1]):
        for at in np.flatnonzero(there[1:, pair] != there[:-1, pair]) + 1:
            now = bool(there[at, pair])
            later = np.flatnonzero(said[at:, pair] == now)
            delay = int(later[0]) if len(later) else NEVER
            if now or said[at - 1, pair]:
                found[now].append(delay)
            # a change that is seen counts once, by how soon; one that never is counts frame by frame
            free[at : at + max(delay if delay < NEVER else 0, FRAMES_BAR), pair] = False
    counts = (said & free, free, said & there, there)
    return _Judged(found[True], found[False], *(int(each.sum()) for each in counts))
