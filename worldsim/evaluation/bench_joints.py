"""``worldsim bench joints``: which joint holds a pair, from noisy poses of mechanisms in PyBullet at 60 Hz.

The scenario `Mechanisms` draws hinges, sliders and ball joints with axes in all directions, and boxes that tumble
freely between them. Which detection is whose is known; positions have a noise of 0.5 mm, orientations one of 0.1
degrees, each direction. A mechanism is judged after two seconds in which its leaf moved against its frame.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy import stats

from worldsim.dynamics import quaternion
from worldsim.evaluation.bench import BenchOptions, Figure, Interval
from worldsim.evaluation.bench_joints_baseline import LeastSquaresFit, fit_by_bic
from worldsim.evaluation.bench_joints_play import RATE_HZ, PairRecord, play
from worldsim.evaluation.calibration import expected_calibration_error
from worldsim.evaluation.statistics import bootstrap
from worldsim.graph.kinematics import FREE, JointPosterior, KinematicFilter
from worldsim.interactions.ball_joint import BallJoint
from worldsim.interactions.hinge import Hinge
from worldsim.interactions.slider import Slider
from worldsim.interactions.weld import Weld

POSITION_STD_M = 5e-4
ROTATION_STD_RAD = math.radians(0.1)
SEEDS, QUICK_SEEDS = range(1000, 1020), range(2)
MOTION_S = 2.0
"""A joint is judged after so much motion."""
STILL_RATE = 0.02
"""Below this rate (rad/s, or m/s of the leaf's centre) a leaf counts as still."""
AXIS_BAR_DEG = 3.0
TYPE_BAR, FALSE_BAR = 0.95, 0.01
SAID_FROM = 0.5
"""A free pair is falsely joined where kinds of joint together have more than this probability."""


@dataclass(frozen=True, slots=True)
class _Verdict:
    """What was found of one pair."""

    truth: str
    answer: str
    probability: np.ndarray
    axis_error_deg: float
    coverage: float
    baseline: LeastSquaresFit
    baseline_axis_deg: float


def bench_joints(options: BenchOptions) -> list[Figure]:
    """Return a figure for each promise about joints."""
    seeds = options.seeds_or(SEEDS, QUICK_SEEDS)
    verdicts: list[_Verdict] = []
    for seed in seeds:
        options.tell(f"joints: scene {seed}")
        rng = np.random.default_rng([options.seed, seed])
        verdicts += _judged(play(seed, mechanisms=10 if options.quick else 6, loose=2), rng)
    return _figures(verdicts, np.random.default_rng(options.seed))


def _judged(records: Sequence[PairRecord], rng: np.random.Generator) -> list[_Verdict]:
    """Run the filter over all pairs of a scene in one batch; judge each where it has moved for long enough."""
    poses = _noisy(records, rng)
    until = [_judged_at(record) for record in records]
    variances = [POSITION_STD_M**2] * 3 + [ROTATION_STD_RAD**2] * 3
    covariance = torch.diag(torch.tensor(variances, dtype=torch.float64)).expand(len(records), 6, 6)
    graph = KinematicFilter([Weld(), Hinge(), Slider(), BallJoint()])
    found: list[_Verdict] = []
    for frame in range(max(until) + 1):
        xs, qs, xt, qt = (pose[frame] for pose in poses)
        graph.observe(xs, qs, xt, qt, covariance, covariance, 1.0 / RATE_HZ)
        due = [row for row, last in enumerate(until) if last == frame]
        if due:
            posterior = graph.posterior()
            for row in due:
                seen = [pose[: frame + 1, row].numpy() for pose in poses]
                found.append(_verdict(records[row], posterior, row, seen))
    return found


def _noisy(records: Sequence[PairRecord], rng: np.random.Generator) -> list[torch.Tensor]:
    """Return source position, source orientation, target position, target orientation: [T, E, 3 or 4]."""
    poses = []
    for name in ("source", "target"):
        position = np.stack([getattr(record, f"{name}_position") for record in records], axis=1)
        orientation = np.stack([getattr(record, f"{name}_orientation_xyzw") for record in records], axis=1)
        shaken = torch.from_numpy(ROTATION_STD_RAD * rng.standard_normal(position.shape))
        poses.append(torch.from_numpy(position + POSITION_STD_M * rng.standard_normal(position.shape)))
        poses.append(quaternion.multiply(quaternion.exp(shaken), torch.from_numpy(orientation)))
    return poses


def _judged_at(record: PairRecord) -> int:
    """Return the frame by which the pair has moved for two seconds; the last one where it never does."""
    step = np.diff(record.target_position, axis=0)
    turn = quaternion.geodesic_angle(
        torch.from_numpy(record.target_orientation_xyzw[1:]), torch.from_numpy(record.target_orientation_xyzw[:-1])
    )
    rate = np.maximum(np.linalg.norm(step, axis=1), turn.numpy()) * RATE_HZ
    moved = np.cumsum(rate > STILL_RATE) / RATE_HZ
    return min(int(np.searchsorted(moved, MOTION_S)) + 1, len(record.target_position) - 1)


def _verdict(record: PairRecord, posterior: JointPosterior, row: int, seen: list[np.ndarray]) -> _Verdict:
    probability = posterior.probability[row].numpy()
    answer = posterior.kinds[int(probability.argmax())]
    xs, qs, xt, qt = seen
    fit = fit_by_bic(xs, qs, xt, qt, POSITION_STD_M, ROTATION_STD_RAD)
    error, covered, theirs = math.nan, math.nan, math.nan
    number = posterior.axis_row(record.kind) if record.kind in posterior.kinds else None
    if record.axis_source is not None and number is not None:
        axis = posterior.axes[number, row].numpy()
        error = _angle_deg(axis, record.axis_source)
        spread = float(posterior.axis_covariance[number, row].trace())
        # two equal directions: the squared angle over the mean variance is chi-square of 2
        covered = float(math.radians(error) ** 2 / (0.5 * spread) < stats.chi2.ppf(0.9, 2))
        theirs = _angle_deg(fit.axes[record.kind], record.axis_source)
    return _Verdict(record.kind, answer, probability, error, covered, fit, theirs)


def _angle_deg(first: np.ndarray, second: np.ndarray) -> float:
    return math.degrees(math.atan2(float(np.linalg.norm(np.cross(first, second))), abs(float(first @ second))))


def exact_share(hits: int, n: int) -> Interval | None:
    """Return the exact 95 % interval of a share (Clopper and Pearson)."""
    if n == 0:
        return None
    found = stats.binomtest(hits, n).proportion_ci(method="exact")
    return (float(found.low), float(found.high))


def _figures(verdicts: list[_Verdict], rng: np.random.Generator) -> list[Figure]:
    joints = [v for v in verdicts if v.truth != FREE]
    free = [v for v in verdicts if v.truth == FREE]
    figures = []
    for words, kinds in (("hinges and sliders", ("hinge", "slider")), ("ball joints", ("ball_joint",))):
        mine = [v for v in joints if v.truth in kinds]
        right, theirs = sum(v.answer == v.truth for v in mine), sum(v.baseline.kind == v.truth for v in mine)
        n = max(len(mine), 1)
        told = {"least squares + BIC": theirs / n}
        rest = {"interval": exact_share(right, len(mine)), "n": len(mine), "baselines": told}
        figures.append(Figure.at_least(f"kind right after 2 s of motion, {words}", right / n, TYPE_BAR, **rest))
    axes = [v for v in joints if math.isfinite(v.axis_error_deg)]
    errors = np.array([v.axis_error_deg for v in axes])
    theirs_deg = np.array([v.baseline_axis_deg for v in axes])
    good = int((errors <= AXIS_BAR_DEG).sum())
    told = {"least squares + BIC": float((theirs_deg <= AXIS_BAR_DEG).mean())}
    figures.append(
        Figure.at_least(
            "axis within 3 degrees", good / len(errors), TYPE_BAR,
            interval=exact_share(good, len(errors)), n=len(errors), baselines=told,
        )
    )  # fmt: skip
    for words, q in (("median", 0.5), ("95th percentile", 0.95)):
        told = {"least squares + BIC": float(np.quantile(theirs_deg, q))}
        value = float(np.quantile(errors, q))
        figures.append(Figure.told(f"axis error, {words}", value, unit="deg", n=len(errors), baselines=told))
    covered = [v.coverage for v in axes]
    interval = exact_share(int(sum(covered)), len(covered))
    words = "axes inside their 90 % cones"
    figures.append(Figure.told(words, float(np.mean(covered)), interval=interval, n=len(covered)))
    false = sum(1.0 - v.probability[0] > SAID_FROM for v in free)
    told = {"least squares + BIC": sum(v.baseline.kind != FREE for v in free) / max(len(free), 1)}
    rest = {"interval": exact_share(int(false), len(free)), "n": len(free), "baselines": told}
    figures.append(Figure.at_most("false joints among free pairs", false / max(len(free), 1), FALSE_BAR, **rest))
    return [*figures, _calibration(verdicts, rng)]


def _calibration(verdicts: list[_Verdict], rng: np.random.Generator) -> Figure:
    """Return the calibration error of the likeliest kind's probability, resampled over pairs."""
    said = np.array([v.probability.max() for v in verdicts]).clip(0.0, 1.0)
    right = np.array([v.answer == v.truth for v in verdicts])

    def error(rows: np.ndarray) -> float:
        picked = rows.astype(np.int64)
        return expected_calibration_error(said[picked], right[picked])

    found = bootstrap([np.arange(len(said), dtype=np.float64)], error, rng)
    words = "expected calibration error of the likeliest kind"
    return Figure.told(words, found.value, interval=found.interval, n=found.n)
