"""Tosses through the world model: what it makes of free flight, of impacts, and of friction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from scipy.spatial.transform import Rotation

from worldsim.errors import DataError
from worldsim.evaluation.bench import Figure
from worldsim.evaluation.calibration import consistency
from worldsim.evaluation.statistics import bootstrap
from worldsim.evaluation.track import Tell, Track, TrackedClip, follow, make_world_model
from worldsim.evaluation.track_models import MODELS
from worldsim.simulation.recordings import Clip
from worldsim.simulation.recordings.clip import side_by_side

__all__ = ["Toss", "flight_figures", "free_flight", "impact_figures", "track_tosses"]

_CLEAR_M = 3e-3  # a hundred times the measurement noise
_FIRST_SCORED = 2  # a velocity is known after two frames
_SPACING_M = 2.0  # between tosses played at once; they reach 0.4 m
_AT_ONCE = 41
_FLIGHT_ERROR_BAR_M = 5e-4
_BEFORE_IMPACT, _AFTER_IMPACT = 1, 3  # frames about the end of free flight in which the impact shows


@dataclass(frozen=True, slots=True)
class Toss:
    """One toss after the loop has run over it.

    Attributes:
        clip: as recorded.
        track: the cube's.
        flight: [T] frames of free flight, at which the prediction rests on two frames or more.
    """

    clip: Clip
    track: Track
    flight: Bool[np.ndarray, " T"]

    @property
    def impact(self) -> int | None:
        """Frame at which free flight first ends, None where it never does."""
        clear = _clear(self.clip)
        ends = np.flatnonzero(~clear)
        return int(ends[0]) if len(ends) else None


def free_flight(clip: Clip) -> Bool[np.ndarray, " T"]:
    """Return the frames in which nothing touches the box: no corner within 3 mm of the floor, nor just before or after.

    Read off the recorded poses alone.
    """
    clear = _clear(clip)
    padded = np.concatenate([clear[:1], clear, clear[-1:]])
    return padded[:-2] & padded[1:-1] & padded[2:]


def _clear(clip: Clip) -> Bool[np.ndarray, " T"]:
    turn = Rotation.from_quat(clip.orientation_xyzw[:, 0]).as_matrix()
    reach = 0.5 * (np.abs(turn[:, 2, :]) * clip.extent_m[0]).sum(-1)
    return np.asarray(clip.position[:, 0, 2] - reach > _CLEAR_M)


def track_tosses(recording: str, clips: Sequence[Clip], seed: int, tell: Tell) -> list[Toss]:
    """Follow every toss with a fresh belief, many at once on boards that stand apart (longest together)."""
    models = MODELS[recording]()
    cards = [model.card for model in models]
    order = sorted(range(len(clips)), key=lambda i: len(clips[i]))
    found: dict[int, Toss] = {}
    for first in range(0, len(order), _AT_ONCE):
        chosen = order[first : first + _AT_ONCE]
        batch = [clips[i] for i in chosen]
        tracked = follow(side_by_side(batch, _SPACING_M), make_world_model(models, seed), cards, seed)
        found |= {i: _toss(clips[i], tracked, n) for n, i in enumerate(chosen)}
        tell(f"{recording}: {len(found)} of {len(clips)} tosses")
    return [found[i] for i in range(len(clips))]


def _toss(clip: Clip, tracked: TrackedClip, column: int) -> Toss:
    frames, offset = len(clip), np.array([0.0, _SPACING_M * column, 0.0])
    t = tracked.tracks[column]
    track = Track(
        t.body,
        t.time_s[:frames],
        t.observed[:frames] - offset,
        t.predicted[:frames] - offset,
        t.predicted_std_m[:frames],
        t.rotation_error_rad[:frames],
        t.nis[:frames],
        t.nis_dof,
        t.excess_nats[:frames],
        t.log_e[:frames],
        t.threshold_nats,
        t.alarmed[:frames],
        t.parameters,
        t.kind,
    )
    flight = free_flight(clip) & (np.arange(frames) >= _FIRST_SCORED) & np.isfinite(track.nis)
    return Toss(clip, track, flight)


def flight_figures(tosses: Sequence[Toss], rng: np.random.Generator) -> list[Figure]:
    """Return the figures of free flight, pooled over the tosses."""
    nis = np.concatenate([toss.track.nis[toss.flight] for toss in tosses])
    if len(nis) == 0:
        raise DataError(
            "track: no frame of free flight was predicted in these clips, so that there is nothing to score."
        )
    errors = [toss.track.error_m[toss.flight] for toss in tosses]
    straight = [_last_displacement(toss) for toss in tosses]
    test = consistency(nis, tosses[0].track.nis_dof)
    scored = int(sum(toss.flight[_FIRST_SCORED:].sum() for toss in tosses))
    expected = int(sum(free_flight(toss.clip)[_FIRST_SCORED:].sum() for toss in tosses))
    mean_error = bootstrap([np.array([e.mean() for e in errors if len(e)])], _mean, rng)
    turn = np.concatenate([toss.track.rotation_error_rad[toss.flight] for toss in tosses])
    return [
        Figure.within("NIS in free flight, mean", test.mean, *test.bounds, n=test.n, baselines={"expected": test.dof}),
        Figure.told(
            "NIS in free flight, median", test.median, n=test.n, baselines={"chi-square": test.expected_median}
        ),
        Figure.told(
            "NIS in free flight, share inside its two-sided 95 % bounds",
            test.share_inside,
            n=test.n,
            baselines={"chi-square": test.level},
        ),
        Figure.at_most(
            "position error one frame ahead in free flight, mean over tosses",
            mean_error.value,
            _FLIGHT_ERROR_BAR_M,
            unit="m",
            interval=mean_error.interval,
            n=mean_error.n,
            baselines={"last displacement": _mean(np.array([e.mean() for e in straight if len(e)]))},
        ),
        Figure.told("position error one frame ahead in free flight, largest", float(np.concatenate(errors).max()),
                    unit="m", n=scored),
        Figure.told("rotation error one frame ahead in free flight, mean", float(turn.mean()), unit="rad", n=len(turn)),
        Figure.told("share of free-flight frames predicted", scored / max(expected, 1), n=expected),
    ]  # fmt: skip


def impact_figures(tosses: Sequence[Toss]) -> list[Figure]:
    """Return how surprising impacts were beside free flight."""
    struck = [toss for toss in tosses if toss.impact is not None]
    peaks = np.array([_peak(toss) for toss in struck])
    flying = np.concatenate([toss.track.excess_nats[toss.flight] for toss in tosses])
    alarmed = [bool(toss.track.alarmed[toss.impact :].any()) for toss in struck]
    early = [bool(toss.track.alarmed[: toss.impact].any()) for toss in tosses]
    return [
        Figure.told("excess surprisal at the first impact, median", _median(peaks), unit="nats",
                    n=len(peaks), baselines={"in free flight": _median(flying)}),
        Figure.told("share of tosses with an alarm at or after an impact", _share(alarmed), n=len(alarmed)),
        Figure.told("share of tosses with an alarm before the first impact", _share(early), n=len(early)),
    ]  # fmt: skip


def _peak(toss: Toss) -> float:
    assert toss.impact is not None
    window = toss.track.excess_nats[max(toss.impact - _BEFORE_IMPACT, 0) : toss.impact + _AFTER_IMPACT + 1]
    return float(np.nanmax(window)) if np.isfinite(window).any() else float("nan")


def _last_displacement(toss: Toss) -> Float[np.ndarray, " n"]:
    """Return the errors in free flight of going on by the last displacement."""
    place = toss.clip.position[:, 0]
    error = np.full(len(place), np.nan)
    error[2:] = np.linalg.norm(place[2:] - 2.0 * place[1:-1] + place[:-2], axis=-1)
    return error[toss.flight]


def _median(values: Float[np.ndarray, " n"]) -> float:
    known = values[np.isfinite(values)]
    return float(np.median(known)) if len(known) else float("nan")


def _share(yes: Sequence[bool]) -> float:
    return float(np.mean(yes)) if len(yes) else float("nan")


def _mean(values: Float[np.ndarray, " n"]) -> float:
    return float(values.mean())
