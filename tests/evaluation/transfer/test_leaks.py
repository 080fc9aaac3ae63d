"""Nothing of a held-out recording reaches a fit: what is opened is traced, and what is learned does not change."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from worldsim.errors import DataError
from worldsim.evaluation.bench import BenchOptions, Figure, run_bench
from worldsim.evaluation.datasets import DATA_VARIABLE, dataset
from worldsim.evaluation.protocol_r import load_tosses
from worldsim.evaluation.transfer.drops import load_drops
from worldsim.evaluation.transfer.elbow_toss import load_elbow

OPENED: list[str] = []
LISTENING = [False]


def _trace(event: str, arguments: tuple[object, ...]) -> None:
    if LISTENING[0] and event == "open" and isinstance(arguments[0], str | Path):
        OPENED.append(str(arguments[0]))


sys.addaudithook(_trace)  # hooks cannot be removed; this one remembers names while it is asked to


@contextmanager
def traced() -> Iterator[list[str]]:
    """Remember every file that is opened meanwhile, by whatever means."""
    OPENED.clear()
    LISTENING[0] = True
    try:
        yield OPENED
    finally:
        LISTENING[0] = False


@dataclass(frozen=True)
class Suite:
    """One suite, which function of the made-up recordings makes its format, and the file's meta data."""

    name: str
    make: str
    meta: dict[str, float]


SUITES = (
    Suite("cube-toss", "cube_tosses", {"rate_hz": 148.0}),
    Suite("elbow-toss", "elbow_tosses", {}),
    Suite("planar-drop", "drops", {"rate_hz": 250.0}),
    Suite("double-pendulum", "home_and_away", {}),
)
SPLIT_SUITES = SUITES[:3]


def named(suite: Suite) -> str:
    return suite.name


def learned(figures: tuple[Figure, ...]) -> dict[str, float]:
    """Return everything that a pass over the train split leaves behind and that is told."""
    return {figure.name: figure.value for figure in figures if figure.name.startswith("belief")}


def shipped(tmp_path: Path, suite: Suite) -> Path:
    return tmp_path / dataset(suite.name).file


def scored(suite: Suite, data: Path | None = None) -> tuple[Figure, ...]:
    return run_bench(f"transfer-{suite.name}", BenchOptions(quick=True, data=data)).figures


@pytest.mark.slow
@pytest.mark.parametrize("suite", SPLIT_SUITES, ids=named)
def test_what_is_learned_is_the_same_whatever_is_held_out(
    suite: Suite, made_up, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(DATA_VARIABLE, str(tmp_path))
    make, write = getattr(made_up, suite.make), made_up.write
    train, file = make(0, [0] * 9), shipped(tmp_path, suite)
    write(file, made_up.joined(train, make(1, [1] * 3)), **suite.meta)
    beside_dev = learned(scored(suite))
    write(file, train, **suite.meta)  # the fit has no other recording to learn from
    other = write(tmp_path / "other.npz", make(2, [2] * 3), **suite.meta)
    with traced() as opened:
        alone = scored(suite, other)
    assert beside_dev
    assert all("90 % interval" in name for name in beside_dev)  # where all other intervals are of 95 %
    assert learned(alone) == beside_dev
    assert {name for name in opened if name.endswith(".npz")} == {str(file), str(other)}


@pytest.mark.parametrize("suite", SPLIT_SUITES, ids=named)
def test_train_recordings_in_a_file_that_is_scored_are_not_scored(suite: Suite, made_up, tmp_path: Path) -> None:
    make = getattr(made_up, suite.make)
    mixed = made_up.joined(make(3, [0] * 4), make(4, [1] * 2))
    file = made_up.write(tmp_path / "mixed.npz", mixed, **suite.meta)
    load = {"cube-toss": load_tosses, "elbow-toss": load_elbow, "planar-drop": load_drops}[suite.name]
    assert len(load(file, "held-out")) == 2


@pytest.mark.slow
def test_no_run_of_a_scored_pendulum_is_watched(made_up, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    suite = SUITES[3]
    monkeypatch.setenv(DATA_VARIABLE, str(tmp_path))
    make, write = made_up.home_and_away, made_up.write
    file = write(shipped(tmp_path, suite), make(0, [0]))
    beliefs = []
    for seed in (1, 2):
        other = write(tmp_path / f"other{seed}.npz", make(seed, [2]))
        with traced() as opened:
            figures = scored(suite, other)
        assert {name for name in opened if name.endswith(".npz")} == {str(file), str(other)}
        assert {figure.n for figure in figures if "build C.1" in figure.name} == {2}  # windows of half a second
        beliefs.append(learned(figures))
    assert beliefs[0] == beliefs[1]


@pytest.mark.slow
def test_a_pendulum_run_in_both_files_is_predicted_by_a_belief_that_did_not_watch_it(
    made_up, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run's torques and angles are of a piece with no law, so a belief that watched it would be another one."""
    suite, key = SUITES[3], "build C.1, joint RMSE over 0.5 s, mean over windows"
    monkeypatch.setenv(DATA_VARIABLE, str(tmp_path))
    whole, write = made_up.pendulum_runs(0, made_up.HOME[:4]), made_up.write
    first = {"data": whole["data"][: whole["offsets"][1]], "offsets": whole["offsets"][:2], "names": whole["names"][:1]}
    rest = {
        "data": whole["data"][whole["offsets"][1] :],
        "offsets": whole["offsets"][1:] - whole["offsets"][1],
        "names": whole["names"][1:],
    }
    data = write(tmp_path / "scored.npz", first)
    error = []
    for learned_from in (whole, rest):
        write(shipped(tmp_path, suite), learned_from)
        figures = run_bench("transfer-double-pendulum", BenchOptions(data=data)).figures
        error.append(next(figure.value for figure in figures if figure.name == key))
    assert error[0] == error[1]


@pytest.mark.parametrize(
    ("name", "wrong", "says"),
    [
        ("cube-toss", {"rate_hz": 296.0}, "rate_hz 296, expected 148"),
        ("elbow-toss", {"frames": 15}, "no held-out toss has a window of 16 frames"),
        ("double-pendulum", {"duration_s": 0.6}, r"no run that is left to score is longer than 0\.7 s"),
    ],
)
def test_a_file_with_nothing_that_can_be_scored_is_refused_before_anything_is_watched(
    name: str, wrong: dict[str, float], says: str, made_up, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    suite = next(suite for suite in SUITES if suite.name == name)
    monkeypatch.setenv(DATA_VARIABLE, str(tmp_path))
    first = made_up.HOME if name == "double-pendulum" else [0, 1]
    make = made_up.pendulum_runs if name == "double-pendulum" else getattr(made_up, suite.make)
    made_up.write(shipped(tmp_path, suite), make(0, first), **suite.meta)
    meta = {"rate_hz": wrong["rate_hz"]} if "rate_hz" in wrong else suite.meta
    other = make(1, first, **{key: value for key, value in wrong.items() if key != "rate_hz"})
    watched: list[str] = []
    options = BenchOptions(quick=True, data=made_up.write(tmp_path / "other.npz", other, **meta), tell=watched.append)
    with pytest.raises(DataError, match=says):
        run_bench(f"transfer-{name}", options)
    assert watched == []
