"""What lies in what: whoever is in a crate touches what else is in it, and the crate, and nothing beyond its walls."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Int

from worldsim.graph.edges import EdgeTable, rows_linked

NOWHERE = -1
"""The room of what lies in nothing."""


def rooms(
    table: EdgeTable, kinds: Sequence[int], object_id: Int[np.ndarray, " N"], volume: Float[np.ndarray, " N"]
) -> Int[np.ndarray, " N"]:
    """Return the row of the thing that each thing lies in, `NOWHERE` where it lies in none; O(E log N + N).

    What lies in several, one in the other, is in the smallest.

    Args:
        table: the edges; one holds from a probability of one half on.
        kinds: those that say that the target lies in the source, by their number in the table.
        object_id: [N] of the things, all different; edges to others are left out.
        volume: [N] of the things, in any unit.
    """
    room = np.full(len(object_id), NOWHERE, dtype=np.int64)
    source, target = rows_linked(table, kinds, object_id, 0.0)
    largest_first = np.lexsort((source, -volume[source]))
    room[target[largest_first]] = source[largest_first]
    return room


def nesting(
    room: Int[np.ndarray, " N"], pairs: Int[np.ndarray, "E 2"]
) -> tuple[Int[np.ndarray, " E"], Bool[np.ndarray, " E"]]:
    """Return how pairs (source, target) are nested, and which of them a wall parts.

    Returns:
        nested: [E] 1 where the target lies in the source, -1 where the source lies in the target, 0 elsewhere.
        walled: [E] one of the two lies in something that the other neither lies in nor is.
    """
    source, target = pairs[:, 0], pairs[:, 1]
    nested = (room[target] == source).astype(np.int64) - (room[source] == target)
    return nested, (room[source] != room[target]) & (nested == 0)
