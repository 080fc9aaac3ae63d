"""How figures are shown to people: a table where there is room for one, else a few lines a figure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import typer

from worldsim.commands.options import print_table

if TYPE_CHECKING:
    from rich.text import Text

    from worldsim.evaluation.bench import Figure

__all__ = ["show_figures"]

_MOST_COLUMNS = 3
_ROOM = 130  # characters; in a narrower table a word is broken into three lines


def show_figures(title: str, figures: Sequence[Figure], caption: str) -> None:
    """Print the figures with their intervals, baselines and bars."""
    from rich.console import Console

    console = Console()
    if console.width >= _ROOM:
        _show_table(title, figures, caption)
        return
    console.print(f"[italic]{title}[/italic]", highlight=False)
    for figure in figures:
        for line in _lines(figure):
            console.print(line)
    kept = [figure.holds for figure in figures if figure.bar is not None]
    if kept:
        typer.echo(f"{sum(kept)} of {len(kept)} promises hold")
    typer.echo(caption)


def _lines(figure: Figure) -> Iterator[Text]:
    from rich.text import Text

    unit = "" if figure.unit == "1" else f" {figure.unit}"
    interval = f" ({_interval(figure)})" if figure.interval else ""
    head = Text(f"{figure.name}: ")
    head.append(f"{_number(figure.value)}{unit}", style="bold")
    head.append(f"{interval}, n = {figure.n}")
    if figure.bar is not None:
        head.append(f"; {figure.bar}: ")
        head.append_text(_verdict(figure))
    yield head
    if figure.baselines:
        yield Text("    beside it: " + "; ".join(f"{k} {_number(v)}" for k, v in figure.baselines.items()), style="dim")


def _show_table(title: str, figures: Sequence[Figure], caption: str) -> None:
    names = sorted({name for figure in figures for name in figure.baselines})
    apart = len(names) <= _MOST_COLUMNS  # more columns than these would be a word wide
    rows = [
        (
            figure.name,
            _number(figure.value),
            _interval(figure),
            figure.unit,
            figure.n,
            *((_number(figure.baselines.get(name)) for name in names) if apart else (_beside(figure),)),
            figure.bar or "",
            _verdict(figure),
        )
        for figure in figures
    ]
    columns = ("figure", "value", "95 %", "unit", "n", *(names if apart else ("beside",)), "bar", "")
    print_table(title, columns, rows, caption=caption)


def _beside(figure: Figure) -> str:
    return "\n".join(f"{name}: {_number(value)}" for name, value in figure.baselines.items())


def _verdict(figure: Figure) -> Text:
    from rich.text import Text

    if figure.bar is None:
        return Text("")
    return Text("holds", style="green") if figure.holds else Text("falls short", style="bold red")


def _interval(figure: Figure) -> str:
    return "" if figure.interval is None else " .. ".join(map(_number, figure.interval))


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"
