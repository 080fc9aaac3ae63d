"""The folder that a run writes."""

from __future__ import annotations

import errno
import json

import numpy as np
import pytest

from worldsim.errors import ConfigurationError, DataError
from worldsim.evaluation.jsonable import dump_json, to_jsonable
from worldsim.evaluation.run_folder import RunFolder, atomic_write, read_events, read_run
from worldsim.types import Event, EventKind, ParameterPrior


def make(path, **config):
    return RunFolder(path, name="demo", config=config, seed=7)


def write_until_full(file):
    file.write(b"half of the n")
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_run_says_what_it_was_and_how_it_ended(tmp_path):
    with make(tmp_path / "a", episodes=2) as run:
        assert read_run(run.path)["status"] == "running"
    content = read_run(run.path)
    assert (content["name"], content["seed"], content["config"]) == ("demo", 7, {"episodes": 2})
    assert content["status"] == "finished"
    assert content["seconds"] >= 0.0
    assert content["versions"]["torch"]
    assert set(content["machine"]) == {"system", "processor", "architecture", "cores", "pages"}


def test_a_run_that_breaks_off_says_why(tmp_path):
    with pytest.raises(ZeroDivisionError), make(tmp_path) as run:
        raise ZeroDivisionError("no frames")
    assert read_run(run.path)["status"] == "failed: ZeroDivisionError: no frames"


def test_a_run_that_was_interrupted_says_so(tmp_path):
    with pytest.raises(KeyboardInterrupt), make(tmp_path) as run:
        raise KeyboardInterrupt
    assert read_run(run.path)["status"] == "interrupted"


def test_events_are_on_disk_as_they_happen_and_come_back_in_order(tmp_path):
    with make(tmp_path) as run:
        run.write_event(Event(EventKind.ALARM, 1.25, 3, {"log_e_value": np.float64(7.5)}))
        run.write_event(Event(EventKind.ADOPTION, 2.0, 3, {"model_id": "cat/tabby"}))
        during = read_events(tmp_path)
    assert during == read_events(tmp_path)
    assert during[0] == {"kind": "alarm", "time_s": 1.25, "object_id": 3, "detail": {"log_e_value": 7.5}}
    assert [event["kind"] for event in during] == ["alarm", "adoption"]


def test_an_unfinished_last_line_of_a_killed_run_is_left_out_and_a_broken_earlier_one_is_an_error(tmp_path):
    file = tmp_path / "events.jsonl"
    file.write_text('{"kind": "birth"}\n{"kind": "al')
    assert read_events(tmp_path) == [{"kind": "birth"}]
    file.write_text('{"kind": "al\n{"kind": "birth"}\n')
    with pytest.raises(DataError, match=r"line 1: not JSON"):
        read_events(tmp_path)


def test_a_full_disk_leaves_the_old_file_as_it_was(tmp_path):
    target = tmp_path / "metrics.json"
    target.write_text("old")
    with pytest.raises(OSError, match="No space"), atomic_write(target) as file:
        write_until_full(file)
    assert target.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["metrics.json"]


def test_metrics_are_strict_json_where_nan_is_null(tmp_path):
    with make(tmp_path) as run:
        run.write_metrics({"error_m": float("nan"), "coverage": np.array([0.9, np.inf])})
    assert json.loads((tmp_path / "metrics.json").read_text()) == {"error_m": None, "coverage": [0.9, None]}


def test_a_second_run_in_a_folder_leaves_nothing_of_the_first(tmp_path):
    with make(tmp_path / "a") as run:
        for name in ("belief-7-1.00s.safetensors", "trajectory-7.npz", "scene.mp4", "mine.txt"):
            run.write_text(name, "of the first")
    with make(tmp_path / "a"):
        pass
    assert {path.name for path in run.path.iterdir()} == {"run.json", "events.jsonl", "mine.txt"}
    with RunFolder(run.path, name="demo", config={}, seed=7) as again:
        again.write_text("trajectory-7.npz", "of the second")
    with RunFolder(run.path, name="demo", config={}, seed=7, goes_on=True):
        assert (run.path / "trajectory-7.npz").read_text() == "of the second"


def test_a_folder_with_a_training_takes_no_run_of_another_sort(tmp_path):
    with RunFolder(tmp_path, name="train-ppo", config={}, seed=0) as training:
        training.write_metrics({})
    with pytest.raises(ConfigurationError, match=r"holds a training \(train-ppo\)"):
        make(tmp_path)
    assert (read_run(tmp_path)["name"], (tmp_path / "metrics.json").exists()) == ("train-ppo", True)


def test_a_mistake_leaves_no_folder_behind_but_what_happened_before_it_stays(tmp_path):
    with pytest.raises(DataError), make(tmp_path / "a"):
        raise DataError("no policy there")
    assert list(tmp_path.iterdir()) == []
    run = make(tmp_path / "b")
    run.write_event(Event(EventKind.ALARM, 1.25, 3, {}))
    with pytest.raises(DataError), run:
        raise DataError("too late")
    assert read_run(run.path)["status"] == "failed: DataError: too late"


def test_a_folder_that_cannot_be_made_is_an_error_that_names_the_option(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ConfigurationError, match=r"--out"):
        make(tmp_path / "file" / "run")


def test_a_folder_without_a_run_is_an_error_that_says_what_a_run_is(tmp_path):
    with pytest.raises(DataError, match="worldsim demo"):
        read_run(tmp_path)
    (tmp_path / "run.json").write_text("[1]")
    with pytest.raises(DataError, match="holds no run"):
        read_run(tmp_path)


def test_dataclasses_enums_and_sets_become_json():
    prior = ParameterPrior("mass_kg", 2.0, 0.3, "kg", "log")
    assert to_jsonable(prior)["transform"] == "log"
    assert to_jsonable({EventKind.BIRTH: {2, 1}, "seeds": range(3, 5)}) == {"birth": [1, 2], "seeds": "3:5"}
    assert dump_json({"a": object})[:6] == '{"a": '
