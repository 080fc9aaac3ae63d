"""A mixture of hypotheses, told as one Gaussian."""

from __future__ import annotations

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from worldsim.filtering.density import Density, local
from worldsim.filtering.mixture import with_state_of
from worldsim.types import ObjectStates

P, TANGENT = 3, 12
SAMPLES = 200_000


def hypotheses(count: int, apart: float) -> Density:
    rng = np.random.default_rng(3)
    turn = Rotation.from_rotvec(apart * rng.normal(size=(count, 3)))
    root = 0.1 * rng.normal(size=(count, TANGENT + P, TANGENT + P))
    return Density(
        ObjectStates(
            torch.tensor(apart * rng.normal(size=(count, 3))),
            torch.tensor(turn.as_quat()),
            torch.tensor(apart * rng.normal(size=(count, 3))),
            torch.tensor(apart * rng.normal(size=(count, 3))),
            torch.ones(count, 3, dtype=torch.float64),
        ),
        torch.tensor(rng.normal(size=(count, P))),
        torch.tensor(root @ root.transpose(0, 2, 1)),
    )


def test_whoever_is_sure_is_told_as_he_is() -> None:
    rows = hypotheses(3, 1.0)
    weight = torch.tensor([0.0, 1.0, 0.0], dtype=torch.float64)
    row = rows.select(torch.tensor([0]))
    told = with_state_of(row, rows, weight)
    torch.testing.assert_close(told.states.position, rows.states.position[1:2])
    torch.testing.assert_close(told.covariance[:, :TANGENT, :TANGENT], rows.covariance[1:2, :TANGENT, :TANGENT])
    torch.testing.assert_close(told.parameters, row.parameters)
    torch.testing.assert_close(told.covariance[:, TANGENT:, TANGENT:], row.covariance[:, TANGENT:, TANGENT:])
    assert float(told.covariance[:, :TANGENT, TANGENT:].abs().max()) == 0.0


def test_mean_and_covariance_are_those_of_samples_of_the_mixture() -> None:
    rows, weight = hypotheses(3, 0.2), torch.tensor([0.2, 0.5, 0.3], dtype=torch.float64)
    told = with_state_of(rows.select(torch.tensor([2])), rows, weight)
    rng = np.random.default_rng(4)
    which = rng.choice(3, size=SAMPLES, p=weight.numpy())
    origin = told.states.select(torch.zeros(3, dtype=torch.int64))
    mean = local(rows.states, origin).numpy()
    root = np.linalg.cholesky(rows.covariance[:, :TANGENT, :TANGENT].numpy())
    drawn = mean[which] + np.einsum("nij,nj->ni", root[which], rng.normal(size=(SAMPLES, TANGENT)))
    # 2e-2: rotations of 0.2 rad do not add exactly; the noise of 200,000 draws is 2e-3
    np.testing.assert_allclose(drawn.mean(0), 0.0, atol=2e-2)
    np.testing.assert_allclose(np.cov(drawn.T), told.covariance[0, :TANGENT, :TANGENT].numpy(), atol=2e-2)
