"""Imagined worlds as a vector environment of Stable-Baselines3: they show what the sensors showed, moved along."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float
from stable_baselines3.common.vec_env import VecEnv

from worldsim.planning.planar.imagined import OWN, ImaginedWorlds, Moment
from worldsim.types.planning import Preferences
from worldsim_agents.sb3_agent import policy_fields

if TYPE_CHECKING:
    from gymnasium import spaces

__all__ = ["ImaginedVecEnv", "Shown"]


class Shown:
    """What an agent would see in the worlds that start from one moment.

    Every row is the detection of then. That of a thing that has moved since is moved with it, and all have new errors,
    as large as the sensors say of theirs. What comes into view, and what is hidden, stays so.
    """

    def __init__(self, worlds: ImaginedWorlds, room: int, rng: np.random.Generator) -> None:
        """Prepare what does not change; observations have `room` rows."""
        moment, samples = worlds.moment, len(worlds.own)
        seen = moment.observation.detections
        self.worlds, self._rng, self._n = worlds, rng, min(len(seen), room)
        n, who = self._n, moment.who[: self._n]
        task = {name: np.size(value) for name, value in (moment.observation.task or {}).items()}
        fields = policy_fields(moment.observation, room, task)
        self._fixed = {name: np.tile(value, (samples, 1)) for name, value in fields.items()}
        self._error_m = np.sqrt(np.diagonal(seen.covariance[:n], axis1=1, axis2=2)[:, :3])
        pushables = worlds.placed.shape[1]
        self._own_rows = np.flatnonzero(who == OWN)
        self._pushed_rows = np.flatnonzero((who >= 0) & (who < pushables))
        self._moving_rows = np.flatnonzero(who >= pushables)
        self._pushed, self._moving = who[self._pushed_rows], who[self._moving_rows] - pushables
        self._position = np.asarray(seen.position[:n], dtype=np.float64)
        self._orientation = np.asarray(seen.orientation_xyzw[:n], dtype=np.float64)
        # of the future that is expected: a sample may lie elsewhere already at first
        self._mover_began = moment.movers[:, 0].mean(axis=0)
        self._own_began, self._placed_began = worlds.own[:, None, :3].copy(), worlds.placed.copy()

    def fields(self) -> dict[str, Float[np.ndarray, "S W"]]:
        """Return the observation of each world now, field by field."""
        worlds, n = self.worlds, self._n
        samples = len(worlds.own)
        position = np.tile(self._position, (samples, 1, 1))
        orientation = np.tile(self._orientation, (samples, 1, 1))
        position[:, self._moving_rows] += (worlds.movers() - self._mover_began)[:, self._moving]
        own = worlds.own[:, None, :3]
        for rows, began, now in (
            (self._own_rows, self._own_began, own),
            (self._pushed_rows, self._placed_began[:, self._pushed], worlds.placed[:, self._pushed]),
        ):
            if len(rows):
                position[:, rows], orientation[:, rows] = _moved(position[:, rows], orientation[:, rows], began, now)
        position += self._error_m * self._rng.standard_normal(position.shape)
        found = {name: value.copy() for name, value in self._fixed.items()}
        found["position"][:, : 3 * n] = position.reshape(samples, -1)
        found["orientation_xyzw"][:, : 4 * n] = orientation.reshape(samples, -1)
        return found | self._odometry()

    def _odometry(self) -> dict[str, Float[np.ndarray, "S W"]]:
        x, y, yaw, speed, rate = self.worlds.own.T
        still, ego = np.zeros_like(x), self.worlds.moment.observation.ego
        assert ego is not None  # there is no scene without an own body
        found = {
            "ego_position": [x, y, still + ego.position[2]],
            "ego_orientation_xyzw": [still, still, np.sin(yaw / 2.0), np.cos(yaw / 2.0)],
            "ego_linear_velocity": [speed * np.cos(yaw), speed * np.sin(yaw), still],
            "ego_angular_velocity": [still, still, rate],
        }
        return {name: np.stack(parts, axis=1).astype(np.float32) for name, parts in found.items()}


def _moved(
    position: Float[np.ndarray, "S R 3"],
    orientation_xyzw: Float[np.ndarray, "S R 4"],
    began: Float[np.ndarray, "S R 3"],
    now: Float[np.ndarray, "S R 3"],
) -> tuple[Float[np.ndarray, "S R 3"], Float[np.ndarray, "S R 4"]]:
    """Return places and orientations that a motion in the plane carried along, from pose to pose (x, y, yaw)."""
    turn = now[..., 2] - began[..., 2]
    c, s = np.cos(turn), np.sin(turn)
    away = position[..., :2] - began[..., :2]
    place = position.copy()
    place[..., 0] = now[..., 0] + c * away[..., 0] - s * away[..., 1]
    place[..., 1] = now[..., 1] + s * away[..., 0] + c * away[..., 1]
    w, z = np.cos(turn / 2.0), np.sin(turn / 2.0)
    qx, qy, qz, qw = np.moveaxis(orientation_xyzw, -1, 0)  # (0, 0, z, w) times the orientation before
    turned = np.stack([w * qx - z * qy, w * qy + z * qx, w * qz + z * qw, w * qw - z * qz], axis=-1)
    return place, turned


class ImaginedVecEnv(VecEnv):
    """Groups of imagined worlds; the worlds of a group start together from one remembered moment, drawn at random."""

    render_mode = None

    def __init__(
        self,
        observation_space: spaces.Dict,
        action_space: spaces.Box,
        preferences: Preferences,
        frame_s: float,
        groups: int = 8,
        each: int = 8,
    ) -> None:
        """Build it.

        Args:
            observation_space, action_space: of the policy that acts in it.
            preferences: what is wanted, from which comes the reward.
            frame_s: length of a step, s.
            groups: how many moments at a time.
            each: worlds a group.
        """
        super().__init__(groups * each, observation_space, action_space)
        self.moments: list[Moment] = []
        self._preferences, self._frame_s, self._groups, self._each = preferences, frame_s, groups, each
        self._room = int(observation_space["mask"].shape[0])  # type: ignore[index]
        self._rng = np.random.default_rng(0)
        self._shown: list[Shown] = []
        self._actions: np.ndarray = np.zeros((self.num_envs, 3))

    def seed(self, seed: int | None = None) -> Sequence[int | None]:
        """Draw everything anew from `seed`."""
        self._rng = np.random.default_rng(seed)
        return [seed] * self.num_envs

    def reset(self) -> dict[str, np.ndarray]:
        """Begin new worlds, each group at some moment; there must be one."""
        self._shown = [self._begun() for _ in range(self._groups)]
        return self._gathered([shown.fields() for shown in self._shown])

    def step_async(self, actions: np.ndarray) -> None:
        """Take the actions of the next step."""
        self._actions = actions

    def step_wait(self) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray, list[dict[str, Any]]]:
        """Return observations, rewards, whether each world is at its horizon, and infos."""
        seen, rewards, dones = [], [], np.zeros(self.num_envs, dtype=bool)
        infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        for group, shown in enumerate(self._shown):
            rows = range(group * self._each, (group + 1) * self._each)
            rewards.append(shown.worlds.step(self._actions[rows.start : rows.stop]))
            fields = shown.fields()
            if shown.worlds.over:
                dones[rows.start : rows.stop] = True
                for at, row in enumerate(rows):  # a horizon is no end: what would come is learned from the value there
                    last = {name: value[at] for name, value in fields.items()}
                    infos[row] = {"terminal_observation": last, "TimeLimit.truncated": True}
                self._shown[group] = self._begun()
                fields = self._shown[group].fields()
            seen.append(fields)
        return self._gathered(seen), np.concatenate(rewards).astype(np.float32), dones, infos

    def _begun(self) -> Shown:
        moment = self.moments[int(self._rng.integers(len(self.moments)))]
        worlds = ImaginedWorlds(moment, self._preferences, self._frame_s, self._each, self._rng)
        return Shown(worlds, self._room, self._rng)

    def _gathered(self, groups: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
        names = self.observation_space.spaces  # type: ignore[attr-defined]
        return {name: np.concatenate([fields[name] for fields in groups]) for name in names}

    def close(self) -> None:
        """Forget the worlds."""
        self._shown = []

    def env_is_wrapped(self, wrapper_class: type, indices: Any = None) -> list[bool]:
        """Return that nothing is wrapped."""
        return [False] * len(list(self._get_indices(indices)))

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        """Return an attribute of this object, once for each world."""
        return [getattr(self, attr_name)] * len(list(self._get_indices(indices)))

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        """Set an attribute of this object."""
        setattr(self, attr_name, value)

    def env_method(self, method_name: str, *args: Any, indices: Any = None, **kwargs: Any) -> list[Any]:
        """Return what a method of this object gives, once for each world."""
        return [getattr(self, method_name)(*args, **kwargs)] * len(list(self._get_indices(indices)))
