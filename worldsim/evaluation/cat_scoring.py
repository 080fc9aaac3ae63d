"""Scores one logged episode of the cat in the warehouse against the truth: one flat, JSON-able row a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from worldsim.evaluation.episode import EpisodeLog, Frame
from worldsim.evaluation.intruder import ForecastRow, forecasts_of_intruder, intruder_object_ids, intruder_row
from worldsim.evaluation.model_names import adopted_kind
from worldsim.types.record import Event, EventKind
from worldsim.types.truth import WorldTruth

__all__ = ["EpisodeScore", "ForecastScore", "score_episode"]

_SAME_TIME_S = 1e-3  # times of frames are sums of floats
_SCORED_ANYWAY_AFTER_S = 1.0  # where nothing is ever adopted: score from this long after first visibility


@dataclass(frozen=True, slots=True)
class ForecastScore:
    """Forecasts of the intruder 1 s ahead, the world model's and the constant-velocity tracker's, on the same frames.

    Attributes:
        n: number of forecasts scored.
        error_sum_m: sum of the world model's position errors; baseline_error_sum_m: of the tracker's.
        covered: how many of the 2 n horizontal coordinates lay within the world model's 90 % interval.
        baseline_covered: within the tracker's.
    """

    n: int = 0
    error_sum_m: float = 0.0
    baseline_error_sum_m: float = 0.0
    covered: int = 0
    baseline_covered: int = 0


@dataclass(frozen=True, slots=True)
class EpisodeScore:
    """What one episode adds to the benchmark. Times are s since reset, None where it did not happen.

    Attributes:
        seed: of the episode; kind: true kind of the intruder, ``none`` without one.
        seconds: simulated; wall_s: of the closed loop.
        first_visible_s: a sensor first had a line of sight to the intruder.
        alarm_s: first alarm on the intruder; false_alarms: alarms on anything else, and before it could be seen on
            what was taken for it later.
        touched: robot and intruder were in contact; gap_m: smallest distance between their hulls' discs.
        candidates: most model cards fetched for one query.
        adopted_s, adopted_kind, adopted_id: first adoption on the intruder, or without one on anything.
        novel_s: the intruder was declared to be of no known kind; published_id: the model published for it.
        models_before, models_after: loaded models before the intruder was first visible, and at the end.
        deliveries, deliveries_wanted: parcels delivered, and asked for.
        forecast: forecasts of the intruder 1 s ahead.
    """

    seed: int
    kind: str
    seconds: float
    wall_s: float
    first_visible_s: float | None
    alarm_s: float | None
    false_alarms: int
    touched: bool
    gap_m: float | None
    candidates: int
    adopted_s: float | None
    adopted_kind: str | None
    adopted_id: str | None
    novel_s: float | None
    published_id: str | None
    models_before: int
    models_after: int
    deliveries: int
    deliveries_wanted: int
    forecast: ForecastScore


def score_episode(log: EpisodeLog) -> EpisodeScore:
    """Score the episode against its truth."""
    ids = intruder_object_ids(log)
    visible = [f.time_s for f in log.frames if (row := intruder_row(f.truth)) is not None and f.truth.visible[row]]
    first_visible_s = visible[0] if visible else None
    told = [] if first_visible_s is None else [e for e in log.events() if e.time_s > first_visible_s - _SAME_TIME_S]
    alarms = [e for e in log.events() if e.kind is EventKind.ALARM]
    mine = {of: [e for e in told if e.kind is of and e.object_id in ids] for of in EventKind}
    kind = _intruder_kind(log) or "none"
    if kind == "none":
        mine[EventKind.ADOPTION] = [e for e in log.events() if e.kind is EventKind.ADOPTION]
    adoption, novel, publish = (_first(mine[k]) for k in (EventKind.ADOPTION, EventKind.NOVEL, EventKind.PUBLISH))
    alarm = _first(mine[EventKind.ALARM])
    scored_from_s = _scored_from(log, adoption, novel, first_visible_s)
    return EpisodeScore(
        seed=log.seed,
        kind=kind,
        seconds=log.duration_s,
        wall_s=log.wall_s,
        first_visible_s=first_visible_s,
        alarm_s=alarm.time_s if alarm else None,
        false_alarms=len(alarms) - len(mine[EventKind.ALARM]),
        touched=any(_touch(truth) for truth in log.truths),
        gap_m=_smallest_gap(log.truths),
        candidates=max((_candidates(e) for e in log.events()), default=0),
        adopted_s=adoption.time_s if adoption else None,
        adopted_kind=adopted_kind(adoption) if adoption else None,
        adopted_id=str(adoption.detail.get("model_id", "")) if adoption else None,
        novel_s=novel.time_s if novel else None,
        published_id=str(publish.detail.get("model_id", "")) if publish else None,
        models_before=_models_before(log, first_visible_s),
        models_after=_loaded(log.frames[-1], log),
        deliveries=log.frames[-1].deliveries,
        deliveries_wanted=log.deliveries_wanted,
        forecast=_summed(forecasts_of_intruder(log, scored_from_s)),
    )


def _summed(rows: Sequence[ForecastRow]) -> ForecastScore:
    return ForecastScore(
        n=len(rows),
        error_sum_m=sum(row.error_m for row in rows),
        baseline_error_sum_m=sum(row.baseline_error_m for row in rows),
        covered=sum(row.covered for row in rows),
        baseline_covered=sum(row.baseline_covered for row in rows),
    )


def _scored_from(
    log: EpisodeLog, adoption: Event | None, novel: Event | None, first_visible_s: float | None
) -> float | None:
    settled = [event.time_s for event in (adoption, novel) if event is not None]
    if settled:
        return min(settled)
    return None if first_visible_s is None else first_visible_s + _SCORED_ANYWAY_AFTER_S


def _intruder_kind(log: EpisodeLog) -> str | None:
    kinds = [f.truth.kinds[row] for f in log.frames if (row := intruder_row(f.truth)) is not None]
    return kinds[0] if kinds else None


def _touch(truth: WorldTruth) -> bool:
    return truth.intruder is not None and any({a, b} == {truth.ego, truth.intruder} for a, b, _ in truth.contacts)


def _smallest_gap(truths: Sequence[WorldTruth]) -> float | None:
    """Return the smallest horizontal distance between the centres less both inscribed radii, m."""
    gaps = []
    for truth in truths:
        row = intruder_row(truth)
        if row is None or truth.ego is None:
            continue
        own = truth.names.index(truth.ego)
        between = np.linalg.norm(truth.position[row, :2] - truth.position[own, :2])
        gaps.append(float(between - truth.extent_m[[row, own], :2].min(axis=1).sum() / 2))
    return min(gaps) if gaps else None


def _candidates(event: Event) -> int:
    return len(event.detail.get("model_ids", ())) if event.kind is EventKind.CANDIDATES else 0


def _models_before(log: EpisodeLog, first_visible_s: float | None) -> int:
    before = [f for f in log.frames if first_visible_s is not None and f.time_s < first_visible_s]
    return _loaded(before[-1], log) if before else len(log.starter_models)


def _loaded(frame: Frame, log: EpisodeLog) -> int:
    return len(frame.record.loaded_models) if frame.record is not None else len(log.starter_models)


def _first(events: Sequence[Event]) -> Event | None:
    return events[0] if events else None
