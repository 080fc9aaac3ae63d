"""Worlds that are imagined step by step: for who learns by acting in them, and does not compare plans.

A moment is what was believed at some time of an episode, with samples of how everything that moves goes on from there.
Many imagined worlds start from it, and each answers the commands that it is given. They are short: what is imagined far
from what was seen is wrong (Janner et al. 2019, "When to Trust Your Model", branch short rollouts from real states).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from worldsim.errors import ConfigurationError
from worldsim.planning.boxes import Boxes
from worldsim.planning.objective import Objective, Surroundings
from worldsim.planning.planar.belief_cost import BeliefCost
from worldsim.planning.planar.rollout import HostPlane, PlanarFuture
from worldsim.planning.planar.scene import LIMITS, Believer, PlanarScene, find_objects, read_scene
from worldsim.planning.situation import OwnTrajectories
from worldsim.types.observation import Observation
from worldsim.types.planning import OWN_ROLES, Preferences, Rollout

__all__ = ["HARM", "ImaginedWorlds", "Imaginer", "Moment", "believed_moment", "roles_spoken_of"]

HARM = ("clearance", "collision", "obstacles")
"""Terms of the objective that are paid for in imagined worlds, beside the outcomes."""
STATIC, OWN = -2, -1
"""In place of the number of a thing that moves."""

_SAMPLES, _SPACING_S = 8, 0.1
_SAME_M = 0.3  # a detection so near to where a thing is believed is taken for it
_ROLES = {*OWN_ROLES, "object", "goal", "base"}


class Imaginer(Believer, Protocol):
    """What imagined worlds ask of a world model, beside what planning does."""

    def imagine(
        self, actions: Float[np.ndarray, "T U"], horizon: int | None = None, samples: int = 16, dt_s: float = 0.1
    ) -> Rollout:
        """Return sampled futures of every mover while the own body executes `actions`."""


@dataclass(frozen=True, slots=True)
class Moment:
    """A believed moment, and how what moves goes on from there while the own body stands.

    Attributes:
        observation: what was seen then.
        scene: what was believed then, and is expected at T times.
        times_s: [T + 1] from the moment on, the first one 0.
        movers: [F, T + 1, M, 3] m, F sampled futures of M things that the own body does not push.
        mover_of: role -> number among the movers.
        who: [D] whose detection each of the observation's is: `OWN`, `STATIC`, the number of a pushable, or that of a
            mover and the number of pushables.
    """

    observation: Observation
    scene: PlanarScene
    times_s: Float[np.ndarray, " T1"]
    movers: Float[np.ndarray, "F T1 M 3"]
    mover_of: Mapping[str, int]
    who: Int[np.ndarray, " D"]


def roles_spoken_of(preferences: Preferences) -> set[str]:
    """Return the roles in the preferences' outcomes.

    Raises:
        ConfigurationError: they name no outcome, or one of somebody who is not known for sure.
    """
    spoken_of = {role for outcome in preferences.outcomes for role in (outcome.subject, outcome.reference)}
    if not spoken_of or spoken_of - _ROLES:
        raise ConfigurationError(
            f"imagined worlds: the preferences' outcomes speak of {sorted(spoken_of) or 'nobody'}, expected some of "
            f"{sorted(_ROLES)}: what is wanted in an imagined world is read from the preferences. Train `ppo` or "
            "`sac`, which the environment rewards."
        )
    return spoken_of


def believed_moment(
    world_model: Imaginer, observation: Observation, preferences: Preferences, horizon_s: float
) -> Moment | None:
    """Return the moment that is believed now, None while own body or task object are not in the belief.

    Args:
        world_model: gives belief, forecast and imagination; asked once here, and by no imagined world.
        observation: of this frame.
        preferences: whose outcomes name the roles.
        horizon_s: how long the worlds that start from it last.

    Raises:
        ConfigurationError: as `roles_spoken_of`.
    """
    spoken_of = roles_spoken_of(preferences)
    steps = max(2, round(horizon_s / _SPACING_S))
    scene = read_scene(world_model, observation, preferences, steps, _SPACING_S)
    if scene is None:
        return None
    future = world_model.imagine(np.zeros((1, 2)), steps, _SAMPLES, _SPACING_S)
    belief, own_id = world_model.belief, world_model.own_id
    pushed = [thing.object_id for thing in scene.pushables]
    others = [row for row, i in enumerate(future.object_id.tolist()) if i != own_id and i not in pushed]
    path = future.position[:, :, others].double().numpy()
    before = path[:, :1] - _SPACING_S * future.linear_velocity[:, :1, others].double().numpy()
    ids = [int(future.object_id[row]) for row in others]
    target = find_objects(belief, own_id, dict(observation.task or {}))[:1] if "object" in spoken_of else ()
    mover_of = {"object": ids.index(target[0])} if target and target[0] in ids else {}
    known = [(OWN, own_id), *enumerate((*pushed, *ids))]
    slots = [(number, belief.slot_of(i)) for number, i in known if i is not None]
    there = {number: belief.position[slot].double().numpy() for number, slot in slots if slot is not None}
    return Moment(
        observation,
        scene,
        _SPACING_S * np.arange(steps + 1),
        np.concatenate([before, path], axis=1),
        mover_of,
        _whose(observation.detections.position, there),
    )


def _whose(seen: Float[np.ndarray, "D 3"], there: Mapping[int, Float[np.ndarray, "3"]]) -> Int[np.ndarray, " D"]:
    """Return whose detection each is: that of the nearest of the known, where that is near."""
    if not there or not len(seen):
        return np.full(len(seen), STATIC)
    apart = np.linalg.norm(seen[:, None] - np.array(list(there.values())), axis=-1)
    nearest = np.array(list(there))[apart.argmin(axis=1)]
    return np.where(apart.min(axis=1) < _SAME_M, nearest, STATIC)


class ImaginedWorlds:
    """S worlds that start from one moment, each in one of its sampled futures, and step side by side.

    Attributes:
        own: [S, 5] x, y, yaw, speed and yaw rate of the own body.
        placed: [S, N, 3] poses (x, y, yaw) of what it may push.
        elapsed_s: since the moment.
    """

    def __init__(
        self, moment: Moment, preferences: Preferences, dt_s: float, samples: int, rng: np.random.Generator
    ) -> None:
        """Put S = `samples` worlds at the moment; they step by `dt_s`, and `rng` draws each one's future."""
        scene, self.moment, self.dt_s = moment.scene, moment, dt_s
        body = scene.own
        start = (*body.position, body.heading_rad, body.speed_m_s, body.yaw_rate_rad_s)
        self.own = np.tile(np.array(start), (samples, 1))
        poses = np.array([thing.pose for thing in scene.pushables], dtype=np.float64).reshape(-1, 3)
        self.placed = np.tile(poses, (samples, 1, 1))
        self.elapsed_s, self._steps = 0.0, 0
        self.horizon_s = float(moment.times_s[-1])
        self._future = rng.integers(len(moment.movers), size=samples)
        self._plane, self._preferences = HostPlane(body, scene.pushables, 1, dt_s), preferences
        players = {role: len(scene.pushables) + n for role, n in moment.mover_of.items()}
        paths = {role: path for role, path in scene.paths.items() if role not in players}
        self._scene = replace(scene, pushed_roles={**scene.pushed_roles, **players}, paths=paths)
        self._discs, self._objective = body.discs(), Objective()
        self._cost, _ = self._priced()

    @property
    def over(self) -> bool:
        """Whether the horizon is reached."""
        return self.elapsed_s > self.horizon_s - 0.5 * self.dt_s

    def movers(self) -> Float[np.ndarray, "S M 3"]:
        """Return where what moves by itself is now, m."""
        times = self.moment.times_s
        at = min(self.elapsed_s / (times[1] - times[0]), len(times) - 1.0)
        low = min(int(at), len(times) - 2)
        before, after = (self.moment.movers[self._future, k] for k in (low, low + 1))
        return np.asarray(before + (at - low) * (after - before))

    def step(self, command: Float[np.ndarray, "S U"]) -> Float[np.ndarray, " S"]:
        """Advance every world by one step; return its reward.

        The rewards of a world add up to what `BeliefCost` prices its future at, with the sign changed, as far as
        outcomes and harm go: what the outcomes cost at first less what they cost in the end, less their mean and that
        of the harm over the horizon.

        Args:
            command: forward speed and yaw rate, each in [-1, 1] of the limits; more columns are unread.
        """
        wanted = np.clip(np.asarray(command, dtype=np.float64)[:, None, :2], -1.0, 1.0) * np.array(LIMITS)
        own, placed, _ = self._plane(wanted, self.own, self.placed)
        self.own, self.placed = own[:, 0], placed[:, 0]
        self._steps += 1
        self.elapsed_s = self._steps * self.dt_s
        before, (self._cost, harm) = self._cost, self._priced()
        return before - self._cost - (self._cost + harm) * (self.dt_s / self.horizon_s)

    def _priced(self) -> tuple[Float[np.ndarray, " S"], Float[np.ndarray, " S"]]:
        """Return what the outcomes, and what harm costs now."""
        movers = self.movers()
        faceless = np.concatenate([movers[..., :2], np.zeros((*movers.shape[:2], 1))], axis=-1)
        own = torch.from_numpy(self.own)[:, None].float()
        things = torch.from_numpy(np.concatenate([self.placed, faceless], axis=1))[:, None].float()
        future = PlanarFuture(own[..., :3], own[..., 3], things, things[..., 0])
        scene = self._at_present()
        model = BeliefCost(scene, self._preferences, self.dt_s)
        weigh, still = self._preferences.weight, torch.zeros_like(own[..., 3])
        cost = [o.weight * weigh(o.name) * model.surprisal(o, future)[:, -1] for o in self._preferences.outcomes]
        trajectory = OwnTrajectories(own[..., :2], own[..., 2], own[..., 3], still, own[..., :2] * 0.0)
        around = Surroundings(*self._discs, scene.standing, scene.moving, None)
        terms = self._objective.terms(trajectory, around, self._preferences)
        harm = torch.stack([terms[name] for name in HARM]).sum(dim=0)
        return torch.stack(cost).sum(dim=0).double().numpy(), harm.double().numpy()

    def _at_present(self) -> PlanarScene:
        """Return the scene with everything that is expected to move where it is expected now."""
        scene, spacing_s = self._scene, self.moment.times_s[1]
        at = max(0, round(self.elapsed_s / spacing_s) - 1)  # what is expected is so from one spacing on

        def now(rows: Tensor) -> Tensor:
            row = min(at, len(rows) - 1)
            return rows[row : row + 1]

        moving = scene.moving
        boxes = Boxes(now(moving.centre), moving.direction, moving.half_m, now(moving.std_m))
        return replace(scene, paths={role: now(path) for role, path in scene.paths.items()}, moving=boxes)
