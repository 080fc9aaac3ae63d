"""Associate: which detection is which object (global nearest neighbour, gated, by scipy's assignment)."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.optimize import linear_sum_assignment

from worldsim.types.observation import Detections

_GATE = 30.0  # squared Mahalanobis distance of the position, beyond 1 - 1e-6 of chi-square with 3 degrees
_ATTRIBUTE_STD = 0.12  # of log size and of appearance: instances seen again differ by noise only
_NEVER = 1e6  # cost of a pair outside the gate: beyond any sum of real ones
_ATTRIBUTE_CAP = 60.0  # a different look is strong evidence, and no more than that


def associate(
    position: Float[np.ndarray, "N 3"],
    covariance: Float[np.ndarray, "N 3 3"],
    extent_m: Float[np.ndarray, "N 3"],
    appearance: Float[np.ndarray, "N A"],
    candidate: Bool[np.ndarray, " N"],
    tentative: Bool[np.ndarray, " N"],
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
        tentative: objects seen so few times that another look means another thing (a known one may change its look).
        detections: the frame's detections.
        manoeuvre_m: standard deviation of a jump that the dynamics does not know of, m. It widens the gate, not
            the surprise: what moves against expectation must stay the same object to be surprising.
    """
    n, d = len(position), len(detections)
    taken = np.full(n, -1, dtype=np.int64)
    rows = np.flatnonzero(candidate)
    if d == 0 or len(rows) == 0:
        return taken
    offset = detections.position[None] - position[rows, None]
    widest = np.trace(covariance[rows], axis1=1, axis2=2)[:, None] + np.trace(
        detections.covariance[:, :3, :3], axis1=1, axis2=2
    )
    # the trace bounds every eigenvalue, so what is farther than this cannot pass the gate
    near, seen = np.nonzero((offset**2).sum(-1) < _GATE * (widest + 3.0 * manoeuvre_m**2))
    cost = np.full((len(rows), d + len(rows)), _NEVER)
    allowed = np.zeros((len(rows), d), dtype=bool)
    miss = 0.0
    if len(near):
        spread = covariance[rows[near]] + detections.covariance[seen, :3, :3] + np.eye(3) * manoeuvre_m**2
        away = offset[near, seen]
        distance = np.einsum("na,na->n", away, np.linalg.solve(spread, away[..., None])[..., 0])
        size = np.log(detections.extent_m[seen]) - np.log(np.maximum(extent_m[rows[near]], 1e-6))
        look = detections.appearance[seen] - appearance[rows[near]]
        attribute = ((size**2).sum(-1) + (look**2).sum(-1)) / _ATTRIBUTE_STD**2
        log_det = np.linalg.slogdet(spread)[1]
        miss = 0.5 * (_GATE + _ATTRIBUTE_CAP) + 0.5 * float(log_det.max())
        inside = (distance < _GATE) & ((attribute < _ATTRIBUTE_CAP) | ~tentative[rows[near]])
        allowed[near[inside], seen[inside]] = True
        cost[near[inside], seen[inside]] = (0.5 * (distance + np.minimum(attribute, _ATTRIBUTE_CAP) + log_det))[inside]
    cost[:, d:] = miss
    for_row, for_column = linear_sum_assignment(cost)
    kept = (for_column < d) & allowed[for_row, np.minimum(for_column, d - 1)]
    taken[rows[for_row[kept]]] = for_column[kept]
    return taken
