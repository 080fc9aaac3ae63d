"""Kinds that nobody wrote: the right number of them is opened, and their laws are recovered."""

from __future__ import annotations

import torch

from worldsim.graph.joint.opening import open_kinds, pair_laws, refitted

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
    for kind, law in enumerate(kinds.coefficients):
        true = LAWS[0] if kinds.assignment[0] == kind else LAWS[1]
        error = law - true
        square = float(error @ torch.linalg.solve(kinds.covariance[kind], error))
        assert square < 13.8  # chi-square of 2, exceeded once in 1,000
        assert float(error.norm() / true.norm()) < 0.02
