"""Support: the source carries the target's weight, on its top or on its floor."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from worldsim.contracts.interaction import EdgePrior, Interaction, PairFrame
from worldsim.interactions.hollow import FLOOR_M, FLOOR_SPREAD_M, height_over_underside

_FIT_M = 0.012  # how exactly a thing stands on another, beside what the belief does not know
_LOOSE_M = 0.25  # where its bottom may be if it stands on something else
_FALL_M_S = 0.15
_LEARNED_S = 0.1  # a new thing's velocity comes from its first few looks
_EVIDENCE_LIMIT_NATS = 3.0  # frames are not independent: the same error repeats; but one good look decides


class Support(Interaction):
    """The target's bottom stays on the source's top, above it, and neither rises nor falls against it."""

    kind = "support"
    reach_m = 0.1
    # vanishes faster than it appears: a pair that went out of reach unseen is not believed to hold
    prior = EdgePrior(log_odds=-1.5, appear_per_s=0.3, vanish_per_s=0.5)
    directed = True
    reads_motion = False
    carries = True
    reads_rooms = True

    def log_evidence(self, frame: PairFrame) -> Float[Tensor, " E"]:
        """Compare the vertical gap with that of a thing that stands, and with that of one that does not.

        What lies in the source stands on its floor, if at all; what a wall parts from it, not on it.
        """
        gap = (frame.target.position[:, 2] - 0.5 * frame.target.extent_m[:, 2]) - (
            frame.source.position[:, 2] + 0.5 * frame.source.extent_m[:, 2]
        )
        variance = frame.source_std_m**2 + frame.target_std_m**2
        close = variance + _FIT_M**2
        if frame.nested is not None:
            inside = frame.nested > 0
            gap = torch.where(inside, height_over_underside(frame.source, frame.target) - FLOOR_M, gap)
            close = torch.where(inside, close + FLOOR_SPREAD_M**2, close)
        loose = variance + _LOOSE_M**2
        fits = 0.5 * (torch.log(loose / close) - gap**2 * (1.0 / close - 1.0 / loose))
        fall = frame.target.linear_velocity[:, 2] - frame.source.linear_velocity[:, 2]
        # of a thing seen for the first time, a fall is no better known than the places between which it is seen
        falls = 0.5 * fall**2 / (_FALL_M_S**2 + variance / _LEARNED_S**2)
        apart = (frame.target.position[:, :2] - frame.source.position[:, :2]).norm(dim=-1)
        # the carried centre must be over the carrier: half its diagonal is the loosest bound that needs no angles
        over = apart < 0.5 * frame.source.extent_m[:, :2].norm(dim=-1)
        if frame.walled is not None:
            over = over & ~frame.walled
        nats = torch.where(over, fits - falls, torch.full_like(fits, -_EVIDENCE_LIMIT_NATS))
        return nats.clamp(-_EVIDENCE_LIMIT_NATS, _EVIDENCE_LIMIT_NATS)
