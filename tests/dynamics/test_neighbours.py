"""Neighbour search against all pairs."""

from __future__ import annotations

import numpy as np
import pytest

from worldsim.dynamics.neighbours import all_pairs_within, nearest_other, pairs_within


@pytest.mark.parametrize("sizes", [(70, 90), (700, 900)])  # all pairs, and cells
@pytest.mark.parametrize("seed", range(3))
def test_it_finds_what_all_pairs_find_in_order(seed: int, sizes: tuple[int, int]) -> None:
    rng = np.random.default_rng(seed)
    points, others = rng.uniform(-5.0, 5.0, (sizes[0], 3)), rng.uniform(-5.0, 5.0, (sizes[1], 3))
    reach = 10.0 ** rng.uniform(-2.0, 1.0, sizes[0])
    i, j, distance = pairs_within(points, reach, others)
    table = np.linalg.norm(points[:, None] - others[None], axis=-1)
    expected = np.argwhere(table <= reach[:, None])
    assert np.array_equal(np.stack([i, j], axis=1), expected)
    assert np.allclose(distance, table[i, j], rtol=1e-12)


@pytest.mark.parametrize("sizes", [(0, 3), (3, 0), (0, 0)])
def test_nobody_has_no_neighbours(sizes: tuple[int, int]) -> None:
    points, others = np.zeros((sizes[0], 3)), np.zeros((sizes[1], 3))
    assert [len(part) for part in pairs_within(points, np.ones(sizes[0]), others)] == [0, 0, 0]


@pytest.mark.parametrize("n", [50, 3000])  # all pairs, and cells
@pytest.mark.parametrize("reach", [0.3, 2.0, 50.0])
def test_the_nearest_other_is_that_of_all(n: int, reach: float) -> None:
    rng = np.random.default_rng(1)
    points, others = rng.uniform(-5.0, 5.0, (n, 2)), rng.uniform(-5.0, 5.0, (40, 2))
    points[:20], self_row = others[:20], np.full(n, -1)
    self_row[:20] = np.arange(20)
    table = np.linalg.norm(points[:, None] - others[None], axis=-1)
    table[np.arange(20), np.arange(20)] = np.inf
    expected = np.where(table.min(axis=1) < reach, table.argmin(axis=1), -1)
    assert np.array_equal(nearest_other(points, others, self_row, reach), expected)


@pytest.mark.parametrize("n", [3, 30_000])
def test_where_there_is_nobody_nobody_is_nearest(n: int) -> None:
    assert (nearest_other(np.zeros((n, 2)), np.zeros((0, 2)), np.full(n, -1), 1.0) == -1).all()
    assert (nearest_other(np.zeros((n, 2)), np.zeros((1, 2)), np.zeros(n, dtype=np.int64), 1.0) == -1).all()


def test_every_pair_of_one_crowd_is_found_once() -> None:
    points = np.random.default_rng(2).uniform(-5.0, 5.0, (300, 3))
    i, j, distance = all_pairs_within(points, 0.8)
    table = np.linalg.norm(points[:, None] - points[None], axis=-1)
    expected = np.argwhere(np.triu(table <= 0.8, k=1))
    order = np.lexsort((j, i))
    assert np.array_equal(np.stack([i, j], axis=1)[order], expected)
    assert np.allclose(distance, table[i, j], rtol=1e-12)
