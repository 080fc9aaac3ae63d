"""``worldsim identify``: an engine's parameters fitted offline to recordings."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from worldsim.commands.options import DataFile, Json, Out, Seed, check_file, emit, print_table, tell

__all__ = ["identify"]


def identify(
    recording: Annotated[str, typer.Argument(help="One of: cube-toss, planar-drop.")],
    recordings: Annotated[int, typer.Option("--recordings", help="How many of the train split to fit to.")] = 60,
    evaluations: Annotated[int, typer.Option("--evaluations", help="How often CMA-ES may try parameters.")] = 60,
    engine: Annotated[str, typer.Option("--engine", help="pybullet, or mujoco (cube-toss alone).")] = "pybullet",
    data: DataFile = None,
    json: Json = False,
    seed: Seed = 0,
    out: Out = None,
) -> None:
    """Fit an engine's contact parameters to train recordings by CMA-ES, and score the held-out ones.

    With --out FILE, the JSON is written there too.
    """
    from worldsim.evaluation.bench import BenchOptions
    from worldsim.evaluation.jsonable import to_jsonable
    from worldsim.evaluation.provenance import git_commit, versions
    from worldsim.evaluation.transfer.identify import identify as fit

    check_file(out)
    started = time.perf_counter()
    options = BenchOptions(seed=seed, data=data, tell=tell)
    figures = fit(recording, recordings, evaluations, options, engine)
    result = {
        "identify": recording,
        "engine": engine,
        "asked": to_jsonable({"recordings": recordings, "evaluations": evaluations, **options.asked()}),
        "commit": git_commit(),
        "versions": versions(),
        "seconds": round(time.perf_counter() - started, 3),
        "figures": to_jsonable(tuple(figures)),
    }
    rows = [
        (
            each.name,
            f"{each.value:.4g}",
            each.unit,
            each.n,
            ", ".join(f"{k} {v:.4g}" for k, v in each.baselines.items()),
        )
        for each in figures
    ]
    columns = ("figure", "value", "unit", "n", "beside")
    emit(result, as_json=json, out=out, show=lambda: print_table(f"identify {recording}", columns, rows))
