"""One tracked recording from file to figures, drawings and a run folder."""

from __future__ import annotations

import base64
import shlex
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup

from worldsim.errors import ConfigurationError, DataError
from worldsim.evaluation.bench import Figure
from worldsim.evaluation.calibration import consistency
from worldsim.evaluation.datasets import DATASETS, find_data
from worldsim.evaluation.jsonable import to_jsonable
from worldsim.evaluation.provenance import git_commit, machine, versions
from worldsim.evaluation.run_folder import RunFolder
from worldsim.evaluation.track import Tell, TrackedClip, follow, make_world_model
from worldsim.evaluation.track_crowd import crowd_figures, track_scene
from worldsim.evaluation.track_models import MODELS
from worldsim.evaluation.track_plots import draw_scene, draw_toss, draw_tosses, draw_track
from worldsim.evaluation.track_tosses import Toss, flight_figures, impact_figures, track_tosses
from worldsim.evaluation.transfer.page import figures_page
from worldsim.simulation.recordings import Clip, load_clips

__all__ = ["TrackResult", "track_recording"]

REPORT = "report.html"
_FIRST = ("tosses",)
"""Drawings of all clips at once, shown before those of single ones."""
_QUICK = {"cube-toss": 12, "planar-drop": 6, "elbow-toss": 2, "double-pendulum": 1, "crowd": 1}
_QUICK_FRAMES = 160
_FEW = {"elbow-toss": 12, "double-pendulum": 2}
"""Items followed where nobody names a number: recordings without a promise are shown, not swept."""


@dataclass(frozen=True, slots=True)
class TrackResult:
    """What one tracking run found.

    Attributes:
        recording: its name; split; quick: whether it was the smaller version.
        seconds: wall time, s.
        figures: what was measured.
        items: one entry a clip: its name and what is believed of its bodies at the end.
        folder: the run folder.
    """

    recording: str
    split: str
    quick: bool
    seconds: float
    figures: tuple[Figure, ...]
    items: tuple[Mapping[str, Any], ...]
    folder: Path

    @property
    def holds(self) -> bool:
        """Whether every figure that promises something keeps it."""
        return all(figure.holds for figure in self.figures)

    def report(self) -> dict[str, Any]:
        """Return the one JSON object that the command prints."""
        return {
            "track": self.recording,
            "split": self.split,
            "quick": self.quick,
            "commit": git_commit(),
            "versions": versions(),
            "machine": machine(),
            "seconds": round(self.seconds, 3),
            "figures": [to_jsonable(figure) for figure in self.figures],
            "items": [to_jsonable(item) for item in self.items],
            "folder": str(self.folder),
        }


def track_recording(
    recording: str,
    *,
    split: str | None = None,
    data: Path | None = None,
    items: int | None = None,
    quick: bool = False,
    seed: int = 0,
    out: Path | None = None,
    tell: Tell = lambda line: None,
) -> TrackResult:
    """Run the world model over a recording; write drawings, figures and events to a run folder.

    Args:
        recording: one of `worldsim.evaluation.datasets.RECORDINGS`.
        split: ``train``, ``dev`` or ``all``; by default ``dev`` where there is one.
        data: a file in the published format, by default the published one.
        items: only the first so many clips.
        quick: a smaller version.
        seed: shuffles detections, draws forecasts and bootstraps.
        out: the run folder.
        tell: progress, a line at a time.

    Raises:
        UnknownNameError: no such recording or split.
        DataError: the file is missing or of another format.
        ConfigurationError: no clip is left to track.
    """
    started = time.monotonic()
    path = data if data is not None else find_data(_dataset_of(recording))
    clips = _chosen(recording, path, split, items, quick)
    split = split or (clips[0].split if len({clip.split for clip in clips}) == 1 else "all")
    config = {"recording": recording, "split": split, "data": str(path), "clips": len(clips), "quick": quick}
    with RunFolder(out, name=f"track-{recording}", config=config, seed=seed) as run:
        figures, entries = _METHODS[recording](recording, clips, seed, run, tell)
        result = TrackResult(
            recording, split, quick, time.monotonic() - started, tuple(figures), tuple(entries), run.path
        )
        run.write_metrics({"figures": [to_jsonable(f) for f in figures], "items": list(entries)})
        given = {"split": split, "data": data, "items": items, "seed": seed or None}
        flags = "".join(f" --{name} {shlex.quote(str(value))}" for name, value in given.items() if value is not None)
        command = f"worldsim track {recording}{flags}{' --quick' if quick else ''}"
        run.write_text(REPORT, _page(result, len(clips), command, data))
    return result


def _page(result: TrackResult, clips: int, command: str, data: Path | None) -> str:
    """Return the page with the figures and, embedded, every drawing of the run's folder."""
    drawings = []
    for path in sorted(result.folder.glob("*.png"), key=lambda path: (path.stem not in _FIRST, path.stem)):
        picture = base64.b64encode(path.read_bytes()).decode("ascii")
        drawings.append((path.stem, Markup('<img alt="{}" src="data:image/png;base64,{}">').format(path.stem, picture)))
    lead = (
        f"The unchanged world model over {clips} clips of {result.recording} ({result.split}), frame by frame: "
        "predicted against observed, and how surprised it was. What each figure means: docs/data.md."
    )
    if data is not None:
        lead += f" What is scored: {data}."
    return figures_page(f"Tracking {result.recording}", lead, result.figures, drawings, command, quick=result.quick)


def _dataset_of(recording: str) -> str:
    return next((name for name, entry in DATASETS.items() if entry.recording == recording), recording)


def _chosen(recording: str, path: Path, split: str | None, items: int | None, quick: bool) -> list[Clip]:
    clips = load_clips(recording, path)
    if split is None and any(clip.split == "dev" for clip in clips):
        split = "dev"
    clips = load_clips(recording, path, split)
    wanted = items if items is not None else _QUICK[recording] if quick else _FEW.get(recording)
    clips = clips[:wanted]
    if not clips:
        raise ConfigurationError(
            f"nothing to track: {path} holds no {recording} recording."
            if items is None
            else f"nothing to track: {items} items of recording {recording} asked for."
        )
    if quick and recording in ("crowd", "double-pendulum"):
        return [clip.first(_QUICK_FRAMES) for clip in clips]
    return list(clips)


Outcome = tuple[list[Figure], list[dict[str, Any]]]


def _tosses(recording: str, clips: Sequence[Clip], seed: int, run: RunFolder, tell: Tell) -> Outcome:
    tosses = track_tosses(recording, clips, seed, tell)
    figures = flight_figures(tosses, np.random.default_rng(seed)) + impact_figures(tosses)
    draw_tosses(tosses, run.path / "tosses.png")
    for toss in _typical(tosses):
        draw_toss(toss, run.path / f"{toss.clip.name}.png")
    return figures, [_entry(toss) for toss in tosses]


def _typical(tosses: Sequence[Toss]) -> list[Toss]:
    """Return the tosses of the smallest, the median and the largest error in flight."""
    scored = [toss for toss in tosses if toss.flight.any()]
    ranked = sorted(scored, key=lambda toss: float(toss.track.error_m[toss.flight].mean()))
    return list({toss.clip.name: toss for toss in (ranked[0], ranked[len(ranked) // 2], ranked[-1])}.values())


def _entry(toss: Toss) -> dict[str, Any]:
    track, flight = toss.track, toss.flight
    return {
        "name": toss.clip.name,
        "taken_for": track.kind,
        "flight_frames": int(flight.sum()),
        "flight_error_m": float(track.error_m[flight].mean()) if flight.any() else None,
        "flight_nis_mean": float(track.nis[flight].mean()) if flight.any() else None,
        "impact_s": None if toss.impact is None else float(toss.clip.time_s[toss.impact]),
        "alarm_s": float(track.time_s[track.alarmed.argmax()]) if track.alarmed.any() else None,
        "beliefs": to_jsonable(track.parameters),
    }


def _crowd(recording: str, clips: Sequence[Clip], seed: int, run: RunFolder, tell: Tell) -> Outcome:
    del recording
    figures: list[Figure] = []
    entries = []
    for clip in clips:
        scene = track_scene(clip, seed, tell)
        figures += crowd_figures(scene, np.random.default_rng(seed))
        draw_scene(scene, run.path / f"{clip.name}.png")
        for event in scene.tracked.events:
            run.write_event(event, clip=clip.name)
        noise_m = float(np.sqrt(clip.covariance[0, 0, 0]))
        entries.append({"name": clip.name, "walkers": len(clip.bodies), "annotation_noise_m": noise_m})
        tell(f"{clip.name}: done")
    return figures, entries


def _general(recording: str, clips: Sequence[Clip], seed: int, run: RunFolder, tell: Tell) -> Outcome:
    models = MODELS[recording]()
    tracked: list[TrackedClip] = []
    for clip in clips:
        tracked.append(follow(clip, make_world_model(models, seed), [m.card for m in models], seed, tell=tell))
        for event in tracked[-1].events:
            run.write_event(event, clip=clip.name)
        tell(f"{clip.name}: done")
    tracks = [track for item in tracked for track in item.tracks]
    for track in tracked[0].tracks:
        draw_track(track, run.path / f"{track.body.replace('/', '-')}.png", f"{tracked[0].clip.name}: {track.body}")
    nis = np.concatenate([t.nis[np.isfinite(t.nis)] for t in tracks])
    error = np.concatenate([t.error_m[np.isfinite(t.error_m)] for t in tracks])
    turn = np.concatenate([t.rotation_error_rad[np.isfinite(t.rotation_error_rad)] for t in tracks])
    if len(nis) == 0:
        raise DataError("track: nothing in these clips was seen twice, so that there is nothing to score.")
    test = consistency(nis, tracks[0].nis_dof)
    figures = [
        Figure.told("position error one frame ahead, mean", float(error.mean()), unit="m", n=len(error)),
        Figure.told("rotation error one frame ahead, mean", float(turn.mean()), unit="rad", n=len(turn)),
        Figure.told("NIS, median", test.median, n=test.n, baselines={"chi-square": test.expected_median}),
    ]
    return figures, [_beliefs(item) for item in tracked]


def _beliefs(item: TrackedClip) -> dict[str, Any]:
    return {"name": item.clip.name, "beliefs": {t.body: to_jsonable(t.parameters) for t in item.tracks}}


_METHODS: Mapping[str, Callable[[str, Sequence[Clip], int, RunFolder, Tell], Outcome]] = {
    "cube-toss": _tosses,
    "planar-drop": _tosses,
    "elbow-toss": _general,
    "double-pendulum": _general,
    "crowd": _crowd,
}
