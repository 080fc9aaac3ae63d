"""Cost and symmetry of the joint graph filter."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from worldsim.evaluation.bench_graph_data import FRAME_S, Scenes
from worldsim.evaluation.bench_graph_scoring import SETTINGS, feed, new_filter
from worldsim.evaluation.statistics import Estimate, bootstrap
from worldsim.graph.joint import JointGraphFilter, JointSettings, nearest
from worldsim.interactions.spring import Spring

NEIGHBOURS = 8
SPACING_M = 1.0
NOISE_M = 1e-3
BEAM = 32
COST_SETTINGS = JointSettings(noise_bank_m=(NOISE_M,), run_lengths=1, beam=BEAM, joint_slots=0)
"""One noise scale and a fixed graph: what is timed is the neighbourhood arithmetic."""


def milliseconds_a_frame(
    count: int, seed: int, *, frames: int = 5, width: int = NEIGHBOURS
) -> Float[np.ndarray, " frames"]:
    """Return the times of neighbour search, evidence and posterior for `count` bodies, ms.

    Args:
        count: bodies, scattered at equal density in the plane.
        seed: of the scene.
        frames: timed frames; two more warm up.
        width: neighbours kept; ``count - 1`` is the dense form of the same mathematics.
    """
    rng = np.random.default_rng(seed)
    side = SPACING_M * math.sqrt(count)
    position = torch.from_numpy(rng.uniform(0.0, side, (count, 2)))
    velocity = torch.from_numpy(rng.normal(0.0, 0.5, (count, 2)))
    graph = JointGraphFilter([Spring()], settings=COST_SETTINGS, slots=nearest(position, width))
    taken = []
    for _ in range(frames + 2):
        started = time.perf_counter()
        nearest(position, width)
        graph.observe(position, velocity, FRAME_S)
        taken.append(1e3 * (time.perf_counter() - started))
        position = position + FRAME_S * velocity
        velocity = velocity + torch.from_numpy(rng.normal(0.0, 0.02, (count, 2)))
    return np.array(taken[2:])


def exponent(taken: Mapping[int, Float[np.ndarray, " frames"]], rng: np.random.Generator) -> Estimate:
    """Return the slope of the log of the median time over log size, its frames resampled."""
    counts = np.log(np.array(list(taken), dtype=np.float64))

    def slope(sample: np.ndarray) -> float:
        return float(np.polyfit(counts, np.log(np.median(sample.reshape(len(counts), -1), axis=1)), 1)[0])

    return bootstrap(list(taken.values()), slope, rng)


def largest_change(scenes: Scenes, frames: tuple[int, ...], seed: int) -> dict[str, float]:
    """Return the largest change of any probability when ids are permuted and when the world is turned.

    The box is left out, since its walls are no part of a turned world; frames are chosen before any wall is met.
    The data are float32 as stored; they are turned in float64, the filter's own precision, and for comparison also
    rounded to float32 after turning, which moves each number by half a unit in its last place.
    """
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(scenes.size, generator=generator)
    angle = float(2.0 * math.pi * torch.rand((), generator=generator))
    turn = torch.tensor([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]], dtype=torch.float64)
    position, velocity = scenes.position.double() @ turn.T, scenes.velocity.double() @ turn.T
    edges = {name: edge[:, order][:, :, order] for name, edge in scenes.edges.items()}
    permuted = replace(
        scenes, position=scenes.position[:, :, order], velocity=scenes.velocity[:, :, order], edges=edges
    )
    turned = replace(scenes, position=position, velocity=velocity)
    rounded = replace(scenes, position=position.float(), velocity=velocity.float())
    plain = _probabilities(scenes, frames)
    changes = {
        "permutation": [
            a[:, order][:, :, order] - b for a, b in zip(plain, _probabilities(permuted, frames), strict=True)
        ],
        "rotation": [a - b for a, b in zip(plain, _probabilities(turned, frames), strict=True)],
        "rotation, rounded to float32": [a - b for a, b in zip(plain, _probabilities(rounded, frames), strict=True)],
    }
    return {name: max(float(part.abs().max()) for part in parts) for name, parts in changes.items()}


def _probabilities(scenes: Scenes, frames: tuple[int, ...]) -> list[Tensor]:
    graph = new_filter(scenes, settings=replace(SETTINGS, arena_half_m=None))
    found, seen = [], 0
    for wanted in frames:
        feed(graph, scenes, seen, wanted)
        seen = wanted
        found.append(graph.posterior().dense(scenes.size, len(scenes)))
    return found
