"""The tossed cube in PyBullet: flight, rest, and what the conventions of the recordings ask for."""

from __future__ import annotations

import numpy as np
import pytest

from worldsim.simulation.toss_engine import CubeInBullet, start_velocities, toss_in_bullet

RATE_HZ = 148.0


def toss(cube: CubeInBullet, height: float, frames: int) -> np.ndarray:
    start = (np.array([[0.0, 0.0, height]]), np.array([[0.0, 0.0, 0.0, 1.0]]), np.zeros((1, 3)), np.zeros((1, 3)))
    return toss_in_bullet(cube, *start, np.array([frames]), RATE_HZ)[0][:, 0]


def test_a_dropped_cube_falls_freely_and_comes_to_rest_on_its_face() -> None:
    cube = CubeInBullet.identified(0.18, 0.1)
    path = toss(cube, 1.0, 120)
    t, step = 30 / RATE_HZ, 0.5 / RATE_HZ
    # The engine moves with the new velocity, so it is half an engine step ahead of the parabola.
    assert path[30, 2] == pytest.approx(1.0 - 9.81 * t * (t + step) / 2, abs=1e-6)
    assert path[-1, 2] == pytest.approx(cube.edge_m / 2, abs=1e-3)


def test_the_engine_as_it_comes_slows_a_body_in_flight_and_the_accurate_one_does_not() -> None:
    accurate, plain = (toss(c, 5.0, 100)[-1, 2] for c in (CubeInBullet.identified(0.2, 0.0), CubeInBullet()))
    assert plain > accurate + 1e-3


def test_tosses_of_different_lengths_are_padded_with_their_last_pose() -> None:
    start = (
        np.tile([0.0, 0.0, 1.0], (2, 1)),
        np.tile([0.0, 0.0, 0.0, 1.0], (2, 1)),
        np.zeros((2, 3)),
        np.zeros((2, 3)),
    )
    path, turned = toss_in_bullet(CubeInBullet(), *start, np.array([5, 20]), RATE_HZ)
    np.testing.assert_array_equal(path[5:, 0], np.tile(path[4, 0], (15, 1)))
    np.testing.assert_array_equal(path[:5, 0], path[:5, 1])
    assert turned.shape == (20, 2, 4)


def test_backward_differences_are_brought_forward_by_half_a_frame_of_fall() -> None:
    quarter = np.array([[0.0, 0.0, np.sqrt(0.5), np.sqrt(0.5)]])
    velocity, spin = start_velocities(quarter, np.array([[1.0, 0.0, 0.0]]), np.array([[1.0, 0.0, 0.0]]), RATE_HZ)
    np.testing.assert_allclose(velocity, [[1.0, 0.0, -9.81 / 296.0]])
    np.testing.assert_allclose(spin, [[0.0, 1.0, 0.0]], atol=1e-12)
