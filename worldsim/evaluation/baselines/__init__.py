"""Scores of long trainings by others' methods, recorded once by ``worldsim train ... --record`` and kept as data.

Each file beside this one is ``SCENARIO-AGENT.json``: the command, what was trained, and for every seed all its
evaluations on held-out episodes, with the commit, the versions and the machine that made them. A seed is written as
soon as it ends, and the same command goes on with the first that is missing. They are baselines: nothing of ours is
fitted to them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from worldsim.errors import ConfigurationError, DataError
from worldsim.evaluation.jsonable import dump_json, to_jsonable
from worldsim.evaluation.provenance import git_commit, machine, versions
from worldsim.evaluation.run_folder import atomic_write
from worldsim.evaluation.training import Evaluation, SeedResult, TrainOptions

__all__ = ["Baseline", "load_baseline", "record_seed", "recorded_baselines", "recorded_seeds"]

_FOLDER = Path(__file__).parent
_OF_THE_RUN = ("seeds", "seed", "checkpoint_every")  # options that may differ between the seeds of one record


@dataclass(frozen=True, slots=True)
class Baseline:
    """One method on one scenario.

    Attributes:
        scenario, agent: names in the plug-in tables.
        steps: frames that each seed learned from.
        returns: of the last evaluation, an array a seed.
        success: share of its episodes that succeeded, all seeds together.
        curves: a seed's (frames before it, returns) of every evaluation.
    """

    scenario: str
    agent: str
    steps: int
    returns: tuple[Float[np.ndarray, " n"], ...]
    success: float
    curves: tuple[tuple[tuple[int, tuple[float, ...]], ...], ...] = ()


def record_seed(file: Path, options: TrainOptions, result: SeedResult, command: str) -> None:
    """Write what one seed of a training came to into `file`, beside the seeds that it holds of the same training.

    Raises:
        ConfigurationError: it holds another training.
        DataError: it holds something else.
    """
    rows = _rows(file, options)
    made_by = {"commit": git_commit(), "versions": versions(), "machine": machine()}
    known = {"seed": result.seed, "steps": result.steps, "restarts": result.restarts}
    rows[result.seed] = {**known, "evaluations": to_jsonable(result.evaluations), **made_by}
    body = {"command": command, "options": _what(options), "seeds": [rows[seed] for seed in sorted(rows)]}
    file.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(file) as out:
        out.write((dump_json(body, indent=1) + "\n").encode())


def recorded_seeds(file: Path | None, options: TrainOptions) -> dict[int, SeedResult]:
    """Return seed -> what `file` holds of it, none where there is no file yet (errors as `record_seed`)."""
    found = {}
    for seed, row in ({} if file is None else _rows(file, options)).items():
        evaluations = [
            Evaluation(e["step"], tuple(e["returns"]), e["success"], e["frames"]) for e in row["evaluations"]
        ]
        found[seed] = SeedResult(seed, row["steps"], row["restarts"], (), tuple(evaluations))
    return found


def _rows(file: Path, options: TrainOptions) -> dict[int, dict[str, Any]]:
    if file.is_dir():
        raise ConfigurationError(f"--record: {file} is a folder. Name a file in it, for example {file / 'ppo.json'}.")
    if not file.is_file():
        return {}
    try:
        body = json.loads(file.read_text(encoding="utf-8"))
        held, rows = body["options"], {int(row["seed"]): dict(row) for row in body["seeds"]}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{file} holds no recorded baseline ({type(error).__name__}: {error}).") from error
    asked = _what(options)
    wrong = {name: (held.get(name), value) for name, value in asked.items() if held.get(name) != value}
    if wrong:
        told = ", ".join(f"{name} {then!r}, now {now!r}" for name, (then, now) in wrong.items())
        raise ConfigurationError(f"--record: {file} holds another training: {told}. Name another file.")
    return rows


def _what(options: TrainOptions) -> dict[str, Any]:
    """Return what all seeds of a record have in common."""
    return {name: value for name, value in to_jsonable(options).items() if name not in _OF_THE_RUN}


def load_baseline(file: Path) -> Baseline:
    """Return what `record_seed` wrote.

    Raises:
        DataError: the file holds no such record.
    """
    try:
        body: Mapping[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        last = [seed["evaluations"][-1] for seed in body["seeds"]]
        returns = tuple(np.array(e["returns"], dtype=np.float64) for e in last)
        options = body["options"]
        success = float(np.mean([e["success"] for e in last]))
        curves = tuple(
            tuple((int(e["step"]), tuple(map(float, e["returns"]))) for e in seed["evaluations"])
            for seed in body["seeds"]
        )
        named = str(options["scenario"]), str(options["agent"]), int(options["steps"])
        return Baseline(*named, returns, success, curves)
    except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
        raise DataError(f"{file} holds no recorded baseline ({type(error).__name__}: {error}).") from error


def recorded_baselines(folder: Path | None = None) -> dict[str, list[Baseline]]:
    """Return scenario -> what was recorded for it, from `folder` (by default the files that are shipped)."""
    found: dict[str, list[Baseline]] = {}
    for file in sorted((folder or _FOLDER).glob("*.json")):
        baseline = load_baseline(file)
        found.setdefault(baseline.scenario, []).append(baseline)
    return found
