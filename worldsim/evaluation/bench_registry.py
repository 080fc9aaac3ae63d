"""``worldsim bench registry``: what a registry of a million models promises, measured.

``--quick`` builds 5,000 models instead, where every search is exact, and shortens the rest. ``--data FILE`` measures a
registry that is there already (made by ``worldsim registry init --synthetic N``). With ``--out DIR`` everything is kept
there, the registry and the figures of each stage: a run that was interrupted goes on where it stopped, and with
``--stages NAME,NAME`` only some are run.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from worldsim.errors import StorageError
from worldsim.evaluation import bench_registry_endurance as endurance
from worldsim.evaluation import bench_registry_speed as speed
from worldsim.evaluation.bench import BenchOptions, Figure
from worldsim.evaluation.bench_registry_story import story
from worldsim.evaluation.kept_stages import figures_from_json, kept
from worldsim.evaluation.registry_queries import cards_from_all_over, noisy_query, recall, retrieval
from worldsim.registry import open_stored
from worldsim.registry.growth import grow
from worldsim.types.query import Query

__all__ = ["bench_registry"]

_FULL, _QUICK = 1_000_000, 5_000
_SOAK_MINUTES, _QUICK_SOAK_MINUTES = 20.0, 0.05
Stage = Callable[[], list[Figure]]

_EVERYTHING = ("worldsim", "agents", "scenarios", "assets", "constraints.txt", ":!worldsim/commands")
_STORE = (
    *("worldsim/registry", "worldsim/commands/registry.py", "worldsim/types/card.py", "worldsim/types/query.py"),
    *("worldsim/evaluation/bench_registry*.py", "worldsim/evaluation/registry_*.py"),
    *("assets/worldsim_assets/models", "constraints.txt"),
)
"""What a stage's figures depend on, as pathspecs: kept figures count as long as it is unchanged."""
_OF_THE_WHOLE = frozenset({"find", "step", "story"})  # a world model takes part in these


def bench_registry(options: BenchOptions) -> list[Figure]:
    """Return the figures, a stage after the other; those that time something come last, for a quiet machine."""
    quick = options.quick
    count = _QUICK if quick else _FULL
    lasting = options.out / "registry" if options.out is not None else None
    folder = lasting or Path(tempfile.mkdtemp(prefix="worldsim-bench-registry-"))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        address = f"sqlite:///{options.data or folder / 'large.db'}"
        asked: list[Query] = []

        def small() -> str:
            found = f"sqlite:///{folder / 'small.db'}"
            with open_stored(found) as little:
                grow(little, 500 if quick else 10_000)
            return found

        def queries() -> list[Query]:
            if not asked:
                rng = _rng(options, 1)
                with open_stored(address) as registry:
                    cards = cards_from_all_over(registry, 200 if quick else 1000, rng)
                asked.extend(noisy_query(card, rng) for card in cards)
            return asked

        def find() -> list[Figure]:
            with open_stored(address) as registry:
                found = recall(registry, queries()[: 100 if quick else 200])
            return found + retrieval(_rng(options, 2), 1 if quick else 5)

        def answer() -> list[Figure]:
            with open_stored(address) as registry, open_stored(small()) as little:
                found = speed.embedded(registry, queries())
                return found + speed.growth(registry, little, _rng(options, 3), 300 if quick else 2000)

        def step() -> list[Figure]:
            with open_stored(address) as registry:
                registry.search(queries()[0])  # the index is read once, as at any start
                return speed.step_time(registry, 40 if quick else 600, _rng(options, 4), options.seed)

        minutes = options.soak_minutes or (_QUICK_SOAK_MINUTES if quick else _SOAK_MINUTES)
        stages: dict[str, Stage] = {
            "build": lambda: [] if options.data else _build(folder, address, count, options),
            "find": find,
            "hostile": lambda: endurance.hostile(small(), 1 if quick else 10, _rng(options, 6), options),
            "kills": lambda: endurance.kills(4 if quick else 200, _fresh(folder / "kills"), _rng(options, 5), options),
            "story": lambda: [] if quick else story(_fresh(folder / "story"), options.seed, options),
            "answer": answer,
            "http": lambda: speed.over_http(address, queries(), folder / "cache", 3.0 if quick else 20.0),
            "step": step,
            "soak": lambda: endurance.soak(small(), queries(), minutes, folder, options, minutes < 5.0),
        }
        key = {"address": address, "quick": quick, "seed": options.seed}
        figures: list[Figure] = []
        for name in options.stages_of(tuple(stages)):
            options.tell(f"bench registry: {name}")
            sources = _EVERYTHING if name in _OF_THE_WHOLE else _STORE
            mine = key | ({"minutes": minutes} if name == "soak" else {})
            result = kept(folder / "stages" / f"{name}.json", mine, sources, partial(_result, stages[name]))
            figures += figures_from_json(result["figures"])
        return figures
    finally:
        if lasting is None:
            shutil.rmtree(folder, ignore_errors=True)


def _result(stage: Stage) -> dict[str, object]:
    """Run a stage; return what is kept of it."""
    return {"figures": stage()}


def _build(folder: Path, address: str, count: int, options: BenchOptions) -> list[Figure]:
    """Build the registry by ``worldsim registry init``; the time of interrupted builds is added up."""
    note = folder / "build.json"
    spent = json.loads(note.read_text()) if note.is_file() else {"seconds": 0.0, "bytes": 0}
    command = [sys.executable, "-m", "worldsim", "registry", "init", address, "--synthetic", str(count)]
    started = time.perf_counter()
    init = subprocess.Popen([*command, "--seed", str(options.seed)], stdout=subprocess.DEVNULL)
    try:
        _, status, usage = os.wait4(init.pid, 0)  # which also tells its largest memory
        init.returncode = os.waitstatus_to_exitcode(status)
        spent["bytes"] = max(spent["bytes"], usage.ru_maxrss * 1024)
    finally:
        spent["seconds"] += time.perf_counter() - started
        note.write_text(json.dumps(spent))
        if init.returncode is None:
            init.terminate()
            init.wait(60.0)
    if init.returncode != 0:
        raise StorageError(f"'worldsim registry init' failed with status {init.returncode}; is its disk full?")
    told = Figure.told if options.quick else Figure.at_most
    seconds_bar, memory_bar = ((), ()) if options.quick else ((1800.0,), (8e9,))
    return [
        told(f"time to build {count} models by init", float(spent["seconds"]), *seconds_bar, unit="s", n=count),
        told(f"largest memory of init with {count} models", float(spent["bytes"]), *memory_bar, unit="B", n=count),
    ]


def _fresh(folder: Path) -> Path:
    """Return the folder, empty: what an interrupted stage left in it is gone."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def _rng(options: BenchOptions, stage: int) -> np.random.Generator:
    """Return a stage's own stream, so that it draws the same whether or not others were done before."""
    return np.random.default_rng([options.seed, stage])
