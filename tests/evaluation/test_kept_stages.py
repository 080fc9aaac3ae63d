"""Kept stages of a benchmark: read again while nothing that made them changed, made anew otherwise."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from worldsim.evaluation import kept_stages
from worldsim.evaluation.bench import Figure
from worldsim.evaluation.kept_stages import figures_from_json, kept


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
