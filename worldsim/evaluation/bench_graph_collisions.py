"""Collisions in `Billiards`: is the frame after an impact as surprising as it should be, and does it raise an alarm?

The whole loop runs, at 20 Hz, on noisy detections without ids. It has models of balls from the start, whose priors say
what a ball of this table may be: what is asked about is the law of impact, and not how long it takes to find out that
something is a ball, or how heavy the balls of other places are. Balls differ in mass, bounce and grip within what a
ball may be, so that every impact is a possible one; in the other episodes the balls that are aimed at do not give way,
however hard they are hit, or are gone through, which no ball can do.

An impossible collision can only be told from a possible one by what does not happen in it. Two balls that approach each
other along their line of centres by less than `SHOWS_M_S` would part by less than five deviations of what two
detections tell of their distance, however they should have parted; the bar is on the others, and the rate over all is
told beside it. A ball that is under test already cannot be asked about again: how many impacts that leaves out is told.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from scipy import stats
from scipy.spatial.transform import Rotation

from worldsim.contracts.agent import Agent
from worldsim.contracts.object_model import ObjectModel
from worldsim.contracts.registry import Registry
from worldsim.engine.state import STARTER_TAG
from worldsim.evaluation.bench import BenchOptions, Figure
from worldsim.evaluation.bench_graph_support import scenario_episode
from worldsim.evaluation.episode import EpisodeLog, Frame
from worldsim.evaluation.graph_scoring import names_of_objects
from worldsim.evaluation.kept_stages import PLAYED, kept
from worldsim.evaluation.statistics import bootstrap, proportion_interval
from worldsim.registry import open_registry
from worldsim.types.card import ParameterPrior
from worldsim.types.observation import Observation
from worldsim.types.record import EventKind, StepRecord
from worldsim.types.truth import WorldTruth

__all__ = ["Impact", "collision_figures", "impacts"]

FIRST_FRAME = 8
"""Before it, the balls are still being got to know."""
LATEST_FRAMES = 4
"""An alarm within so many frames of an impact is of the impact."""
SEEDS, QUICK_SEEDS = range(1000, 1016), range(1)
FRAMES = 240
"""Of an episode: 12 s, after which next to nothing moves any more."""
ALPHA = 1e-3
"""Of the alarm: its mean time to a false one is at least 1/alpha frames."""
MISSED_BAR = 0.95
OVERLAP = 0.8
"""Balls whose centres come nearer than this share of their radii are inside each other, by more than any touch does."""
MAY_BE = {
    "mass_kg": (0.3, 0.9),
    "restitution": (0.80, 0.98),
    "friction": (0.2, 0.5),
    "rolling_deceleration_m_s2": (0.02, 0.10),
}
"""What a ball of this table may be, from the least to the most: what `Billiards` declares that it draws from."""
LEANS_M = 0.03
"""What is this near to a third thing cannot give way freely."""
STILL_M_S = 0.2
"""What is slower right after the start was not launched: balls are launched at 0.8 m/s at least."""
SHOWS_M_S = 0.25
"""Approach along the line of centres from which it shows that balls do not part as balls do.

With restitutions of at least 0.8 each, the relative velocity along that line changes by at least 1.64 of it: in the
0.15 s from the first to the fourth frame that makes 6 cm, where the difference of two detections (8 mm in each
coordinate, at this table) has a standard deviation of 11 mm.
"""

_ACTION_DIM = 3
_JUDGE = ("worldsim/evaluation/bench_graph_collisions.py", "worldsim/evaluation/bench_graph_support.py")

Pairs = set[frozenset[str]]
What = Literal["", "stubborn", "ghostly"]


@dataclass(frozen=True, slots=True)
class Impact:
    """Two balls that began to touch, and what the world model made of it.

    Attributes:
        nis, dof: of the first detections after the impact, both balls together; 0 and 0 where one was not seen.
        alarmed: an alarm was raised on one of them at that frame or soon after.
        approach_m_s: how fast they approached each other along their line of centres.
        asked: both were known for balls, neither was under test already, and it is not possible after all, in that one
            that does not give way leans on something.
    """

    nis: float
    dof: int
    alarmed: bool
    approach_m_s: float
    asked: bool


def touching_balls(truth: WorldTruth) -> Pairs:
    """Return the balls that touch each other."""
    return {frozenset((a, b)) for a, b, _ in truth.contacts if a.startswith("ball") and b.startswith("ball")}


def overlapping_balls(truth: WorldTruth, share: float = OVERLAP) -> Pairs:
    """Return the balls whose centres are nearer than `share` of their radii's sum."""
    rows = [row for row, name in enumerate(truth.names) if name.startswith("ball")]
    place, radius = truth.position[rows], truth.extent_m[rows, 0] / 2.0
    apart = np.linalg.norm(place[:, None] - place[None], axis=-1)
    inside = np.triu(apart < share * (radius[:, None] + radius), 1)
    return {frozenset((truth.names[rows[i]], truth.names[rows[j]])) for i, j in zip(*np.nonzero(inside), strict=True)}


def _meetings(truths: list[WorldTruth], what: What) -> Iterator[tuple[int, frozenset[str]]]:
    """Yield (frame, pair) of all that begin to touch; in an impossible world, of the impossible ones among them."""
    before: Pairs = set()
    still = _still(truths[1])
    for number, truth in enumerate(truths):
        touching = touching_balls(truth) if what != "ghostly" else overlapping_balls(truth, 1.0)
        for pair in sorted(touching - before, key=sorted):
            if what == "stubborn" and not pair & still:
                continue  # both were launched: these are as other balls
            if what != "ghostly" or _goes_through(truths[number:], pair):
                yield number, pair
        before = touching


def _still(truth: WorldTruth) -> set[str]:
    """Return the balls that lie still: right after the start they are those that were not launched."""
    return {
        name
        for name, velocity in zip(truth.names, truth.linear_velocity, strict=True)
        if name.startswith("ball") and float(np.linalg.norm(velocity)) < STILL_M_S
    }


def _goes_through(truths: list[WorldTruth], pair: frozenset[str]) -> bool:
    for truth in truths:
        if pair not in overlapping_balls(truth, 1.0):
            return False
        if pair in overlapping_balls(truth):
            return True
    return False


def impacts(log: EpisodeLog, what: What = "") -> Iterator[Impact]:
    """Yield every two balls that began to touch, or to go through each other where they are ``ghostly``."""
    frames = [frame for frame in log.frames if frame.record is not None and frame.belief is not None]
    alarms = [
        {event.object_id for event in frame.record.events if event.kind is EventKind.ALARM} if frame.record else set()
        for frame in frames
    ]
    truths = [frame.truth for frame in frames]
    for number, pair in _meetings(truths, what):
        frame = frames[number]
        if number < FIRST_FRAME or frame.belief is None or frame.record is None:
            continue
        ids = {name: object_id for object_id, name in names_of_objects(frame.belief, frame.truth).items()}
        mine = [ids[name] for name in sorted(pair) if name in ids]
        surprise = frame.record.surprise
        rows = {int(object_id): row for row, object_id in enumerate(surprise.object_id.tolist())}
        seen = [rows[i] for i in mine if i in rows and np.isfinite(surprise.nis[rows[i]])]
        both = len(seen) == len(pair)
        yield Impact(
            float(surprise.nis[seen].sum()) if both else 0.0,
            int(surprise.nis_dof[seen].sum()) if both else 0,
            not set().union(*alarms[number : number + LATEST_FRAMES]).isdisjoint(mine),
            _approach(truths[number - 1], pair),
            len(mine) == len(pair)
            and _known(frames[number - 1], mine)
            and not (what == "stubborn" and _leans(truths[number - 1], pair & _still(truths[1]), pair)),
        )


def _known(frame: Frame, object_ids: list[int]) -> bool:
    """Return whether all of these were held for balls at the end of the frame, and none was under test."""
    if frame.belief is None or frame.record is None:
        return False
    kinds = dict(zip(frame.belief.object_id.tolist(), frame.belief.kind, strict=True))
    return all(kinds.get(i) == "ball" and i not in frame.record.alarmed for i in object_ids)


def _leans(truth: WorldTruth, balls: frozenset[str], pair: frozenset[str]) -> bool:
    """Return whether one of the balls is within `LEANS_M` of a cushion, or of a ball that is not of the pair."""
    for ball in balls:
        row = truth.names.index(ball)
        radius = truth.extent_m[row, 0] / 2.0
        for other, name in enumerate(truth.names):
            if name in pair or not name.startswith(("ball", "fence")):
                continue
            away = truth.position[row] - truth.position[other]
            if name.startswith("ball"):
                gap = np.linalg.norm(away) - truth.extent_m[other, 0] / 2.0 - radius
            else:
                turned = Rotation.from_quat(truth.orientation_xyzw[other]).inv().apply(away)
                gap = np.linalg.norm((np.abs(turned) - truth.extent_m[other] / 2.0).clip(0.0)) - radius
            if gap < LEANS_M:
                return True
    return False


def _approach(truth: WorldTruth, pair: frozenset[str]) -> float:
    """Return how fast two balls approach each other along their line of centres when they touch, m/s.

    They go on evenly from the frame before; where they then just miss each other, it is at their nearest.
    """
    a, b = (truth.names.index(name) for name in sorted(pair))
    apart, velocity = truth.position[a] - truth.position[b], truth.linear_velocity[a] - truth.linear_velocity[b]
    reach = 0.5 * (truth.extent_m[a, 0] + truth.extent_m[b, 0])
    closing, speed2 = float(apart @ velocity), float(velocity @ velocity)
    root = closing**2 - speed2 * (float(apart @ apart) - reach**2)
    if root <= 0.0 or speed2 == 0.0:
        return 0.0
    touch = apart + velocity * max((-closing - root**0.5) / speed2, 0.0)
    return max(-float(touch @ velocity) / float(np.linalg.norm(touch)), 0.0)


def balls_of_the_table(registry: Registry) -> list[ObjectModel]:
    """Return the registry's balls, by looks and size, with the priors of this table's."""
    found: list[ObjectModel] = []
    for card in registry.cards():
        if card.kind == "ball":
            model = registry.fetch(card.model_id)
            priors = tuple(_prior(prior) for prior in card.parameters)
            found.append(type(model)(card.replace(parameters=priors)))
    return found


def _prior(prior: ParameterPrior) -> ParameterPrior:
    """Return the log-normal prior with the middle of the range, and as wide as what is drawn evenly from it."""
    low, high = MAY_BE[prior.name]
    middle = 0.5 * (low + high)
    return replace(prior, mean=middle, std=(high - low) / (12.0**0.5 * middle))


def collision_figures(options: BenchOptions) -> list[Figure]:
    """Return whether possible impacts are as surprising as they should be, and impossible ones an alarm."""
    torch.set_num_threads(1)
    rng = np.random.default_rng(options.seed)
    seeds = options.seeds_or(SEEDS, QUICK_SEEDS)
    registry = open_registry("builtin")
    models: list[str | ObjectModel] = [
        *(card.model_id for card in registry.cards(tag=STARTER_TAG)),
        *balls_of_the_table(registry),
    ]
    kinds: tuple[What, ...] = ("", "stubborn", "ghostly")
    found: dict[What, list[Impact]] = {what: [] for what in kinds}
    for seed in seeds:
        for what in kinds:
            found[what] += _played(what, seed, models, options)
    possible = [impact for impact in found[""] if impact.asked]
    seen = [impact for impact in possible if impact.dof]
    share = np.array([impact.nis / impact.dof for impact in seen])
    dof = sum(impact.dof for impact in seen)
    low, high = (float(stats.chi2.ppf(q, dof)) / dof for q in (0.025, 0.975)) if dof else (1.0, 1.0)
    mean = bootstrap([share], lambda sample: float(np.mean(sample)), rng)
    told = {"median": float(np.median(share)), "median of a chi-square": float(stats.chi2.median(12) / 12.0)}
    return [
        Figure.within(
            "collisions in Billiards: NIS of the frame after an impact over its degrees of freedom",
            mean.value, low, high, interval=mean.interval, n=mean.n, baselines=told,
        ),
        _false_alarms(found[""]),
        _noticed("alarms at collisions without a reaction", found["stubborn"]),
        _noticed("alarms where a ball goes through another", found["ghostly"]),
    ]  # fmt: skip


class _Onlooker(Agent):
    """A robot that stands where it is: nothing is asked of it, and planning would take half of the time."""

    def act(
        self, observation: Observation, record: StepRecord | None, rng: np.random.Generator
    ) -> Float[np.ndarray, " U"]:
        """Return no motion."""
        del observation, record, rng
        return np.zeros(_ACTION_DIM, dtype=np.float32)


def _played(what: What, seed: int, models: list[str | ObjectModel], options: BenchOptions) -> list[Impact]:
    """Return the impacts of an episode; with ``options.out`` they are kept there, and a run can be taken up again."""
    name = f"{what or 'possible'}-{seed}"
    options.tell(f"graph: {name} collisions")
    fields: dict[str, object] = {what: True} if what else {}

    def play() -> dict[str, object]:
        log = scenario_episode("Billiards", seed, FRAMES, fields, models, _Onlooker())
        return {"impacts": [asdict(impact) for impact in impacts(log, what)]}

    file = None if options.out is None else Path(options.out) / "collisions" / f"{name}.json"
    return [Impact(**row) for row in kept(file, {"frames": FRAMES}, PLAYED, play, also=_JUDGE)["impacts"]]


def _rate(of: list[Impact]) -> tuple[float, dict[str, object]]:
    hits = sum(i.alarmed for i in of)
    return hits / len(of) if of else float("nan"), {"interval": proportion_interval(hits, len(of)), "n": len(of)}


def _left_out(of: list[Impact]) -> dict[str, float]:
    return {"impacts left out: a ball under test, not known, or leaning": float(sum(not i.asked for i in of))}


def _false_alarms(of: list[Impact]) -> Figure:
    value, rest = _rate([impact for impact in of if impact.asked])
    return Figure.at_most("alarms at possible collisions", value, ALPHA, baselines=_left_out(of), **rest)


def _noticed(words: str, of: list[Impact]) -> Figure:
    asked = [impact for impact in of if impact.asked]
    value, rest = _rate([impact for impact in asked if impact.approach_m_s >= SHOWS_M_S])
    every = float(np.mean([impact.alarmed for impact in asked])) if asked else 0.0
    beside = {"however slow the approach": every, "n, however slow": float(len(asked))} | _left_out(of)
    words = f"{words}, approach of at least {SHOWS_M_S:g} m/s"
    return Figure.at_least(words, value, MISSED_BAR, baselines=beside, **rest)
