"""Pairs whose law the library knows are explained by it, and only the others open a kind."""

from __future__ import annotations

import pytest
import torch

from worldsim.contracts.radial_basis import POWERS
from worldsim.graph.unexplained import NONE, NOVEL, explain, law_in_basis, opened_laws
from worldsim.interactions.charge import Charge
from worldsim.interactions.spring import Spring

DISTANCE_M = torch.linspace(0.3, 1.5, 40, dtype=torch.float64)
STD = 5e-3
SPRING, MAGNET = torch.tensor([1.0, 0.0, 0.0, 0.0]), torch.tensor([0.0, 0.0, 0.0, 1.0])


def _seen(laws: list[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    mean = torch.stack(laws).double()
    mean = mean + STD * torch.randn(mean.shape, generator=generator, dtype=torch.float64)
    return mean, (STD**2 * torch.eye(4, dtype=torch.float64)).expand(len(mean), 4, 4)


PAIRS = [0.0 * SPRING, 1.1 * SPRING, -0.4 * MAGNET, 0.9 * SPRING, -0.42 * MAGNET, 0.0 * SPRING]


def test_the_laws_of_the_library_lie_in_the_basis() -> None:
    torch.testing.assert_close(law_in_basis(Spring(), DISTANCE_M), SPRING.double(), atol=1e-8, rtol=0.0)
    found = law_in_basis(Charge(), DISTANCE_M)
    torch.testing.assert_close(found.abs(), MAGNET.double(), atol=1e-6, rtol=0.0)


def test_what_the_library_knows_at_any_strength_opens_nothing() -> None:
    found = explain(*_seen(PAIRS), [Spring(), Charge()], DISTANCE_M)
    assert found.law.tolist() == [NONE, 0, 1, 0, 1, NONE]
    assert len(found.opened.pairs) == 0
    assert found.opened.assignment.tolist() == [-1] * 6


@pytest.mark.parametrize(("library", "novel"), [(Spring(), [2, 4]), (Charge(), [1, 3])], ids=["magnet", "spring"])
def test_a_kind_is_opened_for_the_pairs_that_it_lacks(library: Spring | Charge, novel: list[int]) -> None:
    mean, covariance = _seen(PAIRS)
    found = explain(mean, covariance, [library], DISTANCE_M)
    assert (found.law == NOVEL).nonzero()[:, 0].tolist() == novel
    assert found.opened.pairs.tolist() == [2]
    assert (found.opened.assignment == 0).nonzero()[:, 0].tolist() == novel


def test_a_spring_that_pushes_is_not_a_spring() -> None:
    found = explain(*_seen([-1.0 * SPRING]), [Spring()], DISTANCE_M)
    assert found.law.tolist() == [NOVEL]


def test_the_new_law_is_fitted_beside_what_the_known_ones_explain() -> None:
    mean, covariance = _seen(PAIRS)
    found = explain(mean, covariance, [Spring()], DISTANCE_M)
    precision = torch.block_diag(*torch.linalg.inv(covariance))
    information = precision @ mean.flatten()
    laws = opened_laws(found, [Spring()], DISTANCE_M, precision, information)
    assert laws.shape == (1, len(POWERS))
    torch.testing.assert_close(laws[0], mean[[2, 4]].mean(0))
    assert (
        len(
            opened_laws(
                explain(mean, covariance, [Spring(), Charge()], DISTANCE_M), [], DISTANCE_M, precision, information
            )
        )
        == 0
    )


def test_a_library_of_many_laws_leaves_something_for_no_law_at_all() -> None:
    found = explain(*_seen(PAIRS), [Spring() for _ in range(12)], DISTANCE_M)
    assert (found.law[0].item(), found.law[5].item()) == (NONE, NONE)
