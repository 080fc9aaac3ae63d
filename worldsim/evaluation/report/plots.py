"""The report's plots over time, as SVG that follows the page's light or dark colours."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from worldsim.evaluation.episode import EpisodeLog
from worldsim.evaluation.intruder import forecasts_of_intruder, intruder_row, standing_for
from worldsim.evaluation.model_names import by_kind
from worldsim.evaluation.report.palette import ROLES
from worldsim.evaluation.report.story import subject
from worldsim.types.record import EventKind

__all__ = ["Plot", "error_plot", "posterior_plot", "style", "surprise_plot", "svg", "time_plot"]

_SHOWN_CANDIDATES = 5
_SERIES = ("s1", "s2", "s3", "s4", "s5")
_CURVE_POINTS = 700  # more points than the page has pixels only make it heavy


@dataclass(frozen=True, slots=True)
class Plot:
    """One plot.

    Attributes:
        svg: the drawing.
        left, right: share of the drawing's width at which its time axis begins and ends; NaN without one.
        start_s, end_s: the times there.
    """

    svg: str
    left: float = float("nan")
    right: float = float("nan")
    start_s: float = 0.0
    end_s: float = 0.0


def surprise_plot(log: EpisodeLog) -> Plot:
    """Draw each object's evidence against its model (log W, nats) over time, with the alarm level."""
    records = [frame.record for frame in log.frames if frame.record is not None]
    figure, axes = time_plot(log, height=3.1)
    if not records:
        return _empty(figure, axes, "no world model ran")
    level = records[-1].surprise.alarm_threshold_nats
    traces: dict[int, list[tuple[float, float]]] = {}
    for record in records:
        for object_id, value in zip(record.surprise.object_id, record.surprise.log_e_value, strict=True):
            traces.setdefault(int(object_id), []).append((record.time_s, float(value)))
    alarmed = {event.object_id for event in log.events() if event.kind is EventKind.ALARM}
    for object_id, points in traces.items():
        loud = object_id in alarmed
        curve = np.array(_thinned(points, 1 if loud else len(traces)))
        colour, width, opacity = (ROLES["alarm"], 1.8, 1.0) if loud else (ROLES["muted"], 0.6, 0.45)
        axes.plot(curve[:, 0], curve[:, 1], color=colour, lw=width, alpha=opacity, zorder=4 if loud else 2)
    axes.axhline(level, color=ROLES["alarm"], lw=1.0, ls=(0, (4, 3)))
    axes.text(log.frames[-1].time_s, level, "alarm level ", color=ROLES["alarm"], va="bottom", ha="right", size=8)
    _scale_to_level(axes, level, max(float(np.max(record.surprise.log_e_value, initial=0.0)) for record in records))
    axes.set_ylabel("evidence against\nthe model (nats)")
    _mark_events(axes, log)
    return _finished(figure, axes)


def posterior_plot(log: EpisodeLog) -> Plot | None:
    """Draw the probability of each kind over time for the story's subject; None where nothing was tested."""
    who = subject(log)
    if who is None:
        return None
    records = [frame.record for frame in log.frames if frame.record is not None]
    rows = [(record.time_s, record.hypotheses[who]) for record in records if who in record.hypotheses]
    if not rows:
        return None
    shares = [(time_s, by_kind(posterior)) for time_s, posterior in rows]
    best: dict[str, float] = {}
    for _, posterior in shares:
        for kind, share in posterior.items():
            best[kind] = max(best.get(kind, 0.0), share)
    last = shares[-1][1]
    names = sorted(best, key=lambda kind: -best[kind])[:_SHOWN_CANDIDATES]
    shown = sorted(names, key=lambda kind: -last.get(kind, 0.0))
    times = np.array([time_s for time_s, _ in shares])
    figure, axes = time_plot(log, height=2.6)
    span = max(times[-1] - times[0], 0.3)
    axes.set_xlim(times[0] - 0.05 * span, times[-1] + 0.35 * span)
    for kind, role in zip(shown, _SERIES, strict=False):
        p = np.array([posterior.get(kind, np.nan) for _, posterior in shares])
        axes.plot(times, p, color=ROLES[role], lw=2.2 if kind == shown[0] else 1.3, label=_label(kind, p[-1]))
        axes.plot(times[-1], p[-1], "o", ms=3.5, color=ROLES[role])
    axes.set_ylim(-0.03, 1.03)
    axes.set_ylabel("probability")
    axes.legend(loc="center right", frameon=False, fontsize=8, labelcolor=ROLES["ink"], handlelength=1.4)
    return _finished(figure, axes)


def error_plot(log: EpisodeLog) -> Plot | None:
    """Draw how far the belief of the intruder is off, now and 1 s ahead; None where no intruder was believed in."""
    now = []
    for frame in log.frames:
        row = intruder_row(frame.truth)
        if row is None or frame.belief is None:
            continue
        match = standing_for(frame.belief.position, frame.truth, row)
        if match.any():
            off = np.linalg.norm(frame.belief.position[match] - frame.truth.position[row], axis=1).min()
            now.append((frame.time_s, float(off)))
    if not now:
        return None
    figure, axes = time_plot(log, height=2.8)
    curve = np.array(now)
    ahead = forecasts_of_intruder(log, curve[0, 0])
    if ahead:
        made = [row.time_s for row in ahead]
        axes.plot(
            made,
            [row.baseline_error_m for row in ahead],
            color=ROLES["baseline"],
            lw=1.3,
            label="1 s ahead, constant velocity",
        )
        axes.plot(made, [row.error_m for row in ahead], color=ROLES["belief"], lw=1.8, label="1 s ahead, world model")
    axes.plot(curve[:, 0], curve[:, 1], color=ROLES["muted"], lw=1.0, label="now, world model")
    axes.set_ylim(bottom=0.0)
    axes.set_ylabel("position error of\nthe intruder (m)")
    axes.legend(loc="upper left", frameon=False, fontsize=8, labelcolor=ROLES["ink"], handlelength=1.4)
    _mark_events(axes, log)
    return _finished(figure, axes)


def time_plot(log: EpisodeLog, height: float) -> tuple[Figure, Axes]:
    """Return an empty figure with a time axis over the whole episode."""
    figure = Figure(figsize=(8.6, height))
    axes = figure.add_axes((0.085, 0.17, 0.9, 0.78))
    style(axes)
    axes.set_xlim(log.frames[0].time_s, max(log.frames[-1].time_s, log.frames[0].time_s + log.dt_s))
    axes.set_xlabel("time (s)")
    return figure, axes


def style(axes: Axes) -> None:
    """Give the axes the house's look."""
    axes.set_facecolor("none")
    axes.grid(color=ROLES["grid"], lw=0.7)
    axes.set_axisbelow(True)
    axes.tick_params(colors=ROLES["muted"], labelsize=8, length=0)
    for side, spine in axes.spines.items():
        spine.set_visible(side == "bottom")
        spine.set_color(ROLES["grid"])
    for label in (axes.xaxis.label, axes.yaxis.label):
        label.set(color=ROLES["muted"], size=8.5)


def svg(figure: Figure) -> str:
    """Return the figure as inline SVG: no prologue, page's font, roles as CSS variables."""
    buffer = io.StringIO()
    # A fixed salt makes the same run give the same bytes.
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "worldsim"}):
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r'<svg [^>]*?viewBox="([^"]+)"[^>]*>', r'<svg viewBox="\1" role="img">', text, count=1)
    text = re.sub(r"(font: [\d.]+px) [^;\"]+", r"\1 system-ui, sans-serif", text)
    for role, stand_in in ROLES.items():
        text = text.replace(stand_in, f"var(--{role})")
    return text


def _scale_to_level(axes: Axes, level: float, highest: float) -> None:
    """Show the range up to the alarm level linearly and what lies above it by its logarithm."""
    level = max(level, 1.0)
    axes.set_yscale("symlog", linthresh=level, linscale=1.3)
    above = [tick for tick in (10, 30, 100, 300, 1000, 3000, 10_000) if 1.2 * level < tick <= 1.2 * highest]
    axes.set_yticks([0.0, round(level / 2, 1), *above])
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.minorticks_off()
    axes.set_ylim(bottom=-0.08 * level, top=max(1.5 * level, 1.3 * highest))


def _finished(figure: Figure, axes: Axes) -> Plot:
    box = axes.get_position()
    start_s, end_s = axes.get_xlim()
    return Plot(svg(figure), float(box.x0), float(box.x1), float(start_s), float(end_s))


def _empty(figure: Figure, axes: Axes, why: str) -> Plot:
    axes.text(0.5, 0.5, why, transform=axes.transAxes, ha="center", color=ROLES["muted"])
    return _finished(figure, axes)


def _mark_events(axes: Axes, log: EpisodeLog) -> None:
    roles = {EventKind.ALARM: "alarm", EventKind.ADOPTION: "settled", EventKind.NOVEL: "settled"}
    who = subject(log)
    for event in log.events():
        if event.object_id == who and event.kind in roles:
            axes.axvline(event.time_s, color=ROLES[roles[event.kind]], lw=0.9, alpha=0.7)
            before = event.kind is EventKind.ALARM
            axes.text(
                event.time_s, 1.0, "alarm " if before else f" {event.kind.value}", va="top", size=8,
                ha="right" if before else "left", color=ROLES[roles[event.kind]], transform=axes.get_xaxis_transform(),
            )  # fmt: skip


def _thinned(points: Sequence[tuple[float, float]], curves: int) -> Sequence[tuple[float, float]]:
    """Return at most `_CURVE_POINTS` of a curve (fewer where there are many curves), each the largest of its bin."""
    most = max(120, _CURVE_POINTS * 6 // max(curves, 6))
    if len(points) <= most:
        return points
    return [max(chunk, key=lambda point: point[1]) for chunk in _chunks(points, -(-len(points) // most))]


def _chunks(points: Sequence[tuple[float, float]], size: int) -> list[Sequence[tuple[float, float]]]:
    return [points[i : i + size] for i in range(0, len(points), size)]


def _label(kind: str, p: float) -> str:
    return f"{kind}  {100 * p:.0f} %" if np.isfinite(p) else kind
