"""The share of an outline that lies on itself elsewhere."""

from __future__ import annotations

import math

import numpy as np
import pytest

from worldsim.simulation.overlap import overlap_share

SQUARE = ((0.0, 0.0, 2.0, 2.0),)
TEE = ((0.0, 0.45, 1.2, 0.3), (0.0, -0.15, 0.3, 0.9))
HERE = (0.0, 0.0, 0.0)


@pytest.mark.parametrize(
    ("outline", "pose", "share"),
    [
        (SQUARE, HERE, 1.0),
        (SQUARE, (0.0, 0.0, math.pi / 2.0), 1.0),
        (SQUARE, (1.0, 1.0, 0.0), 0.25),
        (SQUARE, (2.0, 0.0, 0.0), 0.0),  # they touch along a side
        (SQUARE, (2.0, 2.0, 0.0), 0.0),  # they touch at a corner
        (SQUARE, (5.0, 0.0, 1.0), 0.0),
        (SQUARE, (0.0, 0.0, math.pi / 4.0), 2.0 * (math.sqrt(2.0) - 1.0)),  # a regular octagon
        (TEE, HERE, 1.0),
        (TEE, (0.03, 0.0, 0.0), 1.0 - 1.2 * 0.03 / 0.63),  # four squares of height are shifted out
        (TEE, (0.0, 0.03, 0.0), 1.0 - 1.2 * 0.03 / 0.63),
    ],
)
def test_the_share_is_what_is_worked_out_by_hand(outline, pose, share):
    assert overlap_share(outline, HERE, pose) == pytest.approx(share, abs=1e-9)  # rounding of the crossings


def test_the_share_agrees_with_counting_points():
    rng = np.random.default_rng(3)
    points = rng.uniform(-1.0, 1.0, (200_000, 2))

    def covered(pose):
        c, s = math.cos(pose[2]), math.sin(pose[2])
        local = (points - pose[:2]) @ np.array([[c, -s], [s, c]])
        return np.any(
            [np.all(np.abs(local - (x, y)) <= (length / 2, width / 2), axis=1) for x, y, length, width in TEE], axis=0
        )

    for _ in range(5):
        pose = (*rng.uniform(-0.3, 0.3, 2), rng.uniform(-math.pi, math.pi))
        counted = np.mean(covered(HERE) & covered(pose)) * 4.0 / 0.63
        # three standard errors of the count: 3 * 4 / 0.63 * sqrt(0.15 / 200,000)
        assert overlap_share(TEE, HERE, pose) == pytest.approx(counted, abs=0.017)


def test_the_share_does_not_depend_on_where_the_world_begins():
    moved = [(3.0, -2.0, 1.0), (3.0 + 0.1 * math.cos(1.0), -2.0 + 0.1 * math.sin(1.0), 1.2)]
    assert overlap_share(TEE, *moved) == pytest.approx(overlap_share(TEE, HERE, (0.1, 0.0, 0.2)), abs=1e-9)
