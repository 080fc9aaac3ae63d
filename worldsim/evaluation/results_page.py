"""The page of published figures, written from what the commands printed and from nothing else."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from worldsim.errors import ConfigurationError

__all__ = ["render_results"]

_TITLES = ("bench", "track", "transfer", "accuracy")
_HEAD = """# Results

The command above each table made its figures; where a note says that it was interrupted, the same code worked them out
from the rows that it had written. The JSON lies in `results/` with the versions and the machine; `worldsim results`
writes this page from those files, and a test compares the two. Intervals
are 95 %; *bar* is what a figure has to reach, where something is promised; *beside it* are baselines, floors and parts
of a figure, in its unit where they name none.
"""
_A_COLUMN = 0.5
"""Of a table's figures, the share that has to give a number of some name for it to have a column of its own."""


def render_results(folder: Path) -> str:
    """Return the page, in Markdown, of all ``*.json`` files in `folder`, in the order of their names.

    First comes what was measured, a line a file, and what falls short of its bar; then a section a file.

    Raises:
        ConfigurationError: there is none, or one is not what a command printed.
    """
    files = sorted(folder.glob("*.json"))
    if not files:
        raise ConfigurationError(f"{folder} holds no *.json. Put there what `worldsim bench NAME --json` printed.")
    reports = {file.stem: _read(file) for file in files}
    sections = (_section(name, report) for name, report in reports.items())
    return "\n".join([_HEAD, *_contents(reports), *_shortfalls(reports), *sections])


def _read(file: Path) -> dict[str, Any]:
    """Return a report, with the command that made it."""
    try:
        report = json.loads(file.read_text(encoding="utf-8"))
        report["figures"] = list(report["figures"])
        kind = next(title for title in _TITLES if title in report)
        return {"command": f"worldsim {kind} {report[kind]} --json", **report}
    except (ValueError, KeyError, TypeError, StopIteration) as error:
        raise ConfigurationError(f"{file} is not the JSON that a worldsim command printed: {error!r}.") from error


def _contents(reports: Mapping[str, Mapping[str, Any]]) -> list[str]:
    rows = ["| measured | by | bars held |", "|---|---|---|"]
    for name, report in reports.items():
        rows.append(_row([f"[{name}](#{name})", f"`{report['command']}`", _held(report)]))
    return [*rows, ""]


def _shortfalls(reports: Mapping[str, Mapping[str, Any]]) -> list[str]:
    rows = [
        _row([f"[{name}](#{name})", figure["name"], _value(figure), _interval(figure), figure["bar"]])
        for name, report in reports.items()
        for figure in report["figures"]
        if figure["bar"] is not None and not figure["holds"]
    ]
    if not rows:
        return []
    return ["## What falls short\n", "| measured | figure | value | 95 % | bar |", "|---|---|---|---|---|", *rows, ""]


def _section(name: str, report: Mapping[str, Any]) -> str:
    lines = [
        f"## {name}\n",
        f"`{report['command']}` at commit `{_commit(report.get('commit'))}`, {float(report['seconds']):.0f} s; "
        f"{_held(report)} bars held; [JSON](results/{name}.json).\n",
    ]
    if report.get("note"):
        lines.append(f"{report['note']}\n")
    return "\n".join(lines + _table(report["figures"]))


def _held(report: Mapping[str, Any]) -> str:
    held = [figure for figure in report["figures"] if figure["bar"] is not None]
    return f"{sum(bool(figure['holds']) for figure in held)} of {len(held)}"


def _commit(name: str | None) -> str:
    """Return a commit's short name; that the tree had changes of its own is not cut off."""
    short, dirty, _ = str(name).partition("-dirty")
    return short[:7] + dirty


def _table(figures: Sequence[Mapping[str, Any]]) -> list[str]:
    counts = Counter(name for figure in figures for name in figure["baselines"])
    columns = sorted(name for name, count in counts.items() if count >= _A_COLUMN * len(figures))
    apart = ["beside it"] if set(counts) - set(columns) else []
    head = ["figure", "value", "95 %", "n", *columns, *apart, "bar", ""]
    rows = [_row(head), "|" + "---|" * len(head)]
    for figure in figures:
        beside = figure["baselines"]
        others = "; ".join(f"{name}: {_number(beside[name])}" for name in sorted(set(beside) - set(columns)))
        verdict = "" if figure["bar"] is None else ("holds" if figure["holds"] else "**falls short**")
        cells = [
            figure["name"],
            _value(figure),
            _interval(figure),
            str(figure["n"]),
            *(_number(beside.get(name)) for name in columns),
            *([others] if apart else []),
            figure["bar"] or "",
            verdict,
        ]
        rows.append(_row(cells))
    return [*rows, ""]


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "/") for cell in cells) + " |"


def _value(figure: Mapping[str, Any]) -> str:
    return _number(figure["value"]) + ("" if figure["unit"] == "1" else f" {figure['unit']}")


def _interval(figure: Mapping[str, Any]) -> str:
    low_high = figure["interval"]
    return "" if low_high is None else f"{_number(low_high[0])} to {_number(low_high[1])}"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"
