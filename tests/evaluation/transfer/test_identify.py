"""Offline identification: fitted to the train split, scored on what is held out."""

from __future__ import annotations

import json
from pathlib import Path

import cma
import numpy as np
import pytest

from worldsim.commands.identify import identify as command
from worldsim.errors import ConfigurationError, DataError, UnknownNameError
from worldsim.evaluation.bench import BenchOptions
from worldsim.evaluation.datasets import DATA_VARIABLE, dataset
from worldsim.evaluation.transfer.drops import Drops
from worldsim.evaluation.transfer.identify import identify
from worldsim.evaluation.transfer.planar_drop import drop_in_bullet
from worldsim.simulation.toss_engine import CubeInBullet


@pytest.fixture
def bouncing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Drops that PyBullet itself made, with friction 0.1 and restitution 0.6."""
    rng = np.random.default_rng(0)
    start = np.zeros((30, 16, 3))
    start[..., 0:3] = np.stack([np.zeros(16), np.full(16, 0.06), rng.uniform(-3.0, 3.0, 16)], axis=-1)
    velocity = np.stack([np.full(16, -0.5), np.full(16, -1.5), rng.normal(0.0, 1.0, 16)], axis=-1)
    cube = CubeInBullet.identified(0.1, 0.6)
    square = CubeInBullet(0.1, 0.6, 0.1, 0.1 * 0.06**2 / 6.0, 0.06, preset=cube.preset)
    path = drop_in_bullet(square, Drops(start, velocity, 250.0))
    pose = np.stack([path.x, path.z, path.theta], axis=-1).transpose(1, 0, 2)
    recorded = np.concatenate([pose, np.repeat(velocity[:, None], 30, axis=1)], axis=-1).astype(np.float32)
    file = tmp_path / dataset("planar-drop").file
    file.parent.mkdir(parents=True)
    meta = np.array(json.dumps({"rate_hz": 250.0}))
    np.savez(file, allow_pickle=False, square=recorded, split=np.array([0] * 12 + [1] * 4, dtype=np.int8), meta=meta)
    monkeypatch.setenv(DATA_VARIABLE, str(tmp_path))


@pytest.mark.usefixtures("bouncing")
def test_the_engine_finds_what_it_was_made_with() -> None:
    figures = {figure.name: figure for figure in identify("planar-drop", 12, 60, BenchOptions())}
    assert figures["restitution"].value == pytest.approx(0.6, abs=0.08)
    assert figures["friction"].value == pytest.approx(0.1, abs=0.05)
    error = figures["position error at 0.1 s, held out"]
    assert error.n == 4
    assert error.value < 0.3 * error.baselines["PyBullet default"]


@pytest.mark.usefixtures("bouncing")
def test_a_file_that_cannot_be_scored_or_written_is_refused_before_anything_is_fitted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fitting(*_: object) -> None:
        raise AssertionError("fitted before the file was read")

    monkeypatch.setattr(cma, "CMAEvolutionStrategy", fitting)
    with pytest.raises(ConfigurationError, match="is a folder, expected the name of a file"):
        command("planar-drop", out=tmp_path)
    (tmp_path / "mine.npz").write_text("no archive")
    with pytest.raises(DataError, match=r"mine\.npz cannot be read as drops"):
        identify("planar-drop", 12, 60, BenchOptions(data=tmp_path / "mine.npz"))


def test_a_set_that_it_cannot_fit_and_a_budget_of_nothing_are_named() -> None:
    with pytest.raises(UnknownNameError, match="cube-toss"):
        identify("elbow-toss", 60, 60, BenchOptions())
    with pytest.raises(UnknownNameError, match="pybullet"):
        identify("cube-toss", 60, 60, BenchOptions(), "bullet")
    with pytest.raises(ConfigurationError, match="cube-toss alone"):
        identify("planar-drop", 60, 60, BenchOptions(), "mujoco")
    with pytest.raises(ConfigurationError, match="at least 1 and 6"):
        identify("planar-drop", 0, 60, BenchOptions())
