from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from worldsim.evaluation.bench import BenchOptions
from worldsim.evaluation.bench_cat import ROWS, alone_schedule, bench_cat, cat_schedule
from worldsim.evaluation.cat_figures import BASELINES, cat_figures, poisson_interval
from worldsim.evaluation.cat_jobs import CatJob, CatRow, row_from_json
from worldsim.evaluation.cat_scoring import EpisodeScore, ForecastScore
from worldsim.evaluation.jsonable import dump_json
from worldsim.evaluation.statistics import proportion_interval

KINDS = ("cat", "dog", "ball", "trolley", "drone")


def score(seed, kind, **changes):
    """The score of an episode in which everything went well."""
    known = kind not in ("drone", "none")
    fields = {
        "seed": seed,
        "kind": kind,
        "seconds": 40.0,
        "wall_s": 30.0,
        "first_visible_s": None if kind == "none" else 9.0,
        "alarm_s": None if kind == "none" else 9.3,
        "false_alarms": 0,
        "touched": False,
        "gap_m": 1.5,
        "candidates": 8,
        "adopted_s": 10.0 if known else None,
        "adopted_kind": kind if known else None,
        "adopted_id": f"{kind}/{kind}-01" if known else None,
        "novel_s": None if known else 10.5,
        "published_id": None if known else "learned/unnamed-1",
        "models_before": 14,
        "models_after": 15,
        "deliveries": 1,
        "deliveries_wanted": 1,
        "forecast": ForecastScore(
            n=100, error_sum_m=20.0, baseline_error_sum_m=50.0, covered=180, baseline_covered=150
        ),
    }
    return EpisodeScore(**fields | changes)


def row(variant, seed, kind, **changes):
    intruder = "none" if kind == "none" else "auto"
    met_again = kind == "drone" and variant == "world_model"
    again = score(seed, kind, adopted_s=9.9, adopted_kind="unnamed-1", adopted_id="learned/unnamed-1@1")
    job = CatJob(variant, seed, intruder)
    return CatRow(
        job.key, variant, intruder, kind != "drone", score(seed, kind, **changes), again if met_again else None
    )


def good_rows():
    ours = [row("world_model", seed, KINDS[seed % 5]) for seed in range(50)]
    quiet = [row("world_model", 10_000 + i, "none", seconds=120.0) for i in range(60)]
    others = [row(v, seed, KINDS[seed % 5], alarm_s=None, adopted_s=None) for v in BASELINES for seed in range(50)]
    return ours + quiet + others


def figures(rows):
    timed = [r for r in rows if r.intruder != "none" and r.first.seed < 4]
    return {figure.name: figure for figure in cat_figures(rows, timed, np.random.default_rng(0))}


def find(found, words):
    (name,) = [name for name in found if words in name]
    return found[name]


def test_there_is_a_figure_for_every_promise_and_all_hold_where_all_went_well():
    found = figures(good_rows())
    assert len(found) == 13
    assert all(figure.holds and figure.bar is not None for figure in found.values())
    for figure in found.values():
        assert set(BASELINES) <= set(figure.baselines)


def test_values_are_what_paper_gives():
    found = figures(good_rows())
    assert find(found, "error over").value == pytest.approx(0.4)
    assert find(found, "intervals hold").value == pytest.approx(0.9)
    assert find(found, "intervals hold").baselines["kalman_tracker"] == pytest.approx(0.75)
    assert find(found, "real-time").value == pytest.approx(40 / 30)
    assert find(found, "novel").n == 10
    assert "2.00 h quiet" in find(found, "false alarms").name
    assert find(found, "alarm within").baselines["surprise_off"] == 0.0


@pytest.mark.parametrize(
    ("words", "kind", "change"),
    [
        ("alarm within", "cat", {"alarm_s": 9.6}),
        ("touched", "dog", {"touched": True}),
        ("candidates", "cat", {"candidates": 9}),
        ("right kind", "ball", {"adopted_kind": "cat"}),
        ("right kind", "ball", {"adopted_s": 12.4}),
        ("before + 1", "cat", {"models_after": 16}),
        ("novel", "drone", {"novel_s": None}),
        ("published", "drone", {"published_id": None}),
        ("deliveries", "cat", {"deliveries": 0}),
        ("real-time", "cat", {"wall_s": 100.0}),
    ],
)
def test_a_promise_that_is_broken_in_every_run_of_a_kind_falls_short(words, kind, change):
    rows = [
        dataclasses.replace(r, first=dataclasses.replace(r.first, **change))
        if r.variant == "world_model" and r.first.kind == kind
        else r
        for r in good_rows()
    ]
    assert not find(figures(rows), words).holds


def test_three_false_alarms_in_two_hours_are_too_many():
    rows = good_rows()
    rows[50] = dataclasses.replace(rows[50], first=dataclasses.replace(rows[50].first, false_alarms=3))
    figure = find(figures(rows), "false alarms")
    assert figure.value == pytest.approx(1.5)
    assert not figure.holds


def test_meeting_again_without_recognising_falls_short():
    rows = [dataclasses.replace(r, next=None) for r in good_rows()]
    assert not find(figures(rows), "recognised").holds


def test_intervals_are_exact():
    assert proportion_interval(0, 0) is None
    assert proportion_interval(45, 50) == pytest.approx((0.7819, 0.9667), abs=1e-3)  # published Clopper-Pearson table
    assert poisson_interval(3, 2.0) == pytest.approx((0.6187 / 2, 8.7673 / 2), abs=1e-3)  # published Garwood table
    assert poisson_interval(1, 0.0) is None


def test_a_row_survives_its_file():
    wanted = row("world_model", 4, "drone")
    assert row_from_json(json.loads(dump_json(wanted))) == wanted


def test_the_schedule_covers_seeds_baselines_and_two_quiet_hours():
    jobs = cat_schedule(range(50), quick=False)
    assert len({job.key for job in jobs}) == len(jobs) == 50 + 2 * 20 + 60
    assert sum(job.duration_s for job in jobs if job.intruder == "none") == 7200.0
    assert {job.intruder for job in jobs} == {"auto", "none"}  # no kind is chosen


def test_times_are_taken_of_the_first_seeds_for_ours_and_for_each_baseline():
    jobs = alone_schedule(range(50), quick=False)
    assert {(job.variant, job.seed) for job in jobs} == {(v, s) for v in ("world_model", *BASELINES) for s in range(4)}


def test_what_ran_beside_something_does_not_count_for_the_real_time_factor():
    rows = [dataclasses.replace(r, first=dataclasses.replace(r.first, wall_s=80.0)) for r in good_rows()]
    alone = [row("world_model", seed, "cat") for seed in range(4)]
    found = {f.name: f for f in cat_figures(rows, alone, np.random.default_rng(0))}
    assert find(found, "real-time").value == pytest.approx(40.0 / 30.0)


@pytest.mark.parametrize(("commit", "again"), [("HEAD", False), ("HEAD-dirty", True)])
def test_finished_jobs_are_run_again_only_where_what_they_ran_on_has_changed(tmp_path, monkeypatch, commit, again):
    """Every job of the schedule is on file; on the same sources nothing runs and the figures come at once."""
    quick = {"quick": True}
    lines = []
    for alone, jobs in ((True, alone_schedule(range(1), **quick)), (False, cat_schedule(range(1), **quick))):
        for job in jobs:
            kind = "none" if job.intruder == "none" else "cat"
            done = CatRow(job.key, job.variant, job.intruder, True, score(job.seed, kind))
            lines.append(dump_json({"commit": commit, "alone": alone, "row": done}))
    (tmp_path / ROWS).write_text("\n".join([*lines, '{"commit": "0123a']), encoding="utf-8")
    monkeypatch.setattr("worldsim.evaluation.bench_cat.PLAYED", ("LICENSE",))  # the rest may be at work in this tree
    monkeypatch.setattr("worldsim.evaluation.bench_cat.SCORED", ("LICENSE",))
    ran = []
    monkeypatch.setattr("worldsim.evaluation.bench_cat._run", lambda jobs, processes, deadline: ran.extend(jobs) or [])
    told = []
    found = bench_cat(BenchOptions(quick=True, seeds=range(1), out=tmp_path, tell=told.append))
    assert len(found) == 13
    assert len(ran) == (5 if again else 0)
    if not again:
        assert told == [f"{n} of {n} jobs were done before and are taken from {tmp_path}/{ROWS}" for n in (1, 4)]
