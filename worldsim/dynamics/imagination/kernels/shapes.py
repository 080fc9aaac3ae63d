"""Where two solids, or a solid and a plane, touch: `worldsim.dynamics.imagination.collide` for one sample, one pair."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int

from worldsim.dynamics.imagination.kernels.layout import (
    BOX,
    CAPSULE,
    CORNERS,
    DEEPEST,
    SPHERE,
    TINY,
    Matrices,
    Row,
    Rows,
    Vectors,
    jit,
)

_PROJECTIONS = 6
_TIE_M, _ON_SURFACE_M, _FLUSH_M, _EDGE_TIE = 1e-6, 1e-6, 1e-3, 1e-4  # as in `collide`

# Places [N1, 3], rotations [N1, 3, 3] and half edges [N, 3] are handed on one by one: whole tuples of arrays cost more
# to pass than the arithmetic.


@jit
def rotated(r: Matrices, i: int, x: float, y: float, z: float) -> tuple[float, float, float]:
    """Return a vector of body i in the world's frame."""
    return (
        r[i, 0, 0] * x + r[i, 0, 1] * y + r[i, 0, 2] * z,
        r[i, 1, 0] * x + r[i, 1, 1] * y + r[i, 1, 2] * z,
        r[i, 2, 0] * x + r[i, 2, 1] * y + r[i, 2, 2] * z,
    )


@jit
def rotated_back(r: Matrices, i: int, x: float, y: float, z: float) -> tuple[float, float, float]:
    """Return a vector of the world in body i's frame."""
    return (
        r[i, 0, 0] * x + r[i, 1, 0] * y + r[i, 2, 0] * z,
        r[i, 0, 1] * x + r[i, 1, 1] * y + r[i, 2, 1] * z,
        r[i, 0, 2] * x + r[i, 1, 2] * y + r[i, 2, 2] * z,
    )


@jit
def cross(x: float, y: float, z: float, u: float, v: float, w: float) -> tuple[float, float, float]:
    """Return (x, y, z) x (u, v, w)."""
    return y * w - z * v, z * u - x * w, x * v - y * u


@jit
def _core(kind: int, a: float, b: float, c: float) -> tuple[float, float, float, float]:
    """Return half edges of the core box of a solid with half edges (a, b, c), and the radius that sweeps it."""
    if kind == BOX:
        return a, b, c, 0.0
    return 0.0, 0.0, c - a if kind == CAPSULE else 0.0, a


@jit
def _beside_box(x: float, y: float, z: float, a: float, b: float, c: float) -> tuple[float, float, float, float]:
    """Return a point's distance to a box and the outward normal there, in the frame of the box."""
    ex, ey, ez = abs(x) - a, abs(y) - b, abs(z) - c
    sx, sy, sz = -1.0 if x < 0.0 else 1.0, -1.0 if y < 0.0 else 1.0, -1.0 if z < 0.0 else 1.0
    deepest = max(ex, ey, ez)
    if deepest > _ON_SURFACE_M:
        ox, oy, oz = max(ex, 0.0), max(ey, 0.0), max(ez, 0.0)
        far = np.sqrt(ox * ox + oy * oy + oz * oz + TINY * TINY)
        return far, sx * ox / far, sy * oy / far, sz * oz / far
    if ex >= ey - _TIE_M and ex >= ez - _TIE_M:
        return deepest, sx, 0.0, 0.0
    if ey >= ez - _TIE_M:
        return deepest, 0.0, sy, 0.0
    return deepest, 0.0, 0.0, sz


@jit
def _put(row: Row, gap: float, n: tuple[float, float, float], p: tuple[float, float, float]) -> None:
    row[0], row[1], row[2], row[3], row[4], row[5], row[6] = gap, n[0], n[1], n[2], p[0], p[1], p[2]


@jit
def _swept(
    centre: Vectors,
    rotation: Matrices,
    half: Vectors,
    kind: int,
    j: int,
    p: tuple[float, float, float],
    radius: float,
    row: Row,
) -> None:
    """Put down the contact of a swept point with body j."""
    a, b, d, swept = _core(kind, half[j, 0], half[j, 1], half[j, 2])
    x, y, z = rotated_back(rotation, j, p[0] - centre[j, 0], p[1] - centre[j, 1], p[2] - centre[j, 2])
    far, u, v, w = _beside_box(x, y, z, a, b, d)
    n = rotated(rotation, j, u, v, w)
    _put(row, far - swept - radius, n, (p[0] - radius * n[0], p[1] - radius * n[1], p[2] - radius * n[2]))


@jit
def _corner(centre: Vectors, rotation: Matrices, half: Vectors, i: int, k: int) -> tuple[float, float, float]:
    """Return corner k of box i, world frame."""
    a, b, c = half[i, 0], half[i, 1], half[i, 2]
    x, y, z = rotated(rotation, i, a if k & 4 else -a, b if k & 2 else -b, c if k & 1 else -c)
    return centre[i, 0] + x, centre[i, 1] + y, centre[i, 2] + z


@jit
def _end(centre: Vectors, rotation: Matrices, half: Vectors, i: int, sign: float) -> tuple[float, float, float]:
    """Return an end of capsule i's axis, world frame."""
    x, y, z = rotated(rotation, i, 0.0, 0.0, sign * (half[i, 2] - half[i, 0]))
    return centre[i, 0] + x, centre[i, 1] + y, centre[i, 2] + z


@jit
def _corners_in(
    centre: Vectors, rotation: Matrices, half: Vectors, i: int, j: int, sign: float, found: Rows, room: float
) -> int:
    """Put down the corners of box i against box j, and return the face of j that parts the two best.

    A corner that is in the other box is under that face. If it keeps all farther away than `room`, return -1.
    """
    a, b, d = half[j, 0], half[j, 1], half[j, 2]
    lowest = found[CORNERS]  # a row that is not needed yet
    lowest[:] = np.inf
    for k in range(CORNERS):
        p = _corner(centre, rotation, half, i, k)
        x, y, z = rotated_back(rotation, j, p[0] - centre[j, 0], p[1] - centre[j, 1], p[2] - centre[j, 2])
        _put(found[k], 0.0, (x, y, z), p)
        lowest[0], lowest[1], lowest[2] = min(lowest[0], x - a), min(lowest[1], y - b), min(lowest[2], z - d)
        lowest[3], lowest[4], lowest[5] = min(lowest[3], -x - a), min(lowest[4], -y - b), min(lowest[5], -z - d)
    face = 0
    for k in range(1, 6):
        if lowest[k] > lowest[face]:
            face = k
    if lowest[face] > room:
        return -1
    axis, way = face % 3, 1.0 if face < 3 else -1.0
    for k in range(CORNERS):
        row = found[k]
        x, y, z = row[1], row[2], row[3]
        far, u, v, w = _beside_box(x, y, z, a, b, d)
        if far < _FLUSH_M:
            far = way * row[1 + axis] - half[j, axis]
            u, v, w = way * (axis == 0), way * (axis == 1), way * (axis == 2)
        u, v, w = rotated(rotation, j, u, v, w)
        row[0], row[1], row[2], row[3] = far, sign * u, sign * v, sign * w
    return face


@jit
def _face_corner(
    centre: Vectors, rotation: Matrices, half: Vectors, i: int, j: int, face: int, k: int
) -> tuple[float, float, float]:
    """Return corner k, going round, of a face of box i in the frame of box j."""
    axis, way = face % 3, 1.0 if face < 3 else -1.0
    one, other = 1.0 if k % 4 in (1, 2) else -1.0, 1.0 if k % 4 > 1 else -1.0
    x = half[i, 0] * (way if axis == 0 else one if axis == 2 else other)
    y = half[i, 1] * (way if axis == 1 else one if axis == 0 else other)
    z = half[i, 2] * (way if axis == 2 else one if axis == 1 else other)
    x, y, z = rotated(rotation, i, x, y, z)
    x, y, z = x + centre[i, 0] - centre[j, 0], y + centre[i, 1] - centre[j, 1], z + centre[i, 2] - centre[j, 2]
    return rotated_back(rotation, j, x, y, z)


@jit
def _clipped(
    half: Vectors, j: int, outer: int, start: tuple[float, float, float], along: tuple[float, float, float]
) -> tuple[float, float]:
    """Return the shares of an edge at which it enters the border of a face of box j, and leaves it."""
    enter, leave = -np.inf, np.inf
    least = _EDGE_TIE * np.sqrt(along[0] ** 2 + along[1] ** 2 + along[2] ** 2 + TINY)
    for axis in range(3):
        if axis == outer % 3:
            continue
        if abs(along[axis]) > least:
            one, other = (-half[j, axis] - start[axis]) / along[axis], (half[j, axis] - start[axis]) / along[axis]
            enter, leave = max(enter, min(one, other)), min(leave, max(one, other))
        elif abs(start[axis]) > half[j, axis] + _EDGE_TIE:
            leave = -np.inf
    return enter, leave


@jit
def _crossings(
    centre: Vectors, rotation: Matrices, half: Vectors, i: int, j: int, inner: int, outer: int, found: Rows
) -> None:
    """Put down where the edges of a face of box i pass over the border of a face of box j."""
    axis, way = outer % 3, 1.0 if outer < 3 else -1.0
    n = rotated(rotation, j, way * (axis == 0), way * (axis == 1), way * (axis == 2))
    for k in range(4):
        s = _face_corner(centre, rotation, half, i, j, inner, k)
        e = _face_corner(centre, rotation, half, i, j, inner, k + 1)
        along = (e[0] - s[0], e[1] - s[1], e[2] - s[2])
        enter, leave = _clipped(half, j, outer, s, along)
        for row in (k, k + 4):
            share = enter if row < 4 else leave
            found[row, 0] = np.inf
            if enter < leave and _EDGE_TIE < share < 1.0 - _EDGE_TIE:
                at = (s[0] + share * along[0], s[1] + share * along[1], s[2] + share * along[2])
                x, y, z = rotated(rotation, j, at[0], at[1], at[2])
                p = (centre[j, 0] + x, centre[j, 1] + y, centre[j, 2] + z)
                _put(found[row], way * at[axis] - half[j, axis], n, p)


@jit
def _nearest(
    centre: Vectors, rotation: Matrices, half: Vectors, kinds: Int[np.ndarray, " N"], i: int, j: int, row: Row
) -> None:
    """Put down the contact at the nearest points of two cores, found by projecting to and fro."""
    x, y, z = centre[i, 0], centre[i, 1], centre[i, 2]
    radius = 0.0 if kinds[i] == BOX else half[i, 0]
    for _ in range(_PROJECTIONS):
        for body in (j, i):
            a, b, d, _ = _core(kinds[body], half[body, 0], half[body, 1], half[body, 2])
            u, v, w = rotated_back(rotation, body, x - centre[body, 0], y - centre[body, 1], z - centre[body, 2])
            u, v, w = min(max(u, -a), a), min(max(v, -b), b), min(max(w, -d), d)
            u, v, w = rotated(rotation, body, u, v, w)
            x, y, z = centre[body, 0] + u, centre[body, 1] + v, centre[body, 2] + w
    _swept(centre, rotation, half, kinds[j], j, (x, y, z), radius, row)


@jit
def _deepest(found: Rows, count: int) -> None:
    """Move the deepest contacts of the first `count` to the front, in their order; equal ones by their number."""
    last = -np.inf
    for _ in range(DEEPEST):
        best = np.inf
        for k in range(count):
            depth = found[k, 0] + _TIE_M * k
            if last < depth < best:
                best = depth
        last = best
    to = 0
    for k in range(count):
        if found[k, 0] + _TIE_M * k <= last and to < DEEPEST:
            for column in range(found.shape[1]):
                found[to, column] = found[k, column]
            to += 1


@jit
def meet(
    centre: Vectors,
    rotation: Matrices,
    half: Vectors,
    kinds: Int[np.ndarray, " N"],
    i: int,
    j: int,
    found: Rows,
    room: float,
) -> int:
    """Put down the contacts of two bodies, the smaller kind first; return how many: 0 if all are beyond `room`."""
    if kinds[i] == SPHERE:
        at = (centre[i, 0], centre[i, 1], centre[i, 2])
        _swept(centre, rotation, half, kinds[j], j, at, half[i, 0], found[0])
        return 1
    if kinds[i] == CAPSULE:
        for k in range(2):
            end = _end(centre, rotation, half, i, 2.0 * k - 1.0)
            _swept(centre, rotation, half, kinds[j], j, end, half[i, 0], found[k])
        _nearest(centre, rotation, half, kinds, i, j, found[2])
        return 3
    outer = _corners_in(centre, rotation, half, i, j, 1.0, found, room)
    if outer < 0:
        return 0
    inner = _corners_in(centre, rotation, half, j, i, -1.0, found[CORNERS:], room)
    if inner < 0:
        return 0
    _crossings(centre, rotation, half, i, j, inner, outer, found[2 * CORNERS :])
    _deepest(found, 3 * CORNERS)
    _nearest(centre, rotation, half, kinds, i, j, found[DEEPEST])
    return DEEPEST + 1


@jit
def stand(
    centre: Vectors, rotation: Matrices, half: Vectors, kind: int, i: int, plane: Float[np.ndarray, "6"], found: Rows
) -> int:
    """Put down the contacts of a body with a plane; return how many."""
    n = (plane[0], plane[1], plane[2])
    count = 1 if kind == SPHERE else 2 if kind == CAPSULE else CORNERS
    radius = 0.0 if kind == BOX else half[i, 0]
    for k in range(count):
        if kind == SPHERE:
            p = (centre[i, 0], centre[i, 1], centre[i, 2])
        elif kind == CAPSULE:
            p = _end(centre, rotation, half, i, 2.0 * k - 1.0)
        else:
            p = _corner(centre, rotation, half, i, k)
        gap = n[0] * p[0] + n[1] * p[1] + n[2] * p[2] - plane[3] - radius
        _put(found[k], gap, n, (p[0] - radius * n[0], p[1] - radius * n[1], p[2] - radius * n[2]))
    if kind == BOX:
        _deepest(found, count)
        return DEEPEST
    return count
