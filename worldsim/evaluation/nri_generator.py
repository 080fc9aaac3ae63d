"""Simulates balls under springs or charges, batched: the data on which relational-inference methods are compared.

Source: Kipf et al. (2018), "Neural Relational Inference for Interacting Systems", appendix B, and the defaults of its
published generator. Ours runs all sequences of a split at once and draws all random numbers first, in the published
order from numpy's legacy stream (whose values never change), so that the same seed gives the same sequences.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
from jaxtyping import Float, Int

__all__ = ["GENERATED", "NriLaw", "draw_starts", "simulate_nri"]

_BOX_M = 5.0
_STEP_S = 1e-3
_STEPS_A_FRAME = 100
_SPEED_M_S = 0.5
_LARGEST_FORCE_N = 0.1 / _STEP_S
_TRAIN_FRAMES, _TEST_FRAMES = 49, 99
_SEED = 42

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class NriLaw:
    """The law of force between balls of unit mass.

    Attributes:
        charged: repulsion or attraction of charges (1/r^2) instead of springs.
        strength: spring constant, or charge coupling.
        position_std_m: of the starting places.
    """

    charged: bool
    strength: float
    position_std_m: float


SPRINGS = NriLaw(charged=False, strength=0.1, position_std_m=0.5)
CHARGED = NriLaw(charged=True, strength=1.0, position_std_m=1.0)


def draw_starts(
    law: NriLaw, count: int, balls: int, frames: int, rng: np.random.RandomState
) -> tuple[Float[np.ndarray, "S 2 N"], Float[np.ndarray, "S 2 N"], Float[np.ndarray, "S N N"]]:
    """Return places (m), velocities (m/s) and edges of `count` sequences.

    Edges are 0 or 1 (spring or none), or the product of the two charges. The published generator also draws
    measurement noise after each sequence, of standard deviation zero by default: drawn here to keep the stream.
    """
    places, velocities, edges = [], [], []
    for _ in range(count):
        if law.charged:
            charge = rng.choice([-1.0, 0.0, 1.0], size=(balls, 1), p=[0.5, 0.0, 0.5])
            edge = charge @ charge.T
        else:
            edge = np.tril(rng.choice([0.0, 0.5, 1.0], size=(balls, balls), p=[0.5, 0.0, 0.5]), -1)
            edge = edge + edge.T
        place = rng.randn(2, balls) * law.position_std_m
        velocity = rng.randn(2, balls)
        speed = np.sqrt((velocity**2).sum(axis=0)).reshape(1, -1)
        for _ in ("places", "velocities"):
            rng.randn(frames, 2, balls)
        places.append(place)
        velocities.append(velocity * _SPEED_M_S / speed)
        edges.append(edge)
    return np.stack(places), np.stack(velocities), np.stack(edges)


def simulate_nri(
    law: NriLaw,
    start: tuple[Float[np.ndarray, "S 2 N"], Float[np.ndarray, "S 2 N"], Float[np.ndarray, "S N N"]],
    frames: int,
    progress: Progress = lambda done, total: None,
) -> tuple[Float[np.ndarray, "S T 2 N"], Float[np.ndarray, "S T 2 N"]]:
    """Return places and velocities every 0.1 s, the first at 0.1 s, by a leapfrog of 1 ms in a box of elastic walls."""
    place, velocity = _reflect(start[0], start[1])
    edges = start[2]
    places, velocities = np.zeros((2, len(place), frames, *place.shape[1:]))
    for frame in range(frames):
        for _ in range(_STEPS_A_FRAME):
            velocity = velocity + _STEP_S * _force(law, place, edges)
            place = place + _STEP_S * velocity
            place, velocity = _reflect(place, velocity)
        places[:, frame], velocities[:, frame] = place, velocity
        progress(frame + 1, frames)
    return places, velocities


def _force(
    law: NriLaw, place: Float[np.ndarray, "S 2 N"], edges: Float[np.ndarray, "S N N"]
) -> Float[np.ndarray, "S 2 N"]:
    difference = place[:, :, :, None] - place[:, :, None, :]
    scale = law.strength / np.power(_squared_distance(place), 1.5) if law.charged else -law.strength
    size = edges * scale
    diagonal = np.arange(place.shape[2])
    size[:, diagonal, diagonal] = 0.0
    force = (size[:, None] * difference).sum(axis=-1)
    return np.clip(force, -_LARGEST_FORCE_N, _LARGEST_FORCE_N)


def _squared_distance(place: Float[np.ndarray, "S 2 N"]) -> Float[np.ndarray, "S N N"]:
    """Return squared distances, 1 on the diagonal."""
    square = (place**2).sum(axis=1)
    squared = square[:, :, None] + square[:, None, :] - 2.0 * np.matmul(place.transpose(0, 2, 1), place)
    squared = np.maximum(squared, 0.0)  # rounding can take it below
    diagonal = np.arange(place.shape[2])
    squared[:, diagonal, diagonal] = 1.0
    return squared


def _reflect(
    place: Float[np.ndarray, "S 2 N"], velocity: Float[np.ndarray, "S 2 N"]
) -> tuple[Float[np.ndarray, "S 2 N"], Float[np.ndarray, "S 2 N"]]:
    over = place > _BOX_M
    place = np.where(over, 2 * _BOX_M - place, place)
    velocity = np.where(over, -np.abs(velocity), velocity)
    under = place < -_BOX_M
    return np.where(under, -2 * _BOX_M - place, place), np.where(under, np.abs(velocity), velocity)


def _generate(law: NriLaw, balls: int, count: int, progress: Progress) -> dict[str, np.ndarray]:
    rng = np.random.RandomState(_SEED)
    splits = {"train": (count, _TRAIN_FRAMES), "valid": (20, _TRAIN_FRAMES), "test": (count, _TEST_FRAMES)}
    starts = {split: draw_starts(law, size, balls, frames, rng) for split, (size, frames) in splits.items()}
    total = sum(frames for _, frames in splits.values())
    arrays: dict[str, np.ndarray] = {}
    before = 0
    for split, (_, frames) in splits.items():
        places, velocities = simulate_nri(law, starts[split], frames, partial(_further, progress, before, total))
        arrays[f"loc_{split}"] = places.astype(np.float32)
        arrays[f"vel_{split}"] = velocities.astype(np.float32)
        edges: Int[np.ndarray, "S N N"] = starts[split][2].astype(np.int8)
        arrays[f"edges_{split}"] = edges
        before += frames
    return arrays


def _further(progress: Progress, before: int, total: int, done: int, _: int) -> None:
    progress(before + done, total)


GENERATED: Mapping[str, Callable[[Progress], dict[str, np.ndarray]]] = {
    "nri-springs5": partial(_generate, SPRINGS, 5, 200),
    "nri-charged5": partial(_generate, CHARGED, 5, 200),
    "nri-springs10": partial(_generate, SPRINGS, 10, 100),
    "nri-charged10": partial(_generate, CHARGED, 10, 100),
}
"""Name of a data set -> what makes its arrays."""
