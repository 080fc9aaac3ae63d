"""How well a world model foresees who moves: watched beside a played episode, and scored against the truth."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from worldsim.evaluation.calibration import crps_gaussian
from worldsim.loop import WorldModel
from worldsim.types.truth import WorldTruth

__all__ = ["AHEAD_S", "ForecastWatch"]

AHEAD_S = 1.0
"""How far ahead forecasts are scored, s."""
_EVERY_S = 0.5
_MOVES_M_S = 0.2
_SAME_M = 0.5  # a thing is believed where something that is no farther from it is believed
_STD_FLOOR_M = 0.01


@dataclass(frozen=True, slots=True)
class _Foretold:
    """Where a thing is expected to be at a time: mean and standard deviation of x and y, m."""

    due_s: float
    name: str
    mean: Float[np.ndarray, "2"]
    std: Float[np.ndarray, "2"]


class ForecastWatch:
    """Asks for a forecast every half second, and waits for what comes true of it. The truth is read for scoring alone.

    Attributes:
        errors_m: the continuous ranked probability score of x and y together, of each forecast of somebody who moved,
            and has not left meanwhile.
    """

    def __init__(self) -> None:
        """Begin to watch an episode."""
        self.errors_m: list[float] = []
        self._due: list[_Foretold] = []
        self._asked_s = -np.inf

    def __call__(self, truth: WorldTruth, world_model: WorldModel) -> None:
        """Take in one frame, after the world model's step."""
        where = {name: at[:2] for name, at in zip(truth.names, truth.position, strict=True) if name not in truth.absent}
        now = [told for told in self._due if truth.time_s >= told.due_s - 1e-6]
        self.errors_m += [
            float(crps_gaussian(where[told.name], told.mean, told.std).sum()) for told in now if told.name in where
        ]
        self._due = [told for told in self._due if truth.time_s < told.due_s - 1e-6]
        if truth.time_s - self._asked_s > _EVERY_S - 1e-6:
            self._asked_s = truth.time_s
            self._ask(truth, world_model)

    @property
    def mean_m(self) -> float:
        """Mean error of all forecasts, m; NaN where there were none: nobody moved, or nobody who did was believed."""
        return float(np.mean(self.errors_m)) if self.errors_m else math.nan

    def _ask(self, truth: WorldTruth, world_model: WorldModel) -> None:
        speed = np.linalg.norm(truth.linear_velocity[:, :2], axis=1)
        forecast = world_model.forecast(AHEAD_S, AHEAD_S)
        belief = world_model.belief
        slots = [belief.slot_of(int(i)) for i in forecast.object_id]
        here = belief.position[slots, :2].numpy().reshape(-1, 2)
        for row, name in enumerate(truth.names):
            if name == truth.ego or name in truth.absent or speed[row] < _MOVES_M_S or not len(here):
                continue
            away = np.linalg.norm(here - truth.position[row, :2], axis=1)
            nearest = int(away.argmin())
            if away[nearest] <= _SAME_M:
                mean = forecast.position[-1, nearest, :2].numpy().astype(np.float64)
                std = forecast.position_std[-1, nearest, :2].numpy().astype(np.float64).clip(_STD_FLOOR_M)
                self._due.append(_Foretold(truth.time_s + AHEAD_S, name, mean, std))
