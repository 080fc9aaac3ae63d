"""Attach: the target moves as one body with the source (a weld, a grip)."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from worldsim.contracts.interaction import EdgePrior, Interaction, PairFrame
from worldsim.dynamics import quaternion

_PLAY_M = 0.006  # how far a gripped thing shifts in its grip within a frame
_TOLD_NATS = 1.0  # what the own command to hold says, a frame
_LET_GO_NATS = 2.0
_EVIDENCE_LIMIT_NATS = 2.5
_PULL_M_S = 0.1  # from this speed on, what draws away pulls: slower, a shake of the belief does
_FALL_M_S = 0.2  # the like of a fall


class Attach(Interaction):
    """The target keeps its place in the source's frame while the source moves.

    The alternative is not a fixed broad one but the target's staying where it was: while nothing moves, nothing is
    learned. The own command to hold or to release is evidence too.

    Nor is anything learned where friction moves the target along: what lies on another thing or in it, directly or by
    way of others (two things on one pallet), goes where that goes, bound to it or not. What merely touches is pushed or
    dragged, but never pulled: there only a source that draws away and is followed tells of a bond. And two that fall do
    so alike. Motion against one another always tells against a bond.
    """

    kind = "attach"
    reach_m = 0.4
    prior = EdgePrior(log_odds=-5.0, appear_per_s=0.005, vanish_per_s=0.05)
    directed = True
    reads_links = True

    def log_evidence(self, frame: PairFrame) -> Float[Tensor, " E"]:
        """Compare "moved along" with "stayed", and listen to the command."""
        before = quaternion.rotate(
            quaternion.conjugate(frame.source_before.orientation_xyzw),
            frame.target_before.position - frame.source_before.position,
        )
        carried = frame.source.position + quaternion.rotate(frame.source.orientation_xyzw, before)
        variance = frame.source_std_m**2 + frame.target_std_m**2 + _PLAY_M**2
        along = (frame.target.position - carried).square().sum(-1) / variance
        stayed = (frame.target.position - frame.target_before.position).square().sum(-1) / variance
        told = torch.where(
            frame.attach_command > 0.0,
            _TOLD_NATS * frame.attach_command,
            _LET_GO_NATS * frame.attach_command,
        )
        moved = 0.5 * (stayed - along)
        moved = torch.where(_explained(frame), moved.clamp_max(0.0), moved)
        return (moved + told).clamp(-_EVIDENCE_LIMIT_NATS, _EVIDENCE_LIMIT_NATS)


def _explained(frame: PairFrame) -> Bool[Tensor, " E"]:
    """Return where the target's moving along needs no bond."""
    nobody = torch.zeros_like(frame.source_std_m, dtype=torch.bool)
    carried = nobody if frame.carried is None else frame.carried
    touching = nobody if frame.touching is None else frame.touching
    apart = frame.target.position - frame.source.position
    speed = (frame.source.position - frame.source_before.position) / frame.dt_s
    fallen = frame.target.position[:, 2] - frame.target_before.position[:, 2]
    fall = torch.maximum(fallen / frame.dt_s, speed[:, 2]) < -_FALL_M_S
    # what falls away from under a thing is followed by its fall: that is no pull
    speed = torch.cat([speed[:, :2], speed[:, 2:].clamp_min(0.0)], dim=1)
    away = -(speed * apart).sum(-1) / apart.norm(dim=-1).clamp_min(1e-9)
    return carried | fall | (touching & (away < _PULL_M_S))
