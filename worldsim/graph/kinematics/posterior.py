"""What is believed of the joints of a batch of pairs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from worldsim.errors import UnknownNameError
from worldsim.types.graph import InteractionGraph

FREE = "free"
"""Name of the hypothesis that no joint holds the pair."""

_LEARNED_NATS = 0.2
"""Less information than this about the kind, and it is not identifiable yet."""

_LOG_ODDS_LIMIT = 500.0
"""Of exported edges: what lies below is excluded, and exp of it still a number."""


@dataclass(frozen=True, slots=True)
class JointPosterior:
    """Posterior over T kinds of E pairs, `free` first; all directions and points in the source's frame.

    Attributes:
        kinds: [T] names.
        log_probability: [E, T].
        log_prior: [T].
        turns_about_axis, slides_along_line: [T-1] which of the two axes a kind (`free` left out) has, if any.
        axes: [2, E, 3] unit vectors: of the turn, of the slide; axis_covariance: [2, E, 3, 3] of each, rad^2.
        point: [E, 3] m, a point that a hinge or a ball joint holds; point_covariance: [E, 3, 3] (of a hinge, wide
            along the axis).
        state: [2, E] angle about the first (rad) and offset along the second axis (m), since the start.
        lower, upper: [2, E] the least and the largest that were seen of each.
        stirred: [E] whether the target was ever seen to move against the source.
    """

    kinds: tuple[str, ...]
    log_probability: Float[Tensor, "E T"]
    log_prior: Float[Tensor, " T"]
    turns_about_axis: tuple[bool, ...]
    slides_along_line: tuple[bool, ...]
    axes: Float[Tensor, "2 E 3"]
    axis_covariance: Float[Tensor, "2 E 3 3"]
    point: Float[Tensor, "E 3"]
    point_covariance: Float[Tensor, "E 3 3"]
    state: Float[Tensor, "2 E"]
    lower: Float[Tensor, "2 E"]
    upper: Float[Tensor, "2 E"]
    stirred: Bool[Tensor, " E"]

    @property
    def probability(self) -> Float[Tensor, "E T"]:
        """Probability of each kind."""
        return self.log_probability.exp()

    @property
    def information_nats(self) -> Float[Tensor, " E"]:
        """What was learned of the kind: KL(posterior || prior)."""
        return (self.probability * (self.log_probability - self.log_prior)).sum(-1)

    @property
    def identifiable(self) -> Bool[Tensor, " E"]:
        """Whether the motion so far tells kinds apart; where False, the kind is "not identifiable yet"."""
        return self.information_nats > _LEARNED_NATS

    def of(self, kind: str) -> Float[Tensor, " E"]:
        """Return the probability of one kind.

        Raises:
            UnknownNameError: it was not compared.
        """
        return self.probability[:, self._index(kind)]

    def axis_row(self, kind: str) -> int | None:
        """Return the row of `axes`, `state`, `lower` and `upper` that speaks of `kind`; None where it has no axis."""
        number = self._index(kind) - 1
        if number < 0:
            return None
        return 0 if self.turns_about_axis[number] else 1 if self.slides_along_line[number] else None

    def names(self) -> list[str]:
        """Return the likeliest kind of each pair, or "not identifiable yet"."""
        best, known = self.log_probability.argmax(-1).tolist(), self.identifiable.tolist()
        return [self.kinds[k] if ok else "not identifiable yet" for k, ok in zip(best, known, strict=True)]

    def graph(self, source: Sequence[int], target: Sequence[int]) -> InteractionGraph:
        """Return one edge for each pair and kind, `free` left out; `source` and `target` are the pairs' object ids."""
        log_odds = self.log_probability - torch.log1p(-self.probability.clamp(max=1.0 - 1e-15))
        log_odds = log_odds.clamp_min(-_LOG_ODDS_LIMIT)
        joints = self.kinds[1:]
        ids = np.stack([np.asarray(source, dtype=np.int64), np.asarray(target, dtype=np.int64)])
        pairs = np.repeat(ids, len(joints), axis=1)
        nodes = tuple(int(i) for i in np.unique(ids))
        return InteractionGraph(
            pairs[0], pairs[1], joints * ids.shape[1], log_odds[:, 1:].reshape(-1).numpy().astype(np.float64), nodes,
            tuple("" for _ in nodes),
        )  # fmt: skip

    def _index(self, kind: str) -> int:
        if kind not in self.kinds:
            raise UnknownNameError("kind of joint", kind, self.kinds)
        return self.kinds.index(kind)
