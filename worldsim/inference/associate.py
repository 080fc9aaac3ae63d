"""Associate: which detection is which object (global nearest neighbour, gated, by scipy's sparse assignment)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import connected_components, min_weight_full_bipartite_matching

from worldsim.dynamics.neighbours import pairs_within
from worldsim.types.observation import Detections

_GATE = 30.0  # squared Mahalanobis distance of the position, beyond 1 - 1e-6 of chi-square with 3 degrees
_ATTRIBUTE_STD = 0.12  # of log size and of appearance: instances seen again differ by noise only
_ROUNDING = 1e-14  # of a variance: what is left of it is never smaller
_ATTRIBUTE_GATE = 60.0  # ten times what sensor noise makes of the same thing seen again


def associate(
    position: Float[np.ndarray, "N 3"],
    covariance: Float[np.ndarray, "N 3 3"],
    extent_m: Float[np.ndarray, "N 3"],
    appearance: Float[np.ndarray, "N A"],
    candidate: Bool[np.ndarray, " N"],
    detections: Detections,
    manoeuvre_m: Float[np.ndarray, " N"],
) -> Int[np.ndarray, " N"]:
    """Return the index of each object's detection, -1 for none.

    The cost of a pair is half its squared Mahalanobis distance (position, size, appearance) plus half the log
    determinant; the assignment minimises the sum (Blackman and Popoli 1999, section 6.4), a miss costing as much as
    a pair at the gate that is as wide as the widest which competes: somebody lost far away changes nothing here.

    Args:
        position: predicted positions, m.
        covariance: of the predicted positions (belief only), m^2.
        extent_m: believed sizes, m.
        appearance: believed descriptors, NaN where unknown.
        candidate: objects that may be assigned.
        detections: the frame's detections.
        manoeuvre_m: standard deviation of each object's jumps that the dynamics does not know of, m. It widens the
            gate, not the surprise: what moves against expectation must stay the same object to be surprising.
    """
    n, d = len(position), len(detections)
    taken = np.full(n, -1, dtype=np.int64)
    rows = np.flatnonzero(candidate)
    if d == 0 or len(rows) == 0:
        return taken
    near, seen = _within_reach(position[rows], covariance[rows], detections, manoeuvre_m[rows])
    if len(near) == 0:
        return taken
    who = rows[near]
    jump, away = manoeuvre_m[who] ** 2, detections.position.take(seen, axis=0) - position.take(who, axis=0)

    def spread(a: int, b: int) -> Float[np.ndarray, " p"]:  # an entry at a time: gathering small matrices takes longer
        entry = covariance[:, a, b].astype(np.float64).take(who) + detections.covariance[:, a, b].take(seen)
        return entry + jump if a == b else entry

    with np.errstate(over="ignore", invalid="ignore"):  # what is not finite passes no gate
        distance, log_det = _weighed(away.astype(np.float64), spread)
    size = np.log(detections.extent_m).take(seen, axis=0) - np.log(np.maximum(extent_m, 1e-6)).take(who, axis=0)
    look = detections.appearance.take(seen, axis=0) - appearance.take(who, axis=0)
    look[np.isnan(look)] = 0.0  # unknown: it may be as it was
    attribute = ((size**2).sum(-1) + (look**2).sum(-1)) / _ATTRIBUTE_STD**2
    # clutter beside a thing that was missed is far commoner than a thing that turns into another
    allowed = (distance < _GATE) & (attribute < _ATTRIBUTE_GATE) & np.isfinite(log_det)
    if not allowed.any():
        return taken
    row, column = _assign(
        near[allowed], seen[allowed], 0.5 * (distance + attribute)[allowed], 0.5 * log_det[allowed], len(rows), d
    )
    taken[rows[row]] = column
    return taken


def _weighed(
    away: Float[np.ndarray, "p 3"], spread: Callable[[int, int], Float[np.ndarray, " p"]]
) -> tuple[Float[np.ndarray, " p"], Float[np.ndarray, " p"]]:
    """Return the squared Mahalanobis distance of each pair and the log determinant of its covariance.

    The Cholesky factor of a 3 x 3 matrix written out: thousands of calls of a solver take ten times as long. What is so
    wide that rounding makes it indefinite keeps a trace of its width, so that one lost thing spoils nobody's match.
    """
    x, y, z = away.T
    yy, zz = spread(1, 1), spread(2, 2)
    l00 = np.sqrt(spread(0, 0))
    l10, l20 = spread(1, 0) / l00, spread(2, 0) / l00
    l11 = np.sqrt(np.maximum(yy - l10 * l10, _ROUNDING * yy))
    l21 = (spread(2, 1) - l20 * l10) / l11
    l22 = np.sqrt(np.maximum(zz - l20 * l20 - l21 * l21, _ROUNDING * zz))
    first = x / l00
    second = (y - l10 * first) / l11
    third = (z - l20 * first - l21 * second) / l22
    return first * first + second * second + third * third, 2.0 * np.log(l00 * l11 * l22)


def _within_reach(
    position: Float[np.ndarray, "n 3"],
    covariance: Float[np.ndarray, "n 3 3"],
    detections: Detections,
    manoeuvre_m: Float[np.ndarray, " n"],
) -> tuple[Int[np.ndarray, " p"], Int[np.ndarray, " p"]]:
    """Return the pairs (row, detection) that may pass the gate: a trace bounds every eigenvalue of its covariance."""
    theirs = float(np.diagonal(detections.covariance, axis1=1, axis2=2)[:, :3].sum(axis=1).max())
    widest = np.diagonal(covariance, axis1=1, axis2=2).sum(axis=1) + theirs + 3.0 * manoeuvre_m**2
    reach = np.sqrt(_GATE * widest)
    row, column, _ = pairs_within(position, reach, detections.position)
    return row, column


def _assign(
    row: Int[np.ndarray, " p"],
    column: Int[np.ndarray, " p"],
    distance: Float[np.ndarray, " p"],
    width: Float[np.ndarray, " p"],
    rows: int,
    columns: int,
) -> tuple[Int[np.ndarray, " m"], Int[np.ndarray, " m"]]:
    """Return the assigned pairs, sorted by row.

    A pair whose row and column are in no other pair is taken, since it is in the gate; what is left goes to the
    assignment, whose cost follows the pairs that compete.

    Args:
        row, column: of each pair in the gate.
        distance: half its squared Mahalanobis distance; width: half its log determinant.
        rows, columns: how many there are.
    """
    sure = (np.bincount(row, minlength=rows)[row] == 1) & (np.bincount(column, minlength=columns)[column] == 1)
    rivals = ~sure
    open_rows, r = _numbered(row[rivals], rows)
    open_columns, c = _numbered(column[rivals], columns)
    cost = distance[rivals] + width[rivals] - _widest_rival(r, c, width[rivals], len(open_rows), len(open_columns))
    miss = 0.5 * (_GATE + _ATTRIBUTE_GATE)  # beside that of the widest rival
    first, second = _match(r, c, cost, miss, len(open_rows), len(open_columns))
    chosen = np.concatenate([row[sure], open_rows[first]]), np.concatenate([column[sure], open_columns[second]])
    order = np.argsort(chosen[0], kind="stable")
    return chosen[0][order], chosen[1][order]


def _widest_rival(
    row: Int[np.ndarray, " p"], column: Int[np.ndarray, " p"], width: Float[np.ndarray, " p"], rows: int, columns: int
) -> Float[np.ndarray, " p"]:
    """Return the largest width among all pairs that each pair competes with, directly or through others."""
    if len(row) == 0:
        return width
    table = csr_matrix((np.ones(len(row)), (row, rows + column)), shape=(rows + columns, rows + columns))
    count, label = connected_components(table, directed=False)
    widest = np.full(count, -np.inf)
    np.maximum.at(widest, label[row], width)
    return np.asarray(widest[label[row]])


def _numbered(values: Int[np.ndarray, " p"], below: int) -> tuple[Int[np.ndarray, " u"], Int[np.ndarray, " p"]]:
    """Return the distinct values in order, and which of them each value is; small numbers need no sorting."""
    there = np.zeros(below, dtype=bool)
    there[values] = True
    return np.flatnonzero(there), (np.cumsum(there) - 1)[values]


def _match(
    row: Int[np.ndarray, " p"],
    column: Int[np.ndarray, " p"],
    cost: Float[np.ndarray, " p"],
    miss: float,
    rows: int,
    columns: int,
) -> tuple[Int[np.ndarray, " m"], Int[np.ndarray, " m"]]:
    """Return the pairs of least total cost, a miss of a row costing `miss` (a column of its own each).

    The pairs are sorted by row and column, and the columns of misses come last: the table is written as it is stored.
    """
    if rows == 0:
        return row, column
    everyone = np.arange(rows)
    lift = 1.0 - min(miss, float(cost.min(initial=miss)))  # the same for every row; a stored zero would count as absent
    start = np.concatenate([[0], np.cumsum(np.bincount(row, minlength=rows) + 1)]).astype(np.int32)
    weight, place = np.full(start[-1], miss), np.empty(start[-1], dtype=np.int32)
    pairs = np.arange(len(row)) + row  # each row before it has a miss of its own
    weight[pairs], place[pairs] = cost, column
    place[start[1:] - 1] = columns + everyone
    table = csr_matrix((weight + lift, place, start), shape=(rows, columns + rows))
    for_row, for_column = min_weight_full_bipartite_matching(table)
    kept = for_column < columns
    return for_row[kept], for_column[kept]
