"""Model predictive path integral control: sample command sequences, imagine them, average by their cost."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from worldsim.contracts.planner import Planner
from worldsim.planning.boxes import Boxes, outlines, top_and_bottom
from worldsim.planning.kinematics import Kinematics, unicycle_rollout
from worldsim.planning.objective import Objective, Surroundings
from worldsim.planning.route import Obstacles, Route, find_route
from worldsim.planning.shooting.optimiser import check_counts
from worldsim.planning.situation import OwnBody, OwnTrajectories, Situation
from worldsim.types.belief import WorldBelief
from worldsim.types.planning import Forecast, Plan, Preferences

_REST_SHIFT_M = 0.08  # predicted to move less than this over the horizon, and
_REST_STD_M = 0.15  # known to better than this at its end: stands, for now
_HEADROOM_M = 0.25  # what hangs higher than this above the hull cannot be touched within the horizon
_REACH_M = 4.0  # what stays farther off than this (give or take two standard deviations) cannot be met
_MAX_STANDING, _MAX_MOVING = 12, 8  # nearest boxes looked at; bounds the time of a plan
_BLOCKAGE_REVIEW_S, _REVIEW_S = 0.5, 1.5  # a blocked route, and any other, is not reconsidered more often
_NOISE_STD = (0.5, 0.6)  # of the sampled commands, in units of the limits

# Whole-horizon commands always among the samples: stop, straight on and back, arcs and turns to either side.
_PRIMITIVE_NAMES = (
    "stop", "straight on", "straight back", "arc left", "arc right", "turn left", "turn right", "back left",
    "back right",
)  # fmt: skip
_PRIMITIVES = ((0, 0), (1, 0), (-1, 0), (1, 0.6), (1, -0.6), (0, 1), (0, -1), (-0.7, 0.6), (-0.7, -0.6))


class MPPI(Planner):
    """Information-theoretic MPPI over forward speed and yaw rate.

    Source: Williams et al. 2017, "Information theoretic MPC", Algorithm 1. Ours differs in five ways: noise is
    drawn at a few knots and interpolated, so that samples are smooth; a few primitives are always among the
    samples, so that stopping is never missed for want of luck; the temperature follows the spread of the best
    tenth of the costs; and where the average of the samples costs more than the best of them (a left and a right
    way round averaged into the obstacle), the best is taken; and the cost of control is the objective's, not that of
    the noise's inverse covariance.

    Example:
        >>> planner = MPPI(situate=lambda belief: view.situation(belief))  # doctest: +SKIP
        >>> planner.plan(belief, preferences, rng).action  # doctest: +SKIP
    """

    def __init__(
        self,
        situate: Callable[[WorldBelief], Situation],
        kinematics: Kinematics = unicycle_rollout,
        objective: Objective | None = None,
        samples: int = 256,
        steps: int = 20,
        dt_s: float = 0.1,
        limits: tuple[float, float] = (1.2, 1.5),
    ) -> None:
        """Build a planner.

        Args:
            situate: gives own body and forecast for a belief; the forecast has the planner's `steps` and `dt_s`.
            kinematics: rolls the own body out.
            objective: cost terms.
            samples: S command sequences a plan.
            steps: T steps of the horizon.
            dt_s: step, s.
            limits: speed (m/s) and yaw rate (rad/s) that an action of 1 stands for.

        Raises:
            ConfigurationError: no samples, or no steps.
        """
        check_counts("MPPI", samples=samples, steps=steps)
        self.situate, self.kinematics, self.objective = situate, kinematics, objective or Objective()
        self.samples, self.steps, self.dt_s, self.limits = samples, steps, dt_s, limits
        self.route: Route | None = None
        self._knots = _knot_matrix(steps, max(2, steps // 4 + 1))
        self._primitives = torch.tensor(_PRIMITIVES, dtype=torch.float32)[:, None].repeat(1, steps, 1)
        self.reset()

    def __repr__(self) -> str:
        """Return what the planner was built with."""
        return (
            f"MPPI(samples={self.samples}, steps={self.steps}, dt_s={self.dt_s}, limits={self.limits}, "
            f"objective={self.objective!r})"
        )

    def reset(self) -> None:
        """Forget the last plan and route."""
        self.route = None
        self._last: Float[Tensor, "T 2"] = torch.zeros(self.steps, 2)
        self._last_time_s: float | None = None
        self._route_time_s = 0.0

    def plan(self, belief: WorldBelief, preferences: Preferences, rng: np.random.Generator) -> Plan:
        """Return the best plan found; where there is no route to the goal, the plan to stay out of harm's way."""
        situation = self.situate(belief)
        around = self._surroundings(situation, preferences)
        reachable = around.route is None or around.route.reachable
        if not reachable:
            preferences = _staying(preferences)
        start = self._warm_start(situation.time_s)
        command = self._sample(start, rng)
        cost = self._cost(command, situation, around, preferences)
        chosen = self._choose(command, cost, situation, around, preferences)
        own = self.kinematics(situation.own, chosen[None], self.limits, self.dt_s)
        terms = {k: float(v[0]) for k, v in self.objective.terms(own, around, preferences).items()}
        self._last, self._last_time_s = chosen, situation.time_s
        actions = chosen.numpy().astype(np.float32)
        return Plan(actions[0].copy(), actions.copy(), sum(terms.values()), terms)

    def imagined(self, belief: WorldBelief, plan: Plan) -> OwnTrajectories:
        """Return where the plan would take the own body (S = 1), for drawing and explaining."""
        command = torch.from_numpy(plan.actions.copy())[None]
        return self.kinematics(self.situate(belief).own, command, self.limits, self.dt_s)

    def price(
        self, situation: Situation, preferences: Preferences, command: Float[Tensor, "S T 2"]
    ) -> tuple[OwnTrajectories, Surroundings, dict[str, Float[Tensor, " S"]]]:
        """Return what each of S command sequences leads to, among what, and its expected cost by term.

        A question about any situation and preferences; the planner's own route and last plan stay as they are.
        """
        kept = self.route, self._route_time_s
        self.route = None
        try:
            around = self._surroundings(situation, preferences)
        finally:
            self.route, self._route_time_s = kept
        if around.route is not None and not around.route.reachable:
            preferences = _staying(preferences)
        own = self.kinematics(situation.own, command, self.limits, self.dt_s)
        return own, around, self.objective.terms(own, around, preferences)

    def primitive_options(self) -> tuple[tuple[str, ...], Float[Tensor, "S T 2"]]:
        """Return the whole-horizon commands that are always among the samples, with their names."""
        return _PRIMITIVE_NAMES, self._primitives

    def _warm_start(self, time_s: float) -> Float[Tensor, "T 2"]:
        """Return the last plan, shifted by the time that has passed; its last command is held."""
        if self._last_time_s is None:
            return self._last
        shift = max(0.0, (time_s - self._last_time_s) / self.dt_s)
        at = (torch.arange(self.steps, dtype=torch.float32) + shift).clamp(max=self.steps - 1)
        low = at.long().clamp(max=self.steps - 2)
        return torch.lerp(self._last[low], self._last[low + 1], (at - low)[:, None])

    def _see_to_route(self, situation: Situation, goal: tuple[float, float], obstacles: Obstacles) -> Route:
        """Return the route to the goal: the last one while it holds, for looking for one takes a frame's time."""
        own, route, now = situation.own, self.route, situation.time_s
        radius = min(own.extent_m[:2]) / 2 + self.objective.contact_margin_m
        if route is not None and route.leads_to(goal):
            age_s = now - self._route_time_s
            blocked = age_s >= _BLOCKAGE_REVIEW_S and not route.is_clear(obstacles.blocking, radius)
            if not blocked and (age_s < _REVIEW_S or route.obstacles.resembles(obstacles)):
                return route
        self._route_time_s = now
        return find_route(obstacles, own.position, goal, radius)

    def _sample(self, start: Float[Tensor, "T 2"], rng: np.random.Generator) -> Float[Tensor, "S T 2"]:
        knots = rng.standard_normal((self.samples, self._knots.shape[1], 2), dtype=np.float32)
        noise = torch.from_numpy(knots) * torch.tensor(_NOISE_STD)
        command = start + torch.einsum("tk,skc->stc", self._knots, noise)
        command[0] = start
        count = min(len(self._primitives), self.samples - 1)
        command[1 : count + 1] = self._primitives[:count]
        # A quarter explores about standing still instead: the way out when the last plan has gone stale.
        fresh = slice(self.samples - self.samples // 4, self.samples)
        command[fresh] -= start
        return command.clamp_(-1.0, 1.0)

    def _cost(
        self, command: Float[Tensor, "S T 2"], situation: Situation, around: Surroundings, preferences: Preferences
    ) -> Float[Tensor, " S"]:
        own = self.kinematics(situation.own, command, self.limits, self.dt_s)
        return torch.stack(list(self.objective.terms(own, around, preferences).values())).sum(dim=0)

    def _choose(
        self,
        command: Float[Tensor, "S T 2"],
        cost: Float[Tensor, " S"],
        situation: Situation,
        around: Surroundings,
        preferences: Preferences,
    ) -> Float[Tensor, "T 2"]:
        """Return the cost-weighted average of the samples, or the best sample where that is better."""
        best = cost.argmin()
        temperature = 0.3 * (torch.quantile(cost, 0.1) - cost[best]) + 1e-4
        weight = torch.softmax(-(cost - cost[best]) / temperature, dim=0)
        options = torch.stack([torch.einsum("s,stc->tc", weight, command), command[best]])
        first, second = self._cost(options, situation, around, preferences).tolist()
        return options[0] if first <= second else options[1]

    def _surroundings(self, situation: Situation, preferences: Preferences) -> Surroundings:
        """Sort everything into standing and moving, keep what is near, and see to the route."""
        own, forecast = situation.own, situation.forecast
        offsets, radii = own.discs()
        standing, moving = _sort(own, forecast)
        if preferences.goal_position is None:
            self.route = None
        else:
            goal = (float(preferences.goal_position[0]), float(preferences.goal_position[1]))
            self.route = self._see_to_route(situation, goal, Obstacles(standing, _lingering(moving)))
        here = torch.tensor(own.position)
        near_standing = _nearest(standing, here, _MAX_STANDING)
        return Surroundings(offsets, radii, near_standing, _nearest(moving, here, _MAX_MOVING), self.route)


def standing_outlines(own: OwnBody, forecast: Forecast) -> Boxes:
    """Return the outlines of what stands, and is expected to, in the way of the own body's hull."""
    return _sort(own, forecast)[0]


def _sort(own: OwnBody, forecast: Forecast) -> tuple[Boxes, Boxes]:
    """Return the outlines of what stands and of what moves, as far as it is low enough to be touched."""
    top, bottom = top_and_bottom(forecast.position[0], forecast.orientation_xyzw, forecast.extent_m)
    low = (bottom < own.extent_m[2] + _HEADROOM_M) & (top > 0.02)
    boxes = outlines(forecast.position, forecast.position_std, forecast.orientation_xyzw, forecast.extent_m)
    restless = _restless(forecast)
    standing, moving = boxes.select(low & ~restless), boxes.select(low & restless)
    return Boxes(standing.centre[:1], standing.direction, standing.half_m, standing.std_m[:1]), moving


def _restless(forecast: Forecast) -> Bool[Tensor, " N"]:
    """Return what moves within the horizon, or might: the forecast decides, not the kind."""
    shift = (forecast.position[-1, :, :2] - forecast.position[0, :, :2]).norm(dim=-1)
    spread = forecast.position_std[-1, :, :2].square().mean(dim=-1).sqrt()
    return forecast.moves & ((shift > _REST_SHIFT_M) | (spread > _REST_STD_M))


def _lingering(moving: Boxes) -> Boxes:
    """Return the movers that are expected to be about where they are when the horizon ends, as standing boxes."""
    stays = (moving.centre[-1] - moving.centre[0]).norm(dim=-1) < 3 * _REST_SHIFT_M
    kept = moving.select(stays)
    return Boxes(kept.centre[:1], kept.direction, kept.half_m, kept.std_m[:1])


def _nearest(boxes: Boxes, here: Float[Tensor, "2"], count: int) -> Boxes:
    """Return at most `count` boxes whose outlines may come within reach, nearest first."""
    if len(boxes) == 0:
        return boxes
    gap = boxes.signed_distance(here.expand(1, boxes.centre.shape[0], 2))[0] - 2 * boxes.std_m
    gap = gap.amin(dim=0)
    order = torch.argsort(gap)[:count]
    return boxes.select(order[gap[order] < _REACH_M])


def _staying(preferences: Preferences) -> Preferences:
    return dataclasses.replace(preferences, goal_position=None, goal_heading_rad=None, hold_still=True)


def _knot_matrix(steps: int, knots: int) -> Float[Tensor, "T K"]:
    """Return the weights of linear interpolation from K knots to T steps."""
    at = torch.linspace(0.0, knots - 1.0, steps)
    return (1.0 - (at[:, None] - torch.arange(knots)).abs()).clamp(min=0.0)
