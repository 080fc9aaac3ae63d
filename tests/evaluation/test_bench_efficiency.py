"""Recorded baselines, and what it means to reach one."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

from worldsim.errors import ConfigurationError, DataError
from worldsim.evaluation.baselines import load_baseline, record_seed, recorded_baselines, recorded_seeds
from worldsim.evaluation.bench import BenchOptions
from worldsim.evaluation.bench_efficiency import SCENARIOS_BAR, efficiency_figures, reaches
from worldsim.evaluation.efficiency_page import Side, acting_curve, render_efficiency_page, training_curve
from worldsim.evaluation.jsonable import dump_json
from worldsim.evaluation.online_learning import Learned
from worldsim.evaluation.statistics import Estimate
from worldsim.evaluation.sweep import Score
from worldsim.evaluation.training import Evaluation, SeedResult, TrainOptions


def recorded(folder, scenario="Intercept", agent="ppo", level=1.0):
    results = [
        SeedResult(s, 100, 0, (), (Evaluation(0, (0.0,), 0.0), Evaluation(100, (level, level + 1.0 + s), 0.5)))
        for s in range(2)
    ]
    file = folder / f"{scenario}-{agent}.json"
    for result in results:
        record_seed(file, TrainOptions(scenario, agent, steps=100, seeds=2), result, "worldsim train ...")
    return file


def test_what_is_recorded_is_read_again_with_its_versions_and_seeds(tmp_path):
    file = recorded(tmp_path)
    found = load_baseline(file)
    assert (found.scenario, found.agent, found.steps, found.success) == ("Intercept", "ppo", 100, 0.5)
    np.testing.assert_array_equal(np.stack(found.returns), [[1.0, 2.0], [1.0, 3.0]])
    body = json.loads(file.read_text())
    assert {"command", "options", "seeds"} == set(body)
    assert [seed["seed"] for seed in body["seeds"]] == [0, 1]
    assert all({"commit", "versions", "machine", "evaluations"} <= set(seed) for seed in body["seeds"])
    assert found.curves[1] == ((0, (0.0,)), (100, (1.0, 3.0)))
    file.write_text("{}")
    with pytest.raises(DataError, match="no recorded baseline"):
        load_baseline(file)


def test_a_record_is_gone_on_with_by_more_seeds_and_by_no_other_training(tmp_path):
    file = recorded(tmp_path)
    more = TrainOptions("Intercept", "ppo", steps=100, seeds=5)
    assert {seed: result.evaluations[-1].returns for seed, result in recorded_seeds(file, more).items()} == {
        0: (1.0, 2.0), 1: (1.0, 3.0),
    }  # fmt: skip
    assert recorded_seeds(tmp_path / "none.json", more) == recorded_seeds(None, more) == {}
    with pytest.raises(ConfigurationError, match="another training: steps 100, now 200"):
        recorded_seeds(file, TrainOptions("Intercept", "ppo", steps=200))


def test_curves_leave_out_the_episode_that_was_cut_and_the_page_says_where_it_does_not_reach(tmp_path):
    score = [Score(True, total, 1.0, 50) for total in (1.0, 3.0, -100.0)]
    runs = [Learned(seed, 130, ((0, score[0]), (50, score[1]), (100, score[2])), (), ()) for seed in range(2)]
    rng = np.random.default_rng(0)
    ours = acting_curve(runs, 100, rng)
    assert [estimate.value for _, estimate in ours] == [1.0, 3.0]
    theirs = training_curve(load_baseline(recorded(tmp_path)), rng)
    assert [step for step, _ in theirs] == [0.0, 100.0]
    first = render_efficiency_page("ours", {"Intercept": Side(ours, {"ppo, 2 seeds": theirs}, True)}, 100)
    assert "No training of sac was recorded for Intercept" in first
    assert "No training of ppo" not in first
    page = render_efficiency_page("ours", {"Intercept": Side(ours, {"<ppo>": theirs}, False)}, 100)
    assert "it does not on Intercept." in page
    assert page.count("<svg") == 1
    assert "&lt;ppo&gt;" in page
    again = Learned.from_json(json.loads(dump_json(runs[0])))
    assert again == runs[0]


def test_an_interval_is_reached_by_both_ends():
    theirs = Estimate(2.0, 1.0, 3.0, 10)
    assert reaches(Estimate(2.0, 1.0, 3.0, 10), theirs)
    assert reaches(Estimate(4.0, 3.5, 5.0, 10), theirs)
    assert not reaches(Estimate(2.5, 0.5, 4.0, 10), theirs)
    assert not reaches(Estimate(1.5, 1.2, 1.8, 10), theirs)


@pytest.mark.slow
def test_every_recorded_scenario_is_told_beside_its_baselines(tmp_path):
    recorded(tmp_path, agent="ppo", level=-900.0)
    recorded(tmp_path, agent="sac", level=-1000.0)
    out = tmp_path / "out"
    figures = efficiency_figures(BenchOptions(quick=True, data=tmp_path, out=out, seeds=range(2)))
    page = (out / "learning-curves.html").read_text()
    assert page.count("<svg") == 1
    assert "on 1 of 1 scenarios." in page
    assert len(list((out / "episodes").glob("*.json"))) == 2
    assert len(recorded_baselines(tmp_path)["Intercept"]) == 2
    assert set(figures[0].baselines) == {"ppo, 100 frames, 2 seeds", "sac, 100 frames, 2 seeds"}
    assert figures[0].bar is None
    assert (figures[-1].value, figures[-1].bar, figures[-1].n) == (1.0, f">= {SCENARIOS_BAR}", 1)


def test_where_nothing_was_recorded_the_bar_does_not_hold_and_the_command_is_told(tmp_path):
    told = []
    (figure,) = efficiency_figures(BenchOptions(quick=True, data=tmp_path, tell=told.append))
    assert not figure.holds
    assert "--record" in told[0]
    recorded(tmp_path, agent="ppo", level=1.0)  # of Intercept, and nothing else was asked for
    (figure,) = efficiency_figures(BenchOptions(quick=True, data=tmp_path, tell=told.append, scenarios=("PushT",)))
    assert (figure.holds, figure.n) == (False, 0)


@pytest.mark.slow
def test_a_training_records_itself_where_it_is_asked_to(tmp_path):
    file = tmp_path / "kept" / "Intercept-ppo.json"
    command = ["train", "Intercept", "--agent", "ppo", "--steps", "64", "--evaluation-episodes", "1", "--json"]
    command += ["--evaluation-seconds", "0.2", "--record", str(file), "--out", str(tmp_path), "--overwrite"]
    done = subprocess.run([sys.executable, "-m", "worldsim", *command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert load_baseline(file).steps == 64
    assert json.loads(file.read_text())["command"].startswith("worldsim train Intercept --agent ppo")
    before = file.read_bytes()
    again = subprocess.run([sys.executable, "-m", "worldsim", *command], capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stderr
    assert file.read_bytes() == before
