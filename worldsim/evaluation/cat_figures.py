"""From the rows of the benchmark `cat` to its figures, each with its interval and its baselines."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from worldsim.evaluation.bench import Figure
from worldsim.evaluation.cat_jobs import CatRow, Variant
from worldsim.evaluation.cat_scoring import EpisodeScore
from worldsim.evaluation.statistics import proportion_interval

__all__ = ["cat_figures", "poisson_interval"]

BASELINES: tuple[Variant, ...] = ("surprise_off", "constant_velocity")

_ALARM_WITHIN_S = 0.5
_ADOPTED_WITHIN_S = 3.0
_RESAMPLES = 2000
_LEVEL = 0.95


@dataclass(frozen=True, slots=True)
class _Share:
    """How many of how many."""

    hits: int
    n: int

    @property
    def value(self) -> float:
        return self.hits / self.n if self.n else float("nan")


def poisson_interval(count: int, exposure: float) -> tuple[float, float] | None:
    """Return the exact 95 % interval of a rate from `count` events in `exposure`, None where that is 0.

    >>> low, high = poisson_interval(0, 2.0)
    >>> low, round(high, 3)
    (0.0, 1.844)
    """
    if exposure <= 0.0:
        return None
    tail = (1.0 - _LEVEL) / 2.0
    low = float(stats.chi2.ppf(tail, 2 * count)) / 2.0 if count else 0.0
    return low / exposure, float(stats.chi2.ppf(1.0 - tail, 2 * (count + 1))) / 2.0 / exposure


def cat_figures(
    rows: Sequence[CatRow], timed: Sequence[CatRow], rng: np.random.Generator, *, quick: bool = False
) -> list[Figure]:
    """Return one figure for each promise.

    Args:
        rows: of all jobs that ended.
        timed: of those that ran with nothing beside them, for the real-time factor.
        rng: draws the bootstraps.
        quick: promises that a minute cannot measure are told without a bar.
    """
    with_intruder = {
        v: [r for r in rows if r.variant == v and r.intruder != "none"] for v in ("world_model", *BASELINES)
    }
    ours = with_intruder["world_model"]

    def share(name: str, count: Callable[[Sequence[CatRow]], _Share], bar: float, *, short: bool = False) -> Figure:
        found = count(ours)
        others = {v: _known(count(with_intruder[v]).value) for v in BASELINES}
        rest = {"interval": proportion_interval(found.hits, found.n), "n": found.n, "baselines": others}
        if quick and (short or not found.n):
            return Figure.told(name, found.value, **rest)
        return Figure.at_least(name, found.value, bar, **rest)

    return [
        share("alarm within 0.5 s of first visibility", _alarmed, 0.98),
        _false_alarms(rows, with_intruder, quick=quick),
        _largest("robot touched intruder (runs)", with_intruder, lambda s: float(s.touched), sum, 0),
        _largest("candidates fetched (most)", with_intruder, lambda s: float(s.candidates), max, 8),
        share("right kind adopted within 3 s", _adopted, 0.95),
        share("loaded models = before + 1", _one_more, 1.0, short=True),
        share("withheld kind: novel", _novel, 0.90, short=True),
        share("withheld kind: published", _published, 0.90, short=True),
        share("withheld kind: recognised again", _recognised, 0.95, short=True),
        _error_ratio(with_intruder, rng, quick=quick),
        _coverage(with_intruder, rng, quick=quick),
        share("deliveries completed", _delivered, 0.95, short=True),
        _real_time(timed, rng),
    ]


def _alarmed(rows: Sequence[CatRow]) -> _Share:
    seen = [r.first for r in rows if r.first.first_visible_s is not None]
    return _Share(sum(_within(s.first_visible_s, s.alarm_s, _ALARM_WITHIN_S) for s in seen), len(seen))


def _adopted(rows: Sequence[CatRow]) -> _Share:
    known = [r.first for r in rows if r.known and r.first.first_visible_s is not None]
    right = [s.adopted_kind == s.kind and _within(s.alarm_s, s.adopted_s, _ADOPTED_WITHIN_S) for s in known]
    return _Share(sum(right), len(known))


def _one_more(rows: Sequence[CatRow]) -> _Share:
    seen = [r.first for r in rows if r.first.first_visible_s is not None]
    return _Share(sum(s.models_after == s.models_before + 1 for s in seen), len(seen))


def _novel(rows: Sequence[CatRow]) -> _Share:
    return _of_withheld(rows, lambda r: r.first.novel_s is not None)


def _published(rows: Sequence[CatRow]) -> _Share:
    return _of_withheld(rows, lambda r: r.first.published_id is not None)


def _recognised(rows: Sequence[CatRow]) -> _Share:
    """Recognised: the first model adopted at the next meeting is the one that was published at the first."""

    def same(row: CatRow) -> bool:
        published, adopted = row.first.published_id, row.next.adopted_id if row.next is not None else None
        return published is not None and adopted is not None and _plain(published) == _plain(adopted)

    return _of_withheld(rows, same)


def _of_withheld(rows: Sequence[CatRow], test: Callable[[CatRow], bool]) -> _Share:
    met = [r for r in rows if not r.known and r.first.first_visible_s is not None]
    return _Share(sum(test(r) for r in met), len(met))


def _delivered(rows: Sequence[CatRow]) -> _Share:
    return _Share(sum(r.first.deliveries for r in rows), sum(r.first.deliveries_wanted for r in rows))


def _false_alarms(rows: Sequence[CatRow], with_intruder: dict[Variant, list[CatRow]], *, quick: bool) -> Figure:
    """Alarms an hour without an intruder; the baselines' are alarms on other things in their runs with one."""
    quiet = [r.first for r in rows if r.variant == "world_model" and r.intruder == "none"]
    count, hours = sum(s.false_alarms for s in quiet), sum(s.seconds for s in quiet) / 3600.0
    others = {
        v: _rate(sum(r.first.false_alarms for r in found), sum(r.first.seconds for r in found) / 3600.0)
        for v, found in with_intruder.items()
        if v != "world_model"
    }
    name = f"false alarms per hour ({hours:.2f} h quiet)"
    rest = {"unit": "1/h", "interval": poisson_interval(count, hours), "n": count, "baselines": others}
    value = _rate(count, hours)
    return Figure.told(name, _nan(value), **rest) if quick else Figure.at_most(name, _nan(value), 1.0, **rest)


def _largest(
    name: str,
    with_intruder: dict[Variant, list[CatRow]],
    read: Callable[[EpisodeScore], float],
    over: Callable[[list[float]], float],
    bar: float,
) -> Figure:
    values = {v: [read(r.first) for r in found] for v, found in with_intruder.items()}
    reached = {v: over(found) if found else float("nan") for v, found in values.items()}
    others = {v: _known(reached[v]) for v in BASELINES}
    return Figure.at_most(name, reached["world_model"], bar, n=len(values["world_model"]), baselines=others)


def _error_ratio(with_intruder: dict[Variant, list[CatRow]], rng: np.random.Generator, *, quick: bool) -> Figure:
    sums = {
        v: np.array([(r.first.forecast.error_sum_m, r.first.forecast.baseline_error_sum_m) for r in found]).reshape(
            -1, 2
        )
        for v, found in with_intruder.items()
    }
    ratios = {v: _ratio(found) for v, found in sums.items()}
    name, value = "1 s ahead: error over Kalman tracker's", ratios["world_model"]
    rest = {
        "interval": _bootstrap(sums["world_model"], rng),
        "n": sum(r.first.forecast.n for r in with_intruder["world_model"]),
        "baselines": {v: _known(ratios[v]) for v in BASELINES},
    }
    return Figure.told(name, value, **rest) if quick else Figure.at_most(name, value, 0.6, **rest)


def _coverage(with_intruder: dict[Variant, list[CatRow]], rng: np.random.Generator, *, quick: bool) -> Figure:
    sums = {
        v: np.array([(r.first.forecast.covered, 2 * r.first.forecast.n) for r in found], dtype=float).reshape(-1, 2)
        for v, found in with_intruder.items()
    }
    tracker = [(r.first.forecast.baseline_covered, 2 * r.first.forecast.n) for r in with_intruder["world_model"]]
    others: dict[str, float | None] = {v: _known(_ratio(sums[v])) for v in BASELINES}
    others["kalman_tracker"] = _known(_ratio(np.array(tracker, dtype=float).reshape(-1, 2)))
    name, value = "1 s ahead: 90 % intervals hold", _ratio(sums["world_model"])
    rest = {
        "interval": _bootstrap(sums["world_model"], rng),
        "n": sum(r.first.forecast.n for r in with_intruder["world_model"]),
        "baselines": others,
    }
    return Figure.told(name, value, **rest) if quick else Figure.within(name, value, 0.85, 0.95, **rest)


def _real_time(timed: Sequence[CatRow], rng: np.random.Generator) -> Figure:
    times = {
        v: np.array([(r.first.seconds, r.first.wall_s) for r in timed if r.variant == v]).reshape(-1, 2)
        for v in ("world_model", *BASELINES)
    }
    return Figure.at_least(
        "real-time factor at 20 Hz, nothing beside it",
        _ratio(times["world_model"]),
        1.0,
        interval=_bootstrap(times["world_model"], rng),
        n=len(times["world_model"]),
        baselines={v: _known(_ratio(times[v])) for v in BASELINES},
    )


def _ratio(pairs: np.ndarray) -> float:
    """Return the ratio of the sums of the two columns of [n, 2]."""
    above, below = pairs.sum(axis=0)
    return float(above / below) if below > 0.0 else float("nan")


def _bootstrap(pairs: np.ndarray, rng: np.random.Generator) -> tuple[float, float] | None:
    """Return the percentile interval of `_ratio`, whole runs resampled: the frames of one run are not independent."""
    if len(pairs) < 2 or pairs[:, 1].sum() <= 0.0:
        return None
    drawn = pairs[rng.integers(len(pairs), size=(_RESAMPLES, len(pairs)))].sum(axis=1)
    ratios = drawn[drawn[:, 1] > 0.0]
    low, high = np.quantile(ratios[:, 0] / ratios[:, 1], [(1.0 - _LEVEL) / 2.0, (1.0 + _LEVEL) / 2.0])
    return float(low), float(high)


def _within(earlier: float | None, later: float | None, limit_s: float) -> bool:
    return earlier is not None and later is not None and later - earlier <= limit_s + 1e-6


def _rate(count: int, hours: float) -> float | None:
    return count / hours if hours > 0.0 else None


def _known(value: float) -> float | None:
    return value if np.isfinite(value) else None


def _nan(value: float | None) -> float:
    return float("nan") if value is None else value


def _plain(model_id: str) -> str:
    return model_id.partition("@")[0]
