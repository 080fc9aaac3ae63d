"""Pushing, from the right side: first behind the thing, then on with it."""

from __future__ import annotations

import enum
import math
from collections.abc import Callable
from dataclasses import replace

import torch

from worldsim.planning.boxes import Boxes
from worldsim.planning.planar import Believer, PlanarScene, Waypoints
from worldsim.types.observation import Observation
from worldsim.types.planning import Preferences, PreferredOutcome
from worldsim_agents.upper_level import UpperLevel

__all__ = ["Behind", "PushPhase"]

_STAGE_M = 0.5  # between the thing's outline and the own middle, before the push begins
_ARRIVED_M = 0.25
_BEHIND_RAD, _BESIDE_RAD = 0.5, 1.2  # about the thing, from where it can be pushed on: there it is, and no longer


class PushPhase(enum.StrEnum):
    """What the upper level is at."""

    GO = "go"
    PUSH = "push"


class Behind(UpperLevel):
    """Leads the own body to where a thing lies between it and its goal, on a route round all things, and back to there.

    A horizon of a few seconds ends before such a detour pays, and a plan pushes from where it stands.
    """

    def __init__(
        self,
        preferences: Preferences,
        read: Callable[[Observation], PlanarScene | None],
        choose: Callable[[PlanarScene], int],
    ) -> None:
        """Serve `preferences`; `read` gives the whole scene, and `choose` which of its pushables is to be pushed."""
        self.preferences, self.phase = preferences, PushPhase.GO
        self._read, self._choose = read, choose
        self._ways = Waypoints()
        self._target = -1

    def step(self, world_model: Believer, observation: Observation) -> tuple[float, float] | None:
        """Take in a frame; every one of them is planned for."""
        del world_model, observation
        return None

    def read(self, world_model: Believer, observation: Observation, steps: int, dt_s: float) -> PlanarScene | None:
        """Return the whole scene, and see what is next."""
        del world_model, steps, dt_s
        scene = self._read(observation)
        if scene is None:
            return None
        target = self._choose(scene)
        if target != self._target:
            self._target, self.phase = target, PushPhase.GO
        (x, y), off_rad = self._start(scene)
        if self.phase is PushPhase.GO:
            if math.dist(scene.own.position, (x, y)) < _ARRIVED_M or off_rad < _BEHIND_RAD:
                self.phase = PushPhase.PUSH
        elif off_rad > _BESIDE_RAD:
            self.phase = PushPhase.GO
        return scene

    def _start(self, scene: PlanarScene) -> tuple[tuple[float, float], float]:
        """Return where the push begins, and how far (rad) the own body is from that, seen from the thing."""
        thing = scene.pushables[self._target]
        (x, y, _), (goal_x, goal_y, _) = thing.pose, scene.paths["goal"][-1].tolist()
        heading = math.atan2(goal_y - y, goal_x - x)
        away_m = thing.outline.radius_m + _STAGE_M
        here = math.atan2(y - scene.own.position[1], x - scene.own.position[0])
        off = abs(math.remainder(here - heading, 2.0 * math.pi))
        return (x - away_m * math.cos(heading), y - away_m * math.sin(heading)), off

    def arranged(self, scene: PlanarScene) -> tuple[PlanarScene, Preferences]:
        """Return the whole scene and all that is wanted, or the way to where the push begins."""
        if self.phase is PushPhase.PUSH:
            return scene, self.preferences
        (x, y), _ = self._start(scene)
        paths = {"goal": torch.tensor([[x, y, 0.0]])}
        there = replace(
            scene, pushables=(), pushed_roles={}, paths=paths, standing=scene.standing.also(_outlines(scene))
        )
        reach = PreferredOutcome("reach", "own", "goal", scale_m=0.2)
        return self._ways.subgoal(there), replace(self.preferences, outcomes=(reach,))


def _outlines(scene: PlanarScene) -> Boxes:
    """Return what could be pushed, as outlines of things that stand."""
    poses = torch.tensor([thing.pose for thing in scene.pushables])
    half_m = torch.stack([thing.outline.corners().abs().amax(dim=0) for thing in scene.pushables])
    direction = torch.stack([torch.cos(poses[:, 2]), torch.sin(poses[:, 2])], dim=-1)
    return Boxes(poses[None, :, :2], direction, half_m, torch.full((1, len(poses)), 0.02))
