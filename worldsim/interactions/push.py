"""Push: the source drives the target before it."""

from __future__ import annotations

from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from worldsim.contracts.interaction import EdgePrior, Interaction, PairFrame
from worldsim.interactions.contact import face_gap

_FIT_M = 0.015
"""How near two faces are that push, beside what the belief does not know."""
_LOOSE_M = 0.15
_SPEED_M_S = 0.05
"""How exactly what is pushed keeps pace with what pushes it."""
_FREE_M_S = 0.4
"""How fast a thing may be that nobody pushes."""
_EVIDENCE_LIMIT_NATS = 2.0


class Push(Interaction):
    """The two touch, the source moves towards the target, and the target keeps pace along the line between them.

    Where the source stands or draws back, touching is no push, and the frame tells against one.
    """

    kind: ClassVar[str] = "push"
    reach_m: ClassVar[float] = 0.1
    prior: ClassVar[EdgePrior] = EdgePrior(log_odds=-4.0, appear_per_s=0.1, vanish_per_s=0.5)
    directed: ClassVar[bool] = True

    def log_evidence(self, frame: PairFrame) -> Float[Tensor, " E"]:
        """Compare "touched and driven" with "near and on its own"."""
        source, target = frame.source, frame.target
        variance = frame.source_std_m**2 + frame.target_std_m**2
        gap = face_gap(source, target).clamp_min(0.0)
        close, loose = variance + _FIT_M**2, variance + _LOOSE_M**2
        touches = 0.5 * (torch.log(loose / close) - gap**2 * (1.0 / close - 1.0 / loose))
        apart = target.position - source.position
        along = apart / apart.norm(dim=-1, keepdim=True).clamp_min(1e-9)
        drive = (source.linear_velocity * along).sum(-1)
        lag = (target.linear_velocity * along).sum(-1) - drive
        noise = variance / frame.dt_s**2 * 0.1 + _SPEED_M_S**2  # beliefs of velocity are smoother than differences
        free = noise + _FREE_M_S**2
        paced = 0.5 * (torch.log(free / noise) - lag**2 * (1.0 / noise - 1.0 / free))
        drives = drive > noise.sqrt()
        nats = torch.where(drives, touches + paced, torch.full_like(touches, -_EVIDENCE_LIMIT_NATS))
        return nats.clamp(-_EVIDENCE_LIMIT_NATS, _EVIDENCE_LIMIT_NATS)
