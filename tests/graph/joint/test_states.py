"""Enumerating the states of slots: what was not measured stays as it was, and ties are nobody's to decide."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

from worldsim.graph.joint.states import Sites, enumerate_states


def _sites(slots: int) -> Sites:
    weights = torch.tensor([0.2, 0.4, 0.4], dtype=torch.float64).log()
    means = torch.tensor([0.0, 1.0, -1.0], dtype=torch.float64)
    variances = torch.tensor([1e-4, 0.01, 0.01], dtype=torch.float64)
    return Sites(*(part.expand(1, slots, 3).clone() for part in (weights, means, variances)))


def test_a_slot_that_was_not_measured_keeps_its_prior_and_crowds_out_nothing() -> None:
    precision = torch.diag(torch.tensor([100.0, 0.0, 0.0, 0.0], dtype=torch.float64))[None]
    information = torch.tensor([[100.0, 0.0, 0.0, 0.0]], dtype=torch.float64)  # the first is 1 +- 0.1
    found = enumerate_states(precision, information, _sites(4), beam=2)
    share = found.log_weight.exp()[0]
    prior = torch.tensor([0.2, 0.4, 0.4], dtype=torch.float64)
    assert torch.allclose(share[1:], prior.expand(3, 3))
    density = [0.2 * _normal(1.0, 0.0, 0.01 + 1e-4), 0.4 * _normal(1.0, 1.0, 0.02)]
    assert float(share[0, 1]) == pytest.approx(density[1] / sum(density), abs=1e-6)


def _normal(value: float, mean: float, variance: float) -> float:
    return math.exp(-0.5 * (value - mean) ** 2 / variance) / math.sqrt(2.0 * math.pi * variance)


def test_the_order_of_the_slots_decides_nothing_where_branches_tie_at_the_edge_of_the_beam() -> None:
    generator = torch.Generator().manual_seed(3)
    columns = torch.randn(6, 3, generator=generator, dtype=torch.float64)
    columns = torch.cat([columns, columns], dim=1)  # slots in pairs that only their sum tells of
    precision = 4.0 * (columns.mT @ columns)[None]
    information = (precision[0] @ torch.tensor([1.0, -1.0, 0.0, -1.0, 1.0, 0.0], dtype=torch.float64))[None]
    plain = enumerate_states(precision, information, _sites(6), beam=10).log_weight.exp()
    for places in itertools.islice(itertools.permutations(range(6)), 0, 720, 37):
        order = torch.tensor(places)
        turned = enumerate_states(precision[:, order][:, :, order], information[:, order], _sites(6), beam=10)
        assert torch.allclose(turned.log_weight.exp(), plain[:, order], atol=1e-9)
