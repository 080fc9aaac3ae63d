"""What may touch in imagination: solids, planes, and which pairs are looked at. Kinds are fixed, numbers may vary."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.spatial import ConvexHull, cKDTree
from torch import Tensor

from worldsim.errors import ConfigurationError

SOLIDS = ("sphere", "capsule", "box", "hull")
"""Kinds of solid; a capsule's axis is the body's z."""

_ON_FACE = 1e-6  # share of a hull's size


@dataclass(frozen=True, slots=True)
class Hull:
    """A convex hull about a body's centre of mass.

    Attributes:
        vertices_m: [V, 3] body frame.
        planes: [F, 4] outward unit normal and offset of each face: n x <= offset inside.
    """

    vertices_m: Float[np.ndarray, "V 3"]
    planes: Float[np.ndarray, "F 4"]

    @classmethod
    def of(cls, points_m: Float[np.ndarray, "P 3"]) -> Hull:
        """Return the hull of points that are not all in one plane; faces that lie in one plane are one."""
        hull = ConvexHull(points_m)
        planes = np.unique(np.round(hull.equations, 9), axis=0)
        return cls(np.asarray(points_m)[hull.vertices], np.concatenate([planes[:, :3], -planes[:, 3:]], axis=1))

    @property
    def edges(self) -> Int[np.ndarray, "E 2"]:
        """The two vertices of each edge: those that lie on two faces together."""
        height = np.abs(self.vertices_m @ self.planes[:, :3].T - self.planes[:, 3])
        on = (height < _ON_FACE * np.ptp(self.vertices_m, axis=0).max()).astype(np.int64)
        return np.argwhere(np.triu(on @ on.T >= 2, k=1))


@dataclass(frozen=True, slots=True)
class Solid:
    """Kind of one body.

    Attributes:
        kind: one of `SOLIDS`.
        fixed: whether it yields to nothing (a wall, a shelf).
        hull: of a ``hull``.
    """

    kind: str
    fixed: bool = False
    hull: Hull | None = None

    def __post_init__(self) -> None:
        """Check that the kind exists, and that a hull comes with its points."""
        if self.kind not in SOLIDS:
            raise ConfigurationError(f"Solid: kind is {self.kind!r}, expected one of {list(SOLIDS)}.")
        if (self.kind == "hull") != (self.hull is not None):
            raise ConfigurationError(f"Solid: kind is {self.kind!r}, and hull is {'' if self.hull else 'not '}given.")


@dataclass(frozen=True, slots=True)
class Planes:
    """Half-spaces that nothing enters: n x >= offset_m is free.

    Attributes:
        normal: [Q, 3] unit, world frame, into the free side.
        offset_m: [Q].
        friction, restitution: [Q], multiplied with the body's.
    """

    normal: Float[Tensor, "Q 3"]
    offset_m: Float[Tensor, " Q"]
    friction: Float[Tensor, " Q"]
    restitution: Float[Tensor, " Q"]

    @classmethod
    def floor(cls, like: Tensor) -> Planes:
        """Return the plane z = 0, on which bodies' own friction and restitution hold."""
        one = torch.ones(1, dtype=like.dtype, device=like.device)
        return cls(torch.stack([0.0 * one, 0.0 * one, one], dim=1), 0.0 * one, one, one)


@dataclass(frozen=True, slots=True)
class ContactScene:
    """N bodies of fixed kinds; numbers are [N] for all samples, or [S, N].

    Attributes:
        solids: N kinds.
        half_extent_m: [N, 3] half edges of the bounding box, body frame; a sphere's radius is the first, a capsule's
            too, and half its whole length the last.
        mass_kg: [N]; what is fixed may have any.
        moments_kg_m2: [N, 3] principal moments, body axes.
        friction, restitution: [N]; of a pair the products count, as in Bullet.
        planes: what nothing enters.
        pairs: [P, 2] bodies that are looked at for contact; every pair that is not wholly fixed where None.
        grounded: [G] bodies that are looked at for contact with the planes; all that are not fixed where None.
    """

    solids: tuple[Solid, ...]
    half_extent_m: Float[Tensor, "*S N 3"]
    mass_kg: Float[Tensor, "*S N"]
    moments_kg_m2: Float[Tensor, "*S N 3"]
    friction: Float[Tensor, "*S N"]
    restitution: Float[Tensor, "*S N"]
    planes: Planes
    pairs: Int[np.ndarray, "P 2"] | None = None
    grounded: Int[np.ndarray, " G"] | None = None

    def __post_init__(self) -> None:
        """Check that the sizes agree."""
        if self.mass_kg.shape[-1] != len(self.solids):
            raise ConfigurationError(
                f"ContactScene: {len(self.solids)} solids, but mass_kg has shape {tuple(self.mass_kg.shape)}."
            )

    def select(self, index: Int[Tensor, " s"]) -> ContactScene:
        """Return the scene with the numbers of some samples, where they differ from sample to sample."""
        chosen: dict[str, Any] = {
            name: x.index_select(0, index) for name, (x, wide) in self.numbers().items() if x.dim() == wide
        }
        return replace(self, **chosen)

    def numbers(self) -> dict[str, tuple[Tensor, int]]:
        """Return what may differ from sample to sample, and how many axes it then has."""
        wide = {"half_extent_m": 3, "mass_kg": 2, "moments_kg_m2": 3, "friction": 2, "restitution": 2}
        return {name: (getattr(self, name), axes) for name, axes in wide.items()}

    def chosen_grounded(self) -> list[int]:
        """Return the bodies that are looked at for contact with the planes."""
        every = range(len(self.solids)) if self.grounded is None else self.grounded.tolist()
        return [i for i in every if not self.solids[i].fixed]

    def chosen_pairs(self) -> list[tuple[int, int]]:
        """Return the pairs that are looked at, the smaller kind of `SOLIDS` first."""
        n = len(self.solids)
        every = [(i, j) for i in range(n) for j in range(i + 1, n)] if self.pairs is None else self.pairs.tolist()
        rank = [SOLIDS.index(solid.kind) for solid in self.solids]
        chosen = [(i, j) if rank[i] <= rank[j] else (j, i) for i, j in every]
        return [(i, j) for i, j in chosen if not (self.solids[i].fixed and self.solids[j].fixed)]


def near_pairs(
    position_m: Float[np.ndarray, "N 3"], radius_m: Float[np.ndarray, " N"], reach_m: Float[np.ndarray, " N"]
) -> Int[np.ndarray, "P 2"]:
    """Return the pairs whose bounding spheres may meet while each body goes `reach_m` at most.

    Args:
        position_m: centres.
        radius_m: of the bounding spheres.
        reach_m: how far each may go.
    """
    grown = radius_m + reach_m
    found = cKDTree(position_m).query_pairs(2.0 * float(grown.max(initial=0.0)), output_type="ndarray")
    apart = np.linalg.norm(position_m[found[:, 0]] - position_m[found[:, 1]], axis=1)
    return np.asarray(found[apart <= grown[found[:, 0]] + grown[found[:, 1]]], dtype=np.int64)


def groups(pairs: Sequence[tuple[int, int]], solids: Sequence[Solid]) -> dict[tuple[str, str], list[tuple[int, int]]]:
    """Return the pairs by the kinds of their two bodies."""
    found: dict[tuple[str, str], list[tuple[int, int]]] = {}
    for i, j in pairs:
        found.setdefault((solids[i].kind, solids[j].kind), []).append((i, j))
    return found
