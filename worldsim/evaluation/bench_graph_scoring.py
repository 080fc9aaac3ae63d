"""Runs the joint graph filter over scenes and scores what it says after k frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from worldsim.evaluation.bench_graph_data import ARENA_HALF_M, FRAME_S, SUBSTEP_S, Scenes
from worldsim.graph.joint import ClassStrengths, EdgePosterior, ForceLaw, JointGraphFilter, JointSettings, grouped_pairs
from worldsim.interactions.charge import Charge
from worldsim.interactions.spring import Spring

LAWS: dict[str, type[Spring] | type[Charge]] = {"spring": Spring, "charge": Charge}
"""The known law family of each layer."""

SETTINGS = JointSettings(substep_s=SUBSTEP_S, arena_half_m=ARENA_HALF_M)
"""The filter's defaults, and how the data were made."""

LEVEL = 0.9
"""Of the intervals of strengths."""


@dataclass(frozen=True, slots=True)
class Score:
    """What a filter said after k frames, one row a scene, one column an unordered pair.

    Attributes:
        correct: [S, P] whether all layers of the pair were right.
        confidence: [S, P, L] probability of the state that was said, of each layer.
        right: [S, P, L] whether it was right.
        strength_inside: [M] of all edges that are there, whether the true strength lies in its interval.
        strength_scene: [M] the scene of each.
        state: [S, n, n, L, Z] probabilities (receiver, sender).
    """

    correct: Bool[Tensor, "S P"]
    confidence: Float[Tensor, "S P L"]
    right: Bool[Tensor, "S P L"]
    strength_inside: Bool[Tensor, " M"]
    strength_scene: Int[Tensor, " M"]
    state: Float[Tensor, "S n n L Z"]

    @property
    def by_scene(self) -> Float[np.ndarray, " S"]:
        """Return the share of right pairs of each scene."""
        return self.correct.double().mean(1).numpy()


def new_filter(
    scenes: Scenes,
    *,
    settings: JointSettings = SETTINGS,
    laws: Sequence[ForceLaw] | None = None,
    strengths: ClassStrengths | None = None,
) -> JointGraphFilter:
    """Return a filter for all scenes at once; scenes share nothing."""
    count, size = len(scenes), scenes.size
    return JointGraphFilter(
        laws or [LAWS[name]() for name in scenes.edges],
        settings=settings,
        slots=grouped_pairs(count, size),
        group=torch.arange(count).repeat_interleave(size),
        strengths=strengths,
    )


def feed(graph: JointGraphFilter, scenes: Scenes, first: int, last: int) -> None:
    """Let the filter see frames `first` to `last` - 1."""
    for frame in range(first, last):
        graph.assimilate(scenes.position[:, frame].flatten(0, 1), scenes.velocity[:, frame].flatten(0, 1), FRAME_S)


def run(
    scenes: Scenes,
    frames: Sequence[int],
    *,
    settings: JointSettings = SETTINGS,
    strengths: ClassStrengths | None = None,
) -> dict[int, Score]:
    """Return the score after each number of frames seen: ``k`` means frames 0 to k-1, which is k-1 intervals."""
    graph = new_filter(scenes, settings=settings, strengths=strengths)
    scores, seen = {}, 0
    for wanted in sorted(set(frames)):
        feed(graph, scenes, seen, wanted)
        seen = wanted
        scores[wanted] = score(scenes, graph.posterior())
    return scores


def score(scenes: Scenes, posterior: EdgePosterior, *, after: bool = False) -> Score:
    """Compare a posterior with the truth (with the edges after the change where `after`)."""
    size, count = scenes.size, len(scenes)
    state = posterior.dense(size, count)
    layers = [scenes.edges_after] if after and scenes.edges_after is not None else list(scenes.edges.values())
    truth = torch.stack([layer % 3 for layer in layers], -1)  # -1 is state 2
    upper = torch.triu_indices(size, size, 1)
    here = state[:, upper[0], upper[1]]
    right = here.argmax(-1) == truth[:, upper[0], upper[1]]
    return Score(right.all(-1), here.amax(-1), right, *_strengths_inside(scenes, posterior, layers), state)


def _strengths_inside(scenes: Scenes, posterior: EdgePosterior, layers: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    size, count = scenes.size, len(scenes)
    neighbour = posterior.slots.neighbour
    receiver = torch.arange(len(neighbour))[:, None].expand_as(neighbour)
    scene, row, column = receiver // size, receiver % size, neighbour % size
    once = row < column
    inside, owners = [], []
    low, high = posterior.strength_interval(LEVEL)
    for index, (name, layer) in enumerate(zip(scenes.edges, layers, strict=True)):
        scale = scenes.strength[name]
        scale = scale if isinstance(scale, Tensor) else torch.full((count, size, size), scale, dtype=torch.float64)
        true = (layer * scale)[scene, row, column]
        there = once & (true != 0.0)
        inside.append(((low[..., index] <= true) & (true <= high[..., index]))[there])
        owners.append(scene[there])
    return torch.cat(inside), torch.cat(owners)
