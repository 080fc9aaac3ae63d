"""Sim-to-sim in the warehouse: the world model that grew in PyBullet, in MuJoCo, with nothing retrained.

For each seed an episode is played in PyBullet; what the world model published there stays in its registry. With that
registry it then plays the same seed in MuJoCo, an engine that shares no code with PyBullet and has softer contacts.
Without an intruder it works for several minutes in each world. The first of them is its time to adapt; a false alarm
is counted in the others. With ``--out DIR`` every finished job is a file in ``DIR/rows``, and a run that was
interrupted goes on where it stopped, as long as nothing that is played or scored has changed meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, as_completed
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float

from worldsim.evaluation.bench import BenchOptions, Figure
from worldsim.evaluation.cat_figures import cat_figures, poisson_interval
from worldsim.evaluation.cat_jobs import PLAYED, SCORED, CatJob, CatRow, played, row_from_json
from worldsim.evaluation.cat_scoring import score_episode
from worldsim.evaluation.kept_stages import kept
from worldsim.evaluation.statistics import bootstrap
from worldsim.evaluation.transfer.page import write_page
from worldsim.evaluation.workers import spawned_workers
from worldsim.extras import need
from worldsim.registry import open_registry
from worldsim.types.record import EventKind

__all__ = ["AWAY", "ENGINES", "HOME", "Meeting", "Quiet", "transfer_warehouse", "warehouse_figures"]

HOME, AWAY = "PyBullet", "MuJoCo"
ENGINES = {HOME: "bullet", AWAY: "mujoco"}
"""World -> the engine that runs it."""
SEEDS, QUICK_SEEDS = range(10), range(1)
_QUIET_SEED = 20_000
_QUIET_A_SEED = {AWAY: 2, HOME: 1}  # ten seeds count two hours in MuJoCo, and one in PyBullet, where `bench cat` does
_QUIET_S, _ADAPTING_S = 420.0, 60.0
_QUICK = {"duration_s": 12.0, "intruder_time_s": (2.0, 3.0)}
_QUICK_ADAPTING_S = 4.0
_SIDE_BY_SIDE = (
    "alarm within 0.5 s of first visibility",
    "right kind adopted within 3 s",
    "robot touched intruder (runs)",
    "1 s ahead: error over Kalman tracker's",
    "1 s ahead: 90 % intervals hold",
    "deliveries completed",
)


@dataclass(frozen=True, slots=True)
class Meeting:
    """One seed in both worlds: world -> the row of its episode."""

    rows: dict[str, CatRow]


@dataclass(frozen=True, slots=True)
class Quiet:
    """One episode without an intruder.

    Attributes:
        world: where it was played.
        early: alarms while adapting; late: alarms after it.
        adapting_s, counted_s: simulated time of the two.
    """

    world: str
    early: int
    late: int
    adapting_s: float
    counted_s: float


def transfer_warehouse(options: BenchOptions) -> list[Figure]:
    """Play all seeds in both worlds; figures of MuJoCo with PyBullet's beside them."""
    need("mujoco", "transfer warehouse")
    seeds = options.seeds_or(SEEDS, QUICK_SEEDS)
    meetings, quiet = [], []
    rows = None if options.out is None else options.out / "rows"
    for done in _results(seeds, options.quick, rows):
        if isinstance(done, Meeting):
            meetings.append(done)
        else:
            quiet.append(done)
        options.tell(_in_words(done))
    figures = warehouse_figures(meetings, quiet, np.random.default_rng(options.seed), quick=options.quick)
    write_page(options, "warehouse", _LEAD, figures, [])
    return figures


_LEAD = (
    "The warehouse in two engines. The world model and its registry grew in PyBullet; nothing was retrained for "
    "MuJoCo. Every figure is MuJoCo's, with PyBullet's on the same seeds beside it."
)


def _results(seeds: Sequence[int], quick: bool, rows: Path | None) -> Iterator[Meeting | Quiet]:
    """Yield what two processes bring, as it comes."""
    with spawned_workers(2) as pool:
        futures: list[Future[Meeting | Quiet]] = []
        for seed in seeds:  # seed by seed, so that what an interrupted run keeps is whole for its first seeds
            futures.append(pool.submit(_meet, seed, quick, rows))
            for world in (AWAY,) if quick else (AWAY, HOME):
                each = 1 if quick else _QUIET_A_SEED[world]
                for index in range(each):
                    futures.append(pool.submit(_wait, world, _QUIET_SEED + each * seed + index, quick, rows))
        try:
            for future in as_completed(futures):
                yield future.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _meet(seed: int, quick: bool, rows: Path | None) -> Meeting | Quiet:
    """Return one seed with an intruder in both worlds, from the file that keeps it or played now."""
    file = None if rows is None else rows / f"meeting-{seed}.json"
    found = kept(file, {"seed": seed, "quick": quick}, PLAYED, lambda: _played_meeting(seed, quick), also=SCORED)
    return Meeting({world: row_from_json(row) for world, row in found.items()})


def _played_meeting(seed: int, quick: bool) -> dict[str, CatRow]:
    """Play one seed with an intruder in PyBullet, then in MuJoCo with the registry as it was left."""
    torch.set_num_threads(1)
    registry = open_registry("builtin")
    kinds = {card.kind for card in registry.cards()}
    rows = {}
    for world, engine in ENGINES.items():
        job = CatJob("world_model", seed, engine=engine, **(_QUICK if quick else {}))  # type: ignore[arg-type]
        score = score_episode(played(job, registry, seed, job.intruder))
        rows[world] = CatRow(job.key, job.variant, job.intruder, score.kind in kinds, score)
    return rows


def _wait(world: str, seed: int, quick: bool, rows: Path | None) -> Meeting | Quiet:
    """Return one episode without an intruder, from the file that keeps it or played now; every alarm is a false one."""
    seconds, adapting_s = (_QUICK["duration_s"], _QUICK_ADAPTING_S) if quick else (_QUIET_S, _ADAPTING_S)
    job = CatJob("world_model", seed, "none", duration_s=seconds, engine=ENGINES[world])  # type: ignore[arg-type]
    file = None if rows is None else rows / f"quiet-{world}-{seed}.json"
    found = kept(file, {"job": job.key}, PLAYED, lambda: _played_quiet(job), also=SCORED)
    early = sum(time_s <= adapting_s for time_s in found["alarms_s"])
    counted_s = max(found["duration_s"] - adapting_s, 0.0)
    return Quiet(world, early, len(found["alarms_s"]) - early, adapting_s, counted_s)


def _played_quiet(job: CatJob) -> dict[str, object]:
    """Play the job; its length and the times of its alarms, s."""
    torch.set_num_threads(1)
    log = played(job, open_registry("builtin"), job.seed, job.intruder)
    alarms = [event.time_s for event in log.events() if event.kind is EventKind.ALARM]
    return {"duration_s": log.duration_s, "alarms_s": alarms}


def warehouse_figures(
    meetings: Sequence[Meeting], quiet: Sequence[Quiet], rng: np.random.Generator, *, quick: bool = False
) -> list[Figure]:
    """Return the figures of MuJoCo beside PyBullet's.

    Args:
        meetings: episodes with an intruder.
        quiet: episodes without.
        rng: draws the bootstraps.
        quick: a minute measures no rate, so nothing is promised of it.
    """
    found = {
        world: {
            figure.name: figure
            for figure in cat_figures([meeting.rows[world] for meeting in meetings], [], rng, quick=True)
        }
        for world in ENGINES
    }
    figures = [
        Figure.told(
            name,
            found[AWAY][name].value,
            unit=found[AWAY][name].unit,
            interval=found[AWAY][name].interval,
            n=found[AWAY][name].n,
            baselines={HOME: found[HOME][name].value},
        )
        for name in _SIDE_BY_SIDE
    ]
    figures.append(_error_figure(meetings, rng))
    late = {world: _rate([(q.late, q.counted_s) for q in quiet if q.world == world]) for world in ENGINES}
    early = {world: _rate([(q.early, q.adapting_s) for q in quiet if q.world == world]) for world in ENGINES}
    adapting_s = quiet[0].adapting_s if quiet else _ADAPTING_S
    rest = {"unit": "1/h", "interval": late[AWAY].interval, "n": late[AWAY].n, "baselines": {HOME: late[HOME].known}}
    name = f"false alarms per hour after {adapting_s:.0f} s of adaptation ({late[AWAY].hours:.2f} h)"
    figures.append(
        Figure.told(name, late[AWAY].value, **rest) if quick else Figure.at_most(name, late[AWAY].value, 1.0, **rest)
    )
    rest = {"unit": "1/h", "interval": early[AWAY].interval, "n": early[AWAY].n, "baselines": {HOME: early[HOME].known}}
    figures.append(Figure.told(f"the same in the first {adapting_s:.0f} s", early[AWAY].value, **rest))
    return figures


def _error_figure(meetings: Sequence[Meeting], rng: np.random.Generator) -> Figure:
    """Return the mean error 1 s ahead, whole episodes resampled."""
    sums = {
        world: np.array(
            [(m.rows[world].first.forecast.error_sum_m, m.rows[world].first.forecast.n) for m in meetings]
        ).reshape(-1, 2)
        for world in ENGINES
    }
    away = sums[AWAY]

    def mean_error(rows: Float[np.ndarray, "E 2"]) -> float:
        return float(rows[:, 0].sum() / max(rows[:, 1].sum(), 1.0))

    found = bootstrap([np.arange(len(away))], lambda drawn: mean_error(away[drawn.astype(np.int64)]), rng)
    return Figure.told(
        "1 s ahead: mean error of the intruder's position",
        found.value,
        unit="m",
        interval=found.interval,
        n=int(away[:, 1].sum()),
        baselines={HOME: mean_error(sums[HOME])},
    )


@dataclass(frozen=True, slots=True)
class _Rate:
    """Alarms an hour, with the exact interval of a Poisson rate; `n` counts episodes."""

    value: float
    interval: tuple[float, float] | None
    n: int
    hours: float

    @property
    def known(self) -> float | None:
        """The rate, None where nothing was played."""
        return self.value if self.hours > 0.0 else None


def _rate(counts: Sequence[tuple[int, float]]) -> _Rate:
    count, hours = sum(c for c, _ in counts), sum(s for _, s in counts) / 3600.0
    value = count / hours if hours > 0.0 else float("nan")
    return _Rate(value, poisson_interval(count, hours), len(counts), hours)


def _in_words(done: Meeting | Quiet) -> str:
    if isinstance(done, Quiet):
        return f"{done.world}, no intruder: {done.early} alarms while adapting, {done.late} after"
    told = []
    for world, row in done.rows.items():
        seen, alarm = row.first.first_visible_s, row.first.alarm_s
        told.append(
            f"{world}: " + ("no alarm" if seen is None or alarm is None else f"alarm after {alarm - seen:.2f} s")
        )
    return f"seed {done.rows[HOME].first.seed}: " + ", ".join(told)
