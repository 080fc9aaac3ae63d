"""One law of mechanics: the scenes that show it, and how far a run is from it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.integrate import solve_ivp

from worldsim.errors import SimulationError
from worldsim.simulation.laboratory import LabScene, Trace

__all__ = ["GRAVITY_M_S2", "Law", "Measure", "integrated", "upward_crossings"]

GRAVITY_M_S2 = 9.81
_TOLERANCE = 1e-12


@dataclass(frozen=True, slots=True)
class Measure:
    """What a law says of a run.

    Attributes:
        name: of the quantity.
        bar: largest error that the accurate preset may have; None where nothing is promised.
        unit: ``"1"`` for an error relative to the law's own size, ``"m"`` for a drift.
    """

    name: str
    bar: float | None = None
    unit: str = "1"


@dataclass(frozen=True, slots=True)
class Law:
    """A law, shown by one or more scenes.

    Attributes:
        name: as the tables call it.
        text: the law and its reference, in one sentence.
        scenes: what is run.
        measures: what is compared; as many as `errors` returns.
        errors: (one trace a scene) -> one error a measure, all >= 0.
        sample_s: how often a run is read; 0 for every step.
    """

    name: str
    text: str
    scenes: tuple[LabScene, ...]
    measures: tuple[Measure, ...]
    errors: Callable[[Sequence[Trace]], Sequence[float]]
    sample_s: float = 0.0


def integrated(
    rate: Callable[[float, Float[np.ndarray, " n"]], Any], start: Sequence[float], time_s: Float[np.ndarray, " T"]
) -> Float[np.ndarray, "T n"]:
    """Return the solution of ``dy/dt = rate(t, y)`` at the given times, to 1e-12 (Dormand and Prince, order 8).

    Raises:
        SimulationError: the integrator gave up.
    """
    found = solve_ivp(
        rate, (0.0, float(time_s[-1])), start, method="DOP853", t_eval=time_s, rtol=_TOLERANCE, atol=_TOLERANCE
    )
    if not found.success:
        raise SimulationError(f"accuracy: a reference could not be integrated ({found.message}).")
    return np.asarray(found.y.T)


def upward_crossings(time_s: Float[np.ndarray, " T"], value: Float[np.ndarray, " T"]) -> Float[np.ndarray, " k"]:
    """Return when `value` rises through zero, by linear interpolation between samples.

    >>> upward_crossings(np.array([0.0, 1.0, 2.0]), np.array([-1.0, 1.0, -1.0])).tolist()
    [0.5]
    """
    rises = np.flatnonzero((value[:-1] < 0.0) & (value[1:] >= 0.0))
    share = value[rises] / (value[rises] - value[rises + 1])
    return np.asarray(time_s[rises] + share * (time_s[rises + 1] - time_s[rises]))
