"""Edges of sleepers: kept until both ends are up again, and dropped with whom they were about."""

from __future__ import annotations

import numpy as np

from worldsim.dormancy.edges import Asleep, DormantEdges


def sleeping(*ids: int) -> Asleep:
    return lambda asked: np.isin(asked, ids)


def put(edges: DormantEdges, *rows: tuple[int, int]) -> None:
    source, target = np.array(rows).T
    edges.put(source, target, np.zeros(len(rows), dtype=np.int64), source + 0.5 * target)


def pairs(edges: DormantEdges, rows: np.ndarray) -> list[tuple[int, int]]:
    return sorted(zip(edges.source[rows].tolist(), edges.target[rows].tolist(), strict=True))


def test_an_edge_is_taken_up_once_neither_of_its_ends_sleeps_and_only_once() -> None:
    edges = DormantEdges()
    put(edges, (1, 2), (2, 3), (4, 1))
    assert pairs(edges, edges.take(np.array([1]), sleeping(2, 3))) == [(4, 1)]  # the second still sleeps
    assert pairs(edges, edges.take(np.array([3]), sleeping(2))) == []  # and is the source of the other
    assert pairs(edges, edges.take(np.array([2]), sleeping())) == [(1, 2), (2, 3)]
    assert pairs(edges, edges.take(np.array([1, 2, 3, 4]), sleeping())) == []


def test_of_whom_is_gone_no_edge_comes_back() -> None:
    edges = DormantEdges()
    put(edges, (1, 2), (2, 3))
    edges.forget(np.array([1]))
    assert pairs(edges, edges.take(np.array([2, 3]), sleeping())) == [(2, 3)]


def test_what_was_taken_is_cleared_away_in_time_and_the_rest_is_found_as_before() -> None:
    edges = DormantEdges()
    for start in range(0, 12_000, 2):
        edges.put(np.array([start]), np.array([start + 1]), np.zeros(1, dtype=np.int64), np.array([float(start)]))
        if start < 10_000:
            assert len(edges.take(np.array([start]), sleeping())) == 1
    assert edges.rows < 4096
    last = edges.take(np.array([11_998]), sleeping())
    assert pairs(edges, last) == [(11_998, 11_999)]
    assert edges.log_odds[last].tolist() == [11_998.0]


def test_adding_a_few_edges_does_not_copy_all() -> None:
    edges, copies = DormantEdges(), 0
    for start in range(2000):
        before = edges.source
        put(edges, (start, start + 1))
        copies += edges.source is not before
    assert copies < 20
    assert edges.rows == 2000
    assert pairs(edges, edges.take(np.array([0, 1999]), sleeping())) == [(0, 1), (1998, 1999), (1999, 2000)]
    assert edges.log_odds[1000] == 1000 + 0.5 * 1001
