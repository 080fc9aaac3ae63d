"""The distance of a card from a query as an inner product, so that faiss can look for what is near.

Each card has its own spread and each query its own weights, so no fixed norm will do. For one number, with the card's
variance ``s = floor + variance`` and a query that adds none of its own, the distance (see `descriptor`) is linear in
what the card says::

    w ((q - x)^2 / s + log(s / floor))  =  w q^2 (1 / s)  -  2 w q (x / s)  +  w (x^2 / s + log(s / floor))

So a card is the 45 numbers ``[x / s, 1 / s, one sum of the last term for each part]``. A vague card has a small
``1 / s`` and a large last term: it is near to nothing, and of the far it is the nearest. What the query itself is
unsure of takes weight from a number, as it would with a card of usual spread. That is near enough to choose whom to
compare exactly.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from worldsim.registry.descriptor import DIM, FLOOR_VARIANCE, MISSING_DISTANCE, PARTS, QueryVector

__all__ = ["LENGTH", "LinearForm"]

LENGTH = 2 * DIM + len(PARTS)
"""Numbers of a card's form."""


@dataclass(frozen=True, slots=True)
class LinearForm:
    """Coordinates in which the forms are well scaled.

    Attributes:
        centre: [D] mean over cards.
        scale: [D] root of the usual variance of a comparison.
    """

    centre: Float[np.ndarray, " D"]
    scale: Float[np.ndarray, " D"]

    @classmethod
    def fitted(cls, value: Float[np.ndarray, "N D"], variance: Float[np.ndarray, "N D"]) -> LinearForm:
        """Return the coordinates that suit these descriptors (NaN where one says nothing)."""
        known = ~np.isnan(value)
        count = np.maximum(known.sum(axis=0), 1)
        centre = np.where(known, value, 0.0).sum(axis=0, dtype=np.float64) / count
        usual = np.where(known, variance, 0.0).sum(axis=0, dtype=np.float64) / count
        return cls(centre, np.sqrt(FLOOR_VARIANCE + usual))

    def of_cards(
        self, value: Float[np.ndarray, "N D"], variance: Float[np.ndarray, "N D"]
    ) -> Float[np.ndarray, "N {LENGTH}"]:
        """Return the forms of N cards, float32."""
        known = ~np.isnan(value)
        x = np.where(known, (value - self.centre) / self.scale, 0.0)
        total = variance + FLOOR_VARIANCE
        precision = np.where(known, self.scale**2 / total, 0.0)
        rest = np.where(known, precision * x * x + np.log(total / FLOOR_VARIANCE), 0.0)
        constants = np.full((len(value), len(PARTS)), MISSING_DISTANCE)
        for number, part in enumerate(PARTS.values()):
            length = part.stop - part.start
            count = known[:, part].sum(axis=1)
            has = count > 0
            precision[:, part] *= (length / np.maximum(count, 1))[:, None]  # a part is the mean of what the card has
            constants[has, number] = rest[has, part].sum(axis=1) / count[has]
        return np.ascontiguousarray(np.concatenate([precision * x, precision, constants], axis=1), dtype=np.float32)

    def of_query(self, query: QueryVector) -> Float[np.ndarray, " {LENGTH}"]:
        """Return what a card's form is multiplied with: minus the distance, up to a constant of the query, float32."""
        known = query.number_weights > 0.0
        value = np.where(known, (query.value - self.centre) / self.scale, 0.0)
        sure = 1.0 / (1.0 + query.variance / self.scale**2)
        weights = query.number_weights * sure
        pull = weights * value
        constants = [weights[part].sum() for part in PARTS.values()]
        return np.concatenate([2.0 * pull, -pull * value, np.negative(constants)]).astype(np.float32)
