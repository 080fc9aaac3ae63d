"""Scores of long trainings by others' methods, recorded once by ``worldsim train ... --record`` and kept as data.

Each file beside this one is ``SCENARIO-AGENT.json``: the command, commit, versions and machine, and for every seed all
its evaluations on held-out episodes. They are baselines: nothing of ours is fitted to them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from worldsim.errors import DataError
from worldsim.evaluation.jsonable import dump_json, to_jsonable
from worldsim.evaluation.provenance import git_commit, machine, versions
from worldsim.evaluation.training import SeedResult, TrainOptions

__all__ = ["Baseline", "load_baseline", "record_baseline", "recorded_baselines"]

_FOLDER = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Baseline:
    """One method on one scenario.

    Attributes:
        scenario, agent: names in the plug-in tables.
        steps: frames that each seed learned from.
        returns: of the last evaluation, an array a seed.
        success: share of its episodes that succeeded, all seeds together.
    """

    scenario: str
    agent: str
    steps: int
    returns: tuple[Float[np.ndarray, " n"], ...]
    success: float


def record_baseline(file: Path, options: TrainOptions, results: Sequence[SeedResult], command: str) -> None:
    """Write what a training came to into `file`, with what is needed to do it again."""
    body = {
        "command": command,
        "commit": git_commit(),
        "versions": versions(),
        "machine": machine(),
        "options": to_jsonable(options),
        "seeds": [
            {"seed": r.seed, "steps": r.steps, "restarts": r.restarts, "evaluations": to_jsonable(r.evaluations)}
            for r in results
        ],
    }
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(dump_json(body, indent=1) + "\n", encoding="utf-8")


def load_baseline(file: Path) -> Baseline:
    """Return what `record_baseline` wrote.

    Raises:
        DataError: the file holds no such record.
    """
    try:
        body: Mapping[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        last = [seed["evaluations"][-1] for seed in body["seeds"]]
        returns = tuple(np.array(e["returns"], dtype=np.float64) for e in last)
        options = body["options"]
        success = float(np.mean([e["success"] for e in last]))
        return Baseline(str(options["scenario"]), str(options["agent"]), int(options["steps"]), returns, success)
    except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
        raise DataError(f"{file} holds no recorded baseline ({type(error).__name__}: {error}).") from error


def recorded_baselines(folder: Path | None = None) -> dict[str, list[Baseline]]:
    """Return scenario -> what was recorded for it, from `folder` (by default the files that are shipped)."""
    found: dict[str, list[Baseline]] = {}
    for file in sorted((folder or _FOLDER).glob("*.json")):
        baseline = load_baseline(file)
        found.setdefault(baseline.scenario, []).append(baseline)
    return found
