"""Finds the intruder in a logged episode, and lays the forecasts of it beside what came true."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from worldsim.evaluation.cat_trackers import ConstantVelocityTracker
from worldsim.evaluation.episode import BeliefSnapshot, EpisodeLog, ForecastSnapshot, Frame
from worldsim.types.truth import WorldTruth

__all__ = ["INTERVAL_90", "ForecastRow", "forecasts_of_intruder", "intruder_object_ids", "intruder_row", "standing_for"]

INTERVAL_90 = 1.6448536269514722
"""Half width of a Gaussian's central 90 % interval, in standard deviations."""

_SAME_THING_M = 1.0  # a belief farther from the true body than this is not of that body
_DETECTION_GATE_M = 0.8  # an intruder's detection scatters by centimetres; clutter lies metres away
_WARM_UP_DETECTIONS = 10  # half a second, so that the baseline has a velocity before it is scored


@dataclass(frozen=True, slots=True)
class ForecastRow:
    """One forecast of the intruder, the world model's and the constant-velocity tracker's, and what came true.

    Attributes:
        time_s: when it was made.
        error_m, baseline_error_m: distance of the mean from the true position at the horizon.
        covered, baseline_covered: how many of the 2 horizontal coordinates lay within the 90 % interval.
    """

    time_s: float
    error_m: float
    baseline_error_m: float
    covered: int
    baseline_covered: int


def intruder_row(truth: WorldTruth) -> int | None:
    """Return the intruder's row in the truth, None while there is none."""
    here = truth.intruder in truth.names and truth.intruder not in truth.absent
    return truth.names.index(truth.intruder) if here and truth.intruder is not None else None


def intruder_object_ids(log: EpisodeLog) -> set[int]:
    """Return the ids of every believed object that stood for the intruder in any frame.

    An object stands for the intruder where the intruder is the true body nearest to it, and near enough.
    """
    ids: set[int] = set()
    for frame in log.frames:
        row = intruder_row(frame.truth)
        if row is None or frame.belief is None or not len(frame.belief.object_id):
            continue
        match = standing_for(frame.belief.position, frame.truth, row)
        ids |= {int(i) for i in frame.belief.object_id[match]}
    return ids


def standing_for(position: Float[np.ndarray, "N 3"], truth: WorldTruth, row: int) -> Bool[np.ndarray, " N"]:
    """Return the [N] mask of positions whose nearest true body is the one at `row`."""
    to_intruder = np.linalg.norm(position - truth.position[row], axis=1)
    near = to_intruder < _SAME_THING_M
    if near.any():
        distance = np.linalg.norm(position[near][:, None] - truth.position[None], axis=2)
        near[near] = distance.argmin(axis=1) == row
    return near


def forecasts_of_intruder(log: EpisodeLog, from_s: float | None) -> list[ForecastRow]:
    """Return the forecasts of the intruder made at or after `from_s` (none where that is None) that came due.

    The tracker gets, in every frame, the detection nearest to the true intruder: it is spared every error of
    association. The world model is not; the forecast scored is that of the believed object nearest to the intruder.
    """
    tracker = ConstantVelocityTracker()
    rows: list[ForecastRow] = []
    for number, frame in enumerate(log.frames):
        row = intruder_row(frame.truth)
        if row is None or from_s is None:
            continue
        _correct_with_nearest(tracker, frame, frame.truth.position[row])
        ready = frame.time_s >= from_s and tracker.detections >= _WARM_UP_DETECTIONS
        if frame.forecast is None or frame.belief is None or not ready:
            continue
        due_s = float(frame.forecast.time_s[-1])
        later = _true_position_at(log.frames[number:], due_s, log.dt_s)
        mine = _forecast_of_intruder(frame.forecast, frame.belief, frame.truth, row)
        if later is not None and mine is not None:
            rows.append(_compare(frame.time_s, later, mine, tracker.forecast(due_s)))
    return rows


def _compare(
    time_s: float,
    later: Float[np.ndarray, "3"],
    mine: tuple[np.ndarray, np.ndarray],
    baseline: tuple[np.ndarray, np.ndarray],
) -> ForecastRow:
    (error, covered), (baseline_error, baseline_covered) = _judge(mine, later), _judge(baseline, later)
    return ForecastRow(time_s, error, baseline_error, covered, baseline_covered)


def _judge(forecast: tuple[np.ndarray, np.ndarray], later: Float[np.ndarray, "3"]) -> tuple[float, int]:
    mean, std = forecast
    return float(np.linalg.norm(mean - later)), int((np.abs(mean - later) <= INTERVAL_90 * std)[:2].sum())


def _correct_with_nearest(tracker: ConstantVelocityTracker, frame: Frame, where: np.ndarray) -> None:
    if frame.observation is None or not len(frame.observation.detections):
        return
    seen = frame.observation.detections
    distance = np.linalg.norm(seen.position - where, axis=1)
    nearest = int(distance.argmin())
    if distance[nearest] < _DETECTION_GATE_M:
        tracker.correct(frame.time_s, seen.position[nearest], seen.covariance[nearest, :3, :3])


def _forecast_of_intruder(
    forecast: ForecastSnapshot, belief: BeliefSnapshot, truth: WorldTruth, row: int
) -> tuple[np.ndarray, np.ndarray] | None:
    """Return mean and standard deviation at the horizon of the believed object that is nearest to the intruder now."""
    match = standing_for(belief.position, truth, row)
    ids = belief.object_id[match & np.isin(belief.object_id, forecast.object_id)]
    if not len(ids):
        return None
    now = np.array([belief.position[belief.row_of(int(i))] for i in ids])
    chosen = int(ids[np.linalg.norm(now - truth.position[row], axis=1).argmin()])
    column = int(np.flatnonzero(forecast.object_id == chosen)[0])
    return forecast.position[-1, column], forecast.position_std[-1, column]


def _true_position_at(frames: Sequence[Frame], time_s: float, dt_s: float) -> np.ndarray | None:
    for frame in frames:
        if abs(frame.time_s - time_s) < 0.5 * dt_s:
            row = intruder_row(frame.truth)
            return None if row is None else frame.truth.position[row]
    return None
