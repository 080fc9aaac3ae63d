"""Containment: the target lies inside the source (a thing in a crate, a parcel in a car)."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from worldsim.contracts.interaction import EdgePrior, Interaction, PairFrame
from worldsim.dynamics import quaternion
from worldsim.interactions.hollow import FLOOR_M, FLOOR_SPREAD_M, Inside, centre_in, inside

_EDGE_M = 0.006
"""How exactly a belief knows where the faces of a container are, beside its place."""
_LEVEL_M = 0.005
"""How exactly it knows at which height a thing's underside is."""
_ON_THE_FLOOR, _ON_THE_GROUND = 0.6, 0.8
"""Share of contents that lie on the container's floor and not on others; of what is under a thing, on the ground."""
_PLAY_M_S, _SLIDE_M_S = 0.05, 0.4
"""How fast a content shifts as a rule, and how fast where it slides or rolls."""
_SLIDES = 0.2
_LAG = 0.5
"""Share of a frame's way by which the belief of what moves may be behind."""
_EVIDENCE_LIMIT_NATS = 2.0
"""Frames are not independent: the same error of a size or a place repeats."""


class Containment(Interaction):
    """The target's centre is within the source's box, above its floor, and the target goes where the source goes.

    Three pictures are compared. *Contained*: the centre is behind all faces of the source, however it stands; the
    underside lies a floor's thickness above that of the source, or higher, on other contents; and the target is carried
    along. *Outside*: the centre is beyond a face, as it is of everything that lies on, beside or below a solid thing;
    it may move along or not (two things on one platform do). *Under*: within the box of something open below (a bench),
    but on the ground on which the source stands; it stays where it is when the source moves. The evidence is against
    the better of the last two. What is larger than the source, edge for edge, cannot be inside.
    """

    kind: ClassVar[str] = "containment"
    reach_m: ClassVar[float] = 0.03
    # vanishes faster than it appears: a pair that went out of reach unseen is not believed to hold
    prior: ClassVar[EdgePrior] = EdgePrior(log_odds=-2.0, appear_per_s=0.02, vanish_per_s=1.0)
    directed: ClassVar[bool] = True
    nests: ClassVar[bool] = True
    carries: ClassVar[bool] = True

    def log_evidence(self, frame: PairFrame) -> Float[Tensor, " E"]:
        """Compare the three pictures: by the centre, the underside, and the motion of the frame."""
        source, target = frame.source, frame.target
        centre = centre_in(source, target)
        beyond = (centre.abs() - 0.5 * source.extent_m).amax(-1)  # negative inside
        travel = torch.maximum(source.linear_velocity.square().sum(-1), target.linear_velocity.square().sum(-1))
        variance = frame.source_std_m**2 + frame.target_std_m**2
        noise = variance + (_LAG * frame.dt_s) ** 2 * travel
        share = beyond / (noise + _EDGE_M**2).sqrt()
        against_outside = torch.special.log_ndtr(-share) - torch.special.log_ndtr(share)
        against_under = _level(inside(source, target, centre), noise) + _motion(frame, variance)
        nats = torch.minimum(against_outside, against_under)
        fits = (target.extent_m.sort(-1).values < source.extent_m.sort(-1).values).all(-1)
        nats = torch.where(fits, nats, torch.full_like(nats, -_EVIDENCE_LIMIT_NATS))
        return nats.clamp(-_EVIDENCE_LIMIT_NATS, _EVIDENCE_LIMIT_NATS)


def _level(how: Inside, noise: Float[Tensor, " E"]) -> Float[Tensor, " E"]:
    """Return what the height of the target's underside over the source's tells for lying in it, against under it."""
    level, tall = how.height_m, how.tall_m
    variance = noise + _LEVEL_M**2
    # anywhere between the source's underside and its top, but not below
    anywhere = torch.special.log_ndtr(level / variance.sqrt()) - tall.log()
    on_floor = _log_normal(level - FLOOR_M, variance + FLOOR_SPREAD_M**2)
    on_ground = _log_normal(level, variance)
    return _mixed(on_floor, anywhere, _ON_THE_FLOOR) - _mixed(on_ground, -tall.log(), _ON_THE_GROUND)


def _motion(frame: PairFrame, variance: Float[Tensor, " E"]) -> Float[Tensor, " E"]:
    """Return what the motion tells for being carried along with the source, against staying where it is.

    In the measure in which the place of the target in the source moved by more than a belief trembles: while the source
    rests, the motion tells nothing.
    """
    before, after = frame.source_before, frame.source
    seat = quaternion.rotate_inverse(before.orientation_xyzw, frame.target_before.position - before.position)
    carried = after.position + quaternion.rotate(after.orientation_xyzw, seat)
    moved = (carried - frame.target_before.position).square().sum(-1)
    along = (frame.target.position - carried).square().sum(-1)
    stayed = (frame.target.position - frame.target_before.position).square().sum(-1)
    told = 1.0 - torch.exp(-moved / (8.0 * variance))
    return told * (_goes(along, variance, frame.dt_s) - _goes(stayed, variance, frame.dt_s))


def _goes(square: Float[Tensor, " E"], noise: Float[Tensor, " E"], dt_s: float) -> Float[Tensor, " E"]:
    """Return the log density of a shift of that square from where a picture has it, up to a constant."""
    near, far = noise + (_PLAY_M_S * dt_s) ** 2, noise + (_SLIDE_M_S * dt_s) ** 2
    return _mixed(-0.5 * (square / near + 3.0 * near.log()), -0.5 * (square / far + 3.0 * far.log()), 1.0 - _SLIDES)


def _mixed(first: Tensor, second: Tensor, share: float) -> Tensor:
    return torch.logaddexp(first + math.log(share), second + math.log1p(-share))


def _log_normal(miss: Tensor, variance: Tensor) -> Tensor:
    return -0.5 * (miss.square() / variance + (2.0 * math.pi * variance).log())
