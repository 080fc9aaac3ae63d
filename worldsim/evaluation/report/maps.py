"""The report's drawings of the floor: paths, true and believed, and the inferred interaction graph."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.patches import Ellipse, FancyArrowPatch, Polygon

from worldsim.evaluation.episode import BeliefSnapshot, EpisodeLog, Frame
from worldsim.evaluation.report.palette import ROLES, colour_of_kind
from worldsim.evaluation.report.plots import svg
from worldsim.evaluation.report.story import subject
from worldsim.types.record import EventKind
from worldsim.types.truth import WorldTruth

__all__ = ["EDGE_ROLES", "footprint", "graph_drawing", "graph_frame", "path_drawing"]

EDGE_ROLES = {"support": "s1", "contact": "s2", "attach": "s3"}
"""Interaction kind -> the role that colours its edges; others are drawn in ``s5``."""

_MOVED_M = 0.5
_ELLIPSE_EVERY_S = 1.5
_LARGEST_SHOWN_M = 1.5  # something lost from sight, whose ellipse would cover the rest
_CHI2_90_2D = 4.605
_HEIGHT_STRETCH = 2.6  # things that lie on each other have to be told apart in an oblique view
_EDGE_SHOWN = 0.5
_FIXED_KINDS = ("wall", "shelf", "pillar", "station", "door_frame")
_NAMED_KINDS = ("robot", "worker", "agv", "door", "pallet", "barrel")


def footprint(position: np.ndarray, orientation_xyzw: np.ndarray, extent_m: np.ndarray) -> np.ndarray:
    """Return the [4, 2] corners (m) of a box seen from above."""
    x, y, z, w = orientation_xyzw
    yaw = np.arctan2(2 * (w * z + x * y), 1 - 2 * (y * y + z * z))
    turn = np.array([[np.cos(yaw), -np.sin(yaw)], [np.sin(yaw), np.cos(yaw)]])
    corners = 0.5 * extent_m[:2] * np.array([[1, 1], [-1, 1], [-1, -1], [1, -1]])
    return position[:2] + corners @ turn.T


def path_drawing(log: EpisodeLog) -> str:
    """Draw, from above, where what moved really went and where it was believed to be."""
    first, last = log.frames[0].truth, log.frames[-1].truth
    figure, axes = _floor(first, 6.0)
    moved = _moved(log)
    for row, name in enumerate(last.names):
        if name not in moved and name not in last.absent:
            corners = footprint(last.position[row], last.orientation_xyzw[row], last.extent_m[row])
            axes.add_patch(Polygon(corners, closed=True, facecolor=ROLES["grid"], edgecolor="none"))
    for kind, track in moved.values():
        axes.plot(track[:, 0], track[:, 1], color=ROLES["truth"], lw=1.1, alpha=0.75, zorder=3)
        end = track[-1]
        label = kind.replace("_", " ")
        axes.annotate(label, end, (5, 5), textcoords="offset points", size=8, color=ROLES["ink"], zorder=6)
    _believed_paths(axes, log)
    axes.plot([], [], color=ROLES["truth"], lw=1.1, label="where it really was")
    axes.plot([], [], color=ROLES["belief"], lw=2.2, ls=":", label="where the world model believed it")
    axes.plot([], [], color=ROLES["alarm"], lw=2.2, ls=":", label="the same, of what surprised it")
    axes.legend(
        loc="upper center", bbox_to_anchor=(0.5, -0.01), ncols=3, frameon=False, fontsize=8, labelcolor=ROLES["ink"]
    )
    return svg(figure)


def graph_frame(log: EpisodeLog) -> Frame | None:
    """Return the frame whose graph is drawn: the last one with the story's subject in it, or the last of all."""
    modelled = [frame for frame in log.frames if frame.record is not None and frame.belief is not None]
    who = subject(log)
    with_subject = [f for f in modelled if f.belief is not None and who in f.belief.object_id]
    chosen = with_subject or modelled
    return chosen[-1] if chosen else None


def graph_drawing(log: EpisodeLog) -> str | None:
    """Draw the inferred graph over an oblique view of the floor; None where no world model ran."""
    frame = graph_frame(log)
    if frame is None or frame.record is None or frame.belief is None:
        return None
    belief = frame.belief
    figure, axes = _floor(frame.truth, 3.9, oblique=True)
    where = {int(i): _oblique(p) for i, p in zip(belief.object_id, belief.position, strict=True)}
    linked: set[int] = set()
    kinds = dict(zip(belief.object_id.tolist(), belief.kind, strict=True))
    for source, target, data in frame.record.graph.to_networkx(_EDGE_SHOWN).edges(data=True):
        if source in where and target in where and not {kinds[source], kinds[target]} <= set(_FIXED_KINDS):
            _draw_edge(axes, where[source], where[target], data["kind"], data["p"])
            linked |= {source, target}
    _draw_nodes(axes, belief, where, linked, subject(log))
    axes.set_ylim(top=max(axes.get_ylim()[1], max(float(where[i][1]) for i in linked) + 0.5 if linked else 0.0))
    for kind, role in EDGE_ROLES.items():
        axes.plot([], [], color=ROLES[role], lw=2, label=kind)
    legend = axes.legend(loc="upper right", frameon=False, fontsize=8, labelcolor=ROLES["ink"])
    legend.set_title(f"at {frame.time_s:.1f} s", prop=FontProperties(size=8))
    legend.get_title().set_color(ROLES["muted"])
    return svg(figure)


def _floor(truth: WorldTruth, height: float, *, oblique: bool = False) -> tuple[Figure, Axes]:
    """Return axes over the floor that the true bodies cover."""
    here = truth.position[[name not in truth.absent for name in truth.names], :2]
    low, high = here.min(axis=0) - 0.6, here.max(axis=0) + 0.6
    ring = np.array([[low[0], low[1], 0], [high[0], low[1], 0], [high[0], high[1], 0], [low[0], high[1], 0]])
    corners = np.array([_oblique(p) for p in ring]) if oblique else ring[:, :2]
    figure = Figure(figsize=(8.6, height))
    axes = figure.add_axes((0.01, 0.07 if not oblique else 0.01, 0.98, 0.92 if not oblique else 0.98))
    axes.set_facecolor("none")
    axes.axis("off")
    axes.add_patch(Polygon(corners, closed=True, facecolor="none", edgecolor=ROLES["grid"], lw=1.2))
    axes.set_xlim(corners[:, 0].min() - 0.2, corners[:, 0].max() + 0.2)
    axes.set_ylim(corners[:, 1].min() - 0.5, corners[:, 1].max() + (1.2 if oblique else 0.2))
    axes.set_aspect("equal")
    return figure, axes


def _oblique(position: np.ndarray) -> np.ndarray:
    """Return the [2] place on paper of a point in space: depth foreshortened and shifted, height stretched."""
    x, y, z = position
    return np.array([x + 0.45 * y, 0.62 * y + _HEIGHT_STRETCH * z])


def _moved(log: EpisodeLog) -> dict[str, tuple[str, np.ndarray]]:
    """Return name -> (kind, [T, 2] true path) of everything that moved."""
    paths: dict[str, tuple[str, list[np.ndarray]]] = {}
    for frame in log.frames:
        for name, kind, position in zip(frame.truth.names, frame.truth.kinds, frame.truth.position, strict=True):
            if name in frame.truth.absent:
                continue
            paths.setdefault(name, (kind, []))[1].append(position[:2])
    tracks = {name: (kind, np.array(points)) for name, (kind, points) in paths.items()}
    return {name: (kind, track) for name, (kind, track) in tracks.items() if np.ptp(track, axis=0).max() > _MOVED_M}


def _believed_paths(axes: Axes, log: EpisodeLog) -> None:
    alarmed = {event.object_id for event in log.events() if event.kind is EventKind.ALARM}
    paths: dict[int, list[tuple[float, np.ndarray, np.ndarray]]] = {}
    for frame in log.frames:
        if frame.belief is None:
            continue
        for i, p, c in zip(
            frame.belief.object_id, frame.belief.position, frame.belief.position_covariance, strict=True
        ):
            paths.setdefault(int(i), []).append((frame.time_s, p[:2], c[:2, :2]))
    for object_id, points in paths.items():
        track = np.array([p for _, p, _ in points])
        if np.ptp(track, axis=0).max() < _MOVED_M:
            continue
        colour = ROLES["alarm"] if object_id in alarmed else ROLES["belief"]
        axes.plot(track[:, 0], track[:, 1], color=colour, lw=2.2, ls=(0, (0.6, 1.6)), zorder=4)
        due = points[0][0]
        for time_s, p, c in points:
            if time_s >= due and np.trace(c) < _LARGEST_SHOWN_M**2:
                axes.add_patch(_ellipse(p, c, colour))
                due = time_s + _ELLIPSE_EVERY_S


def _ellipse(centre: np.ndarray, covariance: np.ndarray, colour: str) -> Ellipse:
    """Return the 90 % ellipse of a planar Gaussian."""
    values, vectors = np.linalg.eigh(covariance)
    width, height = 2 * np.sqrt(_CHI2_90_2D * np.maximum(values, 0.0))
    angle = np.degrees(np.arctan2(vectors[1, 0], vectors[0, 0]))
    return Ellipse(tuple(centre), width, height, angle=angle, facecolor=colour, alpha=0.22, edgecolor="none", zorder=2)


def _draw_edge(axes: Axes, start: np.ndarray, end: np.ndarray, kind: str, p: float) -> None:
    colour = ROLES[EDGE_ROLES.get(kind, "s5")]
    arrow = "-|>" if kind == "support" else "-"
    bend = 0.0 if kind == "support" else 0.25
    axes.add_patch(
        FancyArrowPatch(
            tuple(start),
            tuple(end),
            arrowstyle=arrow,
            mutation_scale=9,
            connectionstyle=f"arc3,rad={bend}",
            color=colour,
            lw=0.8 + 1.6 * p,
            alpha=0.9,
            zorder=3,
            shrinkA=3,
            shrinkB=3,
        )
    )


def _draw_nodes(
    axes: Axes, belief: BeliefSnapshot, where: dict[int, np.ndarray], linked: set[int], who: int | None
) -> None:
    """Draw things as dots over their place on the floor; what is fixed and unlinked, as its outline there."""
    for row, (object_id, kind) in enumerate(zip(belief.object_id.tolist(), belief.kind, strict=True)):
        if kind in _FIXED_KINDS:
            flat = footprint(belief.position[row], belief.orientation_xyzw[row], belief.extent_m[row])
            outline = [_oblique(np.array([x, y, 0.0])) for x, y in flat]
            axes.add_patch(Polygon(outline, closed=True, facecolor=ROLES["grid"], edgecolor="none", zorder=1))
            if object_id not in linked:
                continue
        special = object_id == who
        (x, y), ground = where[object_id], _oblique(belief.position[row] * [1, 1, 0])
        colour = ROLES["alarm"] if special else colour_of_kind(kind)
        axes.plot([ground[0], x], [ground[1], y], color=ROLES["grid"], lw=0.8, zorder=1)
        axes.scatter(x, y, s=70 if special else 26, color=colour, edgecolors=ROLES["panel"], linewidths=0.8, zorder=5)
        if special or kind in _NAMED_KINDS:
            axes.annotate(
                kind.replace("_", " "), (x, y), (6, 4) if special else (5, -9), textcoords="offset points", zorder=6,
                size=9 if special else 7, color=ROLES["alarm"] if special else ROLES["muted"],
            )  # fmt: skip
