"""The simple rules beside the inference of containment, by hand."""

from __future__ import annotations

import numpy as np

from worldsim.evaluation.bench_graph_containment import _in_the_box, _near, f1

HALF = 0.5**0.5
POSITION = np.array([[0.0, 0.0, 0.2], [0.0, 0.25, 0.2], [0.0, 0.45, 0.2], [0.0, 0.0, 0.45]])
TURNED = np.array([[0.0, 0.0, HALF, HALF], *[[0.0, 0.0, 0.0, 1.0]] * 3])  # the long edge points along y
EXTENT = np.array([[0.6, 0.4, 0.3], *[[0.1, 0.1, 0.1]] * 3])


def test_a_centre_in_the_turned_box_counts_and_one_beside_or_above_it_does_not() -> None:
    inside = _in_the_box((POSITION, TURNED, EXTENT))
    assert list(zip(*np.nonzero(inside), strict=True)) == [(0, 1)]


def test_proximity_counts_whatever_is_within_half_the_diagonal() -> None:
    near = _near((POSITION, TURNED, EXTENT))
    assert list(zip(*np.nonzero(near), strict=True)) == [(0, 1), (0, 3)]


def test_f1_is_that_of_the_summed_counts() -> None:
    assert f1(np.array([[3.0, 1.0, 0.0], [1.0, 0.0, 1.0]])) == 0.8
