"""A belief as a model that prices action sequences: what planners by shooting ask, of ours or of anybody's model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from worldsim.errors import ConfigurationError
from worldsim.planning.objective import Objective, Surroundings
from worldsim.planning.planar.pushing import corners_of, to_world
from worldsim.planning.planar.rollout import PlanarFuture, roll_out
from worldsim.planning.planar.scene import PlanarScene
from worldsim.planning.situation import OwnTrajectories
from worldsim.types.planning import OTHERS, OWN_ROLES, Preferences, PreferredOutcome

WAY_ROUND = "_way_round"
"""How the name of an outcome's second term ends."""
_ARM = 0.6  # of the way from the middle of a tool's head to its end
_WAY_ROUND_PER_M = 0.5  # cost of a metre that is left to drive round a thing before it can be pushed on


class BeliefCost:
    """Expected cost of candidates under a scene's beliefs and a task's preferences.

    It has the shape of `worldsim.planning.shooting.CandidateCost`. The cost of an outcome is its surprisal: minus the
    logarithm of the density that the preferences give it, averaged over the horizon, and once more at its end. Where a
    thing has to be pushed home, the way that is then left round it, to where it can be pushed on from, is priced too
    (``..._way_round``): a horizon of a few seconds ends before a detour pays. Standing and moving things, effort and
    smoothness are priced by the terms of `worldsim.planning.objective`.
    """

    def __init__(
        self,
        scene: PlanarScene,
        preferences: Preferences,
        dt_s: float,
        objective: Objective | None = None,
    ) -> None:
        """Build the model for one moment.

        Args:
            scene: what is believed.
            preferences: what is wanted; they are read here and nowhere before.
            dt_s: length of a step, s.
            objective: terms beside the outcomes.
        """
        self.scene, self.preferences, self.dt_s = scene, preferences, dt_s
        self.objective = objective or Objective()

    def get_cost(
        self, info_dict: Mapping[str, Any], action_candidates: Float[Tensor, "1 S T U"]
    ) -> Float[Tensor, "1 S"]:
        """Return the expected cost of each candidate; differentiable in it.

        Args:
            info_dict: not read: a belief knows more than one observation says.
            action_candidates: S sequences of T actions (speed, yaw rate, more are unread). What is beyond [-1, 1]
                counts as what the environment makes of it: the nearest action that there is.

        Raises:
            ConfigurationError: candidates for more worlds than the one that is believed in, or of no step.
        """
        del info_dict
        command = self.possible(action_candidates)
        return torch.stack(list(self.terms(self.imagine(command), command).values())).sum(dim=0)[None]

    @staticmethod
    def possible(action_candidates: Float[Tensor, "1 S T U"]) -> Float[Tensor, "S T U"]:
        """Return the candidates for the one world there is, as they would be carried out (errors as `get_cost`)."""
        shape = action_candidates.shape
        if action_candidates.ndim != 4 or shape[0] != 1 or shape[2] < 1:
            raise ConfigurationError(
                f"BeliefCost: got candidates of shape {tuple(shape)}, expected [1, S, T, U] with T at least 1: a "
                "belief is of one world. Make one BeliefCost a world."
            )
        return action_candidates[0].clamp(-1.0, 1.0)

    def imagine(self, command: Float[Tensor, "S T U"]) -> PlanarFuture:
        """Return what is expected to come of S command sequences."""
        return roll_out(self.scene.own, self.scene.pushables, command, self.scene.limits, self.dt_s, self.scene.held)

    def terms(self, future: PlanarFuture, command: Float[Tensor, "S T U"]) -> dict[str, Float[Tensor, " S"]]:
        """Return the cost of each future by named term, weights applied: outcomes first, then the objective's."""
        priced = {
            wanted.name: wanted.weight * self.preferences.weight(wanted.name) * _priced(self.surprisal(wanted, future))
            for wanted in self.preferences.outcomes
        }
        for wanted in self.preferences.outcomes:
            pushed = wanted.subject not in (*OWN_ROLES, *self.scene.carried) and not wanted.or_farther
            if wanted.reference in ("goal", "base", "line") and pushed and wanted.scale_rad is None:
                price = _WAY_ROUND_PER_M * wanted.weight * self.preferences.weight(wanted.name)
                priced[wanted.name + WAY_ROUND] = price * self.way_round(wanted, future)
        own = OwnTrajectories(
            future.own[..., :2], future.own[..., 2], future.speed, torch.zeros_like(future.speed), command[..., :2]
        )
        usual = self.objective.terms(own, self.around(future.own.dtype), self.preferences)
        usual["obstacles"] = usual["obstacles"] + self.preferences.weight("obstacles") * self._held_stuck(future)
        names = ("clearance", "collision", "obstacles", "effort", "smoothness")
        return priced | {name: usual[name] for name in names}

    def around(self, dtype: torch.dtype) -> Surroundings:
        """Return what the own body moves among, in the numbers that the candidates come in."""
        offsets, radii = self.scene.own.discs()
        standing, moving = self.scene.standing.to(dtype), self.scene.moving.to(dtype)
        return Surroundings(offsets.to(dtype), radii.to(dtype), standing, moving, None)

    def _held_stuck(self, future: PlanarFuture) -> Float[Tensor, " S"]:
        """Return what it costs that a held tool touches what it cannot pass; a tool may work close beside a wall."""
        held, among = self.scene.held, self.scene.held_among
        if held is None or among is None or len(among) == 0:
            return future.speed.new_zeros(len(future.speed))
        hull = corners_of(held.to(future.own.dtype))
        points = to_world(hull, future.own.flatten(0, 1)).unflatten(0, future.own.shape[:2]).flatten(1, 2)
        among = among.to(points.dtype)
        gaps = among.differentiable_distance(points) if points.requires_grad else among.signed_distance(points)
        return self.objective.touching(gaps.amin(dim=2)).mean(dim=1)

    def surprisal(self, outcome: PreferredOutcome, future: PlanarFuture) -> Float[Tensor, "S T"]:
        """Return -log p of an outcome at every step, 0 where it is as preferred (nats, up to the constant)."""
        return self.surprisal_under({}, outcome, future)

    def surprisal_under(
        self, players: Mapping[str, int], outcome: PreferredOutcome, future: PlanarFuture
    ) -> Float[Tensor, "S T"]:
        """Return the same where `players` tells of some roles which pushable plays them."""
        if outcome.subject == OTHERS:
            taken = {**self.scene.pushed_roles, **players}.values()
            rest = [{**players, OTHERS: n} for n in range(len(self.scene.pushables)) if n not in taken]
            each = [self._surprisal_of(subject, outcome, future) for subject in rest]
            return torch.stack(each).amax(dim=0) if each else torch.zeros_like(future.speed)
        return self._surprisal_of(players, outcome, future)

    def _surprisal_of(
        self, players: Mapping[str, int], outcome: PreferredOutcome, future: PlanarFuture
    ) -> Float[Tensor, "S T"]:
        subject = self._pose(outcome.subject, future, players)
        reference = self._pose(outcome.reference, future, players)
        away = subject - reference
        # a hundredth of a millimetre keeps the root differentiable where the two coincide
        distance = (away[..., :2].square().sum(dim=-1) + 1e-10).sqrt()
        short = distance - outcome.distance_m
        if outcome.or_farther:
            short = short.clamp(max=0.0)
        squared = (short / outcome.scale_m).square()
        if outcome.scale_rad is not None:
            squared = squared + (2.0 * torch.sin(away[..., 2] / 2.0) / outcome.scale_rad).square()
        return (1.0 + squared).sqrt() - 1.0

    def way_round(self, outcome: PreferredOutcome, future: PlanarFuture) -> Float[Tensor, " S"]:
        """Return how far (m) the own body is in the end from where it can push an outcome's thing to its goal."""
        return self.way_round_under({}, outcome, future)

    def way_round_under(
        self, players: Mapping[str, int], outcome: PreferredOutcome, future: PlanarFuture
    ) -> Float[Tensor, " S"]:
        """Return the same where `players` tells of some roles which pushable plays them: the arc about the thing.

        It is that of the own middle, or of the nearer arm of what is held.
        """
        thing = self._pose(outcome.subject, future, players)[:, -1, :2]
        goal = self._pose(outcome.reference, future, players)[:, -1, :2]
        away, own = goal - thing, future.own[:, -1]
        far = away.norm(dim=-1).clamp(min=1e-3)
        arcs = []
        for hand in _hands(self.scene.held):
            beside = thing - _taken_along(own, (*hand, 0.0))[:, :2]
            near = beside.norm(dim=-1).clamp(min=1e-3)
            cosine = (away * beside).sum(dim=-1) / (far * near)
            arcs.append(near * torch.acos(cosine.clamp(-0.999, 0.999)))  # 0 where the thing is between hand and goal
        shortest = torch.stack(arcs).amin(dim=0)
        return shortest * torch.tanh(far / outcome.scale_m)  # at home there is nothing to push on

    def _pose(self, role: str, future: PlanarFuture, players: Mapping[str, int]) -> Float[Tensor, "S T 3"]:
        pushed = {**self.scene.pushed_roles, **players}
        if role == "own":
            return future.own
        if role == "own_front":
            yaw = future.own[..., 2]
            ahead = torch.stack([torch.cos(yaw), torch.sin(yaw), torch.zeros_like(yaw)], dim=-1)
            return future.own + 0.5 * self.scene.own.extent_m[0] * ahead
        if role in self.scene.carried:
            return _taken_along(future.own, self.scene.carried[role])
        if role in pushed:
            return future.pushed[:, :, pushed[role]]
        if role in self.scene.paths:
            return self.scene.paths[role][None].to(future.own.dtype)
        known = [*OWN_ROLES, *pushed, *self.scene.carried, *self.scene.paths]
        raise ConfigurationError(f"BeliefCost: nobody plays the role {role!r}; known here are {known}.")


def _hands(held: Float[Tensor, "H 4"] | None) -> list[tuple[float, float]]:
    """Return the places in the own body's frame that a thing is pushed with: its middle, or the arms of a tool's head.

    The head is the part of it that is farthest ahead; its arms are what reaches out to both sides.
    """
    if held is None:
        return [(0.0, 0.0)]
    x, y, _, half_y = held[int(held[:, 0].argmax())].tolist()
    return [(x, y + side * _ARM * half_y) for side in (-1.0, 1.0)]


def _taken_along(own: Float[Tensor, "S T 3"], held: tuple[float, float, float]) -> Float[Tensor, "S T 3"]:
    """Return the poses of what the own body holds at a pose in its frame."""
    x, y, yaw = held
    c, s = torch.cos(own[..., 2]), torch.sin(own[..., 2])
    return own + torch.stack([c * x - s * y, s * x + c * y, torch.full_like(c, yaw)], dim=-1)


def _priced(surprisal: Float[Tensor, "S T"]) -> Float[Tensor, " S"]:
    return surprisal.mean(dim=1) + surprisal[:, -1]
