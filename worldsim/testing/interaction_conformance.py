"""Proves that a kind of interaction keeps its contract.

A plug-in's test::

    def test_my_interaction_conforms():
        check_interaction(MyInteraction())
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from worldsim.contracts.interaction import Interaction, PairFrame
from worldsim.dynamics import quaternion
from worldsim.errors import PluginError
from worldsim.types.states import ObjectStates

PROBABILITY_TOLERANCE = 1e-5
"""Largest change of a probability when nothing that matters changes, in float32."""

_PAIRS = 24
_LONGEST_M = 2.0  # edge of a random box
_STATES = ("source", "target", "source_before", "target_before")


def check_interaction(interaction: Interaction, *, seed: int = 0, dt_s: float = 0.05) -> None:
    """Ask `interaction` about random pairs and check everything that the graph relies on.

    Checked: name, reach and prior make sense; the evidence has one finite number a pair, also where bodies coincide;
    it does not depend on the order of the pairs nor on other pairs, nor on where the world is or which way it faces
    (a turn about the vertical changes no probability by more than 1e-5), nor, for an undirected kind, on which end
    is called the source; inputs are not changed and the same input gives the same output; pairs out of reach and at
    rest are no evidence for an edge; features are finite wrenches.

    Raises:
        PluginError: the contract is broken; the message says where.
    """
    _check_attributes(interaction)
    generator = torch.Generator().manual_seed(seed)
    frame = random_pairs(generator, dt_s)
    copies = [getattr(frame, name).position.clone() for name in _STATES]
    evidence = _evidence(interaction, frame)
    same = all(torch.equal(getattr(frame, n).position, c) for n, c in zip(_STATES, copies, strict=True))
    _require(interaction, same, "log_evidence changes its input")
    _require(interaction, torch.equal(_evidence(interaction, frame), evidence), "log_evidence is no function of it")
    order = torch.randperm(_PAIRS, generator=generator)
    half = order[: _PAIRS // 2]
    for rows, what in ((order, "the order of the pairs"), (half, "which other pairs there are")):
        _check_same(interaction, evidence[rows], _evidence(interaction, _selected(frame, rows)), what)
    _check_same(interaction, evidence, _evidence(interaction, _turned(frame, 1.234)), "which way the world faces")
    _check_same(interaction, evidence, _evidence(interaction, _moved(frame)), "where the world is")
    if not interaction.directed:
        swapped = _evidence(interaction, _swapped(frame))
        _check_same(interaction, evidence, swapped, "which end is the source, though it is undirected")
    _evidence(interaction, _coinciding(frame))
    far = _evidence(interaction, _far_and_still(frame, interaction.reach_m))
    _require(interaction, bool((far <= 1e-6).all()), "log_evidence favours an edge out of reach between things at rest")
    wrench = interaction.features(frame.source, frame.target)
    _require(
        interaction, wrench.shape[:2] == (_PAIRS, 6), f"features has shape {tuple(wrench.shape)}, expected (E, 6, Q)"
    )
    _require(interaction, bool(torch.isfinite(wrench).all()), "features are not finite")


def random_pairs(generator: torch.Generator, dt_s: float = 0.05, *, dtype: torch.dtype = torch.float32) -> PairFrame:
    """Return a frame of random pairs of boxes, near each other and in motion."""

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64).to(dtype)

    def states() -> ObjectStates:
        orientation = normal(_PAIRS, 4)
        extent = 0.1 + (_LONGEST_M - 0.1) * torch.rand(_PAIRS, 3, generator=generator, dtype=torch.float64).to(dtype)
        orientation = orientation / orientation.norm(dim=-1, keepdim=True)
        return ObjectStates(normal(_PAIRS, 3), orientation, normal(_PAIRS, 3), normal(_PAIRS, 3), extent)

    before = states(), states()
    source, target = (_advanced(each, dt_s) for each in before)
    std = 0.002 + 0.02 * torch.rand(_PAIRS, 2, generator=generator, dtype=torch.float64).to(dtype)
    command = torch.randint(-1, 2, (_PAIRS,), generator=generator).to(dtype)
    carried, touching = torch.randint(0, 2, (2, _PAIRS), generator=generator).bool()
    return PairFrame(source, target, *before, std[:, 0], std[:, 1], dt_s, command, carried, carried | touching)


def _check_attributes(interaction: Interaction) -> None:
    prior = interaction.prior
    _require(interaction, bool(interaction.kind.strip()), "kind is empty")
    _require(interaction, 0.0 < interaction.reach_m < math.inf, f"reach_m is {interaction.reach_m}, expected > 0")
    _require(
        interaction, math.isfinite(prior.log_odds), f"prior.log_odds is {prior.log_odds}, expected a finite number"
    )
    for name in ("appear_per_s", "vanish_per_s"):
        hazard = getattr(prior, name)
        _require(interaction, 0.0 <= hazard < math.inf, f"prior.{name} is {hazard}, expected a finite number >= 0")


def _evidence(interaction: Interaction, frame: PairFrame) -> Float[Tensor, " E"]:
    found = interaction.log_evidence(frame)
    count = len(frame.source)
    _require(interaction, found.shape == (count,), f"log_evidence has shape {tuple(found.shape)}, expected ({count},)")
    _require(interaction, bool(torch.isfinite(found).all()), "log_evidence is not finite")
    return found.double()


def _check_same(interaction: Interaction, before: Tensor, after: Tensor, what: str) -> None:
    prior = interaction.prior.log_odds
    change = float((torch.sigmoid(before + prior) - torch.sigmoid(after + prior)).abs().max())
    words = f"a probability depends on {what} (by {change:.2g}, allowed {PROBABILITY_TOLERANCE:g})"
    _require(interaction, change <= PROBABILITY_TOLERANCE, words)


def _advanced(states: ObjectStates, dt_s: float) -> ObjectStates:
    turned = quaternion.integrate(states.orientation_xyzw, states.angular_velocity, dt_s)
    return replace(states, position=states.position + dt_s * states.linear_velocity, orientation_xyzw=turned)


def _with_states(frame: PairFrame, change: Callable[[ObjectStates], ObjectStates]) -> PairFrame:
    return replace(
        frame,
        source=change(frame.source),
        target=change(frame.target),
        source_before=change(frame.source_before),
        target_before=change(frame.target_before),
    )


def _selected(frame: PairFrame, rows: Int[Tensor, " n"]) -> PairFrame:
    parts: dict[str, Any] = {f.name: getattr(frame, f.name) for f in fields(frame)}
    chosen: dict[str, Any] = {
        name: part.select(rows) if isinstance(part, ObjectStates) else part[rows] if isinstance(part, Tensor) else part
        for name, part in parts.items()
    }
    return PairFrame(**chosen)


def _turned(frame: PairFrame, angle_rad: float) -> PairFrame:
    like = frame.source.position
    turn = like.new_tensor([0.0, 0.0, math.sin(angle_rad / 2.0), math.cos(angle_rad / 2.0)]).expand(_PAIRS, 4)

    def about_the_vertical(states: ObjectStates) -> ObjectStates:
        return ObjectStates(
            quaternion.rotate(turn, states.position),
            quaternion.multiply(turn, states.orientation_xyzw),
            quaternion.rotate(turn, states.linear_velocity),
            quaternion.rotate(turn, states.angular_velocity),
            states.extent_m,
        )

    return _with_states(frame, about_the_vertical)


def _moved(frame: PairFrame) -> PairFrame:
    # by powers of two, so that float32 loses little of the places
    shift = frame.source.position.new_tensor([4.0, -2.0, 1.0])
    return _with_states(frame, lambda states: replace(states, position=states.position + shift))


def _swapped(frame: PairFrame) -> PairFrame:
    return PairFrame(
        frame.target, frame.source, frame.target_before, frame.source_before, frame.target_std_m, frame.source_std_m,
        frame.dt_s, frame.attach_command, frame.carried, frame.touching,
        None if frame.nested is None else -frame.nested, frame.walled,
    )  # fmt: skip


def _coinciding(frame: PairFrame) -> PairFrame:
    return replace(frame, target=frame.source, target_before=frame.source_before)


def _far_and_still(frame: PairFrame, reach_m: float) -> PairFrame:
    zero = torch.zeros_like(frame.source.position)
    away = zero.clone()
    away[:, 0] = reach_m + 2.0 * _LONGEST_M  # beyond both boxes' diagonals and the reach

    def at(states: ObjectStates, place: Tensor) -> ObjectStates:
        return replace(states, position=place, linear_velocity=zero, angular_velocity=zero)

    source, target = at(frame.source, zero), at(frame.target, away)
    return PairFrame(
        source, target, source, target, frame.source_std_m, frame.target_std_m, frame.dt_s,
        torch.zeros_like(frame.attach_command),
    )  # fmt: skip


def _require(interaction: Interaction, holds: bool | Bool[Tensor, ""], what: str) -> None:
    if not holds:
        raise PluginError(f"{type(interaction).__name__} (interaction {interaction.kind!r}): {what}.")
