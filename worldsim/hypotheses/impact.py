"""Impacts under test: did two bodies that met do what the law of impact says?

A test is a Gaussian sum: components that each carry the two bodies, under one of four hypotheses. The law's components
differ in the ratio of the masses (of which all else that the law says of the pair hangs together) and in when the two
met; so what one body did restricts what the other may have done.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from worldsim.filtering.density import Density

LAW, FREE, FIRST_STAYS, SECOND_STAYS = range(4)
"""The law holds; both go on as though nothing were there; the first does not give way; the second does not."""

_UNMOVED = 1e4  # times its mass: what does not give way
_NODES = 5  # of the masses' ratio: exact for polynomials of degree 9 (Gauss and Hermite)
_PRUNED_NATS = 14.0  # a component so much lighter than the heaviest of its hypothesis is dropped
_MOST_OF_LAW, _MOST_OF_OTHERS = 10, 2  # components of a pair
_HYPOTHESES = 4


@dataclass(frozen=True, slots=True)
class ImpactTests:
    """T pairs of bodies, followed by M components.

    Attributes:
        pair: [T, 2] object ids, the lower one first.
        since: [T] frames since the two last may have met; met: [T] whether that was probable at all yet.
        frames: [T] frames weighed; told: [T] it has been told that the law does not hold.
        test: [M] which pair each component is of; hypothesis: [M] one of the four.
        heavier: [M, 2] what the masses are multiplied by.
        log_weight: [M] log prior plus log predictive density of where the two were seen (prequential), nats.
        density: 2 M rows: first and second body, component by component.
    """

    pair: Int[np.ndarray, "T 2"]
    since: Int[np.ndarray, " T"]
    met: Bool[np.ndarray, " T"]
    frames: Int[np.ndarray, " T"]
    told: Bool[np.ndarray, " T"]
    test: Int[np.ndarray, " M"]
    hypothesis: Int[np.ndarray, " M"]
    heavier: Float[np.ndarray, "M 2"]
    log_weight: Float[np.ndarray, " M"]
    density: Density

    def __len__(self) -> int:
        """Return the number of pairs T."""
        return len(self.pair)

    @classmethod
    def none(cls, like: Density) -> ImpactTests:
        """Return no tests, on the device and in the precision of `like`."""
        zero, no = np.zeros(0, dtype=np.int64), np.zeros(0, dtype=bool)
        pair, heavier = np.zeros((0, 2), dtype=np.int64), np.zeros((0, 2))
        return cls(pair, zero, no, zero, no, zero, zero, heavier, np.zeros(0), like.rows(0, 0))

    def with_rows(self, density: Density) -> ImpactTests:
        """Return the tests with other rows."""
        return dataclasses.replace(self, density=density)

    def log_ratio(self) -> Float[np.ndarray, " T"]:
        """Return the log likelihood ratio of the other hypotheses, evenly mixed, against the law, nats."""
        law = self.hypothesis == LAW
        return self._summed(~law) - self._summed(law)

    def _summed(self, which: Bool[np.ndarray, " M"]) -> Float[np.ndarray, " T"]:
        total = np.full(len(self), -np.inf)
        np.logaddexp.at(total, self.test[which], self.log_weight[which])
        return total

    def lightened(self) -> tuple[Int[np.ndarray, " m"], Float[np.ndarray, " m"]]:
        """Return the components worth keeping, and their log weights: those of a hypothesis still sum to what they did.

        Of each hypothesis of each pair it is the heaviest few.
        """
        kind = self.test * _HYPOTHESES + self.hypothesis
        order = np.lexsort((-self.log_weight, kind))
        starts = np.flatnonzero(np.diff(kind[order], prepend=-1))
        rank = np.arange(len(order)) - np.repeat(starts, np.diff(starts, append=len(order)))
        most = self.log_weight[order[starts]]
        near = self.log_weight[order] > np.repeat(most, np.diff(starts, append=len(order))) - _PRUNED_NATS
        kept = np.sort(order[near & (rank < np.where(self.hypothesis[order] == LAW, _MOST_OF_LAW, _MOST_OF_OTHERS))])
        before, after = (np.full(_HYPOTHESES * len(self), -np.inf) for _ in range(2))
        np.logaddexp.at(before, kind, self.log_weight)
        np.logaddexp.at(after, kind[kept], self.log_weight[kept])
        return kept, self.log_weight[kept] + before[kind[kept]] - after[kind[kept]]


def components(
    log_ratio_std: Float[np.ndarray, " T"],
) -> tuple[Int[np.ndarray, " K"], Float[np.ndarray, "T K 2"], Float[np.ndarray, " K"]]:
    """Return hypothesis, factors of the masses and log weight of the K components that each of T tests starts with.

    Args:
        log_ratio_std: of the log of the second mass over the first.
    """
    nodes, weights = np.polynomial.hermite_e.hermegauss(_NODES)
    hypothesis = np.array([LAW] * _NODES + [FREE, FIRST_STAYS, SECOND_STAYS])
    heavier = np.ones((len(log_ratio_std), len(hypothesis), 2))
    heavier[:, :_NODES, 1] = np.exp(log_ratio_std[:, None] * nodes)
    heavier[:, hypothesis == FIRST_STAYS, 0] = _UNMOVED
    heavier[:, hypothesis == SECOND_STAYS, 1] = _UNMOVED
    log_weight = np.concatenate([np.log(weights / weights.sum()), np.full(3, -math.log(3.0))])
    return hypothesis, heavier, log_weight
