"""``worldsim bench``: one benchmark, its figures beside its baselines."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated

import typer

from worldsim.commands.figures import show_figures
from worldsim.commands.options import Json, Out, Ray, Seed, emit, tell
from worldsim.errors import ConfigurationError
from worldsim.evaluation.bench import BENCHMARKS, BenchOptions, BenchResult, parse_seeds, run_bench

__all__ = ["bench"]

FELL_SHORT = 3
"""Exit status when a figure falls short of its bar (the figures are printed all the same)."""


def bench(  # noqa: PLR0913 - the options of a command
    name: Annotated[str, typer.Argument(help=f"One of: {', '.join(sorted(BENCHMARKS))}.")],
    quick: Annotated[
        bool, typer.Option("--quick", help="A smaller version that ends within 60 s on two cores.")
    ] = False,
    seeds: Annotated[str | None, typer.Option("--seeds", metavar="A:B", help="Seeds A to B - 1.")] = None,
    data: Annotated[
        Path | None, typer.Option("--data", exists=True, help="Use this file or folder instead of the shipped data.")
    ] = None,
    soak_minutes: Annotated[
        float | None, typer.Option("--soak-minutes", min=0.01, help="How long `bench registry` soaks its service.")
    ] = None,
    stages: Annotated[
        str | None, typer.Option("--stages", metavar="A,B", help="Only these stages of a benchmark of several.")
    ] = None,
    scenarios: Annotated[
        str | None,
        typer.Option("--scenarios", metavar="A,B", help="Only these scenarios, where `bench agents` goes one by one."),
    ] = None,
    ray: Ray = None,
    steps: Annotated[int | None, typer.Option("--steps", min=20, help="How many frames `bench soak` runs.")] = None,
    json: Json = False,
    seed: Seed = 0,
    out: Out = None,
) -> None:
    """Run one benchmark; exit status 0 if every figure holds, 3 if one falls short, 1 on an error.

    With --out DIR, figures.json and whatever else the benchmark makes is written into that folder.
    """
    only, some = (None if names is None else tuple(names.split(",")) for names in (stages, scenarios))
    options = BenchOptions(quick, parse_seeds(seeds), seed, data, out, tell, soak_minutes, only, ray, steps, some)
    _check_writable(out)
    result = run_bench(name, options)
    file = out / "figures.json" if out is not None else None
    emit(result.report(), as_json=json, out=file, show=lambda: _show(result))
    if not result.holds:
        raise typer.Exit(FELL_SHORT)


def _check_writable(out: Path | None) -> None:
    """Make the folder for the figures before they are measured, which may take hours.

    Raises:
        ConfigurationError: it cannot be made or written.
    """
    if out is None:
        return
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=out):
            pass
    except OSError as error:
        raise ConfigurationError(
            f"--out: cannot write into {out}: {error.strerror or error}. It is the folder for figures.json and pages."
        ) from error


def _show(result: BenchResult) -> None:
    smaller = "smaller version (--quick), not the published figures; " if result.quick else ""
    show_figures(f"bench {result.bench}", result.figures, f"{smaller}{result.seconds:.1f} s")
