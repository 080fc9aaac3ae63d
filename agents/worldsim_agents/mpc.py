"""Model predictive control: plan over the belief by shooting, do the beginning of the plan, plan again."""

from __future__ import annotations

import math

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from worldsim.contracts.agent import Agent
from worldsim.errors import UnknownNameError
from worldsim.planning.planar import BeliefCost, Believer, PlanarScene, find_objects, read_scene
from worldsim.planning.shooting import CEM, ICEM, CandidateCost, GradientShooting, PathIntegral, ShootingOptimiser
from worldsim.types.observation import Observation
from worldsim.types.planning import Plan, Preferences
from worldsim.types.record import StepRecord

OPTIMISERS: dict[str, type[ShootingOptimiser]] = {
    "cem": CEM,
    "icem": ICEM,
    "mppi": PathIntegral,
    "gradient": GradientShooting,
}
"""Searches by name."""


class MPC(Agent):
    """Plans whatever the task's preferences want, over what the world model believes, with a receding horizon.

    All it knows of the world it reads from the belief and its forecast; of the observation it reads the task and, where
    the world model does not hold the own body, the own body's state. What is wanted is data (`Preferences.outcomes`).
    """

    def __init__(
        self,
        world_model: Believer,
        preferences: Preferences,
        optimiser: str | ShootingOptimiser = "icem",
        steps: int = 16,
        dt_s: float = 0.25,
        replan_s: float = 0.2,
    ) -> None:
        """Build the agent.

        Args:
            world_model: gives belief and forecast; the caller steps it.
            preferences: what is wanted, usually the scenario's.
            optimiser: one of `OPTIMISERS`, or a search.
            steps: T steps of the horizon.
            dt_s: length of a step, s.
            replan_s: how long a plan is followed.

        Raises:
            UnknownNameError: no such search.
        """
        if isinstance(optimiser, str):
            if optimiser not in OPTIMISERS:
                raise UnknownNameError("optimiser", optimiser, OPTIMISERS)
            optimiser = OPTIMISERS[optimiser]()
        self.world_model, self.preferences, self.optimiser = world_model, preferences, optimiser
        self.steps, self.dt_s, self.replan_s = steps, dt_s, replan_s
        self.reset()

    def __repr__(self) -> str:
        """Return what the agent was built with."""
        return (
            f"{type(self).__name__}(optimiser={self.optimiser!r}, steps={self.steps}, dt_s={self.dt_s}, "
            f"replan_s={self.replan_s}, preferences={self.preferences!r})"
        )

    def reset(self) -> None:
        """Forget the last episode."""
        self.last_plan = None
        self.scene: PlanarScene | None = None
        self._actions: Float[Tensor, "T 2"] = torch.zeros(self.steps, 2)
        self._planned_s = -math.inf
        self._object_ids: tuple[int, ...] = ()

    def act(
        self, observation: Observation, record: StepRecord | None, rng: np.random.Generator
    ) -> Float[np.ndarray, "3"]:
        """Return forward speed, yaw rate and hold command (0), each in [-1, 1].

        Raises:
            ConfigurationError: the preferences speak of nothing that the task describes.
        """
        now = observation.time_s
        self.look(observation, record)
        if now - self._planned_s > self.replan_s - 1e-6:
            self.scene = self._read(observation)
            if self.scene is None:  # the task's object is not in the belief yet
                return np.zeros(3, dtype=np.float32)
            self._plan(self.scene, now, rng)
        speed, turn = self._actions[min(int((now - self._planned_s) / self.dt_s), self.steps - 1)].tolist()
        return np.array([speed, turn, 0.0], dtype=np.float32)

    def look(self, observation: Observation, record: StepRecord | None) -> None:
        """Take in a frame beyond what the world model does; this agent has nothing to add."""

    def model(self, scene: PlanarScene) -> CandidateCost:
        """Return what prices candidates in `scene`."""
        return BeliefCost(scene, self.preferences, self.dt_s)

    def _read(self, observation: Observation) -> PlanarScene | None:
        belief, task = self.world_model.belief, observation.task or {}
        if not self._object_ids or any(belief.slot_of(i) is None for i in self._object_ids):
            spoken_of = {role for o in self.preferences.outcomes for role in (o.subject, o.reference)}
            found = find_objects(belief, self.world_model.own_id, task) if "object" in spoken_of else ()
            self._object_ids = found[:1]
        return read_scene(self.world_model, observation, self.preferences, self.steps, self.dt_s, self._object_ids)

    def _plan(self, scene: PlanarScene, now_s: float, rng: np.random.Generator) -> None:
        start = self._shifted(now_s)
        model = self.model(scene)
        shot = self.optimiser.optimise(model, {}, start[None], rng)
        self._actions, self._planned_s = shot.actions[0].detach(), now_s
        actions = self._actions.numpy().astype(np.float32)
        self.last_plan = Plan(actions[0].copy(), actions.copy(), float(shot.cost[0].detach()), self._terms(scene))

    def _terms(self, scene: PlanarScene) -> dict[str, float]:
        priced = BeliefCost(scene, self.preferences, self.dt_s)
        command = self._actions[None]
        return {name: float(cost[0]) for name, cost in priced.terms(priced.imagine(command), command).items()}

    def _shifted(self, now_s: float) -> Float[Tensor, "T 2"]:
        """Return the last plan, shifted by the time that has passed; its last action is held."""
        if not math.isfinite(self._planned_s):
            return self._actions
        at = torch.arange(self.steps, dtype=torch.float32) + max(0.0, (now_s - self._planned_s) / self.dt_s)
        at = at.clamp(max=self.steps - 1)
        low = at.long().clamp(max=max(self.steps - 2, 0))
        return torch.lerp(self._actions[low], self._actions[(low + 1).clamp(max=self.steps - 1)], (at - low)[:, None])
