"""Balls that meet in sampled futures: in every sample each gives way by its own mass, as the law of impact says."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from worldsim.dynamics.sphere_impacts import Spheres, meet
from worldsim.filtering.density import retract
from worldsim.types.belief import TANGENT_DIM
from worldsim.types.states import ObjectStates


@dataclass(frozen=True, slots=True)
class Balls:
    """B round bodies in S samples.

    Attributes:
        row: [S, B] of the states, where each is.
        radius_m, mass_kg, restitution, friction: [S, B].
    """

    row: Int[Tensor, "S B"]
    radius_m: Float[Tensor, "S B"]
    mass_kg: Float[Tensor, "S B"]
    restitution: Float[Tensor, "S B"]
    friction: Float[Tensor, "S B"]


def struck(before: ObjectStates, after: ObjectStates, balls: Balls, dt_s: float) -> ObjectStates:
    """Return where all rows end a step, given where they would have ended it had no ball met another.

    A ball meets at most one other in a step, the one that it may meet first by where the samples are on average.

    Args:
        before: R rows at the start of the step; after: the same at its end.
        balls: which of them are balls.
        dt_s: length of the step, s.
    """
    start, end = before.position[balls.row], after.position[balls.row]  # [S, B, 3]
    near = _in_reach(start, end, balls)
    if not near:
        return after
    spin = after.angular_velocity[balls.row]
    gain = after.position.new_zeros(len(after.position), TANGENT_DIM)
    free = torch.ones_like(balls.radius_m, dtype=torch.bool)
    for a, b in near:
        first, second = (
            Spheres(
                start[:, i], end[:, i], spin[:, i], balls.radius_m[:, i], balls.mass_kg[:, i], balls.restitution[:, i],
                balls.friction[:, i],
            )
            for i in (a, b)
        )  # fmt: skip
        meets, gain_a, gain_b = meet(first, second, dt_s)
        counts: Bool[Tensor, " S"] = meets & free[:, a] & free[:, b]
        gain[balls.row[:, a]] += gain_a * counts[:, None]
        gain[balls.row[:, b]] += gain_b * counts[:, None]
        free[:, a] &= ~counts
        free[:, b] &= ~counts
    none = after.position.new_zeros(len(gain), 0)
    moved, _ = retract(after, none, gain)
    return moved


def _in_reach(start: Float[Tensor, "S B 3"], end: Float[Tensor, "S B 3"], balls: Balls) -> list[tuple[int, int]]:
    """Return the pairs that may meet in any of the samples, those with the least gap on average first."""
    first, second = torch.triu_indices(start.shape[1], start.shape[1], offset=1, device=start.device)
    apart = (start[:, first] - start[:, second]).norm(dim=-1) - balls.radius_m[:, first] - balls.radius_m[:, second]
    closes = ((end - start)[:, first] - (end - start)[:, second]).norm(dim=-1)
    near = torch.nonzero((apart <= closes).any(dim=0)).reshape(-1)
    order = near[torch.argsort(apart.mean(dim=0)[near], stable=True)]
    return list(zip(first[order].tolist(), second[order].tolist(), strict=True))
