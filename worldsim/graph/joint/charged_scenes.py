"""Small scenes in which the states of all pairs of a kind may follow from one charge a body."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from worldsim.graph.joint.agreement import Agreement
from worldsim.graph.joint.charges import STRUCTURE_PRIOR, charge_posterior, joint_charges
from worldsim.graph.joint.settings import ForceLaw
from worldsim.graph.joint.slots import Slots
from worldsim.graph.joint.states import SlotMarginals

LARGEST_CHARGED_SCENE = 16
"""Scenes of more nodes are not searched for charges (the tree over their labels would outgrow its beam)."""

LARGEST_TILT_NATS = 6.0
"""How far the charges of a scene may speak against a state before its own evidence is weighed again."""


def are_complete(slots: Slots, group: Int[Tensor, " N"]) -> bool:
    """Return whether the scenes are small, equal, in a row, and every pair of them is a candidate."""
    count, width = slots.neighbour.shape
    size = width + 1
    if size > LARGEST_CHARGED_SCENE or count % size or not bool(slots.used.all()):
        return False
    return bool((group == torch.arange(count, device=group.device) // size).all())


def with_joint_charges(
    found: Agreement,
    against: Float[Tensor, "N d S"],
    likelihood: tuple[Float[Tensor, "G P P"], Float[Tensor, "G P"]],
    slots: Slots,
    free_evidence: Float[Tensor, " G"],
) -> tuple[SlotMarginals, Float[Tensor, "N d S"]]:
    """Return what `with_charges` does, from the joint likelihood of scenes in which charges are the only kind.

    Args:
        found: what the pairs say with signs free.
        against: log weights that are added to the likelihood of each state.
        likelihood: of the scenes' pairs.
        slots: of complete scenes of at most `LARGEST_EXACT` nodes.
        free_evidence: log evidence of signs that are free.
    """
    marginals = found.with_tilt(against)
    count, width = slots.neighbour.shape
    size = width + 1
    node = torch.arange(count, device=against.device)[:, None].expand_as(slots.neighbour)
    low, high = torch.minimum(node, slots.neighbour) % size, torch.maximum(node, slots.neighbour) % size
    pair = low * size - low * (low + 1) // 2 + high - low - 1
    place = (node // size, pair)
    violence = against.new_zeros(count // size, size * width // 2)
    violence[place] = against[..., 0]
    strengths = found.strengths
    strength = (strengths.mean[:, 0], strengths.spread()[:, 0])
    states, evidence = joint_charges(likelihood, strength, violence, size)
    odds = evidence - free_evidence + math.log(STRUCTURE_PRIOR / (1.0 - STRUCTURE_PRIOR))
    weight = torch.sigmoid(odds)[place[0]][..., None]
    mixed = (weight * states[place].exp() + (1.0 - weight) * torch.softmax(marginals.log_weight, -1)).clamp_min(1e-30)
    known = mixed.log() - found.log_likelihood - against - found.prior.log_weight
    known = known - known.amax(-1, keepdim=True)
    return replace(marginals, log_weight=mixed.log()), known.clamp_min(-LARGEST_TILT_NATS)


def with_charges(
    found: Agreement, against: Float[Tensor, "N d S"], laws: Sequence[ForceLaw], slots: Slots
) -> tuple[SlotMarginals, Float[Tensor, "N d S"]]:
    """Return the posterior under charges, and what they add to the prior of each state.

    Args:
        found: what the pairs say on their own.
        against: log weights that are added to the likelihood of each state.
        laws: of the kinds; those that are `factored` come from charges.
        slots: of complete scenes.
    """
    marginals = found.with_tilt(against)
    count, width = slots.neighbour.shape
    kinds, size = len(laws), width + 1
    shape = (count, width, kinds, marginals.mean.shape[-1])
    likelihood, log_weight = (found.log_likelihood + against).view(shape), marginals.log_weight.view(shape).clone()
    tilt = torch.zeros_like(log_weight)
    node = torch.arange(count, device=likelihood.device)
    inner = slots.neighbour % size
    for kind, law in enumerate(laws):  # kinds are few
        if not law.factored:
            continue
        dense = likelihood.new_zeros(count, size, shape[-1])
        dense[node[:, None], inner] = likelihood[:, :, kind]
        states = charge_posterior(dense.view(-1, size, size, shape[-1]), found.strengths.rates[:, kind].log()).view(
            count, size, -1
        )
        log_weight[:, :, kind] = states[node[:, None], inner]
        known = log_weight[:, :, kind] - likelihood[:, :, kind] - found.prior.log_weight.view(shape)[:, :, kind]
        known = known - known.amax(-1, keepdim=True)
        tilt[:, :, kind] = known.clamp_min(-LARGEST_TILT_NATS)
    return replace(marginals, log_weight=log_weight.flatten(1, 2)), tilt.flatten(1, 2)
