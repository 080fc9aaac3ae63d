"""Squares in a plane: the tracked frame, the bounce, and what is learned beyond the contact law."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from worldsim.dynamics import ContactSettings
from worldsim.inference.bounce_residual import BounceResidual, PlanePath, find_bounce
from worldsim.inference.identification import Identifier, Windows
from worldsim.inference.rigid_rollout import BoxStart
from worldsim.inference.square_drop import SQUARE_PRIORS, roll_out_square

SETTINGS = ContactSettings(substeps=2, iterations=10, restitution_threshold_m_s=0.05)
NAMES = [prior.name for prior in SQUARE_PRIORS]


def natural(**changes: float) -> np.ndarray:
    row = np.array([[prior.mean for prior in SQUARE_PRIORS]])
    for name, value in changes.items():
        row[0, NAMES.index(name)] = value
    return row


def start(theta: np.ndarray, speed: float = -0.5) -> BoxStart:
    zero = np.zeros_like(theta)
    parts = (
        np.stack([zero, zero, zero + 0.1], -1),
        np.stack([zero, -np.sin(0.5 * theta), zero, np.cos(0.5 * theta)], -1),
        np.stack([zero + speed, zero, zero - 1.5], -1),
        np.stack([zero, zero, zero], -1),
    )
    return BoxStart(*(torch.as_tensor(part, dtype=torch.float64) for part in parts))


def rolled(theta: np.ndarray, **changes: float) -> PlanePath:
    position, orientation = roll_out_square(natural(**changes), start(theta), 40, 1 / 250, SETTINGS)
    p, q = position.numpy(), orientation.numpy()
    angle = np.unwrap(-2.0 * np.arctan2(q[..., 1], q[..., 3]), axis=0)
    return PlanePath(p[..., 0], p[..., 2], angle, 1 / 250)


def test_a_square_stays_in_its_plane_and_bounces() -> None:
    position, _ = roll_out_square(natural(), start(np.linspace(-0.7, 0.7, 7)), 60, 1 / 250, SETTINGS)
    assert position[..., 1].abs().max() < 1e-9
    rising = position[1:, :, 2] > position[:-1, :, 2]
    assert rising.any(0).all()


def test_a_tracked_frame_turned_against_the_sides_only_shifts_the_angle() -> None:
    theta = np.linspace(-0.6, 0.6, 5)
    plain, turned = rolled(theta), rolled(theta - 0.2, side_angle_rad=0.2)
    np.testing.assert_allclose(turned.x, plain.x, atol=1e-9)
    np.testing.assert_allclose(turned.theta + 0.2, plain.theta, atol=1e-9)


def test_watching_drops_finds_how_the_frame_lies_on_the_square() -> None:
    rng = np.random.default_rng(0)
    identifier = Identifier(
        particles=48, horizons=(15, 22, 30), settings=SETTINGS, priors=SQUARE_PRIORS, roll_out=roll_out_square
    )
    cloud = identifier.begin(rng)
    before = cloud.interval()["side_angle_rad"]
    for _ in range(4):
        starts = start(rng.uniform(-3.0, 3.0, 8))
        position, orientation = roll_out_square(natural(side_angle_rad=0.04), starts, 31, 1 / 250, SETTINGS)
        seen = Windows(starts, position, orientation, torch.ones(31, 8, dtype=torch.bool), 1 / 250)
        cloud = identifier.assimilate(cloud, seen, 8, rng)
    middle, low, high = cloud.interval(0.98)["side_angle_rad"]
    assert low < 0.04 < high
    assert high - low < 0.7 * (before[2] - before[1])
    assert abs(middle - 0.04) < 0.015


@pytest.fixture(scope="module")
def learned() -> BounceResidual:
    residual, theta = BounceResidual(), np.random.default_rng(1).uniform(-0.7, 0.7, 120)
    law, world = rolled(theta, restitution=0.45), rolled(theta, restitution=0.55)
    for first in range(0, 120, 8):
        some = slice(first, first + 8)
        part, seen = (PlanePath(p.x[:, some], p.z[:, some], p.theta[:, some], p.dt_s) for p in (law, world))
        bounce = find_bounce(part, np.full(8, -0.5), np.zeros(8), 0.0)
        residual = residual.learned(bounce, seen.minus(part))
    return residual


def test_the_residual_learns_what_the_law_leaves_over(learned: BounceResidual) -> None:
    theta = np.random.default_rng(2).uniform(-0.7, 0.7, 40)
    law, world = rolled(theta, restitution=0.45), rolled(theta, restitution=0.55)
    bounce = find_bounce(law, np.full(40, -0.5), np.zeros(40), 0.0)
    before = np.abs(world.minus(law)[1, 25])
    after = np.abs(world.minus(law.plus(learned.correction(bounce)))[1, 25])
    assert after.mean() < 0.6 * before.mean()
    assert learned.bounces == 120


def test_left_and_right_are_alike(learned: BounceResidual) -> None:
    theta = np.linspace(0.05, 0.7, 6)
    law = rolled(theta)
    right = find_bounce(law, np.full(6, -0.5), np.full(6, 2.0), 0.0)
    mirrored = PlanePath(-law.x, law.z, -law.theta, law.dt_s)
    left = find_bounce(mirrored, np.full(6, 0.5), np.full(6, -2.0), 0.0)
    flipped = np.array([-1.0, 1.0, -1.0])[:, None, None] * learned.correction(right)
    np.testing.assert_allclose(learned.correction(left), flipped, atol=1e-9)


def test_where_physics_explains_everything_nothing_is_added() -> None:
    residual, theta = BounceResidual(), np.linspace(-0.7, 0.7, 9)
    law = rolled(theta)
    bounce = find_bounce(law, np.full(9, -0.5), np.zeros(9), 0.0)
    assert not residual.correction(bounce).any()
    residual = residual.learned(bounce, law.minus(law))
    assert np.abs(residual.correction(bounce)).max() < 1e-12
