"""Drawings of a tracked recording: predicted against observed, and where it was surprising."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.ticker import MaxNLocator
from scipy import stats

from worldsim.evaluation.track import Track
from worldsim.evaluation.track_crowd import TrackedScene, frames_ahead, seconds_ahead, turning
from worldsim.evaluation.track_tosses import Toss

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Drawing

__all__ = ["draw_scene", "draw_toss", "draw_tosses", "draw_track"]

_SEEN, _SAID, _SURPRISE, _QUIET = "#2b2b2b", "#1f6fb4", "#d1495b", "#9aa5b1"
_DPI = 130
_WINDOW_S = 24.0  # of a crowd scene that is drawn


def draw_track(track: Track, path: Path, title: str, flight: np.ndarray | None = None) -> Path:
    """Draw one body: the three coordinates, the error one frame ahead, NIS, and the e-detector."""
    drawing, axes = _canvas(4, 1, (9.0, 9.5), sharex=True)
    t = track.time_s
    for axis, colour in zip(range(3), ("#1f6fb4", "#3a8f5c", "#b5651d"), strict=True):
        axes[0].plot(t, track.observed[:, axis], ".", color=colour, ms=3, label=f"{'xyz'[axis]} observed")
        axes[0].plot(t, track.predicted[:, axis], "-", color=colour, lw=1, label=f"{'xyz'[axis]} predicted")
    axes[0].set_ylabel("position, m")
    axes[0].legend(ncols=3, fontsize=7, frameon=False)
    axes[1].semilogy(t, 1e3 * np.maximum(track.error_m, 1e-7), color=_SAID)
    axes[1].set_ylabel("error one frame ahead, mm")
    low, high = stats.chi2.ppf([0.025, 0.975], track.nis_dof)
    axes[2].axhspan(low, high, color="#dce6f0", label="95 % of a chi-square value")
    axes[2].semilogy(t, np.maximum(track.nis, 1e-2), color=_SAID)
    axes[2].set_ylabel("NIS")
    axes[2].legend(fontsize=7, frameon=False)
    axes[3].plot(t, track.log_e, color=_SURPRISE)
    axes[3].axhline(track.threshold_nats, color=_SURPRISE, ls=":", lw=1)
    axes[3].set_ylabel("e-detector, nats")
    axes[3].set_xlabel("time, s")
    for ax in axes:
        if flight is not None and flight.any():
            _shade(ax, t, flight, "#eef3e6")
        _shade(ax, t, track.alarmed, "#fbe3e6")
    drawing.suptitle(title, fontsize=10)
    return _save(drawing, path)


def draw_toss(toss: Toss, path: Path) -> Path:
    """Draw one toss; free flight is shaded green, alarm and test red."""
    return draw_track(toss.track, path, f"{toss.clip.name}: free flight green, under alarm or test red", toss.flight)


def draw_tosses(tosses: Sequence[Toss], path: Path) -> Path:
    """Draw all tosses at once: NIS and error in flight, surprise about the impact, friction toss by toss."""
    drawing, axes = _canvas(2, 2, (11.0, 7.5))
    (calm, error), (impact, friction) = axes
    dof = tosses[0].track.nis_dof
    nis = np.concatenate([toss.track.nis[toss.flight] for toss in tosses])
    grid = np.linspace(0.0, 25.0, 200)
    calm.hist(np.minimum(nis, 25.0), bins=50, range=(0, 25), density=True, color=_QUIET)
    calm.plot(grid, stats.chi2.pdf(grid, dof), color=_SAID, label=f"chi-square, {dof} degrees of freedom")
    calm.set(xlabel="NIS in free flight (25 and more in the last bar)", ylabel="density")
    calm.legend(fontsize=8, frameon=False)
    errors = 1e3 * np.concatenate([toss.track.error_m[toss.flight] for toss in tosses])
    error.hist(np.minimum(errors, 1.0), bins=50, range=(0, 1), color=_QUIET)
    error.axvline(0.5, color=_SURPRISE, ls=":", label="0.5 mm")
    error.set(xlabel="position error one frame ahead in free flight, mm", ylabel="frames")
    error.legend(fontsize=8, frameon=False)
    _draw_impact(impact, tosses)
    _draw_friction(friction, tosses)
    return _save(drawing, path)


def _draw_impact(ax: Axes, tosses: Sequence[Toss]) -> None:
    before, after = 8, 12
    rows = []
    for toss in tosses:
        if toss.impact is not None:
            row = np.full(before + after + 1, np.nan)
            first, last = max(toss.impact - before, 0), min(toss.impact + after + 1, len(toss.track.time_s))
            row[first - toss.impact + before : last - toss.impact + before] = toss.track.excess_nats[first:last]
            rows.append(row)
    table = np.array(rows).reshape(-1, before + after + 1)
    frames = np.arange(-before, after + 1)
    known = np.isfinite(table).any(axis=0)
    ax.set(xlabel="frames since free flight first ended", ylabel="excess surprisal, nats")
    if not known.any():  # nothing ever touched the floor
        return
    low, middle, high = np.nanquantile(table[:, known], [0.1, 0.5, 0.9], axis=0)
    ax.fill_between(frames[known], low, high, color="#f3d3d8", label="10 to 90 % of tosses")
    ax.plot(frames[known], middle, color=_SURPRISE, label="median")
    ax.set_yscale("symlog", linthresh=10.0)
    ax.legend(fontsize=8, frameon=False)


def _draw_friction(ax: Axes, tosses: Sequence[Toss]) -> None:
    found = [(n, toss.track.parameters["friction"]) for n, toss in enumerate(tosses) if toss.track.parameters]
    if found:
        where = np.array([n for n, _ in found])
        middle = np.array([belief.median for _, belief in found])
        ends = np.array([[belief.median - belief.low, belief.high - belief.median] for _, belief in found]).T
        ax.errorbar(where, middle, yerr=ends, fmt=".", color=_SAID, ms=3, lw=0.6)
    ax.set(xlabel="toss", ylabel="belief of friction (90 %)", ylim=(0.0, 1.0))
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))


def draw_scene(scene: TrackedScene, path: Path) -> Path:
    """Draw a stretch of a scene from above, coloured by surprise, and how often the regions were right."""
    drawing, (above, cover) = _canvas(1, 2, (12.0, 5.5), gridspec_kw={"width_ratios": [1.6, 1.0]})
    clip = scene.tracked.clip
    busiest = int(np.convolve(clip.present.sum(1), np.ones(_frames(scene)), mode="valid").argmax())
    rows = np.arange(busiest, min(busiest + _frames(scene), len(clip)))
    turns = turning(clip)
    excess = np.stack([track.excess_nats for track in scene.tracked.tracks], axis=1)
    shown = None
    for n in np.flatnonzero(clip.present[rows].any(axis=0)):
        path_seen = clip.position[rows, n, :2]
        above.plot(*path_seen.T, "-", color=_QUIET, lw=0.8, zorder=1)
        shown = above.scatter(*path_seen.T, c=excess[rows, n], s=9, cmap="coolwarm", vmin=-10, vmax=10, zorder=2)
        turned = turns[rows, n]
        above.scatter(*path_seen[turned].T, s=60, facecolors="none", edgecolors=_SEEN, lw=0.8, zorder=3)
        for t in rows[::6]:
            if np.isfinite(scene.person.mean[t, n, 0]) and t + frames_ahead(clip) < len(clip):
                ends = np.stack([clip.position[t, n, :2], scene.person.mean[t, n]])
                above.plot(*ends.T, color=_SAID, lw=0.7, alpha=0.7, zorder=1)
    above.set(xlabel="x, m", ylabel="y, m", aspect="equal")
    told = f"{clip.name}: colour = excess surprisal, circles = turns, blue = expected {seconds_ahead(clip)} ahead"
    above.set_title(told, fontsize=9)
    if shown is not None:
        drawing.colorbar(shown, ax=above, label="excess surprisal, nats", shrink=0.8)
    _draw_coverage(cover, scene)
    return _save(drawing, path)


def _draw_coverage(ax: Axes, scene: TrackedScene) -> None:
    clip, k = scene.tracked.clip, frames_ahead(scene.tracked.clip)
    noise = clip.covariance[:, [0, 1], [0, 1]]
    miss = scene.person.mean[:-k] - clip.position[k:, :, :2]
    distance = (miss**2 / (scene.person.std[:-k] ** 2 + noise)).sum(-1)
    distance = distance[np.isfinite(distance) & (scene.person.std[:-k, :, 0] > 0.0)]
    levels = np.linspace(0.05, 0.99, 40)
    ax.plot([0, 1], [0, 1], color=_QUIET, lw=1)
    ax.plot(levels, [(distance <= stats.chi2.ppf(level, 2)).mean() for level in levels], color=_SAID)
    ax.axvline(0.9, color=_SURPRISE, ls=":", lw=1)
    told = f"stated probability of the region, {seconds_ahead(clip)} ahead"
    ax.set(xlabel=told, ylabel="share inside", aspect="equal")


def _frames(scene: TrackedScene) -> int:
    step_s = float(np.median(np.diff(scene.tracked.clip.time_s)))
    return min(max(int(_WINDOW_S / step_s), 1), len(scene.tracked.clip))


def _shade(ax: Axes, time_s: np.ndarray, where: np.ndarray, colour: str) -> None:
    edges = np.diff(np.concatenate([[False], where, [False]]).astype(int))
    for first, last in zip(np.flatnonzero(edges == 1), np.flatnonzero(edges == -1) - 1, strict=True):
        ax.axvspan(time_s[first], time_s[last], color=colour, zorder=0, lw=0)


def _canvas(rows: int, columns: int, size: tuple[float, float], **options: Any) -> tuple[Drawing, np.ndarray]:
    """Return a drawing that needs no screen and no global state."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure as Drawing

    drawing = Drawing(figsize=size, layout="constrained")
    FigureCanvasAgg(drawing)
    return drawing, drawing.subplots(rows, columns, **options)


def _save(drawing: Drawing, path: Path) -> Path:
    drawing.savefig(path, dpi=_DPI)
    return path
