"""What kinds of steering share: one agent minds another, which feels nothing of it."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from worldsim.contracts import PairFrame
from worldsim.interactions.force import EVIDENCE_LIMIT_NATS, ForceKind


class SteeringKind(ForceKind):
    """The source's own acceleration is linear in one unknown coefficient; the target's is not touched.

    `log_evidence` is read from the source alone, pair by pair, as that of `ForceKind` is from both.

    Class attributes:
        restlessness_m_s2: standard deviation of what an agent's acceleration may be for reasons of its own.
    """

    directed: ClassVar[bool] = True
    restlessness_m_s2: ClassVar[float] = 0.6

    def log_evidence(self, frame: PairFrame) -> Float[Tensor, " E"]:
        """Return the Bayes factor of the source's acceleration, the coefficient integrated out.

        With one column c and a coefficient w ~ N(0, s^2), the acceleration is N(0, r^2 I + s^2 c c'): its density over
        that of N(0, r^2 I) depends on the component along c alone (the matrix determinant lemma).
        """
        change = frame.source.linear_velocity - frame.source_before.linear_velocity
        acceleration = (change / frame.dt_s).double()
        now = self.features(frame.source, frame.target)[:, :3, 0]
        before = self.features(frame.source_before, frame.target_before)[:, :3, 0]
        column = 0.5 * (now + before).double()
        rest = self.restlessness_m_s2**2
        ratio = self.strength_scale**2 * column.square().sum(-1) / rest
        along = (column * acceleration).sum(-1).square() / column.square().sum(-1).clamp_min(1e-12)
        gain = 0.5 * (along / rest * ratio / (1.0 + ratio) - torch.log1p(ratio))
        # one frame's acceleration is a difference of two beliefs of velocity, each as wrong as the last
        std = math.sqrt(2.0) * torch.maximum(frame.source_std_m, frame.target_std_m).double() / frame.dt_s**2
        trust = rest / (rest + std.square())
        return (trust * gain).clamp(-EVIDENCE_LIMIT_NATS, EVIDENCE_LIMIT_NATS).to(frame.source.position.dtype)
