"""The published figures are what commands printed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from worldsim.errors import ConfigurationError
from worldsim.evaluation.results_page import render_results

ROOT = Path(__file__).resolve().parents[2]


def test_the_published_page_is_what_the_printed_files_say() -> None:
    assert (ROOT / "docs/results.md").read_text(encoding="utf-8") == render_results(ROOT / "docs/results")


def test_a_figure_that_falls_short_is_said_to(tmp_path: Path) -> None:
    figure = {"name": "error", "value": 0.7, "unit": "m", "interval": [0.6, 0.8], "n": 5, "bar": "<= 0.6",
              "holds": False, "baselines": {"tracker": 1.0}}  # fmt: skip
    report = {"bench": "cat", "commit": "0123456789", "seconds": 3.0, "figures": [figure]}
    (tmp_path / "cat.json").write_text(json.dumps(report))
    page = render_results(tmp_path)
    assert "| error | 0.7 m | 0.6 to 0.8 | 5 | 1 | <= 0.6 | **falls short** |" in page
    assert "0 of 1 bars held" in page


@pytest.mark.parametrize("text", ["", "{}", '{"figures": []}'])
def test_a_file_that_no_command_printed_is_refused_by_name(tmp_path: Path, text: str) -> None:
    (tmp_path / "odd.json").write_text(text)
    with pytest.raises(ConfigurationError, match=r"odd\.json is not the JSON"):
        render_results(tmp_path)


def test_an_empty_folder_is_refused_with_advice(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="worldsim bench NAME --json"):
        render_results(tmp_path)
