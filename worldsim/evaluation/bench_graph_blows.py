"""In which directions blows may have changed the relative motion of two smooth balls, by what was seen of them.

A smooth ball is struck along the line between the centres, or along the normal of a wall: across it nothing happens to
it, and what it does there tells as much as ever.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float

from worldsim.evaluation.bench_graph_pairs import MARGIN_M, Play

FRAMES = 2
"""A blow shows in the frame in which it falls, and in the one after."""


def blow_directions(seen: Float[np.ndarray, "T n 2"], scene: Play) -> Float[np.ndarray, "T n n 2 2"]:
    """Return for each pair the sum of u u' over the unit vectors u along which a blow may have fallen.

    It is zero where neither touched anything. Pressing counts as striking does: a third body or a wall that is leant
    against holds the two as a bond would.

    Args:
        seen: where the balls were seen, m.
        scene: their sizes and the fence.
    """
    count = seen.shape[1]
    apart = seen[:, None, :] - seen[:, :, None]  # [T, n, n, 2] from the first to the second
    distance = np.linalg.norm(apart, axis=-1)
    itself = np.eye(count, dtype=bool)
    gap = np.where(itself, np.inf, distance - scene.radius_m[:, None] - scene.radius_m)
    line = apart / np.where(itself, 1.0, distance)[..., None]
    along = line[..., :, None] * line[..., None, :]
    near = _near(gap, np.linalg.norm(_travel(apart), axis=-1))
    walls = scene.inner_m - np.abs(seen) - scene.radius_m[:, None]  # [T, n, 2] gap to the nearer wall of each axis
    bumped = _near(walls, np.abs(_travel(seen)))[..., None] * np.eye(2)
    touched = near[..., None, None] * along
    of_one = touched.sum(axis=2) + bumped
    blows = of_one[:, :, None] + of_one[:, None] - touched  # what the two do to each other is done once
    later = blows.copy()
    for back in range(1, FRAMES):
        later[back:] += blows[:-back]
    return later


def _travel(place: np.ndarray) -> np.ndarray:
    """Return how far each went in this frame or in the one before, the farther of the two."""
    step = np.diff(place, axis=0, prepend=place[:1])
    before = np.concatenate([step[:1], step[:-1]])
    return np.where(np.abs(before) > np.abs(step), before, step)


def _near(gap: np.ndarray, travel: np.ndarray) -> Bool[np.ndarray, "*shape"]:
    """Return where a gap may have closed within a frame."""
    return np.asarray(gap < MARGIN_M + travel)
