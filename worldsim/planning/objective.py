"""What a future costs, as named terms: the only place in planning where `Preferences` are read.

Each term is a function of imagined own trajectories and of where everything else is expected to be, batched over
S samples. A term's size is chosen such that weight 1 for all of them drives well; `Preferences.weights` changes
what matters, and changes no belief.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from worldsim.errors import UnknownNameError
from worldsim.planning.boxes import Boxes
from worldsim.planning.route import Route
from worldsim.planning.situation import OwnTrajectories
from worldsim.types.planning import Preferences

TERMS = ("progress", "heading", "clearance", "collision", "obstacles", "effort", "smoothness", "stillness")

_STD_FLOOR_M = 0.02  # no position is believed better than this; it also keeps the normal tail finite
_NOSE_M, _FACING_FROM_M = 0.6, 0.8  # how far ahead the way is measured from, fading in from here to twice here


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the own body moves among, pruned to what matters within the horizon.

    Attributes:
        disc_offset_m, disc_radius_m: [J] own hull seen from above (see `OwnBody.discs`).
        standing: outlines of what stays where it is.
        moving: outlines of what moves, or may, at each of the T steps, with its predicted spread.
        route: the way to the goal, None where there is no goal.
    """

    disc_offset_m: Float[Tensor, " J"]
    disc_radius_m: Float[Tensor, " J"]
    standing: Boxes
    moving: Boxes
    route: Route | None

    def gaps(self, own: OwnTrajectories, boxes: Boxes) -> Float[Tensor, "S T N"]:
        """Return the distance (m) between the own hull and each outline, negative where they overlap."""
        ahead = torch.stack([torch.cos(own.heading), torch.sin(own.heading)], dim=-1)
        nearest: Tensor | None = None
        if own.position.requires_grad:  # planning by gradients; the rest keeps to blocks that are written in place
            each = [boxes.differentiable_distance(own.position + o * ahead) - r
                    for o, r in zip(self.disc_offset_m, self.disc_radius_m, strict=True)]  # fmt: skip
            return torch.stack(each).amin(dim=0)
        for offset, radius in zip(self.disc_offset_m, self.disc_radius_m, strict=True):  # a few; keeps blocks in cache
            gap = boxes.signed_distance(own.position + offset * ahead).sub_(radius)
            nearest = gap if nearest is None else torch.minimum(nearest, gap, out=nearest)
        assert nearest is not None  # a hull has at least one disc
        return nearest


@dataclass(frozen=True, slots=True)
class Objective:
    """Turns trajectories into named costs.

    Attributes:
        standing_margin_m: wanted distance between the own hull and what stands.
        contact_margin_m: distance to what stands that counts as touching (the discs leave corners out).
    """

    standing_margin_m: float = 0.22
    contact_margin_m: float = 0.06

    def terms(
        self, own: OwnTrajectories, around: Surroundings, preferences: Preferences
    ) -> dict[str, Float[Tensor, " S"]]:
        """Return the cost of each sample by term, weights applied, in the order of `TERMS`.

        Raises:
            UnknownNameError: the preferences weigh what is neither a term nor an outcome of theirs.
        """
        for name, _ in preferences.weights:
            if name not in TERMS and name not in (wanted.name for wanted in preferences.outcomes):
                raise UnknownNameError("weight", name, (*TERMS, *(wanted.name for wanted in preferences.outcomes)))
        clearance, collision = self._movers(own, around, preferences.clearance_m)
        progress, heading = _goal(own, around.route, preferences)
        raw = {
            "progress": progress,
            "heading": heading,
            "clearance": clearance,
            "collision": collision,
            "obstacles": self._standing(own, around),
            "effort": _effort(own),
            "smoothness": _smoothness(own),
            "stillness": _stillness(own) if preferences.hold_still else torch.zeros_like(progress),
        }
        return {name: preferences.weight(name) * value for name, value in raw.items()}

    def _movers(
        self, own: OwnTrajectories, around: Surroundings, clearance_m: float
    ) -> tuple[Float[Tensor, " S"], Float[Tensor, " S"]]:
        """Return the expected shortfall below the wanted clearance, and the probability of touching.

        The gap between hulls is taken as normal about its mean with the mover's predicted spread s. With
        z = (c - gap) / s the expected shortfall is s (z Phi(z) + phi(z)): it grows with the spread at any gap, so
        a wider belief keeps a wider berth; Phi(-gap / s) is the chance of contact (Blackmore et al. 2011 bound
        it per constraint; ours prices it instead, so that there is always a least bad way).
        """
        if len(around.moving) == 0:
            zero = own.speed.new_zeros(own.speed.shape[0])
            return zero, zero.clone()
        gap = around.gaps(own, around.moving)
        std = around.moving.std_m.clamp(min=_STD_FLOOR_M)
        z = (clearance_m - gap) / std
        cdf = torch.special.ndtr(z)
        pdf = torch.exp(-0.5 * z * z) / math.sqrt(2 * math.pi)
        shortfall = std * (z * cdf + pdf)
        touching = torch.special.ndtr(-gap / std)
        return 6.0 * shortfall.sum(dim=2).mean(dim=1), 60.0 * touching.sum(dim=2).mean(dim=1)

    def _standing(self, own: OwnTrajectories, around: Surroundings) -> Float[Tensor, " S"]:
        """Return a cost that rises linearly within the wanted margin, and steeply within the contact margin."""
        if len(around.standing) == 0:
            return own.speed.new_zeros(own.speed.shape[0])
        gap = around.gaps(own, around.standing).amin(dim=2)
        near = (1.0 - gap / self.standing_margin_m).clamp(min=0.0)
        return 0.5 * near.mean(dim=1) + self.touching(gap).mean(dim=1)

    def touching(self, gap: Float[Tensor, "S T"]) -> Float[Tensor, "S T"]:
        """Return what it costs to be so near (m) to what stands: nothing beyond the contact margin."""
        depth = (self.contact_margin_m - gap).clamp(min=0.0) / self.contact_margin_m
        return 60.0 * depth.clamp(max=3.0)


def _goal(
    own: OwnTrajectories, route: Route | None, preferences: Preferences
) -> tuple[Float[Tensor, " S"], Float[Tensor, " S"]]:
    """Return the distance left (at the end, and on average), and the wrong heading near the goal."""
    zero = own.speed.new_zeros(own.speed.shape[0])
    if route is None or preferences.goal_position is None or preferences.hold_still:
        return zero, zero.clone()
    left = route.distance_to_go(own.position)
    # Far from the goal the way is measured from ahead of the nose, so that the body turns to face where it goes.
    ahead = torch.stack([torch.cos(own.heading), torch.sin(own.heading)], dim=-1)
    nose = own.position + ahead * (_NOSE_M * (left / _FACING_FROM_M - 1.0).clamp(0.0, 1.0))[..., None]
    way = route.distance_to_go(nose)
    progress = 2.0 * way[:, -1] + 2.0 * way.mean(dim=1)
    if preferences.goal_heading_rad is None:
        return progress, zero
    wrong = 1.0 - torch.cos(own.heading - preferences.goal_heading_rad)
    near = torch.exp(-((left / 0.35) ** 2))  # the heading matters within about a body's width
    return progress, (near * wrong).mean(dim=1) + (near * wrong)[:, -1]


def _effort(own: OwnTrajectories) -> Float[Tensor, " S"]:
    """Return the mean squared command, backing counted more: what lies behind was seen longest ago."""
    speed, turn = own.command[..., 0], own.command[..., 1]
    return 0.05 * (speed.square() + turn.square()).mean(dim=1) + 0.5 * (-speed).clamp(min=0.0).mean(dim=1)


def _smoothness(own: OwnTrajectories) -> Float[Tensor, " S"]:
    steps = max(own.command.shape[1] - 1, 1)  # one command alone changes nothing
    return 0.3 * own.command.diff(dim=1).square().sum(dim=(1, 2)) / steps


def _stillness(own: OwnTrajectories) -> Float[Tensor, " S"]:
    """Return the mean motion; large against comfort, small against being hit, so that evading overrides it."""
    moving = own.speed.abs() + 0.5 * own.yaw_rate.abs()
    wanted = own.command.abs().sum(dim=-1)
    return 4.0 * moving.mean(dim=1) + wanted.mean(dim=1)
