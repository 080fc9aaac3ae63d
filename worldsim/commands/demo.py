"""``worldsim demo``: the cat in the warehouse, end to end."""

from __future__ import annotations

from typing import Annotated

import typer

from worldsim.commands.options import Json, Out, emit
from worldsim.commands.run import RegistryName

__all__ = ["demo"]

DrawnSeed = Annotated[
    int | None, typer.Option("--seed", min=0, help="Seed of the run; drawn from the clock if left out.")
]


def demo(registry: RegistryName = "builtin", json: Json = False, seed: DrawnSeed = None, out: Out = None) -> None:
    """Run the story once: a robot carries parcels until something comes in that its world model has never met.

    Writes a run folder with report.html, the film, the events and the trajectory.
    """
    from worldsim.evaluation.demo import run_demo

    result = run_demo(seed, out, json, registry=registry)
    emit(result, as_json=json, out=None, show=lambda: None)  # it was told on the way
