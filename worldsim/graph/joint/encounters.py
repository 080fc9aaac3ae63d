"""What one frame does to the bodies: forces along paths that are only believed, and how far off they may be."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from worldsim.graph.joint.bound import BoundPairs
from worldsim.graph.joint.evidence import Prediction
from worldsim.graph.joint.paths import (
    CUBIC_STIFFNESS,
    Frame,
    Integrals,
    cubic_end_accelerations,
    hermite_paths,
    integrate_forces,
)
from worldsim.graph.joint.settings import ForceLaw, JointSettings
from worldsim.graph.joint.shooting import shoot
from worldsim.graph.joint.slots import Slots

VIOLENT_SHARE = 100.0
"""An edge's own noise over everything else's beyond which a frame counts as too wild to be measured."""

INTEGRAL_ERROR = 1e-6
"""Relative error of the integrated forces: a floor under the noise, whatever the data seem to allow."""

FINE_INTEGRAL_ERROR = 1e-8
"""The same where every step of the engine is summed."""

BRIDGE_STIFFNESS = 20.0
"""What is left over at the end of a followed frame was no smooth force: its path is off by about a part of it."""

KINK_STIFFNESS = 30.0
"""A wall turns the acceleration a of a body round, which bends its unfolded path by about a h^2 over this number."""

SEEN_SHARE = 1.0
"""Variance of a path between two observations over that of one of them: half, and as much again, since the next frame
begins where this one ends and shares half of its error."""

STRAY_SHARE = 0.5
"""A body that is seen twice strays in between from a path through both by at most about this share of its travel."""

WARINESS = 25.0
"""Accelerations that are believed bend a path only if they stand out of their doubt by the root of this."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Who may act on whom, and by which laws.

    Attributes:
        laws: kinds of force, one coefficient each.
        slots: candidate pairs.
        inverse_mass: [N] 1/kg.
    """

    laws: Sequence[ForceLaw]
    slots: Slots
    inverse_mass: Float[Tensor, " N"]


@dataclass(frozen=True, slots=True)
class BelievedForces:
    """Forces of one frame, integrated along the paths that are believed.

    Attributes:
        integrals: per unit of each coefficient.
        believed: [N, d] mean of each coefficient; square: [N, d] its expected square.
        path_variance: [N] of each body's path, m^2.
        integral_error: relative error of the integrated forces.
        pairs: bodies that circle each other within the frame, None where that was not looked for.
    """

    integrals: Integrals
    believed: Float[Tensor, "N d"]
    square: Float[Tensor, "N d"]
    path_variance: Float[Tensor, " N"]
    integral_error: float = INTEGRAL_ERROR
    pairs: BoundPairs | None = None

    def untold(self, frame: Frame) -> Bool[Tensor, "N D"]:
        """Return the coordinates whose motion tells nothing of the forces: broken, or of bodies that circle."""
        hit = frame.broken()
        return hit if self.pairs is None else hit | self.pairs.bound[:, None]


def follow_beliefs(
    around: Surroundings, frame: Frame, believed: Float[Tensor, "N d"], variance: Float[Tensor, "N d"]
) -> BelievedForces:
    """Integrate the forces along simulated paths (`shoot`), every step of the engine: for small scenes.

    Args:
        around: laws and candidate pairs.
        frame: the two observations.
        believed, variance: [N, d] of the coefficients.
    """
    shot = shoot(around.laws, around.slots, around.inverse_mass, frame, believed)
    found = integrate_forces(
        around.laws, frame, shot.path, around.slots.neighbour, around.slots.used, around.inverse_mass, shot.rule
    )
    square = believed.square() + variance
    # where the path was followed, only what the belief does not know of the forces bends it further
    unknown = torch.where(shot.followed[:, None], variance, square)
    bend = (unknown * found.wobble[0].square()).sum(-1)
    bend = bend + shot.bridge.square() / BRIDGE_STIFFNESS**2
    jolt = (found.end_forces.square() @ unknown[None, :, :, None])[..., 0].sum(-1).mean(0)
    kink = frame.bounced().any(-1) * jolt * (frame.dt_s**2 / KINK_STIFFNESS) ** 2
    stray = _stray(frame)
    path_variance = torch.minimum(bend + kink, stray)
    unsure = torch.maximum(bend + kink, shot.bridge.square())
    pairs = BoundPairs.of(around.slots, frame, unsure, found, square)
    if bool(pairs.bound.any()):
        found = integrate_forces(
            around.laws,
            frame,
            pairs.expected(shot.path, shot.rule.nodes),
            around.slots.neighbour,
            around.slots.used,
            around.inverse_mass,
            shot.rule,
        )
        path_variance = torch.where(pairs.bound, pairs.variance, path_variance)
    return BelievedForces(found, believed, square, path_variance, FINE_INTEGRAL_ERROR, pairs)


def _stray(frame: Frame) -> Float[Tensor, " N"]:
    """Return the largest variance of a path between two observations, m^2.

    Two bodies that circle each other several times in a frame cannot be followed, but they are known to stay where they
    are: without this bound their forces, taken as linear in the error of the path, would drown what all others tell.
    """
    chord = (frame.position_after - frame.position_before).norm(dim=-1)
    speed = torch.maximum(frame.velocity_before.norm(dim=-1), frame.velocity_after.norm(dim=-1))
    return (STRAY_SHARE * torch.maximum(chord, frame.dt_s * speed)).square()


def integrate_beliefs(
    around: Surroundings, frame: Frame, believed: Float[Tensor, "N d"], variance: Float[Tensor, "N d"]
) -> BelievedForces:
    """Integrate the forces along cubic paths, then along paths bent by what is believed of the forces.

    Args:
        around: laws and candidate pairs.
        frame: the two observations.
        believed, variance: [N, d] of the coefficients before the frame.
    """
    neighbour, used, inverse_mass = around.slots.neighbour, around.slots.used, around.inverse_mass
    first = integrate_forces(around.laws, frame, hermite_paths(frame), neighbour, used, inverse_mass)
    square = believed.square() + variance
    model = (first.end_forces @ believed[None, :, :, None])[..., 0]
    doubt = (first.end_forces.square() @ variance[None, :, :, None])[..., 0].sum(-1, keepdim=True)
    cubic = torch.stack(cubic_end_accelerations(frame))
    gap = model - cubic
    trust = gap.square().sum(-1, keepdim=True)
    trust = trust / (trust + WARINESS * doubt).clamp_min(1e-300)
    bounced = frame.bounced().any(-1)
    trust = torch.where(bounced[None, :, None], torch.zeros_like(trust), trust)
    bent = cubic + trust * gap
    second = integrate_forces(
        around.laws, frame, hermite_paths(frame, (bent[0], bent[1])), neighbour, used, inverse_mass
    )
    share = trust.mean((0, 2))
    bend = (square * second.wobble.square()).sum(-1)
    wrong = doubt.mean((0, 2)) * (frame.dt_s**2 / CUBIC_STIFFNESS) ** 2
    kink = bounced * (model.square().sum(-1).mean(0) + doubt.mean((0, 2))) * (frame.dt_s**2 / KINK_STIFFNESS) ** 2
    path_variance = (1.0 - share).square() * bend[0] + share.square() * (bend[1] + wrong) + kink
    return BelievedForces(second, believed, square, torch.minimum(path_variance, _stray(frame)))


def process_noise(
    around: Surroundings,
    frame: Frame,
    forces: BelievedForces,
    noise: Float[Tensor, "H N P P"],
    settings: JointSettings,
) -> Float[Tensor, "B N P P"]:
    """Return the covariance of what the integrals miss: the paths are not quite where they seem.

    Args:
        around, frame, forces: of the frame.
        noise: covariance of the observations under each noise scale; paths go through what was observed.
        settings: of the filter.
    """
    neighbour = around.slots.neighbour.repeat_interleave(len(around.laws), dim=1)
    seen = noise[..., 0, 0]
    path = forces.path_variance[:, None] + forces.path_variance[neighbour]
    path = path + SEEN_SHARE * (seen[:, :, None] + seen[:, neighbour])
    velocity = (_felt_twice(around) * forces.square * forces.integrals.gradient.square() * path).sum(-1)
    h, dimension = frame.dt_s, frame.position_after.shape[-1]
    pushes = forces.integrals.design[:, dimension:].square().sum(1)
    velocity = velocity + forces.integral_error**2 * (forces.square * pushes).sum(-1)
    shape = velocity.new_tensor([[h * h / 3.0, h / 2.0], [h / 2.0, 1.0]])
    block = torch.kron(shape, torch.eye(dimension, dtype=velocity.dtype, device=velocity.device))
    return (velocity[..., None, None] * block).repeat(settings.run_lengths, 1, 1, 1)


def _felt_twice(around: Surroundings) -> Float[Tensor, "N d"]:
    """Return 2 where both ends of a pair feel the same error of its path, 1 elsewhere.

    What the ends tell is added up as if each had an error of its own; a doubled variance makes that whole.
    """
    twice = 1.0 + around.slots.mutual.to(around.inverse_mass.dtype)
    return twice.repeat_interleave(len(around.laws), dim=1)


def bound_nats(
    around: Surroundings,
    frame: Frame,
    forces: BelievedForces,
    noise: Float[Tensor, "N P P"],
    outlier_share: float,
) -> Float[Tensor, "N d"]:
    """Return what a followed frame says against the absence of the force between two that circle, nats (<= 0).

    Args:
        around, frame, forces: of the frame.
        noise: covariance of the observations.
        outlier_share: probability of a frame that is worse measured than assumed.
    """
    pairs = forces.pairs
    if pairs is None or not bool(pairs.bound.any()):
        return torch.zeros_like(forces.believed)
    half = frame.position_after.shape[-1]
    neighbour = around.slots.neighbour.repeat_interleave(len(around.laws), dim=1)
    others = torch.where(pairs.inner, torch.zeros_like(forces.believed), forces.believed)
    residual = frame.velocity_after - frame.velocity_before
    residual = residual - (forces.integrals.design[:, half:] @ others[..., None])[..., 0]
    path = forces.path_variance[:, None] + forces.path_variance[neighbour]
    unsure = forces.square * forces.integrals.gradient.square() * path * ~pairs.inner
    variance = 2.0 * noise.diagonal(dim1=-2, dim2=-1)[:, half:].mean(-1) + unsure.sum(-1)
    return pairs.nats(residual, variance, math.log(outlier_share))


def violence_nats(
    around: Surroundings,
    frame: Frame,
    forces: BelievedForces,
    expected: tuple[Prediction, Float[Tensor, "N P P"]],
    outlier_share: float,
) -> Float[Tensor, "N d"]:
    """Return what a frame says against the absence of each edge by its sheer violence, nats (<= 0).

    In a close encounter the integrals fail and their noise is raised, so the Gaussian evidence is silent. But were
    the edge not there, neither would that noise be: a jump that only the edge's own uncertainty can hold speaks for
    it, up to what one outlier may say.

    Args:
        around, frame, forces: of the frame.
        expected: one hypothesis a node, and its noise of the observation.
        outlier_share: probability of a frame that is worse measured than assumed.
    """
    half = frame.position_after.shape[-1]
    prediction, noise = expected
    neighbour = around.slots.neighbour.repeat_interleave(len(around.laws), dim=1)
    own = forces.path_variance
    single = forces.square * forces.integrals.wobble[0].square()
    mine = forces.square * forces.integrals.gradient.square() * (own[:, None] + own[neighbour])
    total = mine.sum(-1, keepdim=True)
    without = (total - mine) * (1.0 - single / single.sum(-1, keepdim=True).clamp_min(1e-300))
    columns = prediction.columns[0, :, half:]
    residual = prediction.innovation[0, :, half:] - (columns @ forces.believed[..., None])[..., 0]
    floor = (prediction.covariance[0] + noise).diagonal(dim1=-2, dim2=-1)[:, half:].mean(-1, keepdim=True)
    calm = (floor - (_felt_twice(around) * mine).sum(-1, keepdim=True)).clamp_min(1e-12)
    absent = (residual[..., None] + columns * forces.believed[:, None]).square().sum(1)
    present = residual.square().sum(-1, keepdim=True)
    low, high = calm + without, calm + total
    gain = -0.5 * (absent / low - present / high + half * (low / high).log())
    wild = ~frame.bounced().any(-1, keepdim=True) & (mine > VIOLENT_SHARE * calm)
    return torch.where(wild, gain.clamp(math.log(outlier_share), 0.0), torch.zeros_like(gain))
