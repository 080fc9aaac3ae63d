"""The sparse typed interaction graph: edge lists, one probability an edge."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, Int

if TYPE_CHECKING:
    import networkx as nx


class InteractionKind(enum.StrEnum):
    """The kinds of interaction that ship with worldsim; plug-ins may add kinds of other names."""

    SUPPORT = "support"
    CONTACT = "contact"
    ATTACH = "attach"
    CONTAINMENT = "containment"


@dataclass(frozen=True, slots=True)
class InteractionGraph:
    """E directed edges ``source -> target`` between objects, each with the probability that it exists.

    For `support`, the source carries the target; for `containment`, the target lies in the source. Symmetric kinds are
    listed once, source id < target id.

    Attributes:
        source: [E] object ids.
        target: [E] object ids.
        kind: [E] names of kinds.
        log_odds: [E] log p / (1 - p).
        object_ids: ids of all nodes, edges or none.
        labels: object id -> model id, for drawing and export.
    """

    source: Int[np.ndarray, " E"]
    target: Int[np.ndarray, " E"]
    kind: tuple[str, ...]
    log_odds: Float[np.ndarray, " E"]
    object_ids: tuple[int, ...] = ()
    labels: tuple[str, ...] = ()

    def __len__(self) -> int:
        """Return the number of edges E."""
        return len(self.source)

    @property
    def probability(self) -> Float[np.ndarray, " E"]:
        """Probability of each edge."""
        return 1.0 / (1.0 + np.exp(-self.log_odds))

    @classmethod
    def empty(cls) -> InteractionGraph:
        """Return a graph without nodes."""
        return cls(np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64), (), np.zeros(0))

    def to_networkx(self, threshold: float = 0.5) -> nx.MultiDiGraph:
        """Return a `networkx.MultiDiGraph`: one key per kind, attribute ``p``, only edges with p >= `threshold`."""
        import networkx as nx  # slow to import, needed only for export

        graph = nx.MultiDiGraph()
        for object_id, label in zip(self.object_ids, self.labels, strict=True):
            graph.add_node(int(object_id), model=label)
        for source, target, kind, p in zip(self.source, self.target, self.kind, self.probability, strict=True):
            if p >= threshold:
                graph.add_edge(int(source), int(target), key=str(kind), kind=str(kind), p=float(p))
        return graph
