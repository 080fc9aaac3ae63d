"""Figures, their bars, and the runner of benchmarks."""

from __future__ import annotations

import html
import json
import shlex

import pytest

from worldsim.errors import ConfigurationError, UnknownNameError
from worldsim.evaluation.bench import BENCHMARKS, BenchOptions, Figure, parse_seeds, run_bench
from worldsim.evaluation.jsonable import dump_json
from worldsim.evaluation.transfer.page import write_page


def told(options: BenchOptions) -> list[Figure]:
    options.tell("one line")
    return [Figure.told("real-time factor", 2.5), Figure.within("coverage", 0.91, 0.85, 0.95, n=400)]


def nothing(_: BenchOptions) -> list[Figure]:
    return []


TABLE = {"told": f"{__name__}:told", "nothing": f"{__name__}:nothing"}


@pytest.mark.parametrize(
    ("figure", "holds"),
    [
        (Figure.at_least("x", 0.95, 0.95), True),
        (Figure.at_least("x", 0.94, 0.95), False),
        (Figure.at_most("x", 0.5, 0.5), True),
        (Figure.at_most("x", 0.6, 0.5), False),
        (Figure.within("x", 0.95, 0.85, 0.95), True),
        (Figure.within("x", 0.96, 0.85, 0.95), False),
        (Figure.at_most("x", float("nan"), 0.5), False),
        (Figure.at_least("x", float("inf"), 0.5), False),
        (Figure.told("x", float("nan")), True),
    ],
)
def test_a_figure_holds_when_it_reaches_its_bar_and_never_when_it_could_not_be_measured(figure, holds):
    assert figure.holds is holds


def test_a_result_is_one_strict_json_object_with_what_it_was_made_with():
    lines = []
    result = run_bench("told", BenchOptions(quick=True, tell=lines.append), TABLE)
    report = json.loads(dump_json(result.report()))
    assert result.holds
    assert lines == ["one line"]
    assert list(report)[:4] == ["bench", "commit", "versions", "machine"]
    assert report["quick"] is True
    assert report["asked"] == {"seed": 0}
    assert report["figures"][1] == {
        "name": "coverage",
        "value": 0.91,
        "unit": "1",
        "interval": None,
        "n": 400,
        "bar": "0.85 .. 0.95",
        "holds": True,
        "baselines": {},
    }


def test_an_unknown_benchmark_lists_the_known_ones():
    with pytest.raises(UnknownNameError, match="Did you mean 'told'"):
        run_bench("tolt", BenchOptions(), TABLE)


def test_a_benchmark_without_figures_is_an_error_rather_than_a_success():
    with pytest.raises(ConfigurationError, match="nothing"):
        run_bench("nothing", BenchOptions(), TABLE)


@pytest.mark.parametrize("text", ["", "5", "5:", ":5", "5:5", "6:5", "a:b", "-1:3", "1:2:3"])
def test_seeds_of_another_form_than_a_to_b_are_refused(text):
    with pytest.raises(ConfigurationError, match="expected A:B"):
        parse_seeds(text)


def test_seeds_that_were_asked_for_win_over_the_benchmarks_own():
    assert BenchOptions(quick=True, seeds=parse_seeds("3:7")).seeds_or(range(50), range(5)) == range(3, 7)
    assert BenchOptions(quick=True).seeds_or(range(50), range(5)) == range(5)
    assert BenchOptions().seeds_or(range(50), range(5)) == range(50)


def test_every_benchmark_of_the_table_can_be_imported():
    import importlib

    for target in BENCHMARKS.values():
        module, _, function = target.partition(":")
        assert callable(getattr(importlib.import_module(module), function))


def test_what_was_asked_stands_in_the_report_and_on_the_page(tmp_path):
    options = BenchOptions(quick=True, seed=3, data=tmp_path / "my drops.npz", out=tmp_path / "out")
    report = run_bench("told", options, TABLE).report()
    assert report["asked"] == {"seed": 3, "data": str(options.data)}
    page = write_page(options, "planar-drop", "Drops.", told(options), []).read_text(encoding="utf-8")
    assert f"What is scored: {options.data}." in page
    command = html.unescape(page.rpartition("written by ")[2].partition("</p>")[0])
    assert shlex.split(command) == [
        *("worldsim", "transfer", "planar-drop", "--quick", "--seed", "3", "--data", str(options.data)),
        *("--out", "DIR"),
    ]
    assert write_page(BenchOptions(), "planar-drop", "Drops.", told(options), []) is None
