"""The two ends of a symmetric edge share one state and one strength: messages between the nodes of a graph.

Node i's evidence is one factor over its incoming edges, and an edge is a variable that two factors share. Each
sweep tells each end what the other end alone knows of the edge: for every state a log weight and a Gaussian factor
of the strength. The edge's own prior therefore enters once, and so does each direction's evidence: loopy belief
propagation on the factor graph (Kschischang et al. 2001; the Gaussian part as in expectation propagation, Minka
2001), exact on trees.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from worldsim.graph.joint.states import Sites, SlotMarginals, enumerate_states

LARGEST_MESSAGE_NATS = 60.0
"""Messages are cut off here: what is beyond doubt for one end may still be outvoted by nobody."""


@dataclass(frozen=True, slots=True)
class Messages:
    """What the other end says of each slot: ``exp(log_weight - precision w^2 / 2 + information w)``, per state."""

    log_weight: Float[Tensor, "N d S"]
    precision: Float[Tensor, "N d S"]
    information: Float[Tensor, "N d S"]

    @classmethod
    def silent(cls, like: Float[Tensor, "N d S"]) -> Messages:
        """Return messages that say nothing."""
        zero = torch.zeros_like(like)
        return cls(zero, zero, zero)


def with_messages(prior: Sites, messages: Messages) -> Sites:
    """Return the prior of each state times the message about it."""
    variance = 1.0 / (1.0 / prior.variance + messages.precision)
    mean = variance * (prior.mean / prior.variance + messages.information)
    log_weight = (
        prior.log_weight
        + messages.log_weight
        + 0.5 * (mean.square() / variance - prior.mean.square() / prior.variance + (variance / prior.variance).log())
    )
    return Sites(log_weight, mean, variance)


def extrinsic(sites: Sites, marginals: SlotMarginals) -> Messages:
    """Return what a node itself learned of each of its slots: its posterior divided by what it was told."""
    gained = (1.0 / marginals.variance - 1.0 / sites.variance).clamp_min(0.0)
    precision = 1.0 / sites.variance + gained
    wanted = marginals.mean * precision
    information = torch.where(gained > 0.0, wanted - sites.mean / sites.variance, torch.zeros_like(wanted))
    mean = (sites.mean / sites.variance + information) / precision
    told = marginals.log_weight - torch.where(
        sites.log_weight.isfinite(), sites.log_weight, torch.zeros_like(sites.log_weight)
    )
    told = (told - told.amax(-1, keepdim=True)).clamp_min(-LARGEST_MESSAGE_NATS)
    log_weight = (
        told
        + 0.5 * (precision * sites.variance).log()
        - 0.5 * (mean.square() * precision - sites.mean.square() / sites.variance)
    )
    return Messages(log_weight, gained, information)


def deliver(messages: Messages, reverse: Int[Tensor, "N d"], known: Bool[Tensor, "N d"]) -> Messages:
    """Return each slot's message from the other end of its edge; silence where the other end has no such slot."""

    def take(part: Tensor) -> Tensor:
        flat = part.flatten(0, 1).index_select(0, reverse.flatten()).reshape(part.shape)
        return torch.where(known[..., None], flat, torch.zeros_like(flat))

    return Messages(take(messages.log_weight), take(messages.precision), take(messages.information))


def damp(new: Messages, old: Messages, share: float) -> Messages:
    """Return ``share`` of `old` mixed into `new`."""
    return Messages(
        torch.lerp(new.log_weight, old.log_weight, share),
        torch.lerp(new.precision, old.precision, share),
        torch.lerp(new.information, old.information, share),
    )


def sweep(
    evidence: tuple[Float[Tensor, "N d d"], Float[Tensor, "N d"]],
    prior: Sites,
    incoming: Messages,
    ends: tuple[Int[Tensor, "N d"], Bool[Tensor, "N d"]],
    beam: int,
) -> tuple[SlotMarginals, Messages]:
    """Enumerate at every node under what the other ends said last; return marginals and the new incoming messages.

    Args:
        evidence: precision and information of each node's likelihood.
        prior: of the states, without messages.
        incoming: of the last sweep.
        ends: index of each slot's other end, flattened over (N, d), and where there is one.
        beam: combinations kept a node.
    """
    sites = with_messages(prior, incoming)
    marginals = enumerate_states(evidence[0], evidence[1], sites, beam)
    return marginals, deliver(extrinsic(sites, marginals), *ends)


def combined(prior: Sites, forth: Messages, back: Messages) -> SlotMarginals:
    """Return each edge's posterior from its prior and both ends' messages: the same, whichever end is asked."""
    both = Messages(
        forth.log_weight + back.log_weight, forth.precision + back.precision, forth.information + back.information
    )
    sites = with_messages(prior, both)
    total = torch.logsumexp(sites.log_weight, dim=-1, keepdim=True)
    return SlotMarginals(sites.log_weight - total, sites.mean, sites.variance, total[..., 0].sum(-1))
