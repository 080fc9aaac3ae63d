"""Contact: two hulls touch."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from worldsim.contracts.interaction import EdgePrior, Interaction, PairFrame
from worldsim.dynamics import quaternion
from worldsim.types.states import ObjectStates

_FIT_M = 0.012
_LOOSE_M = 0.15
_EVIDENCE_LIMIT_NATS = 1.5


class Contact(Interaction):
    """The gap between two boxes is nothing. It flickers, so its hazards are high."""

    kind = "contact"
    reach_m = 0.1
    prior = EdgePrior(log_odds=-2.0, appear_per_s=1.0, vanish_per_s=1.0)
    directed = False
    reads_motion = False
    touches = True

    def log_evidence(self, frame: PairFrame) -> Float[Tensor, " E"]:
        """Compare the gap with that of touching hulls, and with that of near ones."""
        gap = face_gap(frame.source, frame.target).clamp_min(0.0)  # an overlap is measurement error, or touch
        variance = frame.source_std_m**2 + frame.target_std_m**2
        close, loose = variance + _FIT_M**2, variance + _LOOSE_M**2
        nats = 0.5 * (torch.log(loose / close) - gap**2 * (1.0 / close - 1.0 / loose))
        return nats.clamp(-_EVIDENCE_LIMIT_NATS, _EVIDENCE_LIMIT_NATS)


def face_gap(a: ObjectStates, b: ObjectStates) -> Float[Tensor, " E"]:
    """Return the largest separation of two boxes over their six face normals, m (negative where they overlap)."""
    axes_a, axes_b = quaternion.to_matrix(a.orientation_xyzw), quaternion.to_matrix(b.orientation_xyzw)
    normals = torch.cat([axes_a, axes_b], dim=-1)  # [E, 3, 6]
    centre = ((b.position - a.position).unsqueeze(1) @ normals).abs().squeeze(1)
    half_a = ((axes_a.mT @ normals).abs() * (0.5 * a.extent_m).unsqueeze(-1)).sum(1)
    half_b = ((axes_b.mT @ normals).abs() * (0.5 * b.extent_m).unsqueeze(-1)).sum(1)
    return (centre - half_a - half_b).amax(-1)
