"""Where the time of a step goes: a clock around each stage that the loop calls."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import numpy as np

from worldsim.engine import correction, doubt, population, relations, reports, surprisal, tracking

__all__ = ["STAGES", "StageTimes", "stage_times"]

STAGES: tuple[tuple[ModuleType, str, str], ...] = (
    (tracking, "predict_all", "predict"),
    (tracking, "match", "associate"),
    (surprisal, "surprise", "surprise"),
    (correction, "correct_all", "correct"),
    (population, "watch", "watch"),
    (population, "start_objects", "births"),
    (relations, "infer_graph", "graph"),
    (doubt, "decide", "hypotheses"),
    (reports, "draft", "record, drafted"),
    (reports, "finish", "record, finished"),
)
"""Module, function, and the stage that its time counts for."""


@dataclass(frozen=True, slots=True)
class StageTimes:
    """Seconds by stage, one number a call, in order."""

    seconds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

    def medians_ms(self, calls: int) -> dict[str, float]:
        """Return the median of the last `calls` calls of each stage, ms."""
        return {stage: 1e3 * float(np.median(taken[-calls:])) for stage, taken in self.seconds.items()}


@contextmanager
def stage_times() -> Iterator[StageTimes]:
    """Time every stage of every step that is made inside the block."""
    times = StageTimes()
    usual = [(module, name, getattr(module, name)) for module, name, _ in STAGES]
    try:
        for (module, name, stage), (_, _, function) in zip(STAGES, usual, strict=True):
            setattr(module, name, _timed(function, times.seconds[stage]))
        yield times
    finally:
        for module, name, function in usual:
            setattr(module, name, function)


def _timed(function: Callable[..., Any], into: list[float]) -> Callable[..., Any]:
    def timed(*arguments: Any, **named: Any) -> Any:
        started = time.perf_counter()
        result = function(*arguments, **named)
        into.append(time.perf_counter() - started)
        return result

    return timed
