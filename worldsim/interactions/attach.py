"""Attach: the target moves as one body with the source (a weld, a grip)."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from worldsim.contracts.interaction import EdgePrior, Interaction, PairFrame
from worldsim.dynamics import quaternion

_PLAY_M = 0.006  # how far a gripped thing shifts in its grip within a frame
_TOLD_NATS = 1.0  # what the own command to hold says, a frame
_LET_GO_NATS = 2.0
_EVIDENCE_LIMIT_NATS = 2.5


class Attach(Interaction):
    """The target keeps its place in the source's frame while the source moves.

    The alternative is not a fixed broad one but the target's staying where it was: while nothing moves, nothing is
    learned. The own command to hold or to release is evidence too.
    """

    kind = "attach"
    reach_m = 0.4
    prior = EdgePrior(log_odds=-5.0, appear_per_s=0.005, vanish_per_s=0.05)
    directed = True

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
        return (0.5 * (stayed - along) + told).clamp(-_EVIDENCE_LIMIT_NATS, _EVIDENCE_LIMIT_NATS)
