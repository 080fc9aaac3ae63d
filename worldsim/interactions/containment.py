"""Containment: the target lies inside the source (a thing in a crate, a parcel in a car)."""

from __future__ import annotations

from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from worldsim.contracts.interaction import EdgePrior, Interaction, PairFrame
from worldsim.dynamics import quaternion

_FIT_M = 0.02
"""How far a content may stick out, or two solids seem to overlap, beside what the belief does not know."""
_EVIDENCE_LIMIT_NATS = 2.5
"""Frames are not independent: the same error repeats."""


class Containment(Interaction):
    """The target's centre is within the source's hull, where no other solid could be.

    Two solids keep at least the target's smallest half edge between its centre and the source's faces; a content's
    centre lies behind all of them, however the container stands and wherever it is carried. So one look tells much,
    and the evidence needs no motion. What is larger than the source, edge for edge, cannot be inside.
    """

    kind: ClassVar[str] = "containment"
    reach_m: ClassVar[float] = 0.1
    prior: ClassVar[EdgePrior] = EdgePrior(log_odds=-3.0, appear_per_s=0.1, vanish_per_s=0.3)
    directed: ClassVar[bool] = True
    reads_motion: ClassVar[bool] = False

    def log_evidence(self, frame: PairFrame) -> Float[Tensor, " E"]:
        """Compare "behind every face" with "outside one of them by at least its own half"."""
        source, target = frame.source, frame.target
        centre = quaternion.rotate_inverse(source.orientation_xyzw, target.position - source.position)
        beyond = (centre.abs() - 0.5 * source.extent_m).amax(-1)  # negative inside
        half = 0.5 * target.extent_m.amin(-1)
        variance = frame.source_std_m**2 + frame.target_std_m**2 + _FIT_M**2
        sticks_out = beyond.clamp_min(0.0).square() / variance
        overlaps = (half - beyond).clamp_min(0.0).square() / variance
        nats = 0.5 * (overlaps - sticks_out)
        fits = (target.extent_m.sort(-1).values < source.extent_m.sort(-1).values).all(-1)
        nats = torch.where(fits, nats, torch.full_like(nats, -_EVIDENCE_LIMIT_NATS))
        return nats.clamp(-_EVIDENCE_LIMIT_NATS, _EVIDENCE_LIMIT_NATS)
