"""What the graph benchmark compares with: three simple rules, and the filter that is told what it should find out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from worldsim.evaluation.bench_graph_data import FRAME_S, Scenes
from worldsim.evaluation.bench_graph_scoring import LAWS, SETTINGS, run
from worldsim.graph.joint import ClassStrengths
from worldsim.types import ObjectStates

ROUNDING_M = 1e-6
"""Noise that the oracle is told for data without any."""


def baselines(scenes: Scenes, frames: int) -> dict[str, float]:
    """Return the edge accuracy of each simple rule after `frames` frames."""
    views = {
        "proximity": _proximity(scenes, frames),
        "acceleration correlation": _acceleration_correlation(scenes, frames),
        "pair-by-pair least squares": _pairwise_least_squares(scenes, frames),
    }
    return {name: _accuracy(scenes, view) for name, view in views.items()}


def oracle(scenes: Scenes, frames: Sequence[int], noise: float) -> dict[int, float]:
    """Return the accuracy, after each number of frames, of the joint filter that is told true strength and noise."""
    scale = torch.tensor(
        [float(torch.as_tensor(v).double().mean()) for v in scenes.strength.values()], dtype=torch.float64
    )
    signed = [LAWS[name].signed for name in scenes.edges]
    states = 3 if any(signed) else 2
    counts = torch.tensor([[1.0, 0.5, 0.5] if s else [1.0, 1.0, 0.0][:states] for s in signed], dtype=torch.float64)
    told = ClassStrengths.broad(len(scenes), scale, counts)
    mean = scale.expand(len(scenes), -1)
    tight = (0.01 * mean).square()
    told = replace(told, mean=mean, variance=tight, deviation_variance=tight, prior_mean=mean, prior_variance=tight)
    settings = replace(SETTINGS, noise_bank_m=(noise,), run_lengths=1)
    scores = run(scenes, frames, settings=settings, strengths=told)
    return {k: float(score.correct.double().mean()) for k, score in scores.items()}


def _accuracy(scenes: Scenes, views: dict[str, Float[Tensor, "S n n"]]) -> float:
    """Return the share of pairs of which all layers are right; views hold signed evidence, > 0 for an edge.

    Where both signs and no edge occur, the half of a scene's pairs with the larger evidence are taken as edges.
    """
    upper = torch.triu_indices(scenes.size, scenes.size, 1)
    right = torch.ones(len(scenes), upper.shape[1], dtype=torch.bool)
    for name, truth in scenes.edges.items():
        signed = bool((truth < 0).any())
        view, there = views[name][:, upper[0], upper[1]], truth[:, upper[0], upper[1]]
        said = view.sign().long() if signed else (view > 0).long()
        if signed and bool((there == 0).any()):
            said = torch.where(view.abs() > view.abs().median(-1, keepdim=True).values, said, 0)
        right &= said == there
    return float(right.double().mean())


def _centred(value: Float[Tensor, "S n n"]) -> Float[Tensor, "S n n"]:
    """Return the values less their median over the pairs of each scene: the upper half are edges."""
    size = value.shape[-1]
    upper = torch.triu_indices(size, size, 1)
    return value - value[:, upper[0], upper[1]].median(-1).values[:, None, None]


def _proximity(scenes: Scenes, frames: int) -> dict[str, Float[Tensor, "S n n"]]:
    """Take the nearer half of the pairs as edges (of charges: as attracting)."""
    place = scenes.position[:, :frames].double()
    distance = (place[:, :, :, None] - place[:, :, None]).norm(dim=-1).mean(1)
    nearness = _centred(-distance)
    return {
        name: -nearness if name == "charge" and bool((edge < 0).any()) else nearness
        for name, edge in scenes.edges.items()
    }


def _accelerations(scenes: Scenes, frames: int) -> Float[Tensor, "S T n D"]:
    return scenes.velocity[:, :frames].double().diff(dim=1) / FRAME_S


def _acceleration_correlation(scenes: Scenes, frames: int) -> dict[str, Float[Tensor, "S n n"]]:
    """Take pairs whose accelerations point at each other more than most as edges."""
    push = _accelerations(scenes, frames)
    place = scenes.position[:, :frames].double()
    middle = 0.5 * (place[:, 1:] + place[:, :-1])
    line = middle[:, :, None] - middle[:, :, :, None]
    line = line / line.norm(dim=-1, keepdim=True).clamp_min(1e-9)
    towards = (push[:, :, :, None] * line).sum(-1)
    towards = towards + towards.transpose(-1, -2)
    size = push.norm(dim=-1).square().sum(1).sqrt()
    pull = towards.sum(1) / (size[:, :, None] + size[:, None]).clamp_min(1e-12)
    return {
        name: -pull if name == "charge" and bool((edge < 0).any()) else _centred(pull) * (-1 if name == "charge" else 1)
        for name, edge in scenes.edges.items()
    }


def _pairwise_least_squares(scenes: Scenes, frames: int) -> dict[str, Float[Tensor, "S n n"]]:
    """Fit the strength of each pair as if no other existed; an edge is what exceeds half the true strength."""
    push = _accelerations(scenes, frames)
    place = scenes.position[:, :frames].double()
    found = {}
    for name, edge in scenes.edges.items():
        column = 0.5 * (_feature(name, place[:, 1:]) + _feature(name, place[:, :-1]))
        up = (column * push[:, :, :, None]).sum((1, -1))
        down = column.square().sum((1, -1))
        weight = (up + up.transpose(-1, -2)) / (down + down.transpose(-1, -2)).clamp_min(1e-12)
        half = 0.0 if bool((edge < 0).any()) else 0.5 * torch.as_tensor(scenes.strength[name])
        found[name] = weight - half
    return found


def _feature(name: str, place: Float[Tensor, "S T n D"]) -> Float[Tensor, "S T n n D"]:
    """Return the force on the first body of each pair for a strength of 1."""
    size, dimension = place.shape[-2:]
    source = place[:, :, :, None].expand(-1, -1, -1, size, -1).reshape(-1, dimension)
    target = place[:, :, None].expand(-1, -1, size, -1, -1).reshape(-1, dimension)
    pad = torch.zeros(len(source), 3 - dimension, dtype=place.dtype)
    extent = torch.zeros(len(source), 3, dtype=place.dtype)
    first, second = (ObjectStates.at_rest(torch.cat([p, pad], -1), extent) for p in (source, target))
    force = LAWS[name]().features(first, second)[:, :dimension, 0]
    return force.reshape(*place.shape[:2], size, size, dimension)
