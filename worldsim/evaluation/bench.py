"""Benchmarks: every one speaks the same language, a list of figures, each with its bar and its baselines.

A benchmark is a function ``(options: BenchOptions) -> list[Figure]`` named in `BENCHMARKS`; a figure stands for one
promise. The runner adds the commit, the versions and the machine, and says whether all figures hold.
"""

from __future__ import annotations

import importlib
import math
import shlex
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from worldsim.errors import ConfigurationError, UnknownNameError
from worldsim.evaluation.jsonable import to_jsonable
from worldsim.evaluation.provenance import git_commit, machine, versions

__all__ = [
    "BENCHMARKS",
    "BenchOptions",
    "BenchResult",
    "Figure",
    "Interval",
    "parse_seeds",
    "run_bench",
]

BENCHMARKS: dict[str, str] = {
    "accuracy": "worldsim.evaluation.accuracy.suite:bench_accuracy",
    "agents": "worldsim.evaluation.bench_agents:bench_agents",
    "cat": "worldsim.evaluation.bench_cat:bench_cat",
    "graph": "worldsim.evaluation.bench_graph:bench_graph",
    "joints": "worldsim.evaluation.bench_joints:bench_joints",
    "registry": "worldsim.evaluation.bench_registry:bench_registry",
    "scale": "worldsim.evaluation.bench_scale:bench_scale",
    "scenarios": "worldsim.evaluation.bench_scenarios:bench_scenarios",
    "soak": "worldsim.evaluation.bench_soak:bench_soak",
    "transfer-agents": "worldsim.evaluation.transfer.ranking:transfer_agents",
    "transfer-double-pendulum": "worldsim.evaluation.transfer.double_pendulum:transfer_double_pendulum",
    "transfer-elbow-toss": "worldsim.evaluation.transfer.elbow_toss:transfer_elbow_toss",
    "transfer-planar-drop": "worldsim.evaluation.transfer.planar_drop:transfer_planar_drop",
    "transfer-recovery": "worldsim.evaluation.transfer.recovery:transfer_recovery",
    "transfer-warehouse": "worldsim.evaluation.transfer.warehouse:transfer_warehouse",
    "transfer-cube-toss": "worldsim.evaluation.transfer.cube_toss:transfer_cube_toss",
}
"""Name -> ``module:function``, imported when it is run."""

_RECORDINGS = tuple(f"transfer-{name}" for name in ("cube-toss", "double-pendulum", "elbow-toss", "planar-drop"))
_HEEDED: dict[str, tuple[str, ...]] = {
    "seeds": (
        *("agents", "cat", "graph", "joints", "scenarios"),
        *("transfer-agents", "transfer-recovery", "transfer-warehouse"),
    ),
    "data": ("agents", "graph", "registry", *_RECORDINGS),
    "stages": ("agents", "graph", "registry", "scenarios", "transfer-agents"),
    "soak_minutes": ("registry",),
    "steps": ("soak",),
    "scenarios": ("agents",),
    "ray": ("agents",),
}
"""Option that not every benchmark heeds -> those that do."""

Interval = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured number, what it must reach, and what others reach on the same input.

    Use `at_least`, `at_most` or `within`, which work out `holds`; `told` is for a number that promises nothing.

    Attributes:
        name: what was measured, in words, unique in its benchmark.
        value: the number; NaN where it could not be measured, which never holds.
        unit: SI unit, ``"1"`` for a ratio or a share.
        interval: 95 % interval of `value`, or what `name` says of it; None where there is none.
        n: sample size behind it.
        bar: what it must reach, for example ``">= 0.95"``; None where nothing is promised.
        holds: whether it does.
        baselines: name -> the same figure of a baseline on the same input.
    """

    name: str
    value: float
    unit: str
    interval: Interval | None
    n: int
    bar: str | None
    holds: bool
    baselines: Mapping[str, float | None] = field(default_factory=dict)

    @classmethod
    def at_least(cls, name: str, value: float, bar: float, **rest: Any) -> Figure:
        """Return a figure that holds if ``value >= bar``; `rest` as in `told`."""
        return cls._of(name, value, f">= {bar:g}", value >= bar, **rest)

    @classmethod
    def at_most(cls, name: str, value: float, bar: float, **rest: Any) -> Figure:
        """Return a figure that holds if ``value <= bar``; `rest` as in `told`."""
        return cls._of(name, value, f"<= {bar:g}", value <= bar, **rest)

    @classmethod
    def within(cls, name: str, value: float, low: float, high: float, **rest: Any) -> Figure:
        """Return a figure that holds if ``low <= value <= high``; `rest` as in `told`."""
        return cls._of(name, value, f"{low:g} .. {high:g}", low <= value <= high, **rest)

    @classmethod
    def told(cls, name: str, value: float, **rest: Any) -> Figure:
        """Return a figure that promises nothing.

        Args:
            name: what was measured.
            value: the number.
            rest: `unit` (``"1"``), `interval` (None), `n` (1), `baselines` (none).
        """
        return cls._of(name, value, None, True, **rest)

    @classmethod
    def _of(
        cls,
        name: str,
        value: float,
        bar: str | None,
        holds: bool,
        *,
        unit: str = "1",
        interval: Interval | None = None,
        n: int = 1,
        baselines: Mapping[str, float | None] | None = None,
    ) -> Figure:
        met = bool(holds) and (bar is None or math.isfinite(value))
        known = interval is not None and not (math.isnan(interval[0]) or math.isnan(interval[1]))
        pair = (float(interval[0]), float(interval[1])) if interval is not None and known else None
        return cls(name, float(value), unit, pair, int(n), bar, met, dict(baselines or {}))


def _silent(_: str) -> None:
    """Tell nobody."""


@dataclass(frozen=True, slots=True)
class BenchOptions:
    """What the command line asked of a benchmark.

    Attributes:
        quick: a smaller version that ends within 60 s on two cores; its figures are not the published ones.
        seeds: the seeds asked for, None where the benchmark chooses.
        seed: the seed of everything random that is not an episode (bootstraps, splits).
        data: score this file instead of the shipped data, with no other knob.
        out: a folder for what the benchmark writes besides its figures (reports, traces); None writes nothing.
        tell: called with one line of progress at a time.
        soak_minutes: how long a benchmark that soaks a service does so, None where the benchmark chooses.
        stages: the only stages that a benchmark of several runs; None for all.
        ray: address of a Ray cluster that plays a benchmark's episodes, None for this process.
        steps: how many frames a benchmark of endurance runs, None where the benchmark chooses.
        scenarios: the only scenarios of a stage that goes scenario by scenario; None for all.
    """

    quick: bool = False
    seeds: range | None = None
    seed: int = 0
    data: Path | None = None
    out: Path | None = None
    tell: Callable[[str], None] = _silent
    soak_minutes: float | None = None
    stages: tuple[str, ...] | None = None
    ray: str | None = None
    steps: int | None = None
    scenarios: tuple[str, ...] | None = None

    def asked(self) -> dict[str, Any]:
        """Return the options that were given, and the seed, by name."""
        given = {name: getattr(self, name) for name in ("seed", *_HEEDED)}
        return {name: value for name, value in given.items() if value is not None}

    def flags(self) -> str:
        """Return the same as on the command line, each with a space behind it.

        >>> BenchOptions(seeds=range(3), data=Path("my drops.npz")).flags()
        "--seeds 0:3 --data 'my drops.npz' "
        """
        words = ["--quick"] if self.quick else []
        for name, value in self.asked().items():
            if name != "seed" or value:
                listed = ",".join(value) if isinstance(value, tuple) else to_jsonable(value)
                words += [f"--{name.replace('_', '-')}", shlex.quote(str(listed))]
        return "".join(f"{word} " for word in words)

    def stages_of(self, known: tuple[str, ...]) -> tuple[str, ...]:
        """Return those of the `known` stages that were asked for, in their order; all where none was named.

        Raises:
            UnknownNameError: a stage was named that there is not.
        """
        return _chosen("stage", self.stages, known)

    def scenarios_of(self, known: tuple[str, ...]) -> tuple[str, ...]:
        """Return those of the `known` scenarios that were asked for, in their order; all where none was named.

        Raises:
            UnknownNameError: a scenario was named that does not take part.
        """
        return _chosen("scenario", self.scenarios, known)

    def seeds_or(self, default: range, quick: range) -> range:
        """Return the seeds asked for, else `quick` in a quick run, else `default`."""
        if self.seeds is not None:
            return self.seeds
        return quick if self.quick else default


def _chosen(what: str, asked: tuple[str, ...] | None, known: tuple[str, ...]) -> tuple[str, ...]:
    for name in asked or ():
        if name not in known:
            raise UnknownNameError(what, name, known)
    return known if asked is None else tuple(name for name in known if name in asked)


@dataclass(frozen=True, slots=True)
class BenchResult:
    """What one benchmark printed.

    Attributes:
        bench: its name.
        quick: whether it was the smaller version.
        seconds: wall time, s.
        figures: one a promise, at least one.
        asked: option -> what the command line asked for.
    """

    bench: str
    quick: bool
    seconds: float
    figures: tuple[Figure, ...]
    asked: Mapping[str, Any] = field(default_factory=dict)

    @property
    def holds(self) -> bool:
        """Whether every figure holds."""
        return all(figure.holds for figure in self.figures)

    def report(self) -> dict[str, Any]:
        """Return the one JSON-able object that ``worldsim bench NAME --json`` prints."""
        head = {"bench": self.bench, "commit": git_commit(), "versions": versions(), "machine": machine()}
        asked = {"quick": self.quick, "asked": to_jsonable(self.asked)}
        body = {"seconds": round(self.seconds, 3), "figures": to_jsonable(self.figures)}
        return head | asked | body


def parse_seeds(text: str | None) -> range | None:
    """Return the seeds of ``A:B`` (A included, B not), None for None.

    >>> parse_seeds("0:50")
    range(0, 50)

    Raises:
        ConfigurationError: it is of another form, or holds no seed.
    """
    if text is None:
        return None
    first, colon, last = text.partition(":")
    if not (colon and first.isdecimal() and last.isdecimal() and int(first) < int(last)):
        raise ConfigurationError(f"--seeds: got {text!r}, expected A:B with 0 <= A < B, for example 0:50.")
    return range(int(first), int(last))


def run_bench(name: str, options: BenchOptions, benchmarks: Mapping[str, str] | None = None) -> BenchResult:
    """Run one benchmark.

    Args:
        name: of the benchmark.
        options: what was asked of it.
        benchmarks: table to look in, by default `BENCHMARKS`.

    Raises:
        UnknownNameError: no benchmark of that name.
        ConfigurationError: an option was given that it does not heed; it returned no figure, or two of one name.
    """
    table = BENCHMARKS if benchmarks is None else benchmarks
    if name not in table:
        raise UnknownNameError("benchmark", name, table)
    for option, heeding in _HEEDED.items():
        if getattr(options, option) is not None and name not in heeding and table[name].startswith("worldsim."):
            flag = f"--{option.replace('_', '-')}"
            raise ConfigurationError(f"{name} does not heed {flag}, which goes with {', '.join(heeding)}.")
    module, _, function = table[name].partition(":")
    bench: Callable[[BenchOptions], list[Figure]] = getattr(importlib.import_module(module), function)
    started = time.perf_counter()
    figures = tuple(bench(options))
    seconds = time.perf_counter() - started
    names = [figure.name for figure in figures]
    if not names or len(set(names)) < len(names):
        raise ConfigurationError(
            f"benchmark {name!r} ({table[name]}) returned the figures {names}; expected distinct ones."
        )
    return BenchResult(name, options.quick, seconds, figures, options.asked())
