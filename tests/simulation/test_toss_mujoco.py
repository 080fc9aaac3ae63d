"""A cube thrown in MuJoCo: it flies by the law, spins in its own frame, and comes to rest on the floor."""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

from worldsim.simulation.toss_mujoco import CubeInMujoco, toss_in_mujoco

RATE_HZ = 148.0


def tossed(cube: CubeInMujoco, height_m: float, frames: int) -> tuple[np.ndarray, np.ndarray]:
    turn = Rotation.from_euler("xyz", [0.3, 0.2, 0.1])
    return toss_in_mujoco(
        cube,
        np.array([[0.0, 0.0, height_m]]),
        turn.as_quat()[None],
        np.array([[1.0, 0.0, 0.5]]),
        np.array([[0.0, 0.0, 2.0]]),
        np.array([frames]),
        RATE_HZ,
    )


def test_a_cube_flies_by_the_law_and_turns_about_its_own_axis() -> None:
    position, orientation = tossed(CubeInMujoco(), 2.0, 31)
    time_s = 30 / RATE_HZ
    expected = [time_s, 0.0, 2.0 + 0.5 * time_s - 0.5 * 9.81 * time_s**2]
    np.testing.assert_allclose(position[-1, 0], expected, atol=0.5 * 9.81 * time_s / (4 * RATE_HZ) + 1e-6)  # Euler's
    turned = Rotation.from_quat(orientation[0, 0]).inv() * Rotation.from_quat(orientation[-1, 0])
    np.testing.assert_allclose(turned.as_rotvec(), [0.0, 0.0, 2.0 * time_s], atol=1e-6)


def test_a_slippery_cube_slides_farther_and_all_come_to_rest() -> None:
    ends = []
    for friction in (0.1, 0.4):
        position, _ = tossed(CubeInMujoco(friction, 2e4, 150.0, identified=True), 0.1, 250)
        ends.append(position[-1, 0, 0])
        assert np.abs(position[-1, 0] - position[-2, 0]).max() < 1e-3
        assert 0.045 < position[-1, 0, 2] < 0.06
    assert ends[0] > ends[1] + 0.05
