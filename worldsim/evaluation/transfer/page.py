"""A transfer suite for people: curves of the errors over the horizon and the table of figures, on one page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2
import matplotlib.figure
import numpy as np
from jaxtyping import Float
from markupsafe import Markup

from worldsim.evaluation.bench import BenchOptions, Figure
from worldsim.evaluation.jsonable import dump_json
from worldsim.evaluation.provenance import git_commit
from worldsim.evaluation.report.palette import DARK, LIGHT, ROLES
from worldsim.evaluation.report.plots import style, svg
from worldsim.evaluation.run_folder import atomic_write

__all__ = ["Curves", "figures_page", "verdict", "write_page"]

_COLOURS = ("belief", "baseline", "s3", "s4", "settled", "muted", "ink")


@dataclass(frozen=True, slots=True)
class Curves:
    """One plot: a line a model, ours first.

    Attributes:
        name: what is drawn.
        time_s: [T] horizon.
        unit: of the lines.
        lines: model -> [T].
    """

    name: str
    time_s: Float[np.ndarray, " T"]
    unit: str
    lines: Mapping[str, Float[np.ndarray, " T"]]


def write_page(
    options: BenchOptions, suite: str, lead: str, figures: Sequence[Figure], curves: Sequence[Curves]
) -> Path | None:
    """Write ``transfer.html`` and, where there are curves, ``curves.json`` into the folder that was asked for.

    Returns:
        The page, None where no folder was named.
    """
    folder = options.out
    if folder is None:
        return None
    folder.mkdir(parents=True, exist_ok=True)
    drawings = [(each.name, Markup(_drawing(each))) for each in curves]
    title, command = f"From simulation to reality: {suite}", f"worldsim transfer {suite} {options.flags()}--out DIR"
    told = lead if options.data is None else f"{lead} What is scored: {options.data}."
    page = figures_page(title, told, figures, drawings, command, quick=options.quick)
    path = folder / "transfer.html"
    written = [(path, page)]
    if curves:
        written.append((folder / "curves.json", dump_json(list(curves), indent=2) + "\n"))
    for target, text in written:
        with atomic_write(target) as file:
            file.write(text.encode("utf-8"))
    return path


def figures_page(
    title: str,
    lead: str,
    figures: Sequence[Figure],
    drawings: Sequence[tuple[str, Markup]],
    command: str,
    *,
    quick: bool,
) -> str:
    """Return a self-contained page as text: whether the promises hold, what was done, drawings, all figures.

    Args:
        title: of the page.
        lead: what was measured, and how.
        figures: the first one is told before everything else.
        drawings: (name, mark-up), in order.
        command: that wrote it.
        quick: the figures are those of the smaller version, which the page says.
    """
    template = files("worldsim.evaluation.transfer").joinpath("page.html.jinja").read_text(encoding="utf-8")
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    return environment.from_string(template).render(
        title=title,
        verdict=verdict(figures),
        lead=f"{lead} A smaller version (--quick), not the published figures." if quick else lead,
        light=LIGHT,
        dark=DARK,
        drawings=drawings,
        rows=[_row(figure) for figure in figures],
        made=f"commit {git_commit() or 'of an installed package'}; written by {command}",
    )


def verdict(figures: Sequence[Figure]) -> str:
    """Return the first figure beside its baselines, and how many promises hold, as sentences."""
    told = []
    for figure in figures[:1]:
        row = _row(figure)
        name, value, interval, n, beside, _ = row["cells"]
        end = f"; beside it {beside}." if beside else "."
        told.append(f"{name[:1].upper()}{name[1:]}: {value}{f' ({interval})' if interval else ''}, n = {n}{end}")
    promised = [figure for figure in figures if figure.bar is not None]
    short = "; ".join(figure.name for figure in promised if not figure.holds)
    if promised:
        kept = sum(figure.holds for figure in promised)
        told.append(f"{kept} of {len(promised)} promises hold{f'; falls short: {short}' if short else ''}.")
    return " ".join(told)


def _drawing(curves: Curves) -> str:
    figure = matplotlib.figure.Figure(figsize=(8.6, 3.0))
    axes = figure.add_axes((0.09, 0.16, 0.88, 0.72))
    style(axes)
    for index, (name, line) in enumerate(curves.lines.items()):
        colour = ROLES[_COLOURS[index % len(_COLOURS)]]
        axes.plot(curves.time_s, line, color=colour, lw=2.0 if index == 0 else 1.2, label=name)
    axes.set_xlabel("time after the start (s)")
    axes.set_ylabel(f"{curves.name.lower()} ({curves.unit})")
    axes.set_ylim(bottom=0.0)
    figure.legend(loc="upper center", ncols=4, frameon=False, fontsize=8, labelcolor=ROLES["ink"])
    return svg(figure)


def _row(figure: Figure) -> dict[str, Any]:
    beside = "; ".join(f"{name} {value:.4g}" for name, value in figure.baselines.items() if value is not None)
    interval = "" if figure.interval is None else f"{figure.interval[0]:.4g} to {figure.interval[1]:.4g}"
    unit = "" if figure.unit == "1" else f" {figure.unit}"
    verdict = "" if figure.bar is None else ("holds" if figure.holds else "falls short")
    cells = (figure.name, f"{figure.value:.4g}{unit}", interval, figure.n, beside, figure.bar or "")
    return {"cells": cells, "verdict": verdict, "short": verdict == "falls short"}
