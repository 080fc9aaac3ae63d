"""The benchmark `cat`: many episodes of the cat in the warehouse, ours beside its baselines.

The seeds decide everything, the kind of the intruder included. Jobs run in two processes; the first few seeds run once
more, one at a time with nothing beside them, for the real-time factor. With ``--out DIR`` every finished job is a line
of ``DIR/cat-rows.jsonl``, and a benchmark that was interrupted goes on where it stopped, as long as nothing that is
played or scored has changed meanwhile.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, as_completed
from pathlib import Path

import numpy as np

from worldsim.evaluation.bench import BenchOptions, Figure
from worldsim.evaluation.cat_figures import BASELINES, cat_figures
from worldsim.evaluation.cat_jobs import PLAYED, SCORED, CatJob, CatRow, row_from_json, run_job
from worldsim.evaluation.jsonable import dump_json
from worldsim.evaluation.provenance import git_commit, is_unchanged_since
from worldsim.evaluation.workers import spawned_workers

__all__ = ["bench_cat", "cat_schedule"]

ROWS = "cat-rows.jsonl"
SEEDS, QUICK_SEEDS = range(50), range(2)

_QUIET_HOURS = 2.0
_QUIET_EPISODE_S = 120.0
_QUIET_SEED = 10_000  # seeds of the episodes without intruder, apart from the others
_QUICK = {"duration_s": 14.0, "intruder_time_s": (2.0, 3.0), "max_wall_s": 11.0}
_QUICK_DEADLINE_S = 22.0  # nothing new is started after this; what runs then is done within the minute
_PROCESSES = 2
_ALONE_SEEDS = 4
_BASELINE_SEEDS = 20  # the first ones: no bar rests on a baseline, and each takes as long as ours


def bench_cat(options: BenchOptions) -> list[Figure]:
    """Run the benchmark; see the module's docstring."""
    seeds = options.seeds_or(SEEDS, QUICK_SEEDS)
    timed = _rows_of(alone_schedule(seeds, quick=options.quick), options, alone=True)
    rows = _rows_of(cat_schedule(seeds, quick=options.quick), options, alone=False)
    return cat_figures(rows, timed, np.random.default_rng(options.seed), quick=options.quick)


def _rows_of(jobs: Sequence[CatJob], options: BenchOptions, *, alone: bool) -> list[CatRow]:
    """Return the rows of `jobs`: what was finished before, and what is run now."""
    done = _finished_before(options.out, alone)
    rows = [done[job.key] for job in jobs if job.key in done]
    if rows:
        options.tell(f"{len(rows)} of {len(jobs)} jobs were done before and are taken from {options.out}/{ROWS}")
    wanted = [job for job in jobs if job.key not in done]
    for row in _run(wanted, 1 if alone else _PROCESSES, _QUICK_DEADLINE_S if options.quick else None):
        rows.append(row)
        _keep(row, options.out, alone)
        options.tell(f"{len(rows)}/{len(jobs)}{' alone,' if alone else ''} {_in_words(row)}")
    if len(rows) < len(jobs):
        options.tell(f"{len(jobs) - len(rows)} of {len(jobs)} jobs were left out: the quick version's minute was over")
    return rows


def alone_schedule(seeds: Sequence[int], *, quick: bool) -> list[CatJob]:
    """Return the jobs whose time is taken with nothing beside them: the first seeds, for ours and for each baseline."""
    if quick:
        return [CatJob("world_model", seeds[0], **_QUICK)]  # type: ignore[arg-type]
    return [CatJob(variant, seed) for variant in ("world_model", *BASELINES) for seed in seeds[:_ALONE_SEEDS]]


def cat_schedule(seeds: Sequence[int], *, quick: bool) -> list[CatJob]:
    """Return all jobs: each seed for ours, the first ones for each baseline, and the hours without intruder.

    Args:
        seeds: of the episodes with an intruder.
        quick: short episodes, one quiet one, and one seed for each baseline.
    """
    if quick:
        ours = [CatJob("world_model", seed, **_QUICK) for seed in seeds]  # type: ignore[arg-type]
        others = [CatJob(variant, seeds[0], **_QUICK) for variant in BASELINES]  # type: ignore[arg-type]
        quiet = [CatJob("world_model", _QUIET_SEED, "none", **_QUICK)]  # type: ignore[arg-type]
        return ours[:1] + others + quiet + ours[1:]  # in the order in which a slow machine would miss them least
    ours = [CatJob("world_model", seed) for seed in seeds]
    others = [CatJob(variant, seed) for seed in seeds[:_BASELINE_SEEDS] for variant in BASELINES]
    episodes = int(np.ceil(_QUIET_HOURS * 3600.0 / _QUIET_EPISODE_S))
    quiet = [CatJob("world_model", _QUIET_SEED + i, "none", duration_s=_QUIET_EPISODE_S) for i in range(episodes)]
    return ours + quiet + others


def _run(jobs: Sequence[CatJob], processes: int, deadline_s: float | None) -> Iterator[CatRow]:
    """Yield rows as they are done; start no job later than `deadline_s` from now, where that is given."""
    if not jobs:
        return
    started = time.monotonic()
    with spawned_workers(processes) as pool:
        futures: list[Future[CatRow]] = [pool.submit(run_job, job) for job in jobs]
        try:
            for future in as_completed(futures):
                if not future.cancelled():
                    yield future.result()
                if deadline_s is not None and time.monotonic() - started > deadline_s:
                    for waiting in futures:
                        waiting.cancel()  # does nothing to those that run
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _keep(row: CatRow, out: Path | None, alone: bool) -> None:
    if out is None:
        return
    out.mkdir(parents=True, exist_ok=True)
    with (out / ROWS).open("a", encoding="utf-8") as file:
        file.write(dump_json({"commit": git_commit(), "alone": alone, "row": row}) + "\n")


def _finished_before(out: Path | None, alone: bool) -> dict[str, CatRow]:
    """Return key -> row of the jobs that were run before on the same sources; any change to them starts anew."""
    if out is None or not (out / ROWS).exists():
        return {}
    same: dict[str | None, bool] = {None: False}
    found: dict[str, CatRow] = {}
    for line in (out / ROWS).read_text(encoding="utf-8").splitlines():
        try:
            kept = json.loads(line)
            commit = kept["commit"]
            if commit not in same:
                same[commit] = is_unchanged_since(commit, PLAYED) and is_unchanged_since(commit, SCORED)
            if same[commit] and kept.get("alone", False) == alone:
                row = row_from_json(kept["row"])
                found[row.key] = row
        except (ValueError, KeyError, TypeError):  # the last line of a run that was killed
            continue
    return found


def _in_words(row: CatRow) -> str:
    score = row.first
    told = f"{row.variant}, seed {score.seed}: "
    if row.intruder == "none":
        return told + f"no intruder, {score.false_alarms} alarms in {score.seconds:.0f} s"
    seen, alarm = score.first_visible_s, score.alarm_s
    noticed = "no alarm" if seen is None or alarm is None else f"alarm after {alarm - seen:.2f} s"
    found = score.adopted_kind or ("new" if score.novel_s is not None else "nothing")
    factor = score.seconds / max(score.wall_s, 1e-9)
    return told + f"{score.kind}, {noticed}, found: {found}, {score.deliveries} delivered, {factor:.2f} x real time"
