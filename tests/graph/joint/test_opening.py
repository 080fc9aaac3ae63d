"""Kinds that nobody wrote: the right number of them is opened, and their laws are recovered."""

from __future__ import annotations

import torch

from worldsim.graph.joint.opening import _log_odds_of_one_law, _merged, open_kinds, pair_laws, refitted

LAWS = torch.tensor([[0.5, 0.0], [0.0, -0.8]], dtype=torch.float64)


def _scene() -> tuple[torch.Tensor, torch.Tensor]:
    """Return precision and information of six pairs with two collinear columns each: two of each law, two of none."""
    coefficients = torch.cat([LAWS[0].repeat(2), LAWS[1].repeat(2), torch.zeros(4, dtype=torch.float64)])
    generator = torch.Generator().manual_seed(1)
    design = torch.randn(400, 12, generator=generator, dtype=torch.float64)
    design[:, 1::2] = design[:, ::2] + 0.2 * design[:, 1::2]
    noise = 0.02 * torch.randn(400, generator=generator, dtype=torch.float64)
    observed = design @ coefficients + noise
    return design.T @ design / 0.02**2, design.T @ observed / 0.02**2


def test_two_laws_among_six_pairs_are_opened_as_two_kinds() -> None:
    kinds = open_kinds(*pair_laws(*_scene(), 2))
    assert sorted(kinds.pairs.tolist()) == [2, 2]
    assert kinds.assignment[4:].tolist() == [-1, -1]
    assert kinds.assignment[0] == kinds.assignment[1] != kinds.assignment[2] == kinds.assignment[3]


def test_a_law_fitted_to_the_whole_scene_lies_within_its_own_error() -> None:
    likelihood = _scene()
    kinds = refitted(open_kinds(*pair_laws(*likelihood, 2)), *likelihood)
    assert len(kinds.coefficients) == 2
    for kind, law in enumerate(kinds.coefficients):
        true = LAWS[0] if kinds.assignment[0] == kind else LAWS[1]
        error = law - true
        square = float(error @ torch.linalg.solve(kinds.covariance[kind], error))
        assert square < 13.8  # chi-square of 2, exceeded once in 1,000
        assert float(error.norm() / true.norm()) < 0.02


def test_a_kind_that_was_opened_twice_is_merged_and_different_ones_are_not() -> None:
    mean, covariance = pair_laws(*_scene(), 2)
    broad = torch.eye(2, dtype=torch.float64)
    apart = torch.tensor([0, 1, 2, 3, -1, -1])  # every pair a kind of its own
    assert _merged(apart, mean, covariance, broad).tolist() == [0, 0, 2, 2, -1, -1]


def test_the_odds_of_one_law_are_those_of_the_integral() -> None:
    broad = torch.eye(1, dtype=torch.float64)
    a = torch.tensor([0.42], dtype=torch.float64), torch.tensor([[0.03]], dtype=torch.float64)
    b = torch.tensor([0.55], dtype=torch.float64), torch.tensor([[0.05]], dtype=torch.float64)
    grid = torch.linspace(-4.0, 4.0, 80_001, dtype=torch.float64)

    def density(mean: float, variance: float) -> torch.Tensor:
        return torch.distributions.Normal(mean, variance**0.5).log_prob(grid)

    # the pairs of one kind deviate by 5 % in strength and 1 % in shape
    wide = [float(v) + (0.05 * float(m)) ** 2 + (0.01 * float(m)) ** 2 for m, v in (a, b)]
    integral = torch.exp(density(0.42, wide[0]) + density(0.55, wide[1]) - density(0.0, 1.0)).sum() * (
        grid[1] - grid[0]
    )
    assert abs(_log_odds_of_one_law(a, b, broad) - float(integral.log())) < 1e-6


def test_no_pairs_open_no_kinds() -> None:
    kinds = open_kinds(torch.zeros(0, 4, dtype=torch.float64), torch.zeros(0, 4, 4, dtype=torch.float64))
    assert len(kinds.pairs) == 0
    assert kinds.coefficients.shape == (0, 4)
