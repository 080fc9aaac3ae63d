"""What lies in what in `Containers`: the graph of the world model, frame by frame, against the exact poses.

The whole loop runs at 60 Hz on detections without ids, missed and made up now and then, with a noise of 0.5 mm in each
direction, 0.1 degrees about each axis and 2 % in each edge length. Crates are carried and pushed about with what is in
them, things are put in and taken out, and others lie beside, in the way, and under a bench. Sizes and places are those
of the belief; the truth is where a content's centre really is in a container's room.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float
from scipy.spatial.transform import Rotation

from worldsim.evaluation.bench import BenchOptions, Figure
from worldsim.evaluation.bench_graph_support import RATE_HZ, SENSOR, scenario_episode
from worldsim.evaluation.calibration import expected_calibration_error
from worldsim.evaluation.episode import EpisodeLog
from worldsim.evaluation.graph_run import JudgedFrame, judge, stated_and_happened
from worldsim.evaluation.graph_scoring import Edge, names_of_objects
from worldsim.evaluation.statistics import bootstrap

__all__ = ["containment_figures"]

SEEDS, QUICK_SEEDS = range(1000, 1020), range(1)
SECONDS, QUICK_SECONDS = 8.0, 4.0
KIND = "containment"
F1_BAR = 0.95
THRESHOLD = 0.5

_Poses = tuple[Float[np.ndarray, "N 3"], Float[np.ndarray, "N 4"], Float[np.ndarray, "N 3"]]
_Rule = Callable[[_Poses], Bool[np.ndarray, "N N"]]


def containment_figures(options: BenchOptions) -> list[Figure]:
    """Return F1 of containment over whole episodes, and how honest its probabilities are, resampled by episode."""
    torch.set_num_threads(1)
    seconds = QUICK_SECONDS if options.quick else SECONDS
    counts: list[np.ndarray] = []
    ruled: dict[str, list[np.ndarray]] = {name: [] for name in _RULES}
    outcomes = []
    for seed in options.seeds_or(SEEDS, QUICK_SEEDS):
        options.tell(f"graph: containment, seed {seed}")
        fields = {"sensor": SENSOR, "frame_s": 1.0 / RATE_HZ}
        log = scenario_episode("Containers", seed, round(seconds * RATE_HZ), fields)
        judged = judge(log)
        counts.append(np.sum([frame.counts(KIND, THRESHOLD) for frame in judged], axis=0))
        outcomes.append(stated_and_happened(judged, KIND))
        for name, (rule, exact) in _RULES.items():
            ruled[name].append(_by_rule(log, judged, rule, exact=exact))
    rng = np.random.default_rng(options.seed)
    rows = np.array(counts, dtype=np.float64)
    numbers = np.arange(len(rows), dtype=np.float64)
    found = bootstrap([numbers], lambda picked: f1(rows[picked.astype(int)]), rng)
    beside = {name: f1(np.array(each, dtype=np.float64)) for name, each in ruled.items()}
    words = f"F1 of containment in Containers, 60 Hz, noise 0.5 mm, {seconds:g} s an episode"

    def error(picked: np.ndarray) -> float:
        said, there = zip(*(outcomes[int(i)] for i in picked), strict=True)
        return expected_calibration_error(np.concatenate(said), np.concatenate(there))

    honest = bootstrap([numbers], error, rng)
    return [
        Figure.at_least(words, found.value, F1_BAR, interval=found.interval, n=found.n, baselines=beside),
        Figure.told("containment in Containers: calibration error", honest.value, interval=honest.interval, n=honest.n),
    ]


def f1(counts: Float[np.ndarray, "n 3"]) -> float:
    """Return the F1 of summed numbers of edges found, invented and missed."""
    found, invented, missed = counts.reshape(-1, 3).sum(axis=0)
    return float(2.0 * found / max(2.0 * found + invented + missed, 1.0))


def _by_rule(log: EpisodeLog, judged: Sequence[JudgedFrame], rule: _Rule, *, exact: bool) -> np.ndarray:
    """Return how many containments a rule finds, invents and misses, on the belief or on the exact poses."""
    total = np.zeros(3, dtype=np.int64)
    frames = {frame.time_s: frame for frame in log.frames}
    for each in judged:
        frame = frames[each.time_s]
        if frame.belief is None:
            continue
        named = names_of_objects(frame.belief, frame.truth)
        if exact:
            truth, known = frame.truth, set(named.values())
            inside, names = rule((truth.position, truth.orientation_xyzw, truth.extent_m)), truth.names
        else:
            belief, known = frame.belief, set(named.values())
            inside = rule((belief.position, belief.orientation_xyzw, belief.extent_m))
            names = tuple(named.get(int(i), "") for i in belief.object_id)
        said: set[Edge] = {(names[i], names[j]) for i, j in zip(*np.nonzero(inside), strict=True)}
        said = {(a, b) for a, b in said if a in known and b in known}
        there = each.there[KIND]
        total += (len(said & there), len(said - there), len(there - said))
    return total


def _in_the_box(poses: _Poses) -> Bool[np.ndarray, "N N"]:
    """Return where the centre of the second is in the box of the first, which is larger, edge for edge."""
    position, orientation, extent = poses
    axes = Rotation.from_quat(orientation).as_matrix()
    centre = np.einsum("ijk,ika->ija", position[None] - position[:, None], axes)
    inside = (np.abs(centre) < 0.5 * extent[:, None]).all(-1)
    edges = np.sort(extent, axis=1)
    return np.asarray(inside & (edges[None] < edges[:, None]).all(-1))


def _near(poses: _Poses) -> Bool[np.ndarray, "N N"]:
    """Return where the second is nearer to the first, which is larger, than half the first's diagonal."""
    position, _, extent = poses
    apart = np.linalg.norm(position[None] - position[:, None], axis=-1)
    edges = np.sort(extent, axis=1)
    near = apart < 0.5 * np.linalg.norm(extent, axis=1)[:, None]
    return np.asarray(near & (edges[None] < edges[:, None]).all(-1))


_RULES: dict[str, tuple[_Rule, bool]] = {
    "proximity, on the same belief": (_near, False),
    "in the box, on the same belief": (_in_the_box, False),
    "in the box, on the exact poses": (_in_the_box, True),
}
"""What a simple rule is asked of, and whether it is told the exact poses."""
