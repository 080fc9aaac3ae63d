"""Stages and jobs of a long benchmark, kept in a folder, so that an interrupted run goes on where it stopped."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from worldsim.evaluation.bench import Figure
from worldsim.evaluation.jsonable import dump_json, to_jsonable
from worldsim.evaluation.provenance import git_commit, is_unchanged_since
from worldsim.evaluation.ray_workers import JobMap, in_turn
from worldsim.evaluation.run_folder import atomic_write

__all__ = ["PLAYED", "figures_from_json", "kept", "kept_jobs"]

PLAYED = ("worldsim", "agents", "scenarios", "assets", ":(exclude)worldsim/evaluation/bench_*.py")
"""Sources of what an episode comes to: everything but the benchmarks that ask for it."""


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
    if file is not None and _is_kept(file, key, sources, also):
        return dict(json.loads(file.read_text())["result"])
    result = to_jsonable(stage())
    if file is not None:
        _keep(file, key, result)
    return dict(json.loads(dump_json(result)))  # kept or not, a result has gone through the same text


def _is_kept(file: Path, key: Mapping[str, object], sources: Sequence[str], also: Sequence[str] = ()) -> bool:
    """Return whether `file` keeps a result of that key, made by the sources as they are."""
    if not file.is_file():
        return False
    old = json.loads(file.read_text())
    same = old["key"] == key and old["commit"] is not None and is_unchanged_since(old["commit"], sources)
    return bool(same and (not also or is_unchanged_since(old["commit"], also)))


def _keep(file: Path, key: Mapping[str, object], result: object) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(file) as out:
        out.write(dump_json({"key": key, "commit": git_commit(), "result": result}).encode())


def kept_jobs(
    play_all: JobMap,
    folder: Path | None,
    read: Callable[[Mapping[str, Any]], Any],
    sources: Sequence[str] = PLAYED,
) -> JobMap:
    """Return what plays jobs as `play_all` does, and keeps each result in `folder` as soon as it is there.

    A result that is kept there from the same job and the same sources is not played again. In turn, an interrupted run
    loses the job that was on; on a cluster it loses what was sent there together.

    Args:
        play_all: plays what is missing.
        folder: where results are kept, None to keep nothing.
        read: makes a result of what `to_jsonable` made of it.
        sources: as in `kept`.
    """
    if folder is None:
        return play_all

    def play(function: Callable[[Any], Any], jobs: Sequence[Any]) -> list[Any]:
        keys = [{"function": function.__qualname__, "job": repr(job)} for job in jobs]
        files = [folder / f"{hashlib.sha256(repr(key).encode()).hexdigest()[:16]}.json" for key in keys]
        missing = [i for i, (key, file) in enumerate(zip(keys, files, strict=True)) if not _is_kept(file, key, sources)]
        together = 1 if play_all is in_turn else max(1, len(missing))
        for at in range(0, len(missing), together):
            batch = missing[at : at + together]
            for i, result in zip(batch, play_all(function, [jobs[i] for i in batch]), strict=True):
                _keep(files[i], keys[i], to_jsonable(result))
        return [read(json.loads(file.read_text())["result"]) for file in files]

    return play


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
