"""Collisions in `Billiards`: is the frame after an impact as surprising as it should be, and does it raise an alarm?

The whole loop runs, at 20 Hz, on noisy detections without ids. Balls differ in mass, bounce and grip within what a ball
may be, so that every impact is a possible one; in the other episodes the balls that are aimed at do not give way,
however hard they are hit, or are gone through, which no ball can do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from scipy import stats

from worldsim.evaluation.bench import BenchOptions, Figure
from worldsim.evaluation.bench_graph_support import RATE_HZ, scenario_episode
from worldsim.evaluation.episode import EpisodeLog
from worldsim.evaluation.graph_scoring import names_of_objects
from worldsim.evaluation.statistics import bootstrap
from worldsim.types.record import EventKind
from worldsim.types.truth import WorldTruth

__all__ = ["Impact", "collision_figures", "impacts"]

FIRST_FRAME = 8
"""Before it, the balls are still being got to know."""
LATEST_FRAMES = 4
"""An alarm within so many frames of an impact is of the impact."""
SEEDS, QUICK_SEEDS = range(1000, 1016), range(1)
SECONDS = 4.0
ALPHA = 1e-3
"""Of the alarm: its mean time to a false one is at least 1/alpha frames."""
MISSED_BAR = 0.95
OVERLAP = 0.8
"""Balls whose centres are nearer than this share of their radii are inside each other, by more than any touch does."""


@dataclass(frozen=True, slots=True)
class Impact:
    """Two balls that began to touch, and what the world model made of it.

    Attributes:
        nis, dof: of the first detections after the impact, both balls together.
        alarmed: an alarm was raised on one of them at that frame or soon after.
    """

    nis: float
    dof: int
    alarmed: bool


Pairs = set[frozenset[str]]


def touching_balls(truth: WorldTruth) -> Pairs:
    """Return the balls that touch each other."""
    return {frozenset((a, b)) for a, b, _ in truth.contacts if a.startswith("ball") and b.startswith("ball")}


def overlapping_balls(truth: WorldTruth) -> Pairs:
    """Return the balls that are where another is."""
    rows = [row for row, name in enumerate(truth.names) if name.startswith("ball")]
    place, radius = truth.position[rows], truth.extent_m[rows, 0] / 2.0
    apart = np.linalg.norm(place[:, None] - place[None], axis=-1)
    inside = np.triu(apart < OVERLAP * (radius[:, None] + radius), 1)
    return {frozenset((truth.names[rows[i]], truth.names[rows[j]])) for i, j in zip(*np.nonzero(inside), strict=True)}


def impacts(log: EpisodeLog, pairs: Callable[[WorldTruth], Pairs] = touching_balls) -> Iterator[Impact]:
    """Yield every two balls that began to touch (or what else `pairs` tells) and were seen right afterwards."""
    frames = [frame for frame in log.frames if frame.record is not None and frame.belief is not None]
    alarms = [
        {event.object_id for event in frame.record.events if event.kind is EventKind.ALARM} if frame.record else set()
        for frame in frames
    ]
    before: Pairs = set()
    for number, frame in enumerate(frames):
        touching = pairs(frame.truth)
        begun, before = touching - before, touching
        if number < FIRST_FRAME or not begun or frame.belief is None or frame.record is None:
            continue
        ids = {name: object_id for object_id, name in names_of_objects(frame.belief, frame.truth).items()}
        surprise = frame.record.surprise
        rows = {int(object_id): row for row, object_id in enumerate(surprise.object_id.tolist())}
        soon = set().union(*alarms[number : number + LATEST_FRAMES])
        for pair in sorted(begun, key=sorted):
            pair_ids = [ids[name] for name in sorted(pair) if name in ids]
            seen = [rows[i] for i in pair_ids if i in rows and np.isfinite(surprise.nis[rows[i]])]
            if len(seen) == len(pair) == 2:
                nis, dof = float(surprise.nis[seen].sum()), int(surprise.nis_dof[seen].sum())
                yield Impact(nis, dof, not soon.isdisjoint(pair_ids))


def collision_figures(options: BenchOptions) -> list[Figure]:
    """Return whether possible impacts are as surprising as they should be, and impossible ones an alarm."""
    torch.set_num_threads(1)
    rng = np.random.default_rng(options.seed)
    seeds = options.seeds_or(SEEDS, QUICK_SEEDS)
    found: dict[str, list[Impact]] = {}
    for what, told_by in (("", touching_balls), ("stubborn", touching_balls), ("ghostly", overlapping_balls)):
        found[what] = []
        for seed in seeds:
            options.tell(f"graph: {what} collisions, seed {seed}")
            fields = {what: True} if what else {}
            log = scenario_episode("Billiards", seed, round(SECONDS * RATE_HZ), fields)
            found[what] += impacts(log, told_by)
    possible = found[""]
    share = np.array([impact.nis / impact.dof for impact in possible])
    dof = sum(impact.dof for impact in possible)
    low, high = (float(stats.chi2.ppf(q, dof)) / dof for q in (0.025, 0.975))
    mean = bootstrap([share], lambda sample: float(np.mean(sample)), rng)
    told = {"median": float(np.median(share)), "median of a chi-square": float(stats.chi2.median(6) / 6.0)}
    return [
        Figure.within(
            "collisions in Billiards: NIS of the frame after an impact over its degrees of freedom",
            mean.value, low, high, interval=mean.interval, n=mean.n, baselines=told,
        ),
        _alarms("alarms at possible collisions", possible, rng, most=ALPHA),
        _alarms("alarms at collisions without a reaction", found["stubborn"], rng, least=MISSED_BAR),
        _alarms("alarms where a ball goes through another", found["ghostly"], rng, least=MISSED_BAR),
    ]  # fmt: skip


def _alarms(
    words: str, found: list[Impact], rng: np.random.Generator, most: float | None = None, least: float | None = None
) -> Figure:
    rate = bootstrap([np.array([float(i.alarmed) for i in found])], lambda sample: float(np.mean(sample)), rng)
    rest = {"interval": rate.interval, "n": rate.n}
    if least is not None:
        return Figure.at_least(words, rate.value, least, **rest)
    return Figure.at_most(words, rate.value, most or 0.0, **rest)
