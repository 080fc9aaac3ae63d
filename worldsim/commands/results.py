"""``worldsim results``: the page of published figures from what the commands printed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from worldsim.commands.options import Json, Seed, emit

__all__ = ["results"]


def results(
    folder: Annotated[Path, typer.Argument(help="Where the printed JSON files are.")] = Path("docs/results"),
    json: Json = False,
    seed: Seed = 0,
    out: Annotated[Path, typer.Option("--out", help="The page to write.")] = Path("docs/results.md"),
) -> None:
    """Write the page; the figures in it come from the files alone, so that no seed changes it."""
    del seed
    from worldsim.errors import ConfigurationError
    from worldsim.evaluation.results_page import render_results
    from worldsim.evaluation.run_folder import atomic_write

    page = render_results(folder)
    try:
        with atomic_write(out) as file:
            file.write(page.encode())
    except OSError as error:
        raise ConfigurationError(f"--out: cannot write {out}: {error.strerror or error}.") from error
    made = {"page": str(out), "tables": page.count("\n## ")}
    emit(made, as_json=json, out=None, show=lambda: typer.echo(f"{out}: {made['tables']} tables"))
