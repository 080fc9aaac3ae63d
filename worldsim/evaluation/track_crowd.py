"""Pedestrians through the world model: where it expects people 1.2 s ahead, and how sure it is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import stats

from worldsim.errors import DataError
from worldsim.evaluation.bench import Figure
from worldsim.evaluation.statistics import cluster_bootstrap
from worldsim.evaluation.track import Tell, TrackedClip, follow, make_world_model
from worldsim.evaluation.track_models import MODELS
from worldsim.loop import WorldModel
from worldsim.simulation.recording import Recording
from worldsim.simulation.recordings import CALIBRATION_SHARE, Clip
from worldsim.types.record import StepRecord

__all__ = ["Ahead", "TrackedScene", "crowd_figures", "frames_ahead", "seconds_ahead", "track_scene", "turning"]

_HORIZON_S = 1.2  # three keyframes at 2.5 Hz
_LEVEL = 0.9
_TURN_M_S = 0.35  # a change of velocity within a keyframe that is a turn, a stop or a start


@dataclass(frozen=True, slots=True)
class Ahead:
    """Predictions of everybody's place `frames_ahead`, NaN where none was made.

    Attributes:
        mean: [T, N, 2] m, made at frame t for frame t + k.
        std: [T, N, 2] m of the predicted place.
    """

    mean: Float[np.ndarray, "T N 2"]
    std: Float[np.ndarray, "T N 2"]


@dataclass(frozen=True, slots=True)
class TrackedScene:
    """A scene after the loop has run over it, twice.

    Attributes:
        tracked: what the world model predicted one frame ahead, and its surprise.
        person: its predictions 1.2 s ahead; tracker: those of the same loop with a constant-velocity model.
    """

    tracked: TrackedClip
    person: Ahead
    tracker: Ahead


def frames_ahead(clip: Clip) -> int:
    """Return how many frames of a scene are 1.2 s, to the nearest one."""
    return max(round(_HORIZON_S / _frame_s(clip)), 1)


def seconds_ahead(clip: Clip) -> str:
    """Return how long these frames last, as it is told beside what is measured there."""
    return f"{frames_ahead(clip) * _frame_s(clip):.3g} s"


def _frame_s(clip: Clip) -> float:
    return float(np.median(np.diff(clip.time_s)))


def track_scene(clip: Clip, seed: int, tell: Tell) -> TrackedScene:
    """Follow one scene with the person model, and again with a constant-velocity model."""
    models = MODELS["crowd"]()
    ahead = {}
    tracked = {}
    for tracker in ("world_model", "constant_velocity"):
        shape = (*clip.position.shape[:2], 2)
        ahead[tracker] = Ahead(np.full(shape, np.nan), np.full(shape, np.nan))
        note = _Forecaster(clip, ahead[tracker])
        model = make_world_model(models, seed, tracker)
        tracked[tracker] = follow(clip, model, [m.card for m in models], seed, note, tell)
    return TrackedScene(tracked["world_model"], ahead["world_model"], ahead["constant_velocity"])


class _Forecaster:
    """After each step, asks the model where everybody will be."""

    def __init__(self, clip: Clip, ahead: Ahead) -> None:
        """Write what the model says about `clip` to `ahead`."""
        self.ahead = ahead
        self.dt_s, self.frames = _frame_s(clip), frames_ahead(clip)

    def __call__(self, model: WorldModel, world: Recording, record: StepRecord) -> None:
        """Note the forecasts of this frame; whoever the model lost is expected to stay."""
        bodies, t = world.detected_bodies(), world.frame
        here = world.observe().detections.position[:, :2]
        self.ahead.mean[t, bodies], self.ahead.std[t, bodies] = here, 0.0
        body_of = {
            int(i): int(bodies[d])
            for i, d in zip(record.association.object_id, record.association.detection, strict=True)
            if d >= 0
        }
        if not body_of:
            return
        forecast = model.forecast(self.frames * self.dt_s, self.dt_s)
        mean, std = forecast.position[-1, :, :2].cpu().numpy(), forecast.position_std[-1, :, :2].cpu().numpy()
        for n, object_id in enumerate(forecast.object_id.tolist()):
            if object_id in body_of:
                self.ahead.mean[t, body_of[object_id]] = mean[n]
                self.ahead.std[t, body_of[object_id]] = std[n]


@dataclass(frozen=True, slots=True)
class _Scored:
    """The n predictions of one scene that count, beside what came.

    Attributes:
        person, tracker, straight: [n] errors in m: of the person model, of the same loop with a constant-velocity
            model, and of going on by the last displacement.
        inside: [n] the place was in the person model's 90 % ellipse.
        walker: [n] who.
    """

    person: Float[np.ndarray, " n"]
    tracker: Float[np.ndarray, " n"]
    straight: Float[np.ndarray, " n"]
    inside: Bool[np.ndarray, " n"]
    walker: Int[np.ndarray, " n"]


def _score(scene: TrackedScene) -> _Scored:
    """Score every walker at every frame at which he was seen now, one frame ago and 1.2 s later.

    The frames that the annotation noise was measured on are left out.
    """
    clip, k = scene.tracked.clip, frames_ahead(scene.tracked.clip)
    place = clip.position[..., :2]
    now, before, later = place[1:-k], place[: -k - 1], place[1 + k :]
    counts = np.isfinite(now[..., 0]) & np.isfinite(before[..., 0]) & np.isfinite(later[..., 0])
    counts[: int(CALIBRATION_SHARE * len(clip))] = False
    straight = now + k * (now - before)
    noise = clip.covariance[:, [0, 1], [0, 1]]
    person, tracker = scene.person, scene.tracker
    variance = person.std[1:-k] ** 2 + noise
    miss = person.mean[1:-k] - later
    distance = ((miss**2) / variance).sum(-1)
    return _Scored(
        np.linalg.norm(miss, axis=-1)[counts],
        np.linalg.norm(tracker.mean[1:-k] - later, axis=-1)[counts],
        np.linalg.norm(straight - later, axis=-1)[counts],
        (distance <= stats.chi2.ppf(_LEVEL, 2))[counts],
        np.broadcast_to(np.arange(place.shape[1]), counts.shape)[counts],
    )


def crowd_figures(scene: TrackedScene, rng: np.random.Generator) -> list[Figure]:
    """Return the figures of one scene; the bar is the better of the two constant-velocity models."""
    name, scored, ahead = scene.tracked.clip.name, _score(scene), seconds_ahead(scene.tracked.clip)
    if len(scored.person) == 0:
        raise DataError(
            f"track: nobody in scene {name!r} is seen now, one keyframe ago and {ahead} later, the first "
            f"{CALIBRATION_SHARE:.0%} of its time left out, so that there is nothing to score."
        )
    straight, tracker = float(scored.straight.mean()), float(scored.tracker.mean())
    low, high = _by_walker(scored.person, scored.walker, rng)
    gap = scored.person - scored.straight
    turned, steady = _surprise_of_turns(scene)
    n = len(scored.person)
    return [
        Figure.at_most(
            f"{name}: position error {ahead} ahead",
            float(scored.person.mean()),
            min(straight, tracker),
            unit="m",
            interval=(low, high),
            n=n,
            baselines={"constant velocity (last displacement)": straight, "constant velocity (same loop)": tracker},
        ),
        Figure.told(
            f"{name}: difference to the last displacement", float(gap.mean()), unit="m",
            interval=_by_walker(gap, scored.walker, rng), n=n,
        ),
        Figure.within(f"{name}: coverage of 90 % regions {ahead} ahead", float(scored.inside.mean()), 0.85, 0.95,
                      interval=_by_walker(scored.inside.astype(np.float64), scored.walker, rng), n=n),
        Figure.told(f"{name}: excess surprisal where people turn, stop or start, median", _median(turned),
                    unit="nats", n=len(turned), baselines={"where they go on": _median(steady)}),
    ]  # fmt: skip


def _median(values: Float[np.ndarray, " n"]) -> float:
    return float(np.median(values)) if len(values) else float("nan")


def _by_walker(
    values: Float[np.ndarray, " n"], walker: Int[np.ndarray, " n"], rng: np.random.Generator
) -> tuple[float, float]:
    """Return the 95 % interval of the mean when whole walkers are resampled: their frames are not independent."""
    return cluster_bootstrap([values[walker == each] for each in np.unique(walker)], np.mean, rng).interval


def turning(clip: Clip) -> Bool[np.ndarray, "T N"]:
    """Return where a walker's velocity changes by more than 0.35 m/s from one keyframe to the next.

    A change of velocity is told apart from the annotator's noise by three of its standard deviations.
    """
    step = np.diff(clip.position[..., :2], axis=0) / np.diff(clip.time_s)[:, None, None]
    change = np.full(clip.position.shape[:2], np.nan)
    change[2:] = np.linalg.norm(np.diff(step, axis=0), axis=-1)
    noise = np.sqrt(6.0 * clip.covariance[:, 0, 0]) / _frame_s(clip)
    with np.errstate(invalid="ignore"):
        return np.asarray(change > np.maximum(_TURN_M_S, 3.0 * noise))


def _surprise_of_turns(scene: TrackedScene) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " m"]]:
    excess = np.stack([track.excess_nats for track in scene.tracked.tracks], axis=1)
    turns = turning(scene.tracked.clip)
    known = np.isfinite(excess)
    return excess[turns & known], excess[~turns & known]
