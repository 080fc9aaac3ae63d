"""Clusters of things that edges link."""

from __future__ import annotations

import numpy as np

from worldsim.graph.edges import EdgeTable
from worldsim.graph.links import clusters

CARRIES, TOUCHES = 0, 1


def table(*rows: tuple[int, int, int, float]) -> EdgeTable:
    source, target, kind, log_odds = zip(*rows, strict=True)
    return EdgeTable(np.array(source), np.array(target), np.array(kind), np.array(log_odds))


def test_what_is_linked_by_way_of_others_hangs_together_and_the_floor_links_nobody() -> None:
    ids = np.array([7, 3, 9, 5, 1])  # 1 is the floor
    movable = ids != 1
    edges = table((1, 3, CARRIES, 9.0), (1, 5, CARRIES, 9.0), (3, 7, CARRIES, 2.0), (7, 9, TOUCHES, 2.0))
    carried = clusters(edges, [CARRIES], ids, movable)
    assert carried[0] == carried[1]
    assert len(set(carried.tolist())) == 4
    together = clusters(edges, [CARRIES, TOUCHES], ids, movable)
    assert together[0] == together[1] == together[2]
    assert len(set(together.tolist())) == 3


def test_unlikely_edges_and_edges_to_what_is_not_known_link_nobody() -> None:
    ids = np.array([1, 2])
    movable = np.ones(2, dtype=bool)
    assert len(set(clusters(table((1, 2, CARRIES, -2.0)), [CARRIES], ids, movable).tolist())) == 2
    assert len(set(clusters(table((1, 8, CARRIES, 3.0), (2, 8, CARRIES, 3.0)), [CARRIES], ids, movable).tolist())) == 2
    assert clusters(EdgeTable.empty(), [CARRIES], ids[:0], movable[:0]).shape == (0,)


def test_a_doubt_whether_two_are_linked_links_them_all_the_same() -> None:
    doubtful = clusters(table((1, 2, CARRIES, -1.0)), [CARRIES], np.array([1, 2]), np.ones(2, dtype=bool))
    assert len(set(doubtful.tolist())) == 1
