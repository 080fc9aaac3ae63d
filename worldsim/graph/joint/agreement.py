"""From the evidence of single nodes to one posterior an edge: two ways for the ends of an edge to agree.

Small scenes (up to `joint_slots` coefficients in all): the likelihoods of all nodes are added into one Gaussian over
the scene's pairs, and the states of all pairs are enumerated together. Exact but for the beam.

Large scenes: each node enumerates its own incoming edges and tells the other ends what it found (`messages`), twice:
more sweeps run round the loops of the graph and grow overconfident.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from worldsim.graph.joint.alike import CommonMean, StrengthMixture
from worldsim.graph.joint.messages import Messages, combined, deliver, extrinsic, sweep, with_messages
from worldsim.graph.joint.slots import Pairs, Slots
from worldsim.graph.joint.states import Sites, SlotMarginals, enumerate_states
from worldsim.graph.joint.strengths import ClassStrengths, learn

Evidence = tuple[Float[Tensor, "N d d"], Float[Tensor, "N d"]]

EXCHANGES = 2
"""Sweeps of messages between the nodes of a large scene."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """One likelihood a slot, equal at both ends, its prior, and what it taught about the classes.

    Attributes:
        prior: of the states of each slot.
        likelihood: of the states of each slot, the other slots integrated out.
        strengths: of the classes.
        log_evidence: [G] of each scene; None where the nodes agreed by messages.
        mixture: of the strengths of a scene taken together; None where the nodes agreed by messages.
    """

    prior: Sites
    likelihood: Messages
    strengths: ClassStrengths
    log_evidence: Float[Tensor, " G"] | None = None
    mixture: StrengthMixture | None = None

    @property
    def log_likelihood(self) -> Float[Tensor, "N d S"]:
        """Return the log likelihood of each state, its strength integrated out."""
        told = with_messages(replace(self.prior, log_weight=torch.zeros_like(self.prior.log_weight)), self.likelihood)
        return told.log_weight

    def with_tilt(self, tilt: Float[Tensor, "N d S"]) -> SlotMarginals:
        """Return the posterior of each slot with `tilt` added to the log prior of its states."""
        prior = replace(self.prior, log_weight=self.prior.log_weight + tilt)
        found = combined(prior, self.likelihood, Messages.silent(self.prior.mean))
        if self.mixture is None:
            return found
        mean, variance = self.mixture.moments()
        return replace(found, mean=mean, variance=variance, mixture=self.mixture)


def pooled(evidence: Evidence, pairs: Pairs, group: Int[Tensor, " N"], kinds: int) -> Evidence:
    """Add the nodes' likelihoods into one a group, over its pairs: [G, P kinds, P kinds] and [G, P kinds]."""
    groups, width = pairs.used.shape
    size = width * kinds
    column = pairs.columns(kinds)
    information = evidence[1].new_zeros(groups * size)
    information.index_add_(0, (group[:, None] * size + column).flatten(), evidence[1].flatten())
    precision = evidence[0].new_zeros(groups * size * size)
    place = (group[:, None, None] * size + column[:, :, None]) * size + column[:, None, :]
    precision.index_add_(0, place.flatten(), evidence[0].flatten())
    return precision.view(groups, size, size), information.view(groups, size)


@dataclass(frozen=True, slots=True)
class Task:
    """What both ways need.

    Attributes:
        evidence: precision and information of each node's likelihood.
        group: [N] scene of each node.
        kinds: Q.
        beam: combinations kept.
        tilt: [N, d, S] added to the log prior of the states (what is known of the scene as a whole).
    """

    evidence: Evidence
    group: Int[Tensor, " N"]
    kinds: int
    beam: int
    tilt: Float[Tensor, "N d S"]


def agree_by_scene(task: Task, pairs: Pairs, strengths: ClassStrengths, rounds: int) -> Agreement:
    """Enumerate the states of all pairs of each scene together.

    Args:
        task: the evidence.
        pairs: numbering of the pairs.
        strengths: of the classes, before this evidence.
        rounds: of expectation-maximisation on the classes' strengths.
    """
    kinds = task.kinds
    groups = len(pairs.used)
    group, column = task.group, pairs.columns(kinds)
    total = pooled(task.evidence, pairs, group, kinds)
    tilt = pairs.spread(task.tilt, group, 0.0)
    used = pairs.used.to(total[1].dtype)
    narrow = max(task.beam // 4, 2)
    best, evidence = strengths, total[1].new_full((groups,), -torch.inf)
    for start in strengths.starts():  # a few guesses of the order of magnitude, the best by evidence
        found = start
        for _ in range(rounds):
            found, marginals, _, _ = _scene_round(total, tilt, used, found, kinds, narrow)
        best = found.where(marginals.log_evidence > evidence, best)
        evidence = torch.maximum(marginals.log_evidence, evidence)
    common = CommonMean(best.mean, best.prior_mean, best.prior_variance)
    learned, marginals, prior, told = _scene_round(total, tilt, used, best, kinds, task.beam, common)
    assert marginals.mixture is not None
    place = (group[:, None], column)
    likelihood = Messages(told.log_weight[place], told.precision[place], told.information[place])
    sites = Sites(prior.log_weight[place], prior.mean[place], prior.variance[place])
    return Agreement(sites, likelihood, learned, marginals.log_evidence, marginals.mixture.at(place))


def _scene_round(
    total: Evidence,
    tilt: Tensor,
    used: Tensor,
    strengths: ClassStrengths,
    kinds: int,
    beam: int,
    common: CommonMean | None = None,
) -> tuple[ClassStrengths, SlotMarginals, Sites, Messages]:
    """Enumerate once and learn from it; return also the prior that was used and what the evidence says."""
    groups, width = used.shape
    scene = torch.arange(groups, device=used.device)
    prior = strengths.sites(scene, width)
    sites = replace(prior, log_weight=prior.log_weight + tilt)
    marginals = enumerate_states(total[0], total[1], sites, beam, common)
    told = extrinsic(sites, marginals)
    shape = (groups, width, kinds, sites.mean.shape[-1])
    share = marginals.log_weight.exp().view(shape)
    learned = learn(strengths, scene, share, (told.precision.view(shape), told.information.view(shape)), used)
    return learned, marginals, prior, told


def agree_by_messages(task: Task, slots: Slots, strengths: ClassStrengths) -> Agreement:
    """Enumerate at each node, and let the two ends of each edge tell each other.

    Args:
        task: the evidence.
        slots: the candidate pairs.
        strengths: of the classes, before this evidence.
    """
    kinds = task.kinds
    width = slots.neighbour.shape[1]
    ends = slots.ends(kinds)
    prior = strengths.sites(task.group, width)
    incoming = Messages.silent(prior.mean)
    for _ in range(EXCHANGES):
        tilted = replace(prior, log_weight=prior.log_weight + task.tilt)
        _, incoming = sweep(task.evidence, tilted, incoming, ends, task.beam)
        own = deliver(incoming, *ends)
        edge = combined(tilted, incoming, own)
        shape = (len(task.group), width, kinds, edge.mean.shape[-1])
        strengths = learn(
            strengths,
            task.group,
            edge.log_weight.exp().view(shape),
            ((incoming.precision + own.precision).view(shape), (incoming.information + own.information).view(shape)),
            slots.pair_weight,
        )
        before, prior = prior, strengths.sites(task.group, width)
    both = Messages(
        incoming.log_weight + own.log_weight, incoming.precision + own.precision, incoming.information + own.information
    )
    return Agreement(before, both, strengths)
