"""Quaternions against scipy, and the properties that the filter rests on."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from worldsim.dynamics import quaternion


@pytest.fixture
def pair() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    both = torch.randn(2, 50, 4, generator=generator, dtype=torch.float64)
    return quaternion.normalise(both[0]), quaternion.normalise(both[1])


def test_multiply_rotate_and_matrix_agree_with_scipy(pair: tuple[torch.Tensor, torch.Tensor]) -> None:
    left, right = pair
    vector = torch.randn(50, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    product = Rotation.from_quat(left.numpy()) * Rotation.from_quat(right.numpy())
    turned = quaternion.rotate(quaternion.multiply(left, right), vector)
    np.testing.assert_allclose(turned.numpy(), product.apply(vector.numpy()), atol=1e-13)
    np.testing.assert_allclose(
        quaternion.to_matrix(left).numpy(), Rotation.from_quat(left.numpy()).as_matrix(), atol=1e-13
    )
    np.testing.assert_allclose(quaternion.rotate_inverse(left, quaternion.rotate(left, vector)), vector, atol=1e-13)
    turned_back = Rotation.from_quat(left.numpy()).apply(vector.numpy(), inverse=True)
    np.testing.assert_allclose(quaternion.rotate_inverse(left, vector).numpy(), turned_back, atol=1e-13)
    np.testing.assert_allclose(quaternion.rise(left), quaternion.to_matrix(left)[:, 2], atol=1e-15)


@pytest.mark.parametrize("angle", [0.0, 1e-9, 1e-4, 9.99e-4, 1.01e-3, 0.5, 3.1])
def test_log_inverts_exp_on_both_sides_of_the_series(angle: float) -> None:
    axis = torch.tensor([0.6, -0.48, 0.64], dtype=torch.float64)
    vector = angle * axis
    q = quaternion.exp(vector)
    torch.testing.assert_close(q.norm(), torch.ones((), dtype=torch.float64), atol=1e-14, rtol=0.0)
    torch.testing.assert_close(quaternion.log(q), vector, atol=1e-13, rtol=1e-13)
    torch.testing.assert_close(quaternion.log(-q), vector, atol=1e-13, rtol=1e-13)


def test_exp_and_log_have_gradients_at_zero() -> None:
    zero = torch.zeros(2, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(quaternion.exp, (zero,))
    assert torch.autograd.gradcheck(lambda v: quaternion.log(quaternion.exp(v)), (zero,))


def test_integrating_a_constant_spin_in_parts_is_integrating_it_at_once() -> None:
    start = quaternion.exp(torch.tensor([[0.3, -0.2, 0.5]], dtype=torch.float64))
    spin = torch.tensor([[1.0, -2.0, 3.0]], dtype=torch.float64)
    parts = start
    for _ in range(10):
        parts = quaternion.integrate(parts, spin, 0.01)
    torch.testing.assert_close(parts, quaternion.integrate(start, spin, 0.1), atol=1e-14, rtol=0.0)


def test_difference_and_geodesic_angle_agree(pair: tuple[torch.Tensor, torch.Tensor]) -> None:
    first, second = pair
    vector = quaternion.difference(first, second)
    torch.testing.assert_close(vector.norm(dim=-1), quaternion.geodesic_angle(first, second), atol=1e-12, rtol=0.0)
    back = quaternion.multiply(quaternion.exp(vector), second)
    torch.testing.assert_close((back * first).sum(-1).abs(), torch.ones(50, dtype=torch.float64), atol=1e-13, rtol=0.0)
