"""Which bodies can be seen from where: line of sight by rays."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float

from worldsim.simulation.engine import Engine, StateArrays
from worldsim.types.observation import Viewpoints

_PROBES = np.array(  # where a body is looked for, as shares of its half extents; the centre comes first
    [[0, 0, 0], [0.8, 0, 0], [-0.8, 0, 0], [0, 0.8, 0], [0, -0.8, 0], [0, 0, 0.8], [0.4, 0, 0.8], [-0.4, 0, 0.8]],
    dtype=np.float64,
)


def rotated(orientation_xyzw: Float[np.ndarray, "N 4"], vectors: Float[np.ndarray, "N G 3"]) -> Float[np.ndarray, "N G 3"]:
    """Return G vectors of each of N bodies, turned from the body frame into the world frame."""
    u, w = orientation_xyzw[:, None, :3], orientation_xyzw[:, None, 3:]
    first = np.cross(u, vectors)
    return vectors + 2.0 * np.cross(u, first + w * vectors)


def line_of_sight(
    engine: Engine,
    states: StateArrays,
    extent_m: Float[np.ndarray, "N 3"],
    rows: np.ndarray,
    viewpoints: Viewpoints,
) -> Bool[np.ndarray, "K N"]:
    """Return which of the bodies `rows` are seen from which of the K viewpoints.

    A body is seen when a ray from the viewpoint to its centre, or, where no viewpoint sees the centre, to one of
    seven more points of it, meets the body itself first, within the viewpoint's range. Whatever collides blocks the
    view.

    Args:
        engine: casts the rays; its body numbers are the rows of `states`.
        states: of all bodies.
        extent_m: of all bodies.
        rows: [n] the bodies to look for.
        viewpoints: where from.
    """
    eyes, n = viewpoints.position, len(rows)
    seen = np.zeros((len(eyes), len(states.position)), dtype=bool)
    if n == 0 or len(eyes) == 0:
        return seen
    points = states.position[rows, None] + rotated(
        states.orientation_xyzw[rows], _PROBES[None] * (extent_m[rows, None] / 2.0)
    )
    centre = _look(engine, eyes, viewpoints.range_m, points[:, :1], rows)
    seen[:, rows] = centre
    hidden = ~centre.any(axis=0)
    if hidden.any():
        seen[:, rows[hidden]] = _look(engine, eyes, viewpoints.range_m, points[hidden, 1:], rows[hidden])
    return seen


def _look(
    engine: Engine, eyes: np.ndarray, range_m: np.ndarray, points: Float[np.ndarray, "n G 3"], rows: np.ndarray
) -> Bool[np.ndarray, "K n"]:
    k, (n, g, _) = len(eyes), points.shape
    start = np.broadcast_to(eyes[:, None, None], (k, n, g, 3)).reshape(-1, 3)
    end = np.broadcast_to(points[None], (k, n, g, 3)).reshape(-1, 3)
    near = np.linalg.norm(end - start, axis=1) <= np.repeat(range_m, n * g)
    hits = np.full(len(start), -1, dtype=np.int64)
    if near.any():
        hits[near] = engine.first_hits(start[near], end[near])
    wanted = np.broadcast_to(np.asarray(rows)[None, :, None], (k, n, g))
    return np.asarray((hits.reshape(k, n, g) == wanted).any(axis=2))
