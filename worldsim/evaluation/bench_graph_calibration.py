"""Whether the graph filter's probabilities and intervals are honest: figures over many scenes, resampled by scene."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from worldsim.evaluation.bench import Figure
from worldsim.evaluation.bench_graph_scoring import Score
from worldsim.evaluation.statistics import Estimate, bootstrap

BINS = 10
COVERAGE = (0.85, 0.95)
CALIBRATED_FROM = 10
"""Frames seen, from which on calibration is promised."""


@dataclass(frozen=True, slots=True)
class SceneSums:
    """What calibration needs of each of S scenes, summed over the numbers of frames at which it was scored.

    Attributes:
        count, stated, happened: [S, B] of the states that were said, by bins of their probability.
        inside: [S] true strengths inside their intervals; strengths: [S] how many there were.
    """

    count: Float[np.ndarray, "S B"]
    stated: Float[np.ndarray, "S B"]
    happened: Float[np.ndarray, "S B"]
    inside: Float[np.ndarray, " S"]
    strengths: Float[np.ndarray, " S"]

    @classmethod
    def of(cls, scores: Sequence[Score]) -> SceneSums:
        """Sum the scores of the same scenes after several numbers of frames."""
        parts = [_sums(score) for score in scores]
        return cls(*(np.sum([part[i] for part in parts], axis=0) for i in range(5)))

    @classmethod
    def joined(cls, sets: Sequence[SceneSums]) -> SceneSums:
        """Return all scenes of several sets."""
        names = ("count", "stated", "happened", "inside", "strengths")
        return cls(*(np.concatenate([getattr(one, name) for one in sets]) for name in names))

    def calibration_error(self, rng: np.random.Generator) -> Estimate:
        """Return the expected calibration error of the states that were said."""

        def error(rows: np.ndarray) -> float:
            picked = rows.astype(np.int64)
            gap = np.abs(self.stated[picked].sum(0) - self.happened[picked].sum(0))
            return float(gap.sum() / self.count[picked].sum())

        return bootstrap([self._rows()], error, rng)

    def coverage(self, rng: np.random.Generator) -> Estimate:
        """Return the share of true strengths inside their central intervals."""

        def share(rows: np.ndarray) -> float:
            picked = rows.astype(np.int64)
            return float(self.inside[picked].sum() / max(self.strengths[picked].sum(), 1.0))

        return bootstrap([self._rows()], share, rng)

    def _rows(self) -> Float[np.ndarray, " S"]:
        return np.arange(len(self.count), dtype=np.float64)


def calibration_figures(label: str, sums: SceneSums, bar: float, rng: np.random.Generator) -> list[Figure]:
    """Return calibration error and coverage of strengths; `n` counts scenes, which are what is independent."""
    error, share = sums.calibration_error(rng), sums.coverage(rng)
    words = f"expected calibration error, {label}"
    figures = [Figure.at_most(words, error.value, bar, interval=error.interval, n=error.n)]
    words = f"strengths inside their 90 % intervals, {label}"
    return [*figures, Figure.within(words, share.value, *COVERAGE, interval=share.interval, n=share.n)]


def coverage_told(name: str, sums: SceneSums, rng: np.random.Generator) -> Figure:
    """Return the coverage of one set, beside the bar on all of them."""
    share = sums.coverage(rng)
    words = f"{name}: strengths inside their 90 % intervals from frame {CALIBRATED_FROM} on"
    return Figure.told(words, share.value, interval=share.interval, n=share.n)


def _sums(score: Score) -> tuple[np.ndarray, ...]:
    scenes = len(score.confidence)
    said = score.confidence.double().clamp(0.0, 1.0).flatten(1).numpy()
    right = score.right.flatten(1).numpy().astype(np.float64)
    scene = np.arange(scenes)[:, None]
    place = (scene * BINS + np.minimum((said * BINS).astype(np.int64), BINS - 1)).ravel()
    bins = [
        np.bincount(place, weights=weights, minlength=scenes * BINS).reshape(scenes, BINS)
        for weights in (np.ones(place.shape), said.ravel(), right.ravel())
    ]
    owner = score.strength_scene.numpy()
    held = np.bincount(owner, weights=score.strength_inside.double().numpy(), minlength=scenes)
    return (*bins, held, np.bincount(owner, minlength=scenes).astype(np.float64))
