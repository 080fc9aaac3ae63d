"""Where to go first: a place on the way round what stands, for a planner that looks a few seconds ahead."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import torch

from worldsim.planning.boxes import Boxes
from worldsim.planning.planar.scene import PlanarScene
from worldsim.planning.route import Obstacles, Route, find_route

__all__ = ["Waypoints"]

_MARGIN_M = 0.12  # beside half the own body's width: what is believed of a place is off by a few centimetres
_AGAIN_S = 1.0


class Waypoints:
    """Keeps a route from the own body to a goal, and gives the place on it that is one look ahead.

    Subgoals over places: each is near enough for the planner's horizon, and on a way that leads to the goal. The route
    goes round what is believed to stand; what moves is the planner's business.
    """

    def __init__(self, look_ahead_m: float = 1.6) -> None:
        """Give places `look_ahead_m` along the route."""
        self.look_ahead_m = look_ahead_m
        self.route: Route | None = None
        self._found_s = -math.inf

    def subgoal(self, scene: PlanarScene) -> PlanarScene:
        """Return the scene with its goal moved to the place to go to first; as it is where the goal is as near.

        Args:
            scene: what is believed; its role ``goal`` is where the own body is to go in the end.
        """
        if "goal" not in scene.paths:
            return scene
        x, y, _ = scene.paths["goal"][-1].tolist()
        here = np.asarray(scene.own.position)
        if self.route is None or not self.route.leads_to((x, y)) or scene.time_s - self._found_s > _AGAIN_S:
            radius = 0.5 * scene.own.extent_m[1] + _MARGIN_M
            nothing = scene.standing.select(torch.zeros(0, dtype=torch.int64))
            still = Boxes(
                scene.standing.centre[:1].float(),
                scene.standing.direction.float(),
                scene.standing.half_m.float(),
                scene.standing.std_m[:1].float(),
            )
            self.route = find_route(Obstacles(still, nothing), scene.own.position, (x, y), radius)
            self._found_s = scene.time_s
        place = self._ahead(here)
        if place is None:
            return scene
        goal = torch.tensor([[float(place[0]), float(place[1]), 0.0]])
        return replace(scene, paths={**scene.paths, "goal": goal})

    def _ahead(self, here: np.ndarray) -> np.ndarray | None:
        """Return the place `look_ahead_m` along the route from the nearest place on it, None where that is its end."""
        assert self.route is not None
        if not self.route.reachable:
            return None
        corners = self.route.waypoints
        legs = np.diff(corners, axis=0)
        lengths = np.linalg.norm(legs, axis=1)
        along = np.clip(((here - corners[:-1]) * legs).sum(axis=1) / np.maximum(lengths**2, 1e-9), 0.0, 1.0)
        nearest = corners[:-1] + along[:, None] * legs
        leg = int(np.argmin(np.linalg.norm(nearest - here, axis=1)))
        left = self.look_ahead_m
        at = along[leg]
        while leg < len(legs):
            rest = (1.0 - at) * lengths[leg]
            if rest >= left:
                return np.asarray(corners[leg] + (at + left / max(lengths[leg], 1e-9)) * legs[leg])
            left, leg, at = left - rest, leg + 1, 0.0
        return None
