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
    assert "| [cat](#cat) | `worldsim bench cat --json` | 0 of 1 |" in page
    assert "| [cat](#cat) | error | 0.7 m | 0.6 to 0.8 | <= 0.6 |" in page[: page.index("## cat")]


def test_a_page_on_which_all_holds_has_no_list_of_what_falls_short(tmp_path: Path) -> None:
    figure = {"name": "error", "value": 0.5, "unit": "m", "interval": None, "n": 5, "bar": "<= 0.6",
              "holds": True, "baselines": {}}  # fmt: skip
    (tmp_path / "cat.json").write_text(json.dumps({"bench": "cat", "seconds": 3.0, "figures": [figure]}))
    assert "falls short" not in render_results(tmp_path)


def test_what_stands_beside_one_figure_alone_takes_no_column_from_the_others(tmp_path: Path) -> None:
    figure = {"value": 0.5, "unit": "s", "interval": None, "n": 5, "bar": None, "holds": True}
    figures = [
        {**figure, "name": "step", "baselines": {"loop": 9.0}},
        {**figure, "name": "stages", "baselines": {"predict": 0.25, "correct": 0.125, "loop": 8.0}},
        {**figure, "name": "reset", "baselines": {}},
    ]
    (tmp_path / "scale.json").write_text(json.dumps({"bench": "scale", "seconds": 3.0, "figures": figures}))
    page = render_results(tmp_path)
    assert "| figure | value | 95 % | n | loop | beside it | bar |  |" in page
    assert "| stages | 0.5 s |  | 5 | 8 | correct: 0.125; predict: 0.25 |  |  |" in page
    assert "| reset | 0.5 s |  | 5 |  |  |  |  |" in page


@pytest.mark.parametrize("text", ["", "{}", '{"figures": []}'])
def test_a_file_that_no_command_printed_is_refused_by_name(tmp_path: Path, text: str) -> None:
    (tmp_path / "odd.json").write_text(text)
    with pytest.raises(ConfigurationError, match=r"odd\.json is not the JSON"):
        render_results(tmp_path)


def test_an_empty_folder_is_refused_with_advice(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="worldsim bench NAME --json"):
        render_results(tmp_path)
