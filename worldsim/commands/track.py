"""``worldsim track``: the closed loop on recorded real data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from worldsim.commands.figures import show_figures
from worldsim.commands.options import DataFile, Json, Out, Seed, emit, print_table, tell, typed
from worldsim.errors import UnknownNameError
from worldsim.evaluation.datasets import RECORDINGS

if TYPE_CHECKING:
    from worldsim.evaluation.track_run import TrackResult

__all__ = ["track"]

FELL_SHORT = 3
"""Exit status when a figure falls short of its bar (the figures are printed all the same)."""


def track(
    recording: Annotated[str, typer.Argument(help=f"One of: {', '.join(RECORDINGS)}.")],
    split: Annotated[str | None, typer.Option("--split", help="train, dev or all; by default dev.")] = None,
    data: DataFile = None,
    items: Annotated[int | None, typer.Option("--items", min=1, help="Only the first so many clips.")] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="A smaller version; its figures are not the published ones.")
    ] = False,
    json: Json = False,
    seed: Seed = 0,
    out: Out = None,
) -> None:
    """Run the unchanged world model over a recording; exit status 0 if every figure holds, 3 if one falls short.

    Drawings, figures and events go to a run folder (--out DIR names it).
    """
    if recording not in RECORDINGS:
        raise UnknownNameError("recording", recording, RECORDINGS)
    from worldsim.evaluation.track_run import track_recording

    result = track_recording(recording, split=split, data=data, items=items, quick=quick, seed=seed, out=out, tell=tell)
    emit(result.report(), as_json=json, out=None, show=lambda: _show(result))
    if not result.holds:
        raise typer.Exit(FELL_SHORT)


def _show(result: TrackResult) -> None:
    beliefs = [
        (item["name"], item.get("taken_for", ""), *_friction(item.get("beliefs") or {}), _alarm(item))
        for item in result.items
        if "alarm_s" in item
    ]
    if beliefs:
        print_table("after each toss", ("toss", "taken for", "friction", "90 %", "alarm"), beliefs)
    smaller = "smaller version (--quick), not the published figures; " if result.quick else ""
    caption = f"{smaller}{result.seconds:.1f} s; {typed('worldsim', 'view', result.folder)}"
    show_figures(f"track {result.recording} ({result.split})", result.figures, caption)


def _friction(beliefs: dict[str, dict[str, float]]) -> tuple[str, str]:
    found = beliefs.get("friction")
    return ("", "") if found is None else (f"{found['median']:.3f}", f"{found['low']:.3f} .. {found['high']:.3f}")


def _alarm(item: Mapping[str, Any]) -> str:
    return "" if item["alarm_s"] is None else f"{item['alarm_s']:.3f} s"
