"""Nothing of a held-out recording reaches a fit: what is opened is traced, and what is learned does not change."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from worldsim.evaluation.bench import BenchOptions, Figure
from worldsim.evaluation.datasets import DATA_VARIABLE, dataset
from worldsim.evaluation.transfer.planar_drop import transfer_planar_drop

OPENED: list[str] = []


def _trace(event: str, arguments: tuple[object, ...]) -> None:
    if event == "open" and isinstance(arguments[0], str | Path):
        OPENED.append(str(arguments[0]))


sys.addaudithook(_trace)  # hooks cannot be removed; this one only remembers names


def drops(count: int, seed: int) -> np.ndarray:
    """Return made-up drops: a fall, and a bounce of the vertical motion alone."""
    rng = np.random.default_rng(seed)
    time_s = np.arange(40) / 250.0
    theta = rng.uniform(-3.0, 3.0, (count, 1)) + rng.normal(0.0, 2.0, (count, 1)) * time_s
    height = 0.10 - 1.8 * time_s - 4.9 * time_s**2
    floor = 0.03 * (np.abs(np.cos(theta)) + np.abs(np.sin(theta)))
    z = floor + np.abs(height - floor)
    x = -0.5 * time_s + np.zeros_like(theta)
    pose = np.stack([x, z, theta], axis=-1)
    velocity = np.gradient(pose, time_s, axis=1)
    return np.concatenate([pose, velocity], axis=-1).astype(np.float32)


def write(path: Path, square: np.ndarray, split: list[int]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    meta = np.array(json.dumps({"rate_hz": 250.0}))
    np.savez(path, allow_pickle=False, square=square, split=np.array(split, dtype=np.int8), meta=meta)
    return path


def beliefs(figures: list[Figure]) -> dict[str, float]:
    return {figure.name: figure.value for figure in figures if figure.name.startswith("belief")}


@pytest.fixture
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(DATA_VARIABLE, str(tmp_path))
    return tmp_path / dataset("planar-drop").file


def test_what_is_learned_is_the_same_whatever_is_held_out(shipped: Path, tmp_path: Path) -> None:
    train = drops(10, seed=0)
    write(shipped, np.concatenate([train, drops(3, seed=1)]), [0] * 10 + [1] * 3)
    whole = beliefs(transfer_planar_drop(BenchOptions(quick=True)))
    write(shipped, train, [0] * 10)
    other = write(tmp_path / "other.npz", drops(4, seed=2), [2] * 4)
    OPENED.clear()
    alone = transfer_planar_drop(BenchOptions(quick=True, data=other))
    assert beliefs(alone) == whole
    # The fit had no other file to learn from than the train split's, which held no other drop.
    assert {name for name in OPENED if name.endswith(".npz")} == {str(shipped), str(other)}
    assert all(np.isfinite(figure.value) for figure in alone)


def test_drops_of_the_train_split_in_a_file_that_is_scored_are_not_scored(shipped: Path, tmp_path: Path) -> None:
    write(shipped, drops(10, seed=0), [0] * 10)
    mixed = write(tmp_path / "mixed.npz", np.concatenate([drops(5, seed=3), drops(2, seed=4)]), [0] * 5 + [1] * 2)
    figures = transfer_planar_drop(BenchOptions(quick=True, data=mixed))
    assert next(figure.n for figure in figures if figure.name.startswith("mean position")) == 2
