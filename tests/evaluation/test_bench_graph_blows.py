"""Blows between smooth balls fall along the line of centres, and against a wall across it."""

from __future__ import annotations

import numpy as np

from worldsim.evaluation.bench_graph_blows import FRAMES, blow_directions
from worldsim.evaluation.bench_graph_pairs import RATE_HZ, Play

RADIUS_M = 0.08


def _directions(seen: np.ndarray, inner_m: float = 5.0) -> np.ndarray:
    frames, count = seen.shape[:2]
    none = np.zeros((frames, count, count), dtype=bool)
    scene = Play(
        seen, np.full(count, 0.5), np.full(count, RADIUS_M), np.zeros((count, count)), np.full(2, inner_m), none
    )
    return blow_directions(seen, scene)


def test_two_that_meet_are_struck_along_their_line_and_while_they_are_apart_not_at_all() -> None:
    frames = 40
    seen = np.zeros((frames, 2, 2))
    gap = 0.1 - 0.3 / RATE_HZ * np.arange(frames)
    seen[:, 1, 0] = 2.0 * RADIUS_M + np.abs(gap)  # they meet in frame 20 and part again
    found = _directions(seen)[:, 0, 1]
    assert not found[:15].any()
    assert not found[30:].any()
    assert (found[20] / found[20, 0, 0] == [[1.0, 0.0], [0.0, 0.0]]).all()


def test_two_that_go_side_by_side_do_not_touch_however_fast_they_are() -> None:
    seen = np.zeros((20, 2, 2))
    seen[:, :, 0] = 2.0 / RATE_HZ * np.arange(20)[:, None]
    seen[:, 1, 1] = 2.0 * RADIUS_M + 0.01
    assert not _directions(seen).any()


def test_a_third_and_a_wall_strike_the_two_along_their_own_lines() -> None:
    seen = np.zeros((3, 3, 2))
    seen[:, 1] = (1.0, 0.0)
    seen[:, 2] = (1.0, 2.0 * RADIUS_M)  # it rests against the second
    found = _directions(seen)
    assert not found[:, 0, 2, 0].any()
    np.testing.assert_allclose(found[1, 0, 1], FRAMES * np.diag([0.0, 1.0]), atol=1e-12)
    by_wall = _directions(seen, 1.0 + RADIUS_M)
    np.testing.assert_allclose(by_wall[1, 0, 1], FRAMES * np.eye(2), atol=1e-12)
    np.testing.assert_allclose(by_wall[1, 1, 2], FRAMES * np.diag([2.0, 1.0]), atol=1e-12)
