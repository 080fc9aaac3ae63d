"""The accuracy suite for people: a table, a plot, and one page that holds both."""

from __future__ import annotations

import math
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

import jinja2
from markupsafe import Markup
from matplotlib.figure import Figure

from worldsim.evaluation.jsonable import dump_json
from worldsim.evaluation.provenance import git_commit, machine, versions
from worldsim.evaluation.report.palette import DARK, LIGHT, ROLES
from worldsim.evaluation.report.plots import style, svg
from worldsim.evaluation.run_folder import atomic_write
from worldsim.simulation.presets import ACCURATE

if TYPE_CHECKING:
    from worldsim.evaluation.accuracy.suite import Row

__all__ = ["write_page"]

_MARKS = ("o", "s", "D", "^", "v", "x")
_COLOURS = ("baseline", "s4", "belief", "s3", "settled", "muted")
_NAMESPACES = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
_SMALLEST = 1e-12
"""Errors below this are drawn there: a logarithmic axis has no zero."""

_WHY = (
    ("Damping", "Bullet takes 4 % of every velocity a second; the preset takes none. It mends every flight and swing."),
    (
        "Restitution threshold",
        "Bullet lets no impact below 0.2 m/s bounce; the preset none below 0.05 m/s. It keeps the last bounces.",
    ),
    (
        "Contact distance",
        "Bullet's contact points live until 2 cm apart; the preset's until 5 mm. Fewer phantom contacts.",
    ),
    (
        "Split impulse",
        "Bullet pushes overlapping bodies apart with real speed; the preset moves them without giving them any.",
    ),
    (
        "Thirty iterations",
        "The contact solver of the preset stops at 30 instead of 50, at 4/5 of the cost. Low piles do not feel it. "
        "With the corrections it has 150, and overlaps are pushed out at 0.3 a step instead of 0.08: a stack of ten "
        "otherwise sinks at its foot and rocks by 10 mm before it settles.",
    ),
    (
        "Flight at mid-step velocity",
        "Around the step: a thing in flight is moved with the mean of its velocities, so that free fall is exact.",
    ),
    (
        "Momentum of a free body",
        "Around the step: angular momentum in space is kept and the body turned by the implicit midpoint rule; without "
        "it an asymmetric top gains energy, since Bullet integrates Euler's equations explicitly.",
    ),
    (
        "Impacts of balls in order",
        "Around the step: impacts are found at their own times and resolved by Newton's law with equal and opposite "
        "impulses. Bullet's own bounce is taken from a velocity that a near contact has already changed, and does "
        "not converge with the step.",
    ),
    (
        "Places of what rests",
        "Around the step: friction of Bullet acts on velocities and forgets where a thing lay, so that a box alone "
        "creeps by up to 0.03 mm a second. A group of touching bodies that has been slow for a third of a second is "
        "put back to where it came to rest, ten times a second, its velocities left as they are.",
    ),
)


def write_page(rows: Sequence[Row], engines: Sequence[str], folder: Path) -> Path:
    """Write ``accuracy.json``, ``accuracy.svg`` and ``accuracy.html`` into `folder`; return the page."""
    folder.mkdir(parents=True, exist_ok=True)
    drawing = _plot(rows, engines)
    record = {"commit": git_commit(), "versions": versions(), "machine": machine(), "rows": rows}
    coloured = drawing
    for role in ROLES:
        coloured = coloured.replace(f"var(--{role})", LIGHT[role])
    alone = coloured.replace("<svg ", f"<svg {_NAMESPACES} ", 1)
    template = files("worldsim.evaluation.accuracy").joinpath("page.html.jinja").read_text(encoding="utf-8")
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    page = environment.from_string(template).render(
        light=LIGHT,
        dark=DARK,
        engines=engines,
        rows=[_cells(row, engines) for row in rows],
        costs=_costs(rows, engines),
        plot=Markup(drawing),
        why=_WHY,
        changes=[(name, str(a), str(b)) for name, (a, b) in ACCURATE.changes().items()],
        short=[row for row in rows if _falls_short(row)],
        made=f"commit {record['commit'] or 'of an installed package'}",
    )
    path = folder / "accuracy.html"
    for target, text in (
        (folder / "accuracy.json", dump_json(record, indent=2) + "\n"),
        (folder / "accuracy.svg", alone),
        (path, page),
    ):
        with atomic_write(target) as file:
            file.write(text.encode("utf-8"))
    return path


def _falls_short(row: Row) -> bool:
    return row.measure.bar is not None and not row.errors["PyBullet accurate"] <= row.measure.bar


def _cells(row: Row, engines: Sequence[str]) -> dict[str, object]:
    return {
        "law": row.law,
        "text": row.text,
        "measure": row.measure.name,
        "bar": "" if row.measure.bar is None else _shown(row.measure.bar, row.measure.unit),
        "errors": [_shown(row.errors.get(engine), row.measure.unit) for engine in engines],
        "short": _falls_short(row),
    }


def _costs(rows: Sequence[Row], engines: Sequence[str]) -> list[tuple[str, list[str]]]:
    by_law = {row.law: row.cost_us for row in rows}
    return [
        (law, [f"{cost[engine]:,.0f}" if engine in cost else "—" for engine in engines]) for law, cost in by_law.items()
    ]


def _shown(value: float | None, unit: str) -> str:
    """Return an error as a share in percent, or a drift in mm."""
    if value is None:
        return "—"
    if not math.isfinite(value):
        return "lost"
    return f"{1e3 * value:.3g} mm" if unit == "m" else f"{100.0 * value:.2g} %"


def _plot(rows: Sequence[Row], engines: Sequence[str]) -> str:
    """Draw a line a measure, a mark an engine, errors on a logarithmic axis."""
    figure = Figure(figsize=(8.6, 0.34 * len(rows) + 1.2))
    axes = figure.add_axes((0.36, 0.1, 0.62, 0.82))
    style(axes)
    places = range(len(rows))
    for engine, mark, role in zip(engines, _MARKS, _COLOURS, strict=True):
        seen = [(row.errors[engine], -place) for place, row in zip(places, rows, strict=True) if engine in row.errors]
        x = [min(max(error, _SMALLEST), 1e3) for error, _ in seen]
        axes.plot(x, [y for _, y in seen], mark, color=ROLES[role], ms=5.5, label=engine, ls="none", alpha=0.85)
    for place, row in zip(places, rows, strict=True):
        if row.measure.bar is not None:
            axes.plot([row.measure.bar] * 2, [-place - 0.4, -place + 0.4], color=ROLES["alarm"], lw=1.4)
    axes.set_xscale("log")
    axes.set_yticks([-place for place in places], [f"{row.law}: {row.measure.name}" for row in rows])
    axes.set_xlabel("error (relative, or m); red: what the accurate preset promises")
    figure.legend(loc="upper center", ncols=6, frameon=False, fontsize=8, labelcolor=ROLES["ink"], handletextpad=0.1)
    return svg(figure)
