"""Shapes: distances, contact points and moments, worked by hand."""

from __future__ import annotations

import math

import pytest
import torch

from worldsim.dynamics import geometry, quaternion

DOUBLE = torch.float64


def test_distance_and_normal_of_a_box_outside_inside_and_at_an_edge() -> None:
    half = torch.tensor([1.0, 2.0, 3.0], dtype=DOUBLE)
    points = torch.tensor([[2.0, 0.0, 0.0], [-0.5, 0.0, 0.0], [4.0, 6.0, 0.0], [0.0, -1.9, 0.0]], dtype=DOUBLE)
    distance, normal = geometry.box_signed_distance(points, half)
    torch.testing.assert_close(distance, torch.tensor([1.0, -0.5, 5.0, -0.1], dtype=DOUBLE))
    expected = torch.tensor([[1.0, 0, 0], [-1.0, 0, 0], [0.6, 0.8, 0], [0, -1.0, 0]], dtype=DOUBLE)
    torch.testing.assert_close(normal, expected)
    torch.testing.assert_close(geometry.box_distance(points, half), distance)


def test_the_normal_is_the_gradient_of_the_distance() -> None:
    half = torch.tensor([0.4, 0.7, 0.2], dtype=DOUBLE)
    points = torch.randn(200, 3, generator=torch.Generator().manual_seed(3), dtype=DOUBLE, requires_grad=True)
    distance, normal = geometry.box_signed_distance(points, half)
    (gradient,) = torch.autograd.grad(distance.sum(), points)
    torch.testing.assert_close(normal, gradient, atol=1e-9, rtol=0.0)


def test_a_basis_is_orthonormal_for_every_normal() -> None:
    normal = torch.randn(500, 3, generator=torch.Generator().manual_seed(4), dtype=DOUBLE)
    poles = torch.tensor([[0, 0, 1.0], [0, 0, -1.0]], dtype=DOUBLE)
    normal = torch.cat([normal / normal.norm(dim=-1, keepdim=True), poles])
    basis = geometry.tangent_basis(normal)
    eye = torch.eye(3, dtype=DOUBLE).expand_as(basis)
    torch.testing.assert_close(basis @ basis.mT, eye, atol=1e-12, rtol=0.0)
    torch.testing.assert_close(basis[:, 0], normal)


def test_moments_of_the_four_shapes() -> None:
    extent = torch.tensor([[0.2, 0.4, 0.6], [0.2, 0.2, 0.2], [0.2, 0.2, 0.6], [0.2, 0.2, 0.6]], dtype=DOUBLE)
    moments = geometry.moments_of_inertia(torch.full((4,), 3.0, dtype=DOUBLE), extent, torch.arange(4))
    torch.testing.assert_close(moments[0], torch.tensor([0.52, 0.40, 0.20], dtype=DOUBLE) / 4.0)
    torch.testing.assert_close(moments[1], torch.full((3,), 0.4 * 3.0 * 0.01, dtype=DOUBLE))
    torch.testing.assert_close(moments[2, 0], torch.tensor(3.0 * (0.01 / 4 + 0.36 / 12), dtype=DOUBLE))
    # Capsule: tube of 0.4 m and two half balls of radius 0.1 m, masses in proportion to their volumes.
    tube, ball = 3.0 * 3.0 / 4.0, 3.0 / 4.0
    across = tube * (0.01 / 4 + 0.16 / 12) + ball * (0.4 * 0.01 + 0.04 + 0.375 * 0.4 * 0.1)
    torch.testing.assert_close(moments[3, 0], torch.tensor(across, dtype=DOUBLE))
    torch.testing.assert_close(moments[3, 2], torch.tensor(tube * 0.005 + ball * 0.004, dtype=DOUBLE))


@pytest.mark.parametrize("roll", [0.0, 0.7, 2.0])
def test_a_lying_cylinder_always_touches_with_its_lowest_rim_points(roll: float) -> None:
    lying = quaternion.exp(torch.tensor([[math.pi / 2, 0, 0]], dtype=DOUBLE))
    turned = quaternion.multiply(lying, quaternion.exp(torch.tensor([[0, 0, roll]], dtype=DOUBLE)))
    rotation = quaternion.to_matrix(turned)
    half = torch.tensor([[0.3, 0.3, 0.5]], dtype=DOUBLE)
    points = geometry.contact_points(half, torch.tensor([geometry.CYLINDER]), rotation) @ rotation.mT
    lowest = points[0, :, 2].sort().values[:2]
    # The bias that picks a direction for upright cylinders turns the point by 1e-4 rad.
    torch.testing.assert_close(lowest, torch.full((2,), -0.3, dtype=DOUBLE), atol=1e-8, rtol=0.0)


def test_core_and_radius_rebuild_the_bounding_box() -> None:
    extent = torch.tensor([[0.2, 0.4, 0.6], [0.2, 0.2, 0.2], [0.2, 0.2, 0.6], [0.2, 0.2, 0.6]], dtype=DOUBLE)
    rounding = torch.full((4,), 0.01, dtype=DOUBLE)
    core, radius = geometry.core_and_radius(extent, torch.arange(4), rounding)
    torch.testing.assert_close(2.0 * (core + radius[:, None]), extent)
    torch.testing.assert_close(radius, torch.tensor([0.01, 0.1, 0.0, 0.1], dtype=DOUBLE))
