"""Kept stages of a benchmark: read again while nothing that made them changed, made anew otherwise."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from worldsim.evaluation import kept_stages
from worldsim.evaluation.bench import Figure
from worldsim.evaluation.kept_stages import figures_from_json, kept, kept_jobs
from worldsim.evaluation.ray_workers import in_turn


def _stage(made: list[int]) -> dict[str, object]:
    made.append(1)
    return {"figures": [Figure.at_least("share", 0.5, 0.4, interval=(0.3, 0.7), n=4), Figure.told("nothing", math.nan)]}


def test_a_stage_is_read_again_only_with_the_same_key_on_unchanged_sources(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept_stages, "git_commit", lambda: "a1b2c3")
    unchanged = {"a1b2c3": True}
    monkeypatch.setattr(kept_stages, "is_unchanged_since", lambda commit, _: unchanged[commit])
    file, made = tmp_path / "stages" / "one.json", []
    first = kept(file, {"seed": 0}, ("worldsim",), lambda: _stage(made))
    assert kept(file, {"seed": 0}, ("worldsim",), lambda: _stage(made)) == first
    assert len(made) == 1
    kept(file, {"seed": 1}, ("worldsim",), lambda: _stage(made))
    unchanged["a1b2c3"] = False
    kept(file, {"seed": 1}, ("worldsim",), lambda: _stage(made))
    assert len(made) == 3
    assert json.loads(file.read_text())["commit"] == "a1b2c3"


def test_figures_come_back_as_they_were() -> None:
    share, nothing = figures_from_json(kept(None, {}, (), lambda: _stage([]))["figures"])
    assert share == Figure.at_least("share", 0.5, 0.4, interval=(0.3, 0.7), n=4)
    assert math.isnan(nothing.value)


def test_an_interrupted_row_of_jobs_goes_on_with_the_first_that_is_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept_stages, "git_commit", lambda: "a1b2c3")
    monkeypatch.setattr(kept_stages, "is_unchanged_since", lambda *_: True)
    played: list[int] = []
    power = iter([True, True, False, True, True])

    def half(job: int) -> dict[str, float]:
        if not next(power):
            raise InterruptedError
        played.append(job)
        return {"half": job / 2.0}

    play = kept_jobs(in_turn, tmp_path, dict)
    with pytest.raises(InterruptedError):
        play(half, [1, 2, 3, 4])
    assert play(half, [1, 2, 3, 4]) == [{"half": 0.5}, {"half": 1.0}, {"half": 1.5}, {"half": 2.0}]
    assert played == [1, 2, 3, 4]
    assert kept_jobs(in_turn, None, dict) is in_turn
