"""The options that every command has, and how a command speaks: to people with Rich, to programs in JSON."""

from __future__ import annotations

import os
import shlex
import tempfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

__all__ = [
    "LONGEST_S",
    "DataFile",
    "Json",
    "Out",
    "Ray",
    "Seed",
    "Set",
    "check_file",
    "emit",
    "names_exist",
    "print_table",
    "tell",
    "typed",
]

LONGEST_S = 1e6
"""How long an episode may be asked to be: eleven days; infinity is no number of frames (0 says never)."""

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Seed of everything random; unused where nothing is.")]
Ray = Annotated[
    str | None,
    typer.Option("--ray", metavar="ADDRESS", help="Play on a Ray cluster: its address, or local for this machine's."),
]
Out = Annotated[Path | None, typer.Option("--out", help="Where to write what the command makes.")]
DataFile = Annotated[
    Path | None,
    typer.Option(
        "--data",
        exists=True,
        dir_okay=False,
        help="Score this file, in the format of the published one (docs/data.md); nothing is fitted to it.",
    ),
]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="FIELD=VALUE",
        help="A field of the scenario (docs/scenarios.md, docs/tasks.md); may be repeated.",
    ),
]


def emit(result: Mapping[str, Any], *, as_json: bool, out: Path | None, show: Callable[[], None]) -> None:
    """Print `result` as one JSON object, or call `show`; with `out`, write it to that file as JSON as well.

    Raises:
        ConfigurationError: the file cannot be written.
    """
    from worldsim.errors import ConfigurationError
    from worldsim.evaluation.jsonable import dump_json
    from worldsim.evaluation.run_folder import atomic_write

    if out is not None:
        try:
            out.parent.mkdir(parents=True, exist_ok=True)
            with atomic_write(out) as file:
                file.write((dump_json(result, indent=2) + "\n").encode())
        except OSError as error:
            raise ConfigurationError(f"--out: cannot write {out}: {error.strerror or error}.") from error
    if as_json:
        typer.echo(dump_json(result))
    else:
        show()


def check_file(out: Path | None) -> None:
    """Check before anything is computed that `out` can be written as a file.

    Raises:
        ConfigurationError: it is a folder, or lies in one that cannot be made or written.
    """
    from worldsim.errors import ConfigurationError

    if out is None:
        return
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=out.parent):
            pass
    except OSError as error:
        raise ConfigurationError(f"--out: cannot write {out}: {error.strerror or error}.") from error
    if out.is_dir():
        raise ConfigurationError(f"--out: {out} is a folder, expected the name of a file for the JSON.")


def names_exist(*, scenario: str, agent: str) -> None:
    """Look both names up before anything slow is imported, so that a misspelt one is told at once.

    Raises:
        UnknownNameError: no scenario or agent of that name.
    """
    from worldsim.plugins import find_plugin

    find_plugin("worldsim.scenarios", scenario)
    find_plugin("worldsim.agents", agent)


_WIDE = 200  # columns, where nobody says how many there are: a cell that is cut cannot be searched for


def print_table(title: str, columns: Iterable[str], rows: Iterable[Iterable[Any]], caption: str | None = None) -> None:
    """Print a table on standard output, cells as plain text (a name in brackets is no markup).

    Title and caption are lines of their own, whole however narrow the table is: a caption is there to be copied.
    """
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table()
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(cell if isinstance(cell, Text) else Text(str(cell)) for cell in row))
    typer.echo(title)
    if table.row_count:
        console = Console()
        wide = None if console.is_terminal or "COLUMNS" in os.environ else _WIDE
        Console(width=wide).print(table)
    if caption is not None:
        typer.echo(caption)


def typed(*words: str | Path) -> str:
    """Return a command as it is to be typed in a shell, also where a folder's name has a space.

    >>> typed("worldsim", "view", Path("my runs/first"))
    "worldsim view 'my runs/first'"
    """
    return shlex.join(map(str, words))


def tell(line: str) -> None:
    """Print one line of progress on standard error, so that standard output holds the result alone."""
    typer.echo(line, err=True)
