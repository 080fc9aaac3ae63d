"""Associate: which detection is which object (global nearest neighbour, gated, by scipy's assignment)."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.optimize import linear_sum_assignment

from worldsim.types.observation import Detections

_GATE = 30.0  # squared Mahalanobis distance of the position, beyond 1 - 1e-6 of chi-square with 3 degrees
_ATTRIBUTE_STD = 0.12  # of log size and of appearance: instances seen again differ by noise only
_ATTRIBUTE_CAP = 60.0  # a different look is strong evidence, and no more than that


def associate(
    position: Float[np.ndarray, "N 3"],
    covariance: Float[np.ndarray, "N 3 3"],
    extent_m: Float[np.ndarray, "N 3"],
    appearance: Float[np.ndarray, "N A"],
    candidate: Bool[np.ndarray, " N"],
    detections: Detections,
    manoeuvre_m: float,
) -> Int[np.ndarray, " N"]:
    """Return the index of each object's detection, -1 for none.

    The cost of a pair is half its squared Mahalanobis distance (position, size, appearance) plus half the log
    determinant; the assignment minimises the sum (Blackman and Popoli 1999, section 6.4), a miss costing as much as
    a pair at the gate.

    Args:
        position: predicted positions, m.
        covariance: of the predicted positions (belief only), m^2.
        extent_m: believed sizes, m.
        appearance: believed descriptors.
        candidate: objects that may be assigned.
        detections: the frame's detections.
        manoeuvre_m: standard deviation of a jump that the dynamics does not know of, m. It widens the gate, not
            the surprise: what moves against expectation must stay the same object to be surprising.
    """
    n, d = len(position), len(detections)
    taken = np.full(n, -1, dtype=np.int64)
    rows = np.flatnonzero(candidate)
    if d == 0 or len(rows) == 0:
        return taken
    spread = covariance[rows, None] + detections.covariance[None, :, :3, :3] + np.eye(3) * manoeuvre_m**2
    offset = detections.position[None] - position[rows, None]
    distance = np.einsum("nda,nda->nd", offset, np.linalg.solve(spread, offset[..., None])[..., 0])
    size = np.log(detections.extent_m)[None] - np.log(np.maximum(extent_m[rows, None], 1e-6))
    look = detections.appearance[None] - appearance[rows, None]
    attribute = ((size**2).sum(-1) + (look**2).sum(-1)) / _ATTRIBUTE_STD**2
    _, log_det = np.linalg.slogdet(spread)
    cost = 0.5 * (distance + np.minimum(attribute, _ATTRIBUTE_CAP) + log_det)
    miss = 0.5 * (_GATE + _ATTRIBUTE_CAP) + 0.5 * log_det.max()
    allowed = distance < _GATE
    padded = np.full((len(rows), d + len(rows)), miss)
    padded[:, :d] = np.where(allowed, cost, 2.0 * abs(miss) + 1e3)
    for_row, for_column = linear_sum_assignment(padded)
    kept = (for_column < d) & allowed[for_row, np.minimum(for_column, d - 1)]
    taken[rows[for_row[kept]]] = for_column[kept]
    return taken
