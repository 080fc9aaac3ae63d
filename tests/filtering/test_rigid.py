"""Several bodies as one: momenta, the constraint, and the joint correction, against independent derivations."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from worldsim.dynamics import quaternion
from worldsim.filtering import rigid
from worldsim.filtering.density import retract
from worldsim.filtering.predict import white_acceleration
from worldsim.types import ObjectStates

GENERATOR = torch.Generator().manual_seed(0)
MASS, INERTIA = torch.tensor([[2.0, 5.0, 0.0]], dtype=torch.float64), torch.tensor([[0.1, 0.4, 0.0]]).double()
THERE = torch.tensor([[True, True, False]])


def draw(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=GENERATOR, dtype=torch.float64)


def bodies(rows: int) -> ObjectStates:
    return ObjectStates(draw(rows, 3), quaternion.normalise(draw(rows, 4)), draw(rows, 3), draw(rows, 3), draw(rows, 3))


def positive(groups: int, size: int) -> torch.Tensor:
    root = draw(groups, size, size)
    return root @ root.mT / size + 0.1 * torch.eye(size, dtype=torch.float64)


def momenta(states: ObjectStates) -> tuple[torch.Tensor, torch.Tensor]:
    """Return momentum and angular momentum about the origin of the whole."""
    linear = MASS[0, :, None] * states.linear_velocity
    own = INERTIA[0, :, None] * states.angular_velocity
    return linear.sum(0), (own + torch.linalg.cross(states.position, linear)).sum(0)


def test_the_whole_takes_up_the_momenta_of_its_members_and_keeps_its_shape():
    before, after = bodies(3), bodies(3)
    moved = rigid.moved_as_one(before, after, MASS, INERTIA)
    # angular momentum is that about the centre which the members' own motions lead to
    shifted = ObjectStates(
        moved.position, after.orientation_xyzw, after.linear_velocity, after.angular_velocity, after.extent_m
    )
    for found, wanted in zip(momenta(moved), momenta(shifted), strict=True):
        torch.testing.assert_close(found, wanted)

    def arm(states: ObjectStates) -> torch.Tensor:
        return quaternion.rotate_inverse(states.orientation_xyzw[0], states.position[1] - states.position[0])

    torch.testing.assert_close(arm(moved), arm(before))
    relative = [
        quaternion.multiply(s.orientation_xyzw[1], quaternion.conjugate(s.orientation_xyzw[0])) for s in (moved,)
    ]
    assert relative[0].norm() == pytest.approx(1.0)
    gap = moved.position[1] - moved.position[0]
    rigidly = moved.linear_velocity[0] + torch.linalg.cross(moved.angular_velocity[0], gap)
    torch.testing.assert_close(moved.linear_velocity[1], rigidly)


def test_a_body_that_moves_as_one_already_is_left_as_it_is():
    states = rigid.moved_as_one(bodies(3), bodies(3), MASS, INERTIA)
    again = rigid.moved_as_one(states, states, MASS, INERTIA)
    for name in ("position", "linear_velocity", "angular_velocity"):
        torch.testing.assert_close(getattr(again, name)[:2], getattr(states, name)[:2])


def test_the_columns_of_the_constraint_are_its_derivative():
    states = rigid.moved_as_one(bodies(3), bodies(3), MASS, INERTIA)
    columns = rigid.bound_columns(states, THERE)[0]

    def twist(step: torch.Tensor) -> torch.Tensor:
        s, _ = retract(states, states.position.new_zeros(3, 0), step.view(3, 12))
        gap = s.position[1] - s.position[0]
        slip = s.linear_velocity[1] - s.linear_velocity[0] - torch.linalg.cross(s.angular_velocity[0], gap)
        return torch.cat([slip, s.angular_velocity[1] - s.angular_velocity[0]])

    step = 1e-6
    for column in range(36):
        axis = torch.zeros(36, dtype=torch.float64)
        axis[column] = step
        torch.testing.assert_close((twist(axis) - twist(-axis)) / (2 * step), columns[:6, column], atol=1e-7, rtol=1e-6)
    assert not columns[6:].any()  # nobody is at the third place


def test_detections_of_both_correct_the_whole_as_a_textbook_filter_does():
    joint, noise, residual = positive(1, 36), positive(3, 6)[None], draw(1, 3, 6)
    seen = torch.tensor([[True, True, False]])
    posterior, step, nats, nis = rigid.seen_poses(joint, residual, noise, seen)
    p = joint[0].numpy()
    h = np.zeros((12, 36))
    h[:6, :6], h[6:, 12:18] = np.eye(6), np.eye(6)
    r = np.zeros((12, 12))
    r[:6, :6], r[6:, 6:] = noise[0, 0].numpy(), noise[0, 1].numpy()
    s = h @ p @ h.T + r
    y = residual[0, :2].numpy().ravel()
    gain = p @ h.T @ np.linalg.inv(s)
    np.testing.assert_allclose(posterior[0].numpy(), p - gain @ s @ gain.T, atol=1e-10)
    np.testing.assert_allclose(step[0].numpy().ravel(), gain @ y, atol=1e-10)
    assert float(nis) == pytest.approx(y @ np.linalg.solve(s, y))
    assert float(nats) == pytest.approx(-0.5 * (y @ np.linalg.solve(s, y) + np.linalg.slogdet(s)[1]))


def test_a_pair_that_is_bound_loses_its_relative_twist_and_nothing_that_it_shares():
    states = rigid.moved_as_one(bodies(2), bodies(2), MASS[:, :2], INERTIA[:, :2])
    joint = rigid.block_diagonal(positive(2, 12)[None])
    there = THERE[:, :2]
    tied = rigid.bound(joint, states, there)
    columns = rigid.bound_columns(states, there)[0]
    left = (columns @ tied[0] @ columns.T).diagonal()
    assert (left <= torch.tensor([rigid.PLAY_M_S**2] * 3 + [rigid.PLAY_RAD_S**2] * 3).double() * 1.001).all()
    assert float(torch.linalg.eigvalsh(tied[0]).min()) > 0.0
    shared = torch.eye(12, dtype=torch.float64)[:3].repeat(1, 2) / 2.0  # the middle may still be anywhere
    assert float((shared @ tied[0] @ shared.T).trace()) > 0.2 * float((shared @ joint[0] @ shared.T).trace())
    torch.testing.assert_close(rigid.marginals(joint), positive_blocks(joint))


def positive_blocks(joint: torch.Tensor) -> torch.Tensor:
    return torch.stack([joint[0, :12, :12], joint[0, 12:, 12:]])[None]


def test_masses_add_up_with_their_error_bars():
    mean, std = rigid.pooled_mass(torch.tensor([[0.0, 1.0, 9.0]]), torch.tensor([[0.1, 0.2, 5.0]]), THERE)
    sample = torch.randn(400_000, 2, generator=GENERATOR) * torch.tensor([0.1, 0.2]) + torch.tensor([0.0, 1.0])
    drawn = sample.exp().sum(1)
    assert float(mean) == pytest.approx(float(drawn.mean()), rel=2e-3)
    assert float(std) == pytest.approx(float(drawn.std()), rel=1e-2)
    inertia = rigid.pooled_inertia(torch.tensor([[[1.0, 0, 0], [-1.0, 0, 0]]]), torch.ones(1, 2), torch.zeros(1, 2))
    assert inertia[0].diagonal().tolist() == [0.0, 2.0, 2.0]
    assert math.isclose(float(inertia[0, 0, 1]), 0.0)


def test_what_is_bound_is_carried_by_its_free_motion_and_by_the_noise_of_each_alone():
    joint, dt_s = positive(2, 24), 0.1
    free = torch.eye(12, dtype=torch.float64)
    free[:6, 6:] = dt_s * torch.eye(6, dtype=torch.float64)
    psd = draw(4, 6).abs() + 0.1
    alone = free @ rigid.marginals(joint) @ free.T + white_acceleration(psd, dt_s).view(2, 2, 12, 12)
    carried = rigid.carried_joint(joint, alone, dt_s)
    torch.testing.assert_close(rigid.marginals(carried), alone)  # as each would be by itself
    torch.testing.assert_close(carried[:, :12, 12:], free @ joint[:, :12, 12:] @ free.T)  # and as they were to it


def test_a_whole_is_widened_where_it_is_seen_three_times_farther_off_than_it_should_be():
    nis, degrees = torch.tensor([12.0, 36.0, 72.0, 1e9, 50.0]), torch.tensor([12.0, 12.0, 12.0, 12.0, 0.0])
    assert rigid.chi_square_scale(nis, degrees, 60.0).tolist() == pytest.approx([1.0, 1.0, 2.0, 60.0, 50.0 / 3.0])
