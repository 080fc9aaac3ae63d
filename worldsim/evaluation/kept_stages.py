"""Stages of a long benchmark that are kept in a folder, so that an interrupted run goes on where it stopped."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from worldsim.evaluation.bench import Figure
from worldsim.evaluation.jsonable import dump_json, to_jsonable
from worldsim.evaluation.provenance import git_commit, is_unchanged_since
from worldsim.evaluation.run_folder import atomic_write

__all__ = ["figures_from_json", "kept"]


def kept(
    file: Path | None,
    key: Mapping[str, object],
    sources: Sequence[str],
    stage: Callable[[], Mapping[str, object]],
    *,
    also: Sequence[str] = (),
) -> dict[str, Any]:
    """Return what `file` keeps of a stage if it was made with the same key and sources, else run it and keep that.

    Args:
        file: where the stage is kept, None to keep nothing.
        key: what the stage depends on besides its sources.
        sources: git's pathspecs of the code that makes its result; what a changed tree made is never used again.
        stage: makes the result, a JSON-able mapping.
        also: further sources, looked at apart, so that what `sources` leaves out does not leave out these.
    """
    if file is not None and file.is_file():
        old = json.loads(file.read_text())
        same = old["key"] == key and old["commit"] is not None and is_unchanged_since(old["commit"], sources)
        if same and (not also or is_unchanged_since(old["commit"], also)):
            return dict(old["result"])
    result = to_jsonable(stage())
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(file) as out:
            out.write(dump_json({"key": key, "commit": git_commit(), "result": result}).encode())
    return dict(json.loads(dump_json(result)))  # kept or not, a result has gone through the same text


def figures_from_json(rows: Sequence[Mapping[str, Any]]) -> list[Figure]:
    """Return the figures that were written as JSON."""
    return [
        Figure(
            **{
                **row,
                "value": float("nan") if row["value"] is None else row["value"],
                "interval": None if row["interval"] is None else tuple(row["interval"]),
            }
        )
        for row in rows
    ]
