"""Two bodies that circle each other within a frame: their centre is known, which way they face only near its ends.

Where nobody knows how they turned between two observations, a path drawn through the observations gives their forces on
others a direction that they only had at those moments. A regression on so wrong a column finds no force at all (errors
in variables attenuate) and takes the pair for neutral. So the column is the expectation: from each end their distance
goes on as it moved there and is forgotten within the time in which they turn; in between both act from their centre.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from worldsim.graph.joint.paths import Frame, Integrals
from worldsim.graph.joint.slots import Slots

LOST_SHARE = 0.03
"""A path that is off by more than this share of the distance to the nearest body tells nothing of where that one acts
from: the error of a regression's column takes about its square from the strength that is found."""

CORRELATION = 5.0
"""Variance of the mean over a time T of what is forgotten as exp(-t^2 / 2 m^2), over its variance: sqrt(2 pi) m / T,
doubled since orbits of two that fall past each other are less regular than that."""


@dataclass(frozen=True, slots=True)
class BoundPairs:
    """Which bodies were lost together with a near one, and what is known of them.

    Attributes:
        partner: [N] index of the other, the body itself where there is none.
        bound: [N] whether there is one.
        inner: [N, d] the coefficients of its force.
        apart: [2, N, D] half the way from the other to the body at both ends of the frame, m.
        drift: [2, N, D] its rate, m/s.
        memory_s: [2, N] how long the two keep facing as they do.
        dt_s: length of the frame.
    """

    partner: Int[Tensor, " N"]
    bound: Bool[Tensor, " N"]
    inner: Bool[Tensor, "N d"]
    apart: Float[Tensor, "two N D"]
    drift: Float[Tensor, "two N D"]
    memory_s: Float[Tensor, "two N"]
    dt_s: float

    @classmethod
    def of(
        cls,
        slots: Slots,
        frame: Frame,
        unsure: Float[Tensor, " N"],
        forces: Integrals,
        square: Float[Tensor, "N d"],
    ) -> BoundPairs:
        """Pair the bodies that could not be followed, each with its nearest neighbour if that one agrees.

        Args:
            slots: the candidate pairs.
            frame: the two observations.
            unsure: [N] how far off each path may be, squared, m^2.
            forces: along the paths as they seem.
            square: [N, d] expected squares of the coefficients.
        """
        own = torch.arange(len(unsure), device=unsure.device)
        place = torch.stack([frame.position_before, frame.position_after])
        speed = torch.stack([frame.velocity_before, frame.velocity_after])
        squares = (place[:, slots.neighbour] - place[:, :, None]).square().sum(-1).amin(0)
        closest, slot = torch.where(slots.used, squares, squares.new_tensor(torch.inf)).min(-1, keepdim=True)
        nearest = slots.neighbour.gather(1, slot)[:, 0]
        lost = unsure > LOST_SHARE**2 * closest[:, 0]
        bound = lost & lost[nearest] & (nearest != own) & (nearest[nearest] == own)
        partner = torch.where(bound, nearest, own)
        inner = (slots.neighbour == partner[:, None]) & bound[:, None]
        inner = inner.repeat_interleave(square.shape[1] // inner.shape[1], dim=1)
        apart, drift = (0.5 * (value - value[:, partner]) for value in (place, speed))
        pull = (forces.end_forces.square().sum(2) * (square * inner)).sum(-1).sqrt()
        # they turn by about 1 rad in 1 / sqrt(u^2 / r^2 + a / r), or fall towards each other
        distance = apart.norm(dim=-1).clamp_min(1e-9)
        rate = (drift.norm(dim=-1) / distance).square() + pull / distance
        return cls(partner, bound, inner, apart, drift, rate.clamp_min(1e-12).rsqrt(), frame.dt_s)

    @property
    def variance(self) -> Float[Tensor, " N"]:
        """Return how far off the mean over the frame of each body's place may be, squared, m^2 (0 where not bound)."""
        turns = (CORRELATION * self.memory_s.mean(0) / self.dt_s).clamp_max(1.0)
        return self.apart.square().sum(-1).amax(0) * turns * self.bound

    def expected(
        self, path: tuple[Float[Tensor, "G N D"], Float[Tensor, "G N D"]], nodes: Float[Tensor, " G"]
    ) -> tuple[Tensor, Tensor]:
        """Return the paths with the bodies of each pair where they are expected.

        Args:
            path: positions and velocities as they seem.
            nodes: moments, 0 at the start and 1 at the end of the frame.
        """
        place, speed = (part.lerp(part[:, self.partner], 0.5) for part in path)
        for end, since in enumerate((nodes * self.dt_s, (nodes - 1.0) * self.dt_s)):
            kept = torch.exp(-0.5 * (since[:, None] / self.memory_s[end]).square())[..., None]
            place = place + kept * (self.apart[end] + self.drift[end] * since[:, None, None])
        chosen = self.bound[None, :, None]
        return torch.where(chosen, place, path[0]), torch.where(chosen, speed, path[1])

    def nats(
        self,
        residual: Float[Tensor, "N D"],
        variance: Float[Tensor, " N"],
        least_nats: float,
    ) -> Float[Tensor, "N d"]:
        """Return what the frame says against the absence of each pair's own force, nats (<= 0, at least `least_nats`).

        Were nothing between the two, their velocities would be as they were; held together, they turn with them.

        Args:
            residual: change of each body's velocity that the others do not explain, m/s.
            variance: of the residual in one direction, if nothing is between the two.
            least_nats: what one frame may say.
        """
        dimension = residual.shape[-1]
        square = residual.square().sum(-1)
        wide = variance + self.drift.square().sum((0, 2)) / dimension
        gain = -0.5 * (square / variance - square / wide + dimension * (variance / wide).log())
        return gain.clamp(least_nats, 0.0)[:, None] * self.inner
