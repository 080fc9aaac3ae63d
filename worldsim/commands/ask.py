"""``worldsim ask``: what-if questions, answered from the belief that a run saved."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from worldsim.commands.options import Json, Out, Seed, emit, print_table

__all__ = ["ask"]

_SHOWN = 8


def ask(
    run: Annotated[Path, typer.Argument(help="The folder that `worldsim run` wrote.")],
    question: Annotated[
        str, typer.Argument(help='For example "if I drive at 0.8 m/s, how near does the worker come?".')
    ],
    episode: Annotated[int | None, typer.Option("--episode", help="Seed of the episode; the first by default.")] = None,
    at: Annotated[
        float | None, typer.Option("--at", help="Ask the belief of this time, s; the last by default.")
    ] = None,
    json: Json = False,
    seed: Seed = 0,
    out: Out = None,
) -> None:
    """Answer a what-if question from a saved belief: it predicts, decides nothing, and changes nothing.

    The language is small: if PREMISE, QUERY. A wrong question is told where it goes wrong. docs/agents.md has all.
    """
    del seed
    from worldsim.evaluation.answers import answer
    from worldsim.evaluation.questions import parse_question
    from worldsim.evaluation.saved_beliefs import open_belief

    asked = parse_question(question)
    found = answer(open_belief(run, episode, at), asked)
    rows = [
        (f"#{f.object_id}", f.kind, _shown(f.value), "" if f.low is None else f"{_shown(f.low)} .. {_shown(f.high)}")
        for f in found.findings[:_SHOWN]
    ]
    emit(
        found.as_dict(),
        as_json=json,
        out=out,
        show=lambda: print_table(
            found.text,
            ("thing", "kind", f"{found.asked} ({found.unit})", "90 %"),
            rows,
            f"belief of {found.time_s:g} s",
        ),
    )


def _shown(values: tuple[float, ...] | None) -> str:
    return ", ".join(f"{value:.3g}" for value in values or ())
