"""The page of published figures, written from what the commands printed and from nothing else."""

from __future__ import annotations

import json
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
are 95 %; *bar* is what a figure has to reach, where something is promised.
"""


def render_results(folder: Path) -> str:
    """Return the page, in Markdown, of all ``*.json`` files in `folder`, in the order of their names.

    Raises:
        ConfigurationError: there is none, or one is not what a command printed.
    """
    files = sorted(folder.glob("*.json"))
    if not files:
        raise ConfigurationError(f"{folder} holds no *.json. Put there what `worldsim bench NAME --json` printed.")
    return "\n".join([_HEAD, *(_section(file) for file in files)])


def _section(file: Path) -> str:
    try:
        report = json.loads(file.read_text(encoding="utf-8"))
        figures = report["figures"]
        kind = next(title for title in _TITLES if title in report)
    except (ValueError, KeyError, TypeError, StopIteration) as error:
        raise ConfigurationError(f"{file} is not the JSON that a worldsim command printed: {error!r}.") from error
    command = report.get("command", f"worldsim {kind} {report[kind]} --json")
    held = [figure for figure in figures if figure["bar"] is not None]
    kept = sum(bool(figure["holds"]) for figure in held)
    lines = [
        f"## {kind} {report[kind]}\n",
        f"`{command}` at commit `{_commit(report.get('commit'))}`, {float(report['seconds']):.0f} s; "
        f"{kept} of {len(held)} bars held.\n",
    ]
    if report.get("note"):
        lines.append(f"{report['note']}\n")
    return "\n".join(lines + _table(figures))


def _commit(name: str | None) -> str:
    """Return a commit's short name; that the tree had changes of its own is not cut off."""
    short, dirty, _ = str(name).partition("-dirty")
    return short[:7] + dirty


def _table(figures: Sequence[Mapping[str, Any]]) -> list[str]:
    others = sorted({name for figure in figures for name in figure["baselines"]})
    head = ["figure", "value", "95 %", "n", *others, "bar", ""]
    rows = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for figure in figures:
        low_high = figure["interval"]
        unit = "" if figure["unit"] == "1" else f" {figure['unit']}"
        verdict = "" if figure["bar"] is None else ("holds" if figure["holds"] else "**falls short**")
        cells = [
            figure["name"],
            _number(figure["value"]) + unit,
            "" if low_high is None else f"{_number(low_high[0])} to {_number(low_high[1])}",
            str(figure["n"]),
            *(_number(figure["baselines"].get(name)) for name in others),
            figure["bar"] or "",
            verdict,
        ]
        rows.append("| " + " | ".join(cell.replace("|", "/") for cell in cells) + " |")
    return [*rows, ""]


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"
