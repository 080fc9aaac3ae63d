"""Scenes of bodies held by a force that no library knows, and what a graph makes of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from worldsim.contracts.radial_basis import POWERS
from worldsim.graph.joint import ForceLaw, JointGraphFilter, JointSettings
from worldsim.graph.joint.opening import pair_laws
from worldsim.graph.opened_cards import SceneSeen, known_strengths, opened_cards
from worldsim.graph.unexplained import NONE, Explained, explain
from worldsim.interactions.radial import RadialPower
from worldsim.types import InteractionCard

LAW = (2.0, -1.0, 0.0, 0.0)
"""Pulls beyond half a metre, pushes within: a spring with a rest length, which `Spring` has not."""

SIZE, FRAME_S, STEPS, NOISE = 4, 0.1, 20, 1e-3
SETTINGS = JointSettings(substep_s=FRAME_S / STEPS, noise_bank_m=(2.5e-4, 1e-3, 4e-3), run_lengths=1)
FIRST, SECOND = torch.triu_indices(SIZE, SIZE, 1)


def play(seed: int, frames: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return places and velocities [T, n, 2] as a sensor of 1 mm and 1 mm/s sees them, and which pairs [P] are held."""
    generator = torch.Generator().manual_seed(seed)
    held = torch.rand(len(FIRST), generator=generator) < 0.5
    held[0] = True
    acts = torch.zeros(SIZE, SIZE, dtype=torch.float64)
    acts[FIRST, SECOND] = held.double()
    acts = acts + acts.T
    place = torch.randn(SIZE, 2, generator=generator, dtype=torch.float64)
    speed = 0.4 * torch.randn(SIZE, 2, generator=generator, dtype=torch.float64)
    states = [torch.stack([place, speed])]
    for _ in range(frames - 1):
        for _ in range(STEPS):
            apart = place[None] - place[:, None]
            distance = apart.norm(dim=-1) + torch.eye(SIZE)
            force = torch.stack([c * distance**power for c, power in zip(LAW, POWERS, strict=True)]).sum(0)
            speed = speed + FRAME_S / STEPS * ((acts * force / distance)[..., None] * apart).sum(1)
            place = place + FRAME_S / STEPS * speed
        states.append(torch.stack([place, speed]))
    seen = torch.stack(states, 1)
    seen = seen + NOISE * torch.randn(seen.shape, generator=generator, dtype=torch.float64)
    return seen[0], seen[1], held


@dataclass(frozen=True)
class Reading:
    """What is made of a scene after some frames."""

    found: Explained
    cards: list[InteractionCard]
    held: Tensor

    @property
    def right(self) -> bool:
        """Whether each pair is told rightly, by kinds of the library or by one that was opened."""
        return bool(((self.found.law != NONE) == self.held).all()) and len(self.found.opened.pairs) <= 1


def readings(seed: int, frames: int, library: Sequence[ForceLaw]) -> Iterator[Reading]:
    """Yield what is made of a scene after each frame from the second on."""
    places, speeds, held = play(seed, frames)
    graph = JointGraphFilter([RadialPower(power) for power in POWERS], settings=SETTINGS)
    for frame, (place, speed) in enumerate(zip(places, speeds, strict=True)):
        graph.assimilate(place, speed, FRAME_S)
        if frame:
            precision, information = (part[0] for part in graph.scene_likelihood())
            distance = (places[: frame + 1, FIRST] - places[: frame + 1, SECOND]).norm(dim=-1).flatten()
            distance = torch.quantile(distance, torch.linspace(0.02, 0.98, 49, dtype=torch.float64))
            found = explain(*pair_laws(precision, information, len(POWERS)), library, distance)
            classes = ["worker", "crate", "crate", "crate"]
            seen = SceneSeen(FIRST, SECOND, classes, distance, precision, information, frame + 1, f"scene {seed}")
            yield Reading(found, opened_cards(found, library, seen, 20.0), held)


def frames_until_right(seed: int, library: Sequence[ForceLaw], most: int) -> int:
    """Return after how many frames all pairs of a scene are told rightly, and stay so."""
    wrong = [frames for frames, one in enumerate(readings(seed, most, library), start=2) if not one.right]
    return max(wrong, default=1) + 1


def frames_until_known(seed: int, kinds: Sequence[ForceLaw], most: int) -> int:
    """Return after how many frames a graph that has `kinds` holds all pairs rightly for tied or not, and stays so."""
    places, speeds, held = play(seed, most)
    graph = JointGraphFilter(kinds, settings=SETTINGS, strengths=known_strengths(kinds, 1, places))
    wrong = 1
    for frame, (place, speed) in enumerate(zip(places, speeds, strict=True)):
        found = graph.observe(place, speed, FRAME_S)
        slot = (graph.slots.neighbour[FIRST] == SECOND[:, None]).int().argmax(-1)
        if frame and not bool(((found.probability[FIRST, slot].amax(-1) > 0.5) == held).all()):
            wrong = frame + 1
    return wrong + 1
