"""The law-unknown part of the graph benchmark: kinds opened from one scene, and used in the next."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from worldsim.contracts.radial_basis import POWERS
from worldsim.evaluation.bench_graph_data import Scenes
from worldsim.evaluation.bench_graph_scoring import SETTINGS, feed, new_filter
from worldsim.graph.joint import ClassStrengths
from worldsim.graph.joint.opening import OpenedKinds, open_kinds, pair_laws, refitted
from worldsim.interactions.radial import LearnedRadial, RadialPower

OPENING = replace(SETTINGS, noise_bank_m=tuple(s for s in SETTINGS.noise_bank_m if s > 0.0), run_lengths=1)
"""Four collinear columns a pair are read with a noise floor, or rounding errors would be taken for laws."""


@dataclass(frozen=True, slots=True)
class Discovery:
    """What was learned from single scenes, one entry a scene.

    Attributes:
        opened: kinds of each scene.
        right_number: [S] whether as many kinds were opened as laws act in the scene.
        law_error: [S] largest relative error of a recovered law over the distances its pairs were seen at.
    """

    opened: tuple[OpenedKinds, ...]
    right_number: np.ndarray
    law_error: np.ndarray


def discover(scenes: Scenes, frames: int) -> Discovery:
    """Open the kinds of each scene on its own, law unknown."""
    graph = new_filter(scenes, settings=OPENING, laws=[RadialPower(power) for power in POWERS])
    feed(graph, scenes, 0, frames)
    precision, information = graph.scene_likelihood()
    upper = torch.triu_indices(scenes.size, scenes.size, 1)
    name, edge = next(iter(scenes.edges.items()))
    truth = edge[:, upper[0], upper[1]]
    opened, right, errors = [], [], []
    for scene in range(len(scenes)):
        kinds = open_kinds(*pair_laws(precision[scene], information[scene], len(POWERS)))
        kinds = refitted(kinds, precision[scene], information[scene])
        opened.append(kinds)
        laws = set(truth[scene].tolist()) - {0}
        right.append(len(kinds.pairs) == len(laws))
        place = scenes.position[scene, :frames].double()
        distance = (place[:, upper[0]] - place[:, upper[1]]).norm(dim=-1)
        errors.append(_law_error(kinds, truth[scene], distance, name, float(torch.as_tensor(scenes.strength[name]))))
    return Discovery(tuple(opened), np.array(right), np.array(errors))


def _law_error(kinds: OpenedKinds, truth: Tensor, distance: Tensor, name: str, strength: float) -> float:
    """Return the largest root-mean-square error of a law over that of the truth, weighted by where it was seen."""
    worst = 0.0
    for kind, law in enumerate(kinds.coefficients):
        members = kinds.assignment == kind
        seen = distance[:, members].flatten().clamp_min(0.2)
        sign = float(truth[members].double().mean().sign())
        true = strength * (seen if name == "spring" else -sign * seen**-2)
        error = torch.stack([seen**power for power in POWERS], -1) @ law - true
        worst = max(worst, float((error.square().mean() / true.square().mean()).sqrt()))
    return worst


def second_encounter(scenes: Scenes, found: Discovery, frames: int) -> np.ndarray:
    """Return the accuracy on scene i+1, with the kinds that scene i opened, after `frames` frames, [S-1]."""
    right = []
    for scene in range(len(scenes) - 1):
        kinds = found.opened[scene]
        following = _only(scenes, scene + 1)
        if len(kinds.pairs) == 0:
            right.append(float((next(iter(following.edges.values())) == 0).double().mean()))
            continue
        laws = [LearnedRadial(tuple(law.tolist()), f"opened_{z}") for z, law in enumerate(kinds.coefficients)]
        graph = new_filter(following, laws=laws, strengths=_learned(kinds.pairs))
        feed(graph, following, 0, frames)
        present = graph.posterior().probability.amax(-1)
        right.append(_share_right(following, present, graph.slots.neighbour))
    return np.array(right)


def _only(scenes: Scenes, index: int) -> Scenes:
    part = slice(index, index + 1)
    edges = {name: edge[part] for name, edge in scenes.edges.items()}
    return replace(scenes, position=scenes.position[part], velocity=scenes.velocity[part], edges=edges)


def _learned(pairs: Tensor) -> ClassStrengths:
    """Return strengths of laws whose size is part of them: 1, give or take what one scene leaves open."""
    kinds = len(pairs)
    one = torch.ones(1, kinds, dtype=torch.float64)
    counts = torch.tensor([[1.0, 1.0]], dtype=torch.float64).expand(kinds, 2)
    start = ClassStrengths.broad(1, one[0], counts)
    tight = 0.02**2 * one
    return replace(start, mean=one, variance=tight, deviation_variance=tight, prior_mean=one, prior_variance=tight)


def _share_right(scenes: Scenes, present: Tensor, neighbour: Tensor) -> float:
    truth = next(iter(scenes.edges.values()))[0]
    node = torch.arange(len(neighbour))[:, None].expand_as(neighbour)
    return float(((present > 0.5) == (truth[node, neighbour] != 0)).double().mean())
