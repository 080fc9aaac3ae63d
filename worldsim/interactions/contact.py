"""Contact: two hulls touch."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from worldsim.contracts.interaction import EdgePrior, Interaction, PairFrame
from worldsim.dynamics import quaternion
from worldsim.interactions.hollow import FLOOR_SPREAD_M, clearance_m
from worldsim.types.states import ObjectStates

_FIT_M = 0.012
_LOOSE_M = 0.15
_SUNK = 0.5  # of the smallest edge of the two: hulls that touch do not overlap so far
_EVIDENCE_LIMIT_NATS = 1.5


class Contact(Interaction):
    """The gap between two boxes is nothing. It flickers, so its hazards are high."""

    kind = "contact"
    reach_m = 0.1
    prior = EdgePrior(log_odds=-2.0, appear_per_s=1.0, vanish_per_s=1.0)
    directed = False
    reads_motion = False
    touches = True
    reads_rooms = True

    def log_evidence(self, frame: PairFrame) -> Float[Tensor, " E"]:
        """Compare the gap with that of touching hulls, and with that of near ones.

        What lies in the other touches its walls or its floor, and what a wall parts does not touch. Where one is sunk
        in the other and is not known to lie in it (under a bench, say), a box tells nothing of where the hull is.
        """
        apart = face_gap(frame.source, frame.target)
        gap = apart.clamp_min(0.0)  # an overlap is measurement error, or touch
        variance = frame.source_std_m**2 + frame.target_std_m**2
        close, loose = variance + _FIT_M**2, variance + _LOOSE_M**2
        smallest = torch.minimum(frame.source.extent_m.amin(-1), frame.target.extent_m.amin(-1))
        sunk = -apart > _SUNK * smallest
        if frame.nested is not None:
            of_target, of_source = clearance_m(frame.source, frame.target), clearance_m(frame.target, frame.source)
            inside = frame.nested != 0
            room = torch.where(frame.nested > 0, of_target, of_source)
            gap, sunk = torch.where(inside, room.clamp_min(0.0), gap), sunk & ~inside
            close = torch.where(inside, close + FLOOR_SPREAD_M**2, close)
        nats = 0.5 * (torch.log(loose / close) - gap**2 * (1.0 / close - 1.0 / loose))
        nats = torch.where(sunk, nats.clamp_max(0.0), nats)
        if frame.walled is not None:
            nats = torch.where(frame.walled, torch.full_like(nats, -_EVIDENCE_LIMIT_NATS), nats)
        return nats.clamp(-_EVIDENCE_LIMIT_NATS, _EVIDENCE_LIMIT_NATS)


def face_gap(a: ObjectStates, b: ObjectStates) -> Float[Tensor, " E"]:
    """Return the largest separation of two boxes over their six face normals, m (negative where they overlap)."""
    axes_a, axes_b = quaternion.to_matrix(a.orientation_xyzw), quaternion.to_matrix(b.orientation_xyzw)
    normals = torch.cat([axes_a, axes_b], dim=-1)  # [E, 3, 6]
    centre = ((b.position - a.position).unsqueeze(1) @ normals).abs().squeeze(1)
    half_a = ((axes_a.mT @ normals).abs() * (0.5 * a.extent_m).unsqueeze(-1)).sum(1)
    half_b = ((axes_b.mT @ normals).abs() * (0.5 * b.extent_m).unsqueeze(-1)).sum(1)
    return (centre - half_a - half_b).amax(-1)
