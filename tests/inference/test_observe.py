"""What of an observation is usable."""

from __future__ import annotations

import numpy as np
import pytest

from worldsim.types.observation import APPEARANCE_DIM, Detections, positive_definite


@pytest.mark.parametrize("scale", [1.0, 1e-5])
def test_covariances_are_told_from_what_is_none_as_their_eigenvalues_tell(scale: float) -> None:
    rng = np.random.default_rng(0)
    factor = rng.standard_normal((400, 6, 6)) * np.array([1.0, 1.0, 1.0, 1e-2, 1e-2, 1e-2])[:, None]
    covariance = scale * factor @ factor.transpose(0, 2, 1)
    spread = np.sqrt(np.diagonal(covariance, axis1=1, axis2=2))
    correlation = covariance / (spread[:, :, None] * spread[:, None, :])
    least = np.linalg.eigvalsh(correlation)[:, 0]
    # what is taken away along the diagonal turns some of them indefinite
    moved = (correlation - rng.uniform(0.0, 0.05, (400, 1, 1)) * np.eye(6)) * spread[:, :, None] * spread[:, None, :]
    again = np.sqrt(np.diagonal(moved, axis1=1, axis2=2))
    judged = np.linalg.eigvalsh(moved / (again[:, :, None] * again[:, None, :]))[:, 0]
    clear = np.abs(judged) > 1e-5
    assert clear.sum() > 300
    assert 50 < (judged[clear] > 0.0).sum() < 350
    assert (positive_definite(covariance) == (least > 1e-6)).all()
    assert (positive_definite(moved)[clear] == (judged[clear] > 0.0)).all()


def test_a_diagonal_needs_no_eigenvalues_and_a_broken_row_is_none() -> None:
    found = np.tile(np.diag([1e-4, 1e-4, 1e-4, 2e-4, 2e-4, 2e-4]), (5, 1, 1))
    found[1, 2, 2], found[2, 0, 3], found[3, 4, 4] = np.nan, np.inf, 0.0
    with np.errstate(invalid="ignore"):
        assert positive_definite(found).tolist() == [True, False, False, False, True]
    assert positive_definite(np.zeros((0, 6, 6))).shape == (0,)


def test_a_covariance_that_went_through_float32_is_one() -> None:
    rng = np.random.default_rng(1)
    factor = rng.standard_normal((200, 6, 6))
    covariance = 1e-4 * (factor @ factor.transpose(0, 2, 1) + 0.1 * np.eye(6))
    assert positive_definite(covariance.astype(np.float32).astype(np.float64)).all()


def test_an_appearance_may_be_unknown_and_not_infinite() -> None:
    n = 4
    look = np.zeros((n, APPEARANCE_DIM))
    look[1], look[2, 3], look[3, 3] = np.nan, np.nan, np.inf
    upright = np.tile([0.0, 0.0, 0.0, 1.0], (n, 1))
    seen = Detections(
        np.zeros((n, 3)), upright, np.ones((n, 3)), np.zeros((n, 3)), look, np.tile(1e-4 * np.eye(6), (n, 1, 1))
    )
    assert seen.finite_rows().tolist() == [True, True, True, False]
    assert {name: wrong.tolist() for name, wrong in seen.faults().items()} == {
        "appearance": [False, False, False, True]
    }
