"""What hangs together: clusters of things that edges of some kinds link, directly or by way of others."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Int
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from worldsim.graph.edges import EdgeTable, rows_linked

LEAST_LOG_ODDS = -1.5
"""Of an edge that links, 0.18: a doubt whether two are linked is no proof that they are not."""


def clusters(
    table: EdgeTable, kinds: Sequence[int], object_id: Int[np.ndarray, " N"], movable: Bool[np.ndarray, " N"]
) -> Int[np.ndarray, " N"]:
    """Return the number of the cluster of each thing, by the edges that may well be there; O(E log N + N).

    What cannot move links nobody: all that stands on one floor is not one cluster, and a fixture is one of its own.

    Args:
        table: the edges.
        kinds: which of them link, by their number in the table.
        object_id: [N] of the things, all different; edges to others are left out.
        movable: [N].
    """
    count = len(object_id)
    first, second = rows_linked(table, kinds, object_id, LEAST_LOG_ODDS)
    if len(first) == 0:
        return np.arange(count)
    both = movable[first] & movable[second]
    return _components(count, first[both].tobytes(), second[both].tobytes()).copy()


@functools.lru_cache(maxsize=8)
def _components(count: int, first: bytes, second: bytes) -> Int[np.ndarray, " N"]:
    """Return the component of each of so many things; kept, since what hangs together seldom changes from step to step.

    Args:
        count: N.
        first, second: int64 rows of the things that each link joins.
    """
    ends = np.frombuffer(first, dtype=np.int64), np.frombuffer(second, dtype=np.int64)
    graph = coo_array((np.ones(len(ends[0]), dtype=np.int8), ends), shape=(count, count))
    return np.asarray(connected_components(graph, directed=False)[1], dtype=np.int64)
