"""``worldsim transfer``: what was learned or built here, scored on recorded reality beside the engines."""

from __future__ import annotations

from typing import Annotated

import typer

from worldsim.commands.bench import bench
from worldsim.commands.options import DataFile, Json, Out, Seed
from worldsim.errors import UnknownNameError

__all__ = ["SUITES", "transfer"]

_NAMES = ("agents", "cube-toss", "double-pendulum", "elbow-toss", "planar-drop", "recovery", "warehouse")
SUITES = {name: f"transfer-{name}" for name in _NAMES}
"""Suite -> the benchmark that runs it."""


def transfer(
    suite: Annotated[str, typer.Argument(help=f"One of: {', '.join(SUITES)}.")],
    quick: Annotated[
        bool, typer.Option("--quick", help="A smaller version; its figures are not the published ones.")
    ] = False,
    seeds: Annotated[
        str | None,
        typer.Option("--seeds", metavar="A:B", help="Seeds A to B - 1 of `agents`, `recovery` and `warehouse`."),
    ] = None,
    stages: Annotated[
        str | None, typer.Option("--stages", metavar="A,B", help="Only these scenarios of `agents`.")
    ] = None,
    data: DataFile = None,
    json: Json = False,
    seed: Seed = 0,
    out: Out = None,
) -> None:
    """Learn from the train split alone, score the held-out recordings; exit status 0 if every figure holds, else 3."""
    if suite not in SUITES:
        raise UnknownNameError("transfer suite", suite, SUITES)
    bench(SUITES[suite], quick=quick, seeds=seeds, stages=stages, data=data, json=json, seed=seed, out=out)
