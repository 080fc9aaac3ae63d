"""Where bodies touch: a few contact points for each pair that is looked at, in shapes that never change.

Every kind of solid is points, swept by a sphere, against a core box swept by a sphere, or against the planes of a hull.
Two boxes or hulls take their four deepest corners, and the points where the outline of one passes over the border of
the other's face: where two sides overlap in part, corners alone do not span what is between.
Boxes and capsules also take their nearest two points, found by projecting to and fro. A point beside a hull is as far
as the farthest of the hull's planes, which is exact over its faces and too near at its edges.

Source: von Neumann 1933 (alternating projections of two convex sets end at their nearest points).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from worldsim.dynamics.imagination.clipping import within_planes, within_slabs
from worldsim.dynamics.imagination.scene import ContactScene, Hull, groups
from worldsim.dynamics.imagination.vectors import dot, turned, turned_back

_TINY = 1e-12
_PROJECTIONS = 6
_DEEPEST = 4  # contact points of two flat sides
_FLAT = ("box", "hull")
_TIE_M = 1e-6
_ON_SURFACE_M = (
    1e-6  # what is nearer than that to a face is on it: a point off it by rounding has no direction of its own
)
_ROUND = ((-1.0, 1.0, 1.0, -1.0), (-1.0, -1.0, 1.0, 1.0))  # the corners of a face, one after the other
_FLUSH_M = 1e-3  # a corner so near is taken to be in the other body


@dataclass(frozen=True, slots=True)
class Poses:
    """Where N bodies are in S samples.

    Attributes:
        centre: [3, N, S] m.
        rotation: [3, 3, N, S] body to world.
        half: [3, N, 1 or S] m, half edges.
    """

    centre: Float[Tensor, "3 N S"]
    rotation: Float[Tensor, "3 3 N S"]
    half: Float[Tensor, "3 N S1"]

    def take(self, index: Int[Tensor, " P"]) -> Poses:
        """Return the poses of some bodies."""
        return Poses(*(x.index_select(-2, index) for x in (self.centre, self.rotation, self.half)))


@dataclass(frozen=True, slots=True)
class Touching:
    """C possible contacts in S samples.

    Attributes:
        normal: [3, C, S] unit, world frame, the way in which the first body is pushed.
        gap: [C, S] m.
        point: [3, C, S] m, world frame.
    """

    normal: Float[Tensor, "3 C S"]
    gap: Float[Tensor, "C S"]
    point: Float[Tensor, "3 C S"]


@dataclass(frozen=True, slots=True)
class _HullTable:
    """Vertices, edges and planes of the hulls of one side of a group, padded by repetition to one size."""

    vertices: Float[Tensor, "3 V P 1"]
    ends: Float[Tensor, "3 2 E P 1"]
    normals: Float[Tensor, "3 F P 1"]
    offsets: Float[Tensor, "F P 1"]

    @classmethod
    def of(cls, hulls: list[Hull], like: Tensor) -> _HullTable:
        v, f = max(len(h.vertices_m) for h in hulls), max(len(h.planes) for h in hulls)
        points = np.stack([np.resize(h.vertices_m, (v, 3)) for h in hulls], axis=1)  # [V, P, 3]
        planes = np.stack([np.resize(h.planes, (f, 4)) for h in hulls], axis=1)
        there = torch.as_tensor(points, dtype=like.dtype, device=like.device).permute(2, 0, 1)[..., None]
        faces = torch.as_tensor(planes, dtype=like.dtype, device=like.device).permute(2, 0, 1)[..., None]
        lines = [h.vertices_m[h.edges] for h in hulls]  # [E, 2, 3] each
        count = max(len(line) for line in lines)
        ends = np.stack([np.resize(line, (count, 2, 3)) for line in lines], axis=2).transpose(3, 1, 0, 2)
        edges = torch.as_tensor(ends, dtype=like.dtype, device=like.device)[..., None]
        return cls(there.contiguous(), edges.contiguous(), faces[:3].contiguous(), faces[3].contiguous())


@dataclass(frozen=True, slots=True)
class _Side:
    """One side of a group of pairs: the same kind P times."""

    kind: str
    index: Int[Tensor, " P"]
    hulls: _HullTable | None


@dataclass(frozen=True, slots=True)
class Layout:
    """Which contacts there can be; made once for a rollout.

    Attributes:
        first, second: [C] rows of the bodies; of a contact with a plane, the second is N.
        plane: [C] row of the plane, -1 for none.
        pairs: groups of pairs of two kinds.
        grounded: groups of bodies of one kind against every plane.
    """

    first: Int[Tensor, " C"]
    second: Int[Tensor, " C"]
    plane: Int[Tensor, " C"]
    pairs: tuple[tuple[_Side, _Side], ...]
    grounded: tuple[_Side, ...]

    @classmethod
    def of(cls, scene: ContactScene) -> Layout:
        """Lay out the contacts of a scene."""
        like, solids = scene.mass_kg, scene.solids
        first: list[int] = []
        second: list[int] = []
        plane: list[int] = []
        pairs, grounded = [], []

        def side(kind: str, rows: list[int]) -> _Side:
            index = torch.as_tensor(rows, dtype=torch.int64, device=like.device)
            hulls = [solids[row].hull for row in rows]
            return _Side(kind, index, _HullTable.of(hulls, like) if kind == "hull" else None)  # type: ignore[arg-type]

        for (kind, other), members in groups(scene.chosen_pairs(), solids).items():
            one, two = [i for i, _ in members], [j for _, j in members]
            pairs.append((side(kind, one), side(other, two)))
            first += one * _contacts_of(kind, other)
            second += two * _contacts_of(kind, other)
            plane += [-1] * (len(one) * _contacts_of(kind, other))
        for kind in ("sphere", "capsule", "box", "hull"):
            rows = [i for i in scene.chosen_grounded() if solids[i].kind == kind]
            if rows and len(scene.planes.offset_m):
                grounded.append(side(kind, rows))
                for number in range(len(scene.planes.offset_m)):
                    first += rows * _GROUND_CONTACTS[kind]
                    second += [len(solids)] * (len(rows) * _GROUND_CONTACTS[kind])
                    plane += [number] * (len(rows) * _GROUND_CONTACTS[kind])

        def index(x: list[int]) -> Tensor:
            return torch.as_tensor(x, dtype=torch.int64, device=like.device)

        return cls(index(first), index(second), index(plane), tuple(pairs), tuple(grounded))


_GROUND_CONTACTS = {"sphere": 1, "capsule": 2, "box": _DEEPEST, "hull": _DEEPEST}


def _contacts_of(kind: str, other: str) -> int:
    if kind == "sphere":
        return 1
    if "hull" in (kind, other):
        return _DEEPEST
    return 3 if kind == "capsule" else _DEEPEST + 1


def touching(layout: Layout, poses: Poses, planes: tuple[Float[Tensor, "3 Q"], Float[Tensor, " Q"]]) -> Touching:
    """Return the possible contacts, in the order of the layout."""
    found = [_pair_contacts(one, two, poses.take(one.index), poses.take(two.index)) for one, two in layout.pairs]
    normals, offsets = planes
    for side in layout.grounded:
        there = poses.take(side.index)
        points, radius = _points(side, there)
        for number in range(offsets.shape[0]):
            found.append(_on_plane(points, radius, normals[:, number], offsets[number], _GROUND_CONTACTS[side.kind]))
    flat = [Touching(*(x.flatten(-3, -2) for x in (t.normal, t.gap, t.point))) for t in found]
    return Touching(
        torch.cat([t.normal for t in flat], dim=1),
        torch.cat([t.gap for t in flat], dim=0),
        torch.cat([t.point for t in flat], dim=1),
    )


def _pair_contacts(one: _Side, two: _Side, a: Poses, b: Poses) -> Touching:
    """Return the contacts [3, K, P, S] of one group of pairs."""
    if one.kind == "sphere":
        return _against(one, two, a, b)
    if two.kind == "hull":
        corners = _joined(_against(one, two, a, b), _reversed(_against(two, one, b, a)))
        return _deepest(
            corners if one.kind == "capsule" else _joined(corners, _hull_crossings(one, two, a, b)), _DEEPEST
        )
    nearest = _nearest(one, two, a, b)
    if one.kind == "capsule":
        return _joined(_against(one, two, a, b), nearest)
    corners = _joined(_against(one, two, a, b), _reversed(_against(two, one, b, a)))
    return _joined(_deepest(_joined(corners, _box_crossings(one, two, a, b)), _DEEPEST), nearest)


def _box_crossings(one: _Side, two: _Side, a: Poses, b: Poses) -> Touching:
    """Return where the edges of the first box's face pass over the border of the second's: eight contacts [3, 8, P, S].

    The faces are those that part the two best.
    """
    inner, outer = _parting_face(two, one, b, a), _parting_face(one, two, a, b)
    axis, way = inner % 3, torch.where(inner < 3, 1.0, -1.0).to(a.centre.dtype)
    first, second = (way.new_tensor(signs)[:, None, None] for signs in _ROUND)
    signs = [torch.where(axis == k, way, torch.where((axis + 1) % 3 == k, first, second)) for k in range(3)]
    world = a.centre[:, None] + turned(a.rotation[:, :, None], torch.stack(signs) * a.half[:, None])
    start = turned_back(b.rotation[:, :, None], world - b.centre[:, None])  # [3, 4, P, S]
    along, half = start.roll(-1, 1) - start, b.half[:, None]
    share, there = within_slabs(start, along, half, outer)
    return _on_face(start, along, share, there, two, b, outer)


def _hull_crossings(one: _Side, two: _Side, a: Poses, b: Poses) -> Touching:
    """Return where the edges of a box or a hull pass over the border of a hull's face: two contacts for each edge."""
    outer = _parting_face(one, two, a, b)
    if one.hulls is not None:
        ends = a.centre[:, None, None] + turned(a.rotation[:, :, None, None], one.hulls.ends)
    else:
        corner = _points(one, a)[0].unflatten(1, (2, 2, 2))
        by_axis = [corner.movedim(axis, 1).flatten(2, 3) for axis in (1, 2, 3)]
        ends = torch.cat(by_axis, dim=2)  # [3, 2, 12, P, S]
    local = turned_back(b.rotation[:, :, None, None], ends - b.centre[:, None, None])
    start, along = local[:, 0], local[:, 1] - local[:, 0]
    assert two.hulls is not None
    share, there = within_planes(start, along, two.hulls.normals, two.hulls.offsets, outer)
    return _on_face(start, along, share, there, two, b, outer)


def _on_face(
    start: Float[Tensor, "3 E P S"],
    along: Float[Tensor, "3 E P S"],
    share: Float[Tensor, "K P S"],
    there: Bool[Tensor, "K P S"],
    two: _Side,
    b: Poses,
    outer: Int[Tensor, "P S"],
) -> Touching:
    """Return the contacts of points of edges with a face; `start` and `along` in the face's frame."""
    spot = start.repeat(1, 2, 1, 1) + share * along.repeat(1, 2, 1, 1)
    height = torch.gather(_heights(spot, two, b), 0, outer[None, None].expand(1, *share.shape))[0]
    normal = turned(b.rotation[:, :, None], _face_normals(outer, two.hulls, spot)[:, None]).expand_as(spot)
    point = b.centre[:, None] + turned(b.rotation[:, :, None], spot)
    return Touching(normal, torch.where(there, height, torch.inf), point)


def _parting_face(one: _Side, two: _Side, a: Poses, b: Poses) -> Int[Tensor, "P S"]:
    """Return which face of the second keeps the corners of the first best away."""
    with torch.no_grad():
        local = turned_back(b.rotation[:, :, None], _points(one, a)[0] - b.centre[:, None])
        return _heights(local, two, b).amin(1).argmax(0)


def _heights(local: Float[Tensor, "3 K P S"], two: _Side, b: Poses) -> Float[Tensor, "F K P S"]:
    """Return how high points, in the body's frame, are over each face of a box or a hull."""
    if two.hulls is not None:
        return dot(local[:, None], two.hulls.normals[:, :, None]) - two.hulls.offsets[:, None]
    half = b.half[:, None]
    return torch.cat([local - half, -local - half])


def _against(one: _Side, two: _Side, a: Poses, b: Poses) -> Touching:
    """Return the contacts of every point of the first with the solid of the second."""
    points, radius = _points(one, a)
    return _swept(points, radius, two, b, flat=one.kind in _FLAT and two.kind in _FLAT)


def _swept(
    points: Float[Tensor, "3 K P S"], radius: Float[Tensor, "P S1"], two: _Side, b: Poses, *, flat: bool = False
) -> Touching:
    """Return the contacts of points with a solid; `flat`: points of one body, and both have faces.

    A corner that is in the other body is as deep as it is under the face that parts the bodies best, not under the
    face that happens to be nearest: corners of boxes that stand flush on one another are on two faces at once.
    """
    local = turned_back(b.rotation[:, :, None], points - b.centre[:, None])
    if two.hulls is not None:
        height = _heights(local, two, b)
        distance, outward = _hull_distance(height, two.hulls)
    else:
        core, swept = _core(two.kind, b.half)
        distance, outward = _box_distance(local, core[:, None])
        distance = distance - swept
        height = _heights(local, two, b) if flat else local
    if flat:
        face = height.detach().amin(1).argmax(0)  # [P, S]
        under = torch.gather(height, 0, face[None, None].expand(1, *height.shape[1:]))[0]
        inside = distance.detach() < _FLUSH_M
        distance = torch.where(inside, under, distance)
        outward = torch.where(inside, _face_normals(face, two.hulls, local)[:, None], outward)
    normal = turned(b.rotation[:, :, None], outward)
    return Touching(normal, distance - radius, points - radius * normal)


def _face_normals(face: Int[Tensor, "P S"], hulls: _HullTable | None, like: Tensor) -> Float[Tensor, "3 P S"]:
    """Return the outward normals of faces, body frame; of a box, + x, y, z come before - x, y, z."""
    if hulls is not None:
        spread = hulls.normals.expand(-1, -1, *face.shape)
        return torch.gather(spread, 1, face[None, None].expand(3, 1, *face.shape))[:, 0]
    sign = torch.where(face < 3, 1.0, -1.0).to(like.dtype)
    return torch.stack([torch.where(face % 3 == axis, sign, 0.0) for axis in range(3)])


def _points(side: _Side, there: Poses) -> tuple[Float[Tensor, "3 K P S"], Float[Tensor, "P S1"]]:
    """Return the K points of a solid, world frame, and the radius that sweeps them."""
    centre, half = there.centre[:, None], there.half
    if side.kind == "sphere":
        return centre, half[0]
    if side.kind == "capsule":
        along = (half[2] - half[0]) * there.rotation[:, 2]
        return torch.stack([there.centre - along, there.centre + along], dim=1), half[0]
    local = side.hulls.vertices if side.hulls is not None else _corners(half)
    return centre + turned(there.rotation[:, :, None], local), torch.zeros_like(half[0])


def _corners(half: Float[Tensor, "3 P S1"]) -> Float[Tensor, "3 8 P S1"]:
    x, y, z = half.unbind(0)
    rows = [torch.stack([i * x, j * y, k * z]) for i in (-1.0, 1.0) for j in (-1.0, 1.0) for k in (-1.0, 1.0)]
    return torch.stack(rows, dim=1)


def _core(kind: str, half: Float[Tensor, "3 P S1"]) -> tuple[Float[Tensor, "3 P S1"], Float[Tensor, "P S1"]]:
    """Return the half edges of the core box, and the radius that sweeps it."""
    nothing = torch.zeros_like(half[0])
    if kind == "box":
        return half, nothing
    length = nothing if kind == "sphere" else half[2] - half[0]
    return torch.stack([nothing, nothing, length]), half[0]


def _box_distance(
    local: Float[Tensor, "3 K P S"], core: Float[Tensor, "3 1 P S1"]
) -> tuple[Float[Tensor, "K P S"], Float[Tensor, "3 K P S"]]:
    excess = local.abs() - core
    sign = torch.where(local < 0.0, -1.0, 1.0).to(local.dtype)
    outside = excess.clamp_min(0.0)
    distance = torch.sqrt(dot(outside, outside) + _TINY * _TINY)
    x, y, z = excess.unbind(0)
    deepest = torch.maximum(torch.maximum(x, y), z)
    is_outside = deepest > _ON_SURFACE_M
    on_x = (x >= y - _TIE_M) & (x >= z - _TIE_M)
    on_y = ~on_x & (y >= z - _TIE_M)
    face = torch.stack([on_x, on_y, ~on_x & ~on_y]).to(local.dtype)
    return torch.where(is_outside, distance, deepest), sign * torch.where(is_outside, outside / distance, face)


def _hull_distance(
    height: Float[Tensor, "F K P S"], hulls: _HullTable
) -> tuple[Float[Tensor, "K P S"], Float[Tensor, "3 K P S"]]:
    """Return the largest height over a face, and that face's normal, body frame."""
    distance, face = height.max(dim=0)
    where = face[None, None].expand(3, 1, *face.shape)
    spread = hulls.normals[:, :, None].expand(3, -1, *face.shape)
    return distance, torch.gather(spread, 1, where)[:, 0]


def _nearest(one: _Side, two: _Side, a: Poses, b: Poses) -> Touching:
    """Return the contact at the nearest points of two cores; where they overlap it is nowhere near the surface."""
    (core_a, radius), (core_b, _) = _core(one.kind, a.half), _core(two.kind, b.half)
    with torch.no_grad():  # at the nearest points, moving along the core changes the distance to second order only
        x = a.centre
        for _ in range(_PROJECTIONS):
            y = _clamped(x, core_b, b)
            x = _clamped(y, core_a, a)
        local = turned_back(a.rotation, x - a.centre)
    return _swept((a.centre + turned(a.rotation, local))[:, None], radius, two, b)


def _clamped(x: Float[Tensor, "3 P S"], core: Float[Tensor, "3 P S1"], there: Poses) -> Float[Tensor, "3 P S"]:
    local = turned_back(there.rotation, x - there.centre)
    return there.centre + turned(there.rotation, torch.minimum(torch.maximum(local, -core), core))


def _on_plane(
    points: Float[Tensor, "3 K P S"],
    radius: Float[Tensor, "P S1"],
    normal: Float[Tensor, "3"],
    offset: Float[Tensor, ""],
    count: int,
) -> Touching:
    n = normal[:, None, None, None]
    gap = dot(n.expand_as(points), points) - offset - radius
    found = Touching(n.expand_as(points), gap, points - radius * n)
    return found if points.shape[1] == count else _deepest(found, count)


def _deepest(all_of: Touching, count: int) -> Touching:
    # Corners that lie equally deep are told apart by their number, and the chosen ones keep their order: a contact's
    # impulse is where the next step begins, and must not be handed to another corner.
    rank = torch.arange(all_of.gap.shape[0], dtype=all_of.gap.dtype, device=all_of.gap.device)
    depth = all_of.gap.detach() + _TIE_M * rank.reshape(-1, *[1] * (all_of.gap.dim() - 1))
    index = torch.topk(depth, count, dim=0, largest=False, sorted=False).indices.sort(dim=0).values
    spread = index[None].expand(3, *index.shape)
    return Touching(
        torch.gather(all_of.normal, 1, spread),
        torch.gather(all_of.gap, 0, index),
        torch.gather(all_of.point, 1, spread),
    )


def _joined(one: Touching, two: Touching) -> Touching:
    return Touching(
        torch.cat([one.normal, two.normal], dim=1),
        torch.cat([one.gap, two.gap], dim=0),
        torch.cat([one.point, two.point], dim=1),
    )


def _reversed(contacts: Touching) -> Touching:
    return Touching(-contacts.normal, contacts.gap, contacts.point)
