"""What happens between two observed frames: paths, and the forces integrated along them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from worldsim.graph.joint.settings import ForceLaw

LOBATTO_NODES = (0.0, 0.1726731646460114, 0.5, 0.8273268353539886, 1.0)
LOBATTO_WEIGHTS = (0.05, 0.2722222222222222, 0.3555555555555556, 0.2722222222222222, 0.05)
"""Five-point Gauss-Lobatto rule on [0, 1] (exact to degree 7; Abramowitz & Stegun 1964, table 25.6)."""

QUARTIC = (0.2236067977, -0.5217491947, 0.5962847940, -0.5217491947, 0.2236067977)
"""Unit vector over the nodes that is orthogonal to all cubics: what a quintic path leaves of a force."""

CUBIC_STIFFNESS = 40.0
QUINTIC_STIFFNESS = 80.0
"""A force that differs by a from what the path's polynomial allows bends it by about a h^2 over this number."""

SENSITIVITY_STEP = 1e-3
"""Relative step of the finite differences that measure how a force changes when a path is off."""


@dataclass(frozen=True, slots=True)
class Rule:
    """How accelerations at G moments of a frame add up.

    Attributes:
        nodes: [G] moments, 0 at the start of the frame and 1 at its end.
        weights: [G] of a mean over the frame, they sum to 1.
        position: [G] s^2, of the position's increment beyond free flight; velocity: [G] s, of the velocity's.
    """

    nodes: Float[Tensor, " G"]
    weights: Float[Tensor, " G"]
    position: Float[Tensor, " G"]
    velocity: Float[Tensor, " G"]

    @classmethod
    def lobatto(cls, dt_s: float, substep_s: float, like: Tensor) -> Rule:
        """Return the five-point rule for smooth paths."""
        position, velocity = frame_rules(dt_s, substep_s)
        parts = (LOBATTO_NODES, LOBATTO_WEIGHTS, position, velocity)
        return cls(*(like.new_tensor(part) for part in parts))


@dataclass(frozen=True, slots=True)
class Frame:
    """Two consecutive observations of N bodies in D = 2 or 3 dimensions, float64.

    Attributes:
        position_before, velocity_before, position_after, velocity_after: [N, D], m and m/s.
        dt_s: time between them, s.
        substep_s: step of the engine that made the data (semi-implicit: velocity first), 0 for continuous time.
        arena_half_m: half edge of an elastic box centred on the origin, or None.
        struck: [N] bodies that something else may have hit in between, None for none.
    """

    position_before: Float[Tensor, "N D"]
    velocity_before: Float[Tensor, "N D"]
    position_after: Float[Tensor, "N D"]
    velocity_after: Float[Tensor, "N D"]
    dt_s: float
    substep_s: float = 0.0
    arena_half_m: float | None = None
    struck: Bool[Tensor, " N"] | None = None

    def broken(self) -> Bool[Tensor, "N D"]:
        """Return the axes on which the motion is not smooth: a wall was met, or something hit the body."""
        bounced = self.bounced()
        return bounced if self.struck is None else bounced | self.struck[:, None]

    def bounced(self, slack_m: float = 0.02) -> Bool[Tensor, "N D"]:
        """Return the axes on which a body was reflected by the box: it turned back where free flight overshoots.

        Args:
            slack_m: free flight may end this far inside the wall (the forces bend it).
        """
        turned = self.velocity_before * self.velocity_after < 0.0
        if self.arena_half_m is None:
            return torch.zeros_like(turned)
        ahead = (self.position_before + self.dt_s * self.velocity_before).abs()
        back = (self.position_after - self.dt_s * self.velocity_after).abs()
        return turned & (torch.maximum(ahead, back) > self.arena_half_m - slack_m)


def hermite_paths(
    frame: Frame,
    acceleration: tuple[Float[Tensor, "N D"], Float[Tensor, "N D"]] | None = None,
    nodes: Float[Tensor, " G"] | None = None,
) -> tuple[Float[Tensor, "G N D"], Float[Tensor, "G N D"]]:
    """Return positions and velocities at the quadrature nodes.

    Cubic Hermite through both ends, quintic where accelerations at both ends are given. A reflected body is
    unfolded into the mirror box first and folded back afterwards, so its path stays smooth in between.

    Args:
        frame: the two ends.
        acceleration: at the start and at the end, m/s^2, of the unfolded path.
        nodes: moments in [0, 1], by default those of the Lobatto rule.
    """
    h = frame.dt_s
    bounced = frame.bounced()
    wall = frame.arena_half_m or 0.0
    side = torch.sign(frame.position_before)
    end = torch.where(bounced, 2.0 * wall * side - frame.position_after, frame.position_after)
    end_velocity = torch.where(bounced, -frame.velocity_after, frame.velocity_after)
    s = (end.new_tensor(LOBATTO_NODES) if nodes is None else nodes)[:, None, None]
    c = _coefficients(frame.position_before, frame.velocity_before * h, end, end_velocity * h)
    first, last = acceleration or (2.0 * c[2] / h**2, (2.0 * c[2] + 6.0 * c[3]) / h**2)
    late = 0.5 * frame.substep_s  # a semi-implicit engine reports the velocity of half a step ago
    start_velocity = frame.velocity_before + late * first
    c = _coefficients(frame.position_before, start_velocity * h, end, (end_velocity + late * last) * h)
    if acceleration is not None:
        c = _quintic(c, acceleration[0] * h * h, acceleration[1] * h * h)
    position = torch.zeros_like(s * end)
    velocity = torch.zeros_like(position)
    for power, column in enumerate(c):
        position = position + column * s**power
        if power:
            velocity = velocity + power * column * s ** (power - 1) / h
    outside = bounced & (position.abs() > wall)
    folded = torch.where(outside, 2.0 * wall * side - position, position)
    return folded, torch.where(outside, -velocity, velocity)


def cubic_end_accelerations(frame: Frame) -> tuple[Float[Tensor, "N D"], Float[Tensor, "N D"]]:
    """Return the accelerations of the cubic path at both ends, m/s^2."""
    h = frame.dt_s
    c = _coefficients(frame.position_before, frame.velocity_before * h, frame.position_after, frame.velocity_after * h)
    return 2.0 * c[2] / h**2, (2.0 * c[2] + 6.0 * c[3]) / h**2


def _coefficients(p0: Tensor, v0: Tensor, p1: Tensor, v1: Tensor) -> list[Tensor]:
    return [p0, v0, 3.0 * (p1 - p0) - 2.0 * v0 - v1, 2.0 * (p0 - p1) + v0 + v1]


def _quintic(c: list[Tensor], a0: Tensor, a1: Tensor) -> list[Tensor]:
    """Add the quartic and quintic terms that leave positions and velocities of both ends as they are."""
    e0 = 0.5 * (a0 - 2.0 * c[2])
    e1 = 0.5 * (a1 - 2.0 * c[2] - 6.0 * c[3])
    # s^2 (1-s)^2 (e0 (1-s) + e1 s) has end curvatures 2 e0 and 2 e1 and vanishes in value and slope at the ends
    d = e1 - e0
    return [c[0], c[1], c[2] + e0, c[3] + d - 2.0 * e0, e0 - 2.0 * d, d]


def frame_rules(dt_s: float, substep_s: float) -> tuple[list[float], list[float]]:
    """Return the weights over the nodes that give the position's and the velocity's increments from accelerations.

    An engine that steps semi-implicitly (v first, then p with the new v) sums to the left where nature integrates;
    the difference of the two is exact here for polynomials up to degree 4, so such data leave no spurious residual.
    """
    nodes, weights = np.array(LOBATTO_NODES), np.array(LOBATTO_WEIGHTS)
    velocity, position = weights, weights * (1.0 - nodes)
    if substep_s > 0.0:
        steps = np.arange(max(round(dt_s / substep_s), 1))
        left = steps / len(steps)
        powers = np.arange(len(nodes))[:, None]
        vandermonde = nodes**powers
        sums = (left**powers).mean(1), ((1.0 - left) * left**powers).mean(1)
        velocity = weights + np.linalg.solve(vandermonde, sums[0] - vandermonde @ velocity)
        position = position + np.linalg.solve(vandermonde, sums[1] - vandermonde @ position)
    return (dt_s * dt_s * position).tolist(), (dt_s * velocity).tolist()


@dataclass(frozen=True, slots=True)
class Integrals:
    """Forces integrated over one frame, d = K Q coefficients a node, columns neighbour-major.

    Attributes:
        design: [N, 2D, d] change of (position, velocity) per unit of each coefficient.
        end_forces: [2, N, D, d] acceleration per unit of each coefficient at the start and the end of the frame.
        wobble: [2, N, d] how far each force bends the path from the cubic, and from the quintic whose end
            accelerations are right, m per unit of the coefficient.
        gradient: [N, d] root-mean-square change of the velocity increment per metre of error of the path, 1/s.
    """

    design: Float[Tensor, "N P d"]
    end_forces: Float[Tensor, "two N D d"]
    wobble: Float[Tensor, "two N d"]
    gradient: Float[Tensor, "N d"]


def integrate_forces(
    kinds: Sequence[ForceLaw],
    frame: Frame,
    path: tuple[Float[Tensor, "G N D"], Float[Tensor, "G N D"]],
    neighbours: Int[Tensor, "N K"],
    present: Bool[Tensor, "N K"],
    inverse_mass: Float[Tensor, " N"],
    rule: Rule | None = None,
) -> Integrals:
    """Integrate the features of all kinds along the paths, for all neighbours of all nodes at once.

    Velocity: v1 - v0 = int a dt. Position: p1 - p0 - h v0 = int (h - t) a dt. The rule is `Rule.lobatto` where None.
    """
    position, velocity = path
    smooth = rule is None
    rule = rule or Rule.lobatto(frame.dt_s, frame.substep_s, position)
    force = (
        unit_forces(kinds, position, velocity, neighbours)
        * (inverse_mass[:, None, None] * present[..., None])[None, :, :, None, :]
    )
    nodes, weights, h = rule.nodes, rule.weights, frame.dt_s
    sums = [torch.einsum("g,gnkdq->ndkq", part, force) for part in (rule.position, rule.velocity)]
    design = torch.cat(sums, dim=1).flatten(2)
    first, last = force[0].transpose(1, 2), force[-1].transpose(1, 2)
    straight = force[:1] + nodes[:, None, None, None, None] * (force[-1:] - force[:1])
    bend = ((force - straight).square() * weights[:, None, None, None, None]).sum((0, 3)).sqrt()
    left = bend
    if smooth:
        left = torch.einsum("g,gnkdq->nkdq", force.new_tensor(QUARTIC), force).norm(dim=2)
    return Integrals(
        design,
        torch.stack([first, last]).flatten(3),
        (torch.stack([bend / CUBIC_STIFFNESS, left / QUINTIC_STIFFNESS]) * h * h).flatten(2),
        _gradient(kinds, position, neighbours, force, weights).flatten(1)
        * h
        * inverse_mass[:, None]
        * present.repeat_interleave(force.shape[-1], dim=1),
    )


def unit_forces(kinds: Sequence[ForceLaw], position: Tensor, velocity: Tensor, neighbours: Tensor) -> Tensor:
    """Return the force per unit coefficient, [G, N, K, D, Q], through the public contract of the kinds."""
    apart = position[:, neighbours] - position[:, :, None]
    moving = velocity[:, neighbours] - velocity[:, :, None]
    return _columns(kinds, apart, moving)


def _columns(kinds: Sequence[ForceLaw], apart: Tensor, moving: Tensor) -> Tensor:
    flat, flat_moving = apart.flatten(0, 2), moving.flatten(0, 2)
    columns = [kind.force_columns(flat, flat_moving) for kind in kinds]
    return torch.cat(columns, dim=-1).view(*apart.shape, -1)


def _gradient(
    kinds: Sequence[ForceLaw], position: Tensor, neighbours: Tensor, force: Tensor, weights: Tensor
) -> Tensor:
    """Return [N, K, Q] the root-mean-square over the frame of |d force / d distance|.

    Only positions are displaced: what velocity-dependent kinds lose is the next order.
    """
    apart = position[:, neighbours] - position[:, :, None]
    distance = apart.norm(dim=-1, keepdim=True)
    step = SENSITIVITY_STEP * distance.clamp_min(1e-6)
    still = torch.zeros_like(apart)
    farther = apart * (1.0 + step / distance.clamp_min(1e-12))
    shift = _columns(kinds, farther, still) - _columns(kinds, apart, still)
    slope = shift.norm(dim=-2) / step
    return torch.einsum("g,gnkq->nkq", weights, slope.square()).sqrt()
