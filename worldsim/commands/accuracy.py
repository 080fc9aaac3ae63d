"""``worldsim accuracy``: how far each engine is from the laws of mechanics, and what that costs."""

from __future__ import annotations

from typing import Annotated

import typer

from worldsim.commands.bench import bench
from worldsim.commands.options import Json, Out, Seed

__all__ = ["accuracy"]


def accuracy(
    quick: Annotated[bool, typer.Option("--quick", help="Leave out the long scenes.")] = False,
    json: Json = False,
    seed: Seed = 0,
    out: Out = None,
) -> None:
    """Run every analytic scene in every engine; exit status 0 if the accurate preset keeps its promises, else 3.

    With --out DIR, figures.json, accuracy.json, accuracy.svg and accuracy.html are written into that folder.
    """
    bench("accuracy", quick=quick, seeds=None, data=None, json=json, seed=seed, out=out)
