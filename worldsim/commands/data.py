"""``worldsim data``: which data are here, and how to get those that are not."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from worldsim.commands.options import Json, Out, Seed, emit, print_table
from worldsim.errors import ConfigurationError
from worldsim.evaluation.datasets import DATASETS, MIRROR, data_folders, dataset

if TYPE_CHECKING:
    from worldsim.evaluation.data_fetch import DataState, Progress

__all__ = ["app"]

app = typer.Typer(
    name="data", help="Recorded and reference data: what is here, and getting the rest.", no_args_is_help=True
)

_MARK = {"verified": "green", "differs": "bold red", "absent": "yellow"}


@app.command("list")
def list_data(json: Json = False, seed: Seed = 0, out: Out = None) -> None:
    """Show every data set: whether it is here and unaltered, its licence and its source.

    --seed is accepted as by every command; nothing here is random. --out FILE writes the JSON as well.
    """
    del seed
    from worldsim.evaluation.data_fetch import states

    found = states(list(DATASETS))
    emit(_report(found), as_json=json, out=out, show=lambda: _show(found))


@app.command("fetch")
def fetch_data(
    names: Annotated[list[str] | None, typer.Argument(help="Data sets; all that can be fetched where none is.")] = None,
    source: Annotated[
        Path | None, typer.Option("--from", file_okay=False, exists=True, help="Copy from this folder instead.")
    ] = None,
    mirror: Annotated[str, typer.Option("--mirror", help="Serves OWNER/REPOSITORY/COMMIT/PATH.")] = MIRROR,
    json: Json = False,
    seed: Seed = 0,
    out: Out = None,
) -> None:
    """Get data sets: download the public originals and convert them, or generate; checksums verified.

    A fetch that broke off goes on where it stopped. --out DIR is the data folder to write to (WORLDSIM_DATA, or the
    user's cache, where it is not given).
    """
    del seed
    wanted = names or [name for name, entry in DATASETS.items() if source is not None or entry.original != "copy"]
    for name in wanted:
        dataset(name)  # an unknown one names the nearest
    if out is not None and out.exists() and not out.is_dir():
        raise ConfigurationError(f"--out {out} is a file; `worldsim data fetch` writes a folder.")
    from worldsim.evaluation.data_fetch import fetch

    written = {}
    for name in wanted:
        with _bar(quiet=json) as progress:
            written[name] = str(fetch(name, source=source, folder=out, mirror=mirror, progress=progress))
    rows = list(written.items())
    emit({"fetched": written}, as_json=json, out=None, show=lambda: print_table("fetched", ("set", "file"), rows))


def _report(found: list[DataState]) -> dict[str, Any]:
    return {
        "folders": [str(folder) for folder in data_folders()],
        "sets": [
            {
                "name": state.entry.name,
                "status": state.status,
                "path": None if state.path is None else str(state.path),
                "problems": list(state.problems),
                "summary": state.entry.summary,
                "licence": state.entry.licence,
                "source": state.entry.source,
                "sha256": dict(state.checksums),
            }
            for state in found
        ],
    }


def _show(found: list[DataState]) -> None:
    from rich.text import Text

    rows = [
        (
            state.entry.name,
            Text(state.status, style=_MARK[state.status]),
            state.entry.licence,
            state.entry.source,
            state.fingerprint[:12],
        )
        for state in found
    ]
    folders = "looked in: " + ", ".join(str(folder) for folder in data_folders())
    print_table("data sets", ("name", "", "licence", "source", "sha256"), rows, caption=folders)
    for state in found:
        for problem in state.problems:
            typer.echo(f"{state.entry.name}: {problem}", err=True)


@contextmanager
def _bar(*, quiet: bool) -> Iterator[Progress]:
    """Yield what tells a bar on standard error how far a fetch is."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), disable=quiet, transient=True) as bar:
        task = bar.add_task("", total=None)
        yield lambda name, done, total: bar.update(task, description=name, completed=done, total=total)
