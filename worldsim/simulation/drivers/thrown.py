"""What is thrown or pushed in, and then left to physics: the ball and the trolley."""

from __future__ import annotations

import math

import numpy as np

from worldsim.simulation.drivers.driver import Actuator, Bulk, SceneView, whole_steps
from worldsim.simulation.drivers.intruder import Entry, Intruder
from worldsim.simulation.floorplan import Floorplan, Point


class Thrown(Intruder):
    """Gets one push behind the curtain, of bounded force, and rolls from there on.

    The way is chosen so that it crosses the hall near the robot but not at it, and not straight into a shelf.
    """

    def __init__(
        self,
        body: str,
        bulk: Bulk,
        entry: Entry,
        floorplan: Floorplan,
        speed_m_s: float,
        radius_m: float | None,
        push_s: float,
    ) -> None:
        """Take charge of `body`; a `radius_m` makes it roll from the start, `push_s` is how long the push lasts."""
        super().__init__(body, entry, floorplan, half_length_m=0.15 if radius_m else 0.45)
        self.leaving_takes_s = 0.0  # it does not walk; somebody collects it
        self.bulk, self.speed_m_s, self.radius_m, self.push_s = bulk, speed_m_s, radius_m, push_s
        self.direction: Point = entry.inward
        self.pushed_steps: int | None = None  # None before it is time

    def decide(self, view: SceneView, rng: np.random.Generator) -> None:
        """Push once, when it is time."""
        waiting = self.phase == "waiting"
        self.follow_phase(view)
        if waiting and self.phase == "entering":
            self.direction = self._aim(view, rng)
            self.pushed_steps = 0

    def _aim(self, view: SceneView, rng: np.random.Generator) -> Point:
        here = view.place(self.body)
        straight = math.atan2(self.entry.inward[1], self.entry.inward[0])
        best, best_score = self.entry.inward, -math.inf
        for angle in straight + rng.uniform(-0.35, 0.35, size=12):
            direction = (math.cos(angle), math.sin(angle))
            free = self.floorplan.free_length(here, direction, 7.0, 0.35)
            score = min(free, 6.0)
            for name in view.movers:
                x, y = view.place(name)
                along = (x - here[0]) * direction[0] + (y - here[1]) * direction[1]
                miss = abs((y - here[1]) * direction[0] - (x - here[0]) * direction[1])
                if name == view.ego:
                    score -= 20.0 if along > 0.0 and miss < 1.1 else 0.0  # never aimed at the robot
                    score -= 0.5 * max(0.0, miss - 2.5)
                elif 0.0 < along < 7.0 and miss < 0.9:
                    score -= 5.0
            if score > best_score:
                best, best_score = direction, score
        return best

    def drive(self, actuator: Actuator) -> None:
        """Push while the push lasts."""
        steps = whole_steps(self.push_s, actuator.step_s)
        if self.collected(actuator) or self.pushed_steps is None or self.pushed_steps == steps:
            return
        self.pushed_steps += 1
        push_s = steps * actuator.step_s
        force = self.bulk.mass_kg * self.speed_m_s / push_s
        torque = (0.0, 0.0, 0.0)
        if self.radius_m is not None:
            spin = 0.4 * self.bulk.mass_kg * self.radius_m * self.speed_m_s / push_s  # I w / T, solid sphere
            torque = (-spin * self.direction[1], spin * self.direction[0], 0.0)
        actuator.push(self.body, (force * self.direction[0], force * self.direction[1], 0.0), torque)
