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
LEAST_FRAMES, MOST_FRAMES, ENOUGH_MS = 5, 25, 5e3
"""Frames that are timed of each size: as many as `ENOUGH_MS` hold, within these bounds."""
DENSE_SIZES = (20, 30, 45, 65, 95, 140, 200, 300)
DENSE_LIMIT_MS = 3e3
"""Beyond the first size of which a frame takes so long, the dense form is given up."""


def milliseconds_a_frame(
    count: int, seed: int, *, least: int = LEAST_FRAMES, warm: int = 2, width: int = NEIGHBOURS
) -> Float[np.ndarray, " frames"]:
    """Return the times of neighbour search, evidence and posterior for `count` bodies, ms.

    Args:
        count: bodies, scattered at equal density in the plane.
        seed: of the scene.
        least: frames that are timed however long they take; warm: frames before them that are not.
        width: neighbours kept; ``count - 1`` is the dense form of the same mathematics.
    """
    rng = np.random.default_rng(seed)
    side = SPACING_M * math.sqrt(count)
    position = torch.from_numpy(rng.uniform(0.0, side, (count, 2)))
    velocity = torch.from_numpy(rng.normal(0.0, 0.5, (count, 2)))
    graph = JointGraphFilter([Spring()], settings=COST_SETTINGS, slots=nearest(position, width))
    taken: list[float] = []
    while len(taken) < warm + least or (len(taken) < warm + MOST_FRAMES and sum(taken[warm:]) < ENOUGH_MS):
        started = time.perf_counter()
        nearest(position, width)
        graph.observe(position, velocity, FRAME_S)
        taken.append(1e3 * (time.perf_counter() - started))
        position = position + FRAME_S * velocity
        velocity = velocity + torch.from_numpy(rng.normal(0.0, 0.02, (count, 2)))
    return np.array(taken[warm:])


def dense_milliseconds_a_frame(seed: int, limit_ms: float = DENSE_LIMIT_MS) -> dict[int, Float[np.ndarray, " frames"]]:
    """Return the times of the dense form by size, up to the first size of which a frame takes longer than `limit_ms`.

    Two sizes at least, for they are to tell how it grows. Every body then has all others for neighbours, so that a
    frame costs about N^4: each of N bodies factors matrices of its N - 1 coefficients.
    """
    times: dict[int, Float[np.ndarray, " frames"]] = {}
    for count in DENSE_SIZES:
        times[count] = milliseconds_a_frame(count, seed, least=2, warm=1, width=count - 1)
        if len(times) > 1 and np.median(times[count]) > limit_ms:
            break
    return times


def exponent(taken: Mapping[int, Float[np.ndarray, " frames"]], rng: np.random.Generator) -> Estimate:
    """Return the slope of the log of the median time over log size, its frames resampled."""
    counts = np.log(np.array(list(taken), dtype=np.float64))
    ends = np.cumsum([len(each) for each in taken.values()])[:-1]

    def slope(sample: np.ndarray) -> float:
        medians = [math.log(np.median(each)) for each in np.split(sample, ends)]
        return float(np.polyfit(counts, medians, 1)[0])

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
