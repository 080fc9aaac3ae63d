"""Model predictive control: plan over the belief by shooting, do the beginning of the plan, plan again."""

from __future__ import annotations

import math
from collections.abc import Collection

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from worldsim.contracts.agent import Agent
from worldsim.errors import UnknownNameError
from worldsim.planning.planar import BeliefCost, Believer, Drives, PlanarScene, find_objects, read_scene
from worldsim.planning.planar.joints import JointFreeEnergy
from worldsim.planning.planar.scene import LIMITS
from worldsim.planning.shooting import CEM, ICEM, CandidateCost, GradientShooting, PathIntegral, ShootingOptimiser
from worldsim.types.observation import Observation
from worldsim.types.planning import Plan, Preferences
from worldsim.types.record import StepRecord
from worldsim_agents.clamp import NOISE_M, Clamp, Phase, works_by_hand
from worldsim_agents.cue import Cue
from worldsim_agents.upper_level import UpperLevel

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
    Where a thing is wanted somewhere and the own body feels what it holds, the thing is moved by the clamp (`Clamp`),
    else it is pushed.

    Attributes:
        wanted: what is planned for now: the preferences, or on the way to them a thing to be taken hold of.
        above: the level above the plan, where a task needs one.
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
        self.wanted = self.preferences
        self.above: UpperLevel | None = None
        self._frame_s, self._seen_s = 0.0, math.nan

    def act(
        self, observation: Observation, record: StepRecord | None, rng: np.random.Generator
    ) -> Float[np.ndarray, "3"]:
        """Return forward speed, yaw rate and hold command, each in [-1, 1].

        Raises:
            ConfigurationError: the preferences speak of nothing that the task describes.
        """
        now = observation.time_s
        self.look(observation, record)
        if self.above is None:
            self.above = self._level_above(observation.task or {})
        if self.above is not None:
            return self._led(self.above, observation, rng)
        if now - self._planned_s > self.replan_s - 1e-6:
            self.scene = self._read(observation)
            if self.scene is None:  # the task's object is not in the belief yet
                return np.zeros(3, dtype=np.float32)
            self._plan(self.scene, now, rng)
        return np.array([*self._now(now), 0.0], dtype=np.float32)

    def _now(self, now_s: float) -> tuple[float, float]:
        """Return what the plan does now."""
        speed, turn = self._actions[min(int((now_s - self._planned_s) / self.dt_s), self.steps - 1)].tolist()
        return speed, turn

    def _level_above(self, task: Collection[str]) -> UpperLevel | None:
        """Return what leads the plans in a task of these fields, None where its preferences are planned for at once."""
        if works_by_hand(task, self.preferences):
            return Clamp(self.preferences)
        return Cue(self.preferences) if "task_pockets_m" in task and self.preferences.outcomes else None

    @property
    def clamp(self) -> Clamp | None:
        """The level above where a thing is moved by hand, else None."""
        return self.above if isinstance(self.above, Clamp) else None

    def _led(self, above: UpperLevel, observation: Observation, rng: np.random.Generator) -> Float[np.ndarray, "3"]:
        """Return what the level above does by itself, or the beginning of a plan for what it asks for next."""
        now, phase = observation.time_s, above.phase
        self._frame_s = now - self._seen_s if now > self._seen_s else self._frame_s
        self._seen_s = now
        given = above.step(self.world_model, observation)
        if above.phase is not phase:  # the plan was for something else
            self._planned_s, self._actions = -math.inf, torch.zeros(self.steps, 2)
        if given is None and now - self._planned_s > self.replan_s - 1e-6:
            self.scene = above.read(self.world_model, observation, self.steps, self.dt_s)
            if self.scene is not None:
                self.scene, self.wanted = above.arranged(self.scene)
                self._plan(self.scene, now, rng)
        if given is None:
            (speed, turn), limits = (self._now(now), self.scene.limits) if self.scene else ((0.0, 0.0), LIMITS)
            given = speed * limits[0], turn * limits[1]
        told = above.gently(*given, self._frame_s)
        return np.array([told[0] / LIMITS[0], told[1] / LIMITS[1], above.hold], dtype=np.float32).clip(-1.0, 1.0)

    def look(self, observation: Observation, record: StepRecord | None) -> None:
        """Take in a frame beyond what the world model does; this agent has nothing to add."""

    def model(self, scene: PlanarScene) -> CandidateCost:
        """Return what prices candidates in `scene`."""
        if self._hangs:
            return self._priced_pull(scene, Drives(use_states_info_gain=False, use_param_info_gain=False))
        return BeliefCost(scene, self.wanted, self.dt_s)

    @property
    def _hangs(self) -> bool:
        """Whether what is held hangs on a joint."""
        return self.clamp is not None and self.clamp.joints is not None and self.clamp.phase is Phase.MOVE

    def _priced_pull(self, scene: PlanarScene, drives: Drives) -> JointFreeEnergy:
        assert self.clamp is not None
        assert self.clamp.joints is not None
        return JointFreeEnergy(scene, self.wanted, self.dt_s, drives, self.clamp.joints, self.clamp.front, NOISE_M)

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
        self.last_plan = Plan(actions[0].copy(), actions.copy(), float(shot.cost[0].detach()), self._terms(model))

    def _terms(self, priced: CandidateCost) -> dict[str, float]:
        """Return what the plan costs by named term, as it was priced."""
        assert isinstance(priced, BeliefCost)
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
