"""Which bodies can be seen from where: line of sight by rays."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float

from worldsim.simulation.engine import Engine, States
from worldsim.simulation.geometry import cross_rows
from worldsim.types.observation import ALL_AROUND, Viewpoints

_PROBES = np.array(  # where a body whose centre is hidden is looked for, as shares of its half extents
    [[0.8, 0, 0], [-0.8, 0, 0], [0, 0.8, 0], [0, -0.8, 0], [0, 0, 0.8], [0.4, 0, 0.8], [-0.4, 0, 0.8]],
    dtype=np.float64,
)


def rotated(
    orientation_xyzw: Float[np.ndarray, "N 4"], vectors: Float[np.ndarray, "N G 3"]
) -> Float[np.ndarray, "N G 3"]:
    """Return G vectors of each of N bodies, turned from the body frame into the world frame."""
    u, w = orientation_xyzw[:, None, :3], orientation_xyzw[:, None, 3:]
    first = cross_rows(u, vectors)
    return vectors + 2.0 * cross_rows(u, first + w * vectors)


def line_of_sight(
    engine: Engine,
    states: States,
    extent_m: Float[np.ndarray, "N 3"],
    rows: np.ndarray,
    viewpoints: Viewpoints,
    finest_rad: Float[np.ndarray, " K"],
) -> Bool[np.ndarray, " N"]:
    """Return which of the bodies `rows` are seen from any of the K viewpoints.

    A body is seen when a ray from a viewpoint to its centre, or, where no viewpoint sees the centre, to one of
    seven more points of it, meets the body itself first, within the viewpoint's range and its cone, and near enough for
    the body to be made out. Whatever collides blocks the view.

    Args:
        engine: casts the rays; its body numbers are the rows of `states`.
        states: of all bodies.
        extent_m: of all bodies.
        rows: [n] the bodies to look for.
        viewpoints: where from.
        finest_rad: of each viewpoint: what looks smaller, by its longest edge, is not made out.
    """
    longest = extent_m.max(axis=1)
    seen = np.zeros(len(states.position), dtype=bool)
    if len(rows) == 0:
        return seen
    eyes = list(zip(viewpoints.position, viewpoints.range_m, finest_rad, *viewpoints.cones(), strict=True))
    for eye, range_m, finest, axis, cosine in eyes:
        hidden = rows[~seen[rows]]  # what one viewpoint sees, the others need not look for
        if len(hidden):
            reach = _reach(float(range_m), float(finest), longest[hidden])
            seen[hidden] = _look(engine, eye, reach, (axis, cosine), states.position[hidden, None], hidden)
    rest = rows[~seen[rows]]
    if len(rest) == 0:
        return seen
    points = states.position[rest, None] + rotated(
        states.orientation_xyzw[rest], _PROBES[None] * (extent_m[rest, None] / 2.0)
    )
    for eye, range_m, finest, axis, cosine in eyes:
        hidden = np.flatnonzero(~seen[rest])
        if len(hidden):
            reach = _reach(float(range_m), float(finest), longest[rest[hidden]])
            seen[rest[hidden]] = _look(engine, eye, reach, (axis, cosine), points[hidden], rest[hidden])
    return seen


def _reach(range_m: float, finest_rad: float, longest_m: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Return from how far, at most, each body is made out, m."""
    if finest_rad == 0.0:
        return np.full(len(longest_m), range_m)
    return np.minimum(longest_m / finest_rad, range_m)


def _look(
    engine: Engine,
    eye: np.ndarray,
    reach_m: Float[np.ndarray, " n"],
    cone: tuple[Float[np.ndarray, "3"], float],
    points: Float[np.ndarray, "n G 3"],
    rows: np.ndarray,
) -> Bool[np.ndarray, " n"]:
    n, g, _ = points.shape
    end = points.reshape(-1, 3)
    away, (axis, cosine) = end - eye, cone
    squared = (away**2).sum(axis=1)
    near = squared <= np.repeat(reach_m, g) ** 2
    if cosine > ALL_AROUND:
        near &= away @ axis >= cosine * np.sqrt(squared)
    met = np.full(n * g, -1, dtype=np.int64)
    if near.any():
        end = end[near]
        met[near] = engine.first_hits(np.broadcast_to(eye, end.shape), end)
    return np.asarray((met.reshape(n, g) == rows[:, None]).any(axis=1))
