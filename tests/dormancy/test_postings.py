"""Postings and cells find what was filed, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest

from worldsim.dormancy.cells import cell, keys_about, keys_of, keys_under
from worldsim.dormancy.postings import Postings


@pytest.mark.parametrize("batches", [[5], [3000, 3000, 50], [10] * 40])
def test_everything_filed_is_found_as_a_dictionary_finds_it(batches: list[int]) -> None:
    rng = np.random.default_rng(0)
    postings, wanted = Postings(), {}
    value = 0
    for size in batches:
        keys = rng.integers(-500, 500, size)
        values = value + np.arange(size)
        value += size
        postings.file(keys, values)
        for key, filed in zip(keys.tolist(), values.tolist(), strict=True):
            wanted.setdefault(key, []).append(filed)
    asked = rng.integers(-600, 600, 200)
    which, found = postings.find(asked)
    for row, key in enumerate(asked.tolist()):
        assert sorted(found[which == row].tolist()) == wanted.get(key, [])
    assert len(postings) == value


def test_cells_about_a_point_are_all_that_a_cube_around_it_touches() -> None:
    rng = np.random.default_rng(1)
    points = rng.uniform(-5.0, 5.0, (50, 3))
    row, key = keys_about(points, 0.3, 1.0)
    for number, point in enumerate(points):
        near = point + rng.uniform(-0.3, 0.3, (400, 3))
        touched = set(keys_of(cell(near, 1.0)).tolist())
        assert touched <= set(key[row == number].tolist())
    assert len(key) == len({*zip(row.tolist(), key.tolist(), strict=True)})


def test_cells_under_a_rectangle_are_those_that_it_covers() -> None:
    row, key = keys_under(np.array([[0.5, -0.5], [3.0, 3.0]]), np.array([[2.5, 0.5], [3.5, 3.5]]), 1.0)
    covered = [[x, y] for x in (0, 1, 2) for y in (-1, 0)]
    assert sorted(key[row == 0].tolist()) == sorted(keys_of(np.array(covered)).tolist())
    assert key[row == 1].tolist() == keys_of(np.array([[3, 3]])).tolist()
