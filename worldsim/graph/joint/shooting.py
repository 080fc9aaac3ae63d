"""Paths of a frame by simulating what is believed, bent so that they end where the bodies were seen.

A polynomial cannot follow a close encounter between two frames; the forces that are believed can. What they leave over
at the end of the frame is a smooth remainder, and is bridged by a cubic. Where nothing is believed, this is the cubic
Hermite path itself; where the belief is right, it is the true path.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from worldsim.graph.joint.paths import Frame, Rule, hermite_paths, unit_forces
from worldsim.graph.joint.settings import ForceLaw
from worldsim.graph.joint.slots import Slots

MOST_STEPS = 200
"""Engine steps a frame that are followed one by one; a finer engine is taken for continuous time."""

SHORTER = 0.999
"""A belief is followed where it leaves less than this share of what no belief leaves to bridge."""

CONTINUOUS_STEPS = 32
"""Steps a frame in continuous time."""


@dataclass(frozen=True, slots=True)
class Shot:
    """Paths of one frame.

    Attributes:
        path: positions and velocities [G, N, D] at the nodes of `rule`.
        rule: how accelerations along the paths add up.
        followed: [N] whether the belief shortened what is left to bridge; the others keep the cubic path.
        bridge: [N] size of what was bridged, m; 0 where the belief was not followed.
    """

    path: tuple[Float[Tensor, "G N D"], Float[Tensor, "G N D"]]
    rule: Rule
    followed: Bool[Tensor, " N"]
    bridge: Float[Tensor, " N"]


def engine_rule(dt_s: float, substep_s: float, like: Tensor) -> Rule:
    """Return the sums that a semi-implicit engine makes, or those of the leapfrog in continuous time."""
    count = round(dt_s / substep_s) if substep_s > 0.0 else 0
    if 0 < count <= MOST_STEPS:
        step = dt_s / count
        k = torch.arange(count, dtype=like.dtype, device=like.device)
        return Rule(k / count, torch.ones_like(k) / count, step * step * (count - k), step * torch.ones_like(k))
    count = CONTINUOUS_STEPS
    step = dt_s / count
    k = torch.arange(count + 1, dtype=like.dtype, device=like.device)
    share = torch.ones_like(k)
    share[0] = share[-1] = 0.5
    position = step * step * torch.cat([share[:1] * count, count - k[1:]])
    return Rule(k / count, share / count, position, step * share)


def shoot(
    laws: Sequence[ForceLaw],
    slots: Slots,
    inverse_mass: Float[Tensor, " N"],
    frame: Frame,
    believed: Float[Tensor, "N d"],
) -> Shot:
    """Simulate the frame under the believed coefficients and bridge what is left over at its end."""
    rule = engine_rule(frame.dt_s, frame.substep_s, frame.position_before)
    nodes = rule.nodes[:, None, None]
    semi_implicit = len(rule.nodes) <= MOST_STEPS and float(rule.nodes[-1]) < 1.0
    place, speed, end, end_speed = _simulate(laws, slots, inverse_mass, frame, believed, rule, semi_implicit)
    h = frame.dt_s
    miss, miss_speed = frame.position_after - end, (frame.velocity_after - end_speed) * h
    second, third = 3.0 * miss - miss_speed, miss_speed - 2.0 * miss
    place = place + second * nodes**2 + third * nodes**3
    speed = speed + (2.0 * second * nodes + 3.0 * third * nodes**2) / h
    plain = hermite_paths(frame, nodes=rule.nodes)
    left = torch.maximum(second.norm(dim=-1), (second + 3.0 * third).norm(dim=-1))
    free = frame.position_before + h * frame.velocity_before
    fall, fall_speed = frame.position_after - free, (frame.velocity_after - frame.velocity_before) * h
    whole = torch.maximum((3.0 * fall - fall_speed).norm(dim=-1), (2.0 * fall_speed - 3.0 * fall).norm(dim=-1))
    # a belief of no force leaves the whole, to within rounding: that must not decide
    followed = (left < SHORTER * whole) & torch.isfinite(place).all(-1).all(0)
    chosen = followed[None, :, None]
    path = (torch.where(chosen, place, plain[0]), torch.where(chosen, speed, plain[1]))
    bridge = torch.where(followed, torch.maximum(second.norm(dim=-1), third.norm(dim=-1)), torch.zeros_like(left))
    return Shot(path, rule, followed, bridge)


def _simulate(
    laws: Sequence[ForceLaw],
    slots: Slots,
    inverse_mass: Tensor,
    frame: Frame,
    believed: Tensor,
    rule: Rule,
    semi_implicit: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return positions and velocities at the nodes, and those at the end of the frame."""
    weight = believed.view(*slots.neighbour.shape, -1) * (inverse_mass[:, None] * slots.used)[..., None]

    def push(place: Tensor, speed: Tensor) -> Tensor:
        force = unit_forces(laws, place[None], speed[None], slots.neighbour)[0]
        return torch.einsum("nkdq,nkq->nd", force, weight)

    count = len(rule.nodes) if semi_implicit else len(rule.nodes) - 1
    step = frame.dt_s / count
    place, speed = frame.position_before, frame.velocity_before
    places, speeds = [], []
    for _ in range(count):  # engine steps of one frame, all bodies of all scenes at once
        places.append(place)
        speeds.append(speed)
        kick = push(place, speed)
        if semi_implicit:
            speed = speed + step * kick
            place, speed = _reflected(place + step * speed, speed, frame.arena_half_m)
        else:
            half = speed + 0.5 * step * kick
            place, half = _reflected(place + step * half, half, frame.arena_half_m)
            speed = half + 0.5 * step * push(place, half)
    if not semi_implicit:
        places.append(place)
        speeds.append(speed)
    return torch.stack(places), torch.stack(speeds), place, speed


def _reflected(place: Tensor, speed: Tensor, half_m: float | None) -> tuple[Tensor, Tensor]:
    if half_m is None:
        return place, speed
    out = place.abs() > half_m
    side = torch.sign(place)
    return torch.where(out, 2.0 * half_m * side - place, place), torch.where(out, -side * speed.abs(), speed)
