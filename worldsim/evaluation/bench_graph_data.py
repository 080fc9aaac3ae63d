"""Scenes for the graph benchmark: relational-inference files, noise added to them, and worlds of many strengths."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from worldsim.errors import DataError
from worldsim.evaluation.archives import read_arrays
from worldsim.evaluation.nri_generator import SPRINGS, draw_starts, simulate_nri

FRAME_S = 0.1
SUBSTEP_S = 1e-3
ARENA_HALF_M = 5.0
"""How the data were made: 0.1 s frames of a semi-implicit integrator of 1 ms in an elastic box."""


@dataclass(frozen=True, slots=True)
class Scenes:
    """Equal scenes of n bodies, with their true edges.

    Attributes:
        name: of the data.
        position, velocity: [S, T, n, D] m and m/s.
        edges: layer -> [S, n, n] of -1, 0, 1; layers are ``spring`` and ``charge``.
        edges_after: [S, n, n] springs from frame `change_frame` on, None where nothing changes.
        strength: layer -> true coefficient of an edge, or [S, n, n] where they differ.
        change_frame: index of the last frame under `edges`.
    """

    name: str
    position: Float[Tensor, "S T n D"]
    velocity: Float[Tensor, "S T n D"]
    edges: Mapping[str, Int[Tensor, "S n n"]]
    strength: Mapping[str, float | Float[Tensor, "S n n"]]
    edges_after: Int[Tensor, "S n n"] | None = None
    change_frame: int = 49

    def __len__(self) -> int:
        """Return the number of scenes S."""
        return len(self.position)

    @property
    def size(self) -> int:
        """Return the number of bodies n of each scene."""
        return self.position.shape[2]

    @property
    def frames(self) -> int:
        """Return the number of frames T."""
        return self.position.shape[1]

    @property
    def family(self) -> str:
        """Return ``springs5`` and the like: the layers, then the number of bodies."""
        layers = (
            "springcharge"
            if len(self.edges) > 1
            else {"spring": "springs", "charge": "charged"}[next(iter(self.edges))]
        )
        return f"{layers}{self.size}" + ("_switch" if self.edges_after is not None else "")

    def first(self, count: int, frames: int | None = None) -> Scenes:
        """Return the first `count` scenes, cut to `frames`."""
        return replace(
            self,
            position=self.position[:count, :frames],
            velocity=self.velocity[:count, :frames],
            edges={name: edge[:count] for name, edge in self.edges.items()},
            strength={k: v[:count] if isinstance(v, Tensor) else v for k, v in self.strength.items()},
            edges_after=None if self.edges_after is None else self.edges_after[:count],
        )

    def noisy(self, std: float, seed: int) -> Scenes:
        """Return the scenes with white noise of `std` (m and m/s) on every position and velocity."""
        rng = np.random.default_rng(seed)

        def shaken(value: Tensor) -> Tensor:
            return value.double() + std * torch.from_numpy(rng.standard_normal(tuple(value.shape)))

        return replace(
            self, name=f"{self.name}, noise {std:g}", position=shaken(self.position), velocity=shaken(self.velocity)
        )


def read_scenes(path: Path, split: str = "test") -> Scenes:
    """Read one file in the relational-inference format.

    Args:
        path: an ``.npz`` with ``loc_<split>``, ``vel_<split>`` of shape (sequence, frame, axis, body) and edges:
            ``edges_<split>`` (0/1 springs, -1/1 charges), ``edges_spring`` with ``edges_charge``, or ``edges_before``
            with ``edges_after``.
        split: which part.

    Raises:
        DataError: the file cannot be read, or lacks one of these.
    """
    arrays = read_arrays(path, "balls under springs or charges")
    missing = [key for key in (f"loc_{split}", f"vel_{split}") if key not in arrays]
    if missing:
        raise DataError(f"{path} lacks {missing}; it holds {sorted(arrays)}. Expected loc_{split} and vel_{split}.")
    position, velocity = (torch.from_numpy(arrays[f"{k}_{split}"]).transpose(2, 3) for k in ("loc", "vel"))

    def edge(key: str) -> Tensor:
        matrix = torch.from_numpy(arrays[key]).long()
        return matrix * (1 - torch.eye(matrix.shape[-1], dtype=torch.int64))

    name, after = path.stem, None
    if f"edges_{split}" in arrays:
        plain = edge(f"edges_{split}")
        layers = {"charge" if bool((plain < 0).any()) else "spring": plain}
    elif "edges_spring" in arrays and "edges_charge" in arrays:
        layers = {"spring": edge("edges_spring"), "charge": edge("edges_charge")}
    elif "edges_before" in arrays and "edges_after" in arrays:
        layers, after = {"spring": edge("edges_before")}, edge("edges_after")
    else:
        raise DataError(
            f"{path} has no edges: expected edges_{split}, or edges_spring and edges_charge, or edges_before and "
            f"edges_after; it holds {sorted(arrays)}."
        )
    strength: dict[str, float] = {"spring": 0.1, "charge": 0.2 if len(layers) > 1 else 1.0}
    return Scenes(name, position, velocity, layers, {k: strength[k] for k in layers}, after)


def strangers(count: int, frames: int, seed: int, deviation: tuple[float, float] = (0.3, 0.05)) -> Scenes:
    """Return scenes whose bodies belong to classes that never met: each scene has a spring strength of its own.

    Args:
        count: scenes; each is a new pair of classes.
        frames: of each.
        seed: of everything random.
        deviation: coefficients of variation between class pairs, and between instances of one.
    """
    random = np.random.RandomState(seed)
    place, velocity, edges = draw_starts(SPRINGS, count, 5, 1, random)
    between = SPRINGS.strength * (1.0 + deviation[0] * random.randn(count, 1, 1)).clip(0.2)
    lower = np.tril(1.0 + deviation[1] * random.randn(count, 5, 5), -1)
    strength = between * (lower + lower.transpose(0, 2, 1))
    found = simulate_nri(replace(SPRINGS, strength=1.0), (place, velocity, edges * strength), frames)
    position, speed = (torch.from_numpy(part).transpose(2, 3) for part in found)
    truth = torch.from_numpy(edges).long()
    return Scenes(
        "springs of classes that never met", position, speed, {"spring": truth}, {"spring": torch.from_numpy(strength)}
    )
