"""Strengths of one class: what the others tell of each, against integrals worked out on a grid."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats

from worldsim.graph.joint.alike import SPREAD_PRIOR, SPREADS, CommonMean
from worldsim.graph.joint.posterior import EdgePosterior
from worldsim.graph.joint.slots import all_pairs
from worldsim.graph.joint.states import Sites, SlotMarginals, enumerate_states
from worldsim.interactions.spring import Spring

SEEN = np.array([1.02, 0.97, 1.05, 1.01])
ERROR = np.array([0.03, 0.03, 0.02, 0.1])
PRIOR = (0.8, 0.36)
GUESS = 1.0


def _found(sign: float = 1.0) -> SlotMarginals:
    """Return four edges that are surely there, seen at `SEEN` with errors `ERROR`; one may pull the other way."""
    signs = np.array([sign, 1.0, 1.0, 1.0])
    precision = torch.diag(torch.from_numpy(ERROR**-2.0))[None]
    information = torch.from_numpy(signs * SEEN / ERROR**2)[None]
    weights = torch.tensor([-torch.inf, 0.0, 0.0], dtype=torch.float64)
    means = torch.tensor([0.0, 1.0, -1.0], dtype=torch.float64)
    variances = torch.tensor([1e-4, 0.04, 0.04], dtype=torch.float64)
    sites = Sites(*(part.expand(1, 4, 3).clone() for part in (weights, means, variances)))
    one = torch.ones(1, 1, dtype=torch.float64)
    return enumerate_states(precision, information, sites, 32, CommonMean(GUESS * one, PRIOR[0] * one, PRIOR[1] * one))


def _on_a_grid(edge: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return share, mean and variance of one strength under each spread, the common mean summed over a grid."""
    mu = np.linspace(-2.0, 4.0, 200_001)
    evidence, means, variances = [], [], []
    for spread in SPREADS:
        tau = spread * GUESS
        weight = stats.norm.pdf(mu, PRIOR[0], np.sqrt(PRIOR[1]))
        weight = weight * np.prod(
            [stats.norm.pdf(x, mu, np.hypot(e, tau)) for x, e in zip(SEEN, ERROR, strict=True)], 0
        )
        share = tau**2 / (tau**2 + ERROR[edge] ** 2)
        given = mu + share * (SEEN[edge] - mu)
        evidence.append(weight.sum())
        means.append((weight * given).sum() / weight.sum())
        variances.append((weight * (given - means[-1]) ** 2).sum() / weight.sum() + share * ERROR[edge] ** 2)
    shares = np.array(evidence) * SPREAD_PRIOR
    return shares / shares.sum(), np.array(means), np.array(variances)


@pytest.mark.parametrize("edge", range(4))
def test_strengths_of_one_class_are_what_integrating_their_mean_out_on_a_grid_gives(edge: int) -> None:
    mixture = _found().mixture
    assert mixture is not None
    expected = _on_a_grid(edge)
    for found, wanted in zip((mixture.share, mixture.mean, mixture.variance), expected, strict=True):
        assert found[0, edge, 1].numpy() == pytest.approx(wanted, rel=1e-4)


def test_an_edge_that_pulls_the_other_way_tells_as_much_of_the_common_magnitude() -> None:
    plain, turned = _found().mixture, _found(-1.0).mixture
    assert plain is not None
    assert turned is not None
    assert torch.allclose(turned.mean[0, 0, 2], -plain.mean[0, 0, 1])
    assert torch.allclose(turned.mean[0, 1:, 1], plain.mean[0, 1:, 1])
    assert torch.allclose(turned.variance[0, 1:, 1], plain.variance[0, 1:, 1])


def test_an_interval_holds_its_share_of_the_mixture() -> None:
    slots = all_pairs(torch.zeros(2, dtype=torch.int64))
    edge = _found()
    assert edge.mixture is not None
    one = edge.mixture.at((torch.zeros(2, 1, dtype=torch.int64), torch.full((2, 1), 3)))
    state = torch.tensor([0.1, 0.7, 0.2], dtype=torch.float64).log().expand(2, 1, 3)
    mean, variance = one.moments()
    marginals = SlotMarginals(state, mean, variance, torch.zeros(2), one)
    found = EdgePosterior.of([Spring()], slots, marginals, torch.zeros(2, dtype=torch.int64), 1)
    low, high = (float(end[0, 0, 0]) for end in found.strength_interval(0.8))
    there = np.array([0.7, 0.2])[:, None] / 0.9 * one.share[0, 0, 1:].numpy()
    for value, wanted in ((low, 0.1), (high, 0.9)):
        below = stats.norm.cdf(value, one.mean[0, 0, 1:].numpy(), one.variance[0, 0, 1:].sqrt().numpy())
        assert float((there * below).sum()) == pytest.approx(wanted, abs=1e-9)
