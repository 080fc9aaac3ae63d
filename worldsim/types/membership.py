"""Which values of an array are among a few others: asked a dozen times a step, and mostly of none or one."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
from jaxtyping import Bool, Int

__all__ = ["among"]

_FEW = 8  # of more, numpy knows sooner which are there


def among(values: Int[np.ndarray, " N"], few: Collection[int]) -> Bool[np.ndarray, " N"]:
    """Return what `numpy.isin` does, many times sooner where there are few to look for.

    Example:
        >>> among(np.array([3, 1, 2]), {1}).tolist()
        [False, True, False]
    """
    if len(few) > _FEW:
        return np.isin(values, list(few))
    found = np.zeros(values.shape, dtype=bool)
    for one in few:
        found |= values == one
    return found
