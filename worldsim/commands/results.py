"""``worldsim results``: the page of published figures from what the commands printed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["results"]


def results(
    folder: Annotated[Path, typer.Argument(help="Where the printed JSON files are.")] = Path("docs/results"),
    out: Annotated[Path, typer.Option("--out", help="The page to write.")] = Path("docs/results.md"),
) -> None:
    """Write the page; the figures in it come from the files alone."""
    from worldsim.errors import ConfigurationError
    from worldsim.evaluation.results_page import render_results
    from worldsim.evaluation.run_folder import atomic_write

    page = render_results(folder)
    try:
        with atomic_write(out) as file:
            file.write(page.encode())
    except OSError as error:
        raise ConfigurationError(f"--out: cannot write {out}: {error.strerror or error}.") from error
    typer.echo(f"{out}: {page.count(chr(10) + '## ')} tables")
