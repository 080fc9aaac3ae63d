"""Plays `ForceLab` at 60 Hz and keeps where the balls were, what they weigh, and which pairs were tied."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from worldsim.contracts.scenario import Scenario
from worldsim.evaluation.bench_graph_data import Scenes
from worldsim.plugins import load_plugin
from worldsim.simulation.bullet import BulletPhysics

RATE_HZ = 60
STEP_S = 1.0 / 240.0
BODIES = 6
LAUNCH_FRAMES = 6
"""The balls are launched in these, before anything is seen."""
MARGIN_M = 0.003
"""Of the distance below which two may have touched, beside what they travel in a frame."""


@dataclass(frozen=True, slots=True)
class Play:
    """One scene of n balls over T frames.

    Attributes:
        position: [T, n, 2] true places on the table, m.
        mass_kg: [n]; radius_m: [n].
        strength: [n, n] of the force of each pair, N/m or N m^2, 0 where there is none.
        inner_m: [2] half edges of the room within the fence.
        welded: [T, n, n] which pairs were welded in each frame.
    """

    position: Float[np.ndarray, "T n 2"]
    mass_kg: Float[np.ndarray, " n"]
    radius_m: Float[np.ndarray, " n"]
    strength: Float[np.ndarray, "n n"]
    inner_m: Float[np.ndarray, " two"]
    welded: Bool[np.ndarray, "T n n"]


def play(kinds: tuple[str, ...], seed: int, frames: int, *, switching: bool = False) -> Play:
    """Return a scene of balls tied by forces of these kinds; with `switching`, half are broken and as many made."""
    made = load_plugin("worldsim.scenarios", "ForceLab", Scenario)  # type: ignore[type-abstract]
    physics = BulletPhysics(frame_s=1.0 / RATE_HZ)
    try:
        physics.reset(made(bodies=BODIES, kinds=kinds, switching=switching), seed)  # type: ignore[call-arg]
        specs = {spec.name: spec for spec in physics.specs}
        balls = [name for name in specs if name.startswith("ball_")]
        tied = physics.truth().forces
        for _ in range(LAUNCH_FRAMES):
            physics.step_unseen()
        places, welded = [], []
        for frame in range(frames):
            if frame and switching:
                physics.step(None)  # the truth tells of frames that were seen
            elif frame:
                physics.step_unseen()
            places.append([physics.state(name)[0][:2] for name in balls])
            welded.append(_welded(physics.truth().attachments, balls))
    finally:
        physics.close()
    strength = np.zeros((len(balls), len(balls)))
    for first, second, _, value in tied:
        i, j = balls.index(first), balls.index(second)
        strength[i, j] = strength[j, i] = value
    walls = [spec for name, spec in specs.items() if name.startswith("fence_")]
    inner = [min(abs(w.position[axis]) - w.extent_m[axis] / 2.0 for w in walls if w.position[axis]) for axis in (0, 1)]
    return Play(
        np.array(places),
        np.array([specs[name].mass_kg for name in balls]),
        np.array([specs[name].extent_m[0] / 2.0 for name in balls]),
        strength,
        np.array(inner),
        np.array(welded),
    )


def _welded(pairs: Iterable[tuple[str, str]], balls: list[str]) -> Bool[np.ndarray, "n n"]:
    found = np.zeros((len(balls), len(balls)), dtype=bool)
    for first, second in pairs:
        i, j = balls.index(first), balls.index(second)
        found[i, j] = found[j, i] = True
    return found


@dataclass(frozen=True, slots=True)
class SeenPairs:
    """S scenes as a sensor saw them.

    Attributes:
        scenes: places and their differences, frame by frame, with the true edges.
        struck: [S, T, n] which balls may have touched something since the frame before, by what was seen.
        inverse_mass: [S n] 1/kg, from the cards of the balls.
    """

    scenes: Scenes
    struck: Bool[Tensor, "S T n"]
    inverse_mass: Float[Tensor, " N"]

    @classmethod
    def of(cls, plays: list[Play], layer: str, noise_m: float, rng: np.random.Generator) -> SeenPairs:
        """Return the plays with white noise on every place; velocities are differences of what was seen."""
        true = np.stack([each.position for each in plays])
        seen = true + noise_m * rng.standard_normal(true.shape)
        speed = np.diff(seen, axis=1, prepend=seen[:, :1]) * RATE_HZ
        strength = torch.from_numpy(np.stack([each.strength for each in plays]))
        edges = torch.sign(strength).long()
        name = f"{layer}s in PyBullet at 60 Hz, noise {1e3 * noise_m:g} mm"
        scenes = Scenes(name, torch.from_numpy(seen), torch.from_numpy(speed), {layer: edges}, {layer: strength.abs()})
        touched = np.stack([struck_frames(s, v, each) for s, v, each in zip(seen, speed, plays, strict=True)])
        inverse = np.concatenate([1.0 / each.mass_kg for each in plays])
        return cls(scenes, torch.from_numpy(touched), torch.from_numpy(inverse))


def struck_frames(
    seen: Float[np.ndarray, "T n 2"], speed: Float[np.ndarray, "T n 2"], scene: Play
) -> Bool[np.ndarray, "T n"]:
    """Return who was near enough to something at either end of a frame to have touched it within."""
    near, near_wall = _near(seen, speed, scene)
    return _lately(near.any(-1) | near_wall, 2)


def _near(seen: np.ndarray, speed: np.ndarray, scene: Play) -> tuple[np.ndarray, np.ndarray]:
    """Return where the gaps between balls and to the fence may have closed within a frame."""
    apart = np.linalg.norm(seen[:, :, None] - seen[:, None], axis=-1) - scene.radius_m[:, None] - scene.radius_m
    apart[:, np.arange(seen.shape[1]), np.arange(seen.shape[1])] = np.inf
    travel = np.linalg.norm(speed, axis=-1) / RATE_HZ
    wall = (scene.inner_m - np.abs(seen)).min(-1) - scene.radius_m
    return apart < MARGIN_M + travel[:, :, None] + travel[:, None], wall < MARGIN_M + travel


def _lately(happened: np.ndarray, frames: int) -> np.ndarray:
    """Return where something happened in one of the last frames."""
    found = happened.copy()
    for back in range(1, frames):
        found[back:] |= happened[:-back]
    return found
