"""The filter's arithmetic is one graph for a compiler: no look at a value on the way, nothing that Python decides."""

from __future__ import annotations

import ast
import dataclasses
from pathlib import Path

import pytest
import torch
from torch import Tensor

import worldsim
from tests.filtering.traced_turn import DTYPE, FAMILIES, ROWS, inputs
from worldsim.dynamics import ContactSettings
from worldsim.filtering.correct import correct, innovation
from worldsim.filtering.density import Density
from worldsim.filtering.library import LoadedModels
from worldsim.filtering.predict import Linearisation, _predict_class
from worldsim.filtering.surroundings import Surroundings
from worldsim.inference.surprise import accumulate, pose_surprise


def frame(
    density: Density, around: Surroundings, log_e: Tensor, library: LoadedModels, linearisation: Linearisation
) -> tuple[Tensor, ...]:
    """Return what a frame makes of rows of one class: predicted, surprised, corrected, its e-values."""
    one = torch.ones(ROWS, dtype=DTYPE)
    models = torch.zeros(ROWS, dtype=torch.int64)
    noise = 1e-4 * torch.eye(6, dtype=DTYPE).repeat(ROWS, 1, 1)
    ahead, touched = _predict_class(
        library.models[0], density.copy(), models, library, around, one, 0.05, linearisation
    )
    seen = innovation(ahead, ahead.states.position + 0.01, ahead.states.orientation_xyzw, noise)
    surprise = pose_surprise(seen, 0.01 * one)
    rows, gained = correct(ahead, seen.residual, noise)
    log_e = accumulate(log_e, surprise.log_e, ~touched)
    return rows.covariance, rows.states.position, rows.states.orientation_xyzw, rows.parameters, gained, log_e


QUICK = {"rigid_body", "person", "generic"}  # tracing takes seconds


@pytest.mark.parametrize(
    "family", [pytest.param(family, marks=() if family in QUICK else pytest.mark.slow) for family in FAMILIES]
)
def test_a_frame_of_a_class_is_traced_whole(family: str) -> None:
    density, library, around = inputs(family, torch.device("cpu"))
    around = dataclasses.replace(around, contact=ContactSettings(substeps=1, iterations=2))  # more is more of the same
    alone = dataclasses.replace(around, obstacles=None)
    log_e = torch.zeros(ROWS, dtype=DTYPE)
    cases: list[tuple[Surroundings, Linearisation]] = [(around, "differences"), (alone, "derivatives")]
    for surroundings, linearisation in cases:
        torch._dynamo.reset()
        traced = torch.compile(frame, fullgraph=True, backend="eager")  # a break in the graph raises
        found = traced(density, surroundings, log_e, library, linearisation)
        expected = frame(density, surroundings, log_e, library, linearisation)
        torch.testing.assert_close(found, expected, rtol=0.0, atol=0.0)


def test_no_part_of_the_arithmetic_reads_a_value_on_the_host() -> None:
    package = Path(worldsim.__file__).parent
    folders = ("dynamics", "filtering", "interactions", "models")
    files = [file for folder in folders for file in sorted((package / folder).glob("*.py"))]
    files += [package / "inference" / "surprise.py", package / "inference" / "futures.py"]
    reads = {"item", "cpu", "tolist", "numpy", "synchronize"}
    found = [
        f"{file.parent.name}/{file.name}:{node.lineno} {node.func.attr}"
        for file in files
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in reads
    ]
    assert found == []
