"""How a learned policy reads an observation: detections as a set, everything seen from the robot."""

from __future__ import annotations

import torch
from gymnasium import spaces
from jaxtyping import Bool, Float
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from torch import Tensor, nn

__all__ = ["FlatExtractor", "SetExtractor"]

_ROW_KEYS = ("position", "orientation_xyzw", "extent_m", "appearance")
_PLACE, _TURN = "_position", "_orientation_xyzw"  # how a task's field ends that is a place, or an orientation
_OWN = 3 + 1 + 2  # linear velocity in the body frame, yaw rate, heading as (cos, sin)
_SEEN = 3 + 3 + 2  # place in the body frame, extent, heading relative to the robot's as (cos, sin)


class SetExtractor(BaseFeaturesExtractor):
    """Reads the flat padded ``Dict`` observation of a worldsim environment.

    Every detection goes through the same small network, and the largest answer of each unit is kept (Zaheer et al.
    2017, "Deep Sets", with max for sum): the order of detections and the padding make no difference. Positions are
    turned into the robot's frame, so that what is ahead looks the same wherever the robot stands; a task's places and
    orientations too, and what else a task tells is read as it is.
    """

    def __init__(self, observation_space: spaces.Dict, features_dim: int = 128) -> None:
        """Build the networks; `features_dim` is the length of what the policy gets."""
        super().__init__(observation_space, features_dim)
        half = features_dim // 2
        appearance_dim = spaces.flatdim(observation_space["appearance"]) // spaces.flatdim(observation_space["mask"])
        self.each = nn.Sequential(nn.Linear(_SEEN + appearance_dim, 64), nn.ReLU(), nn.Linear(64, half), nn.ReLU())
        task = {name: spaces.flatdim(box) for name, box in observation_space.items() if name.startswith("task_")}
        self.places = sorted(name for name, width in task.items() if name.endswith(_PLACE) and width == 3)
        self.turns = sorted(name for name, width in task.items() if name.endswith(_TURN) and width == 4)
        self.others = sorted(set(task) - {*self.places, *self.turns})
        told = 3 * len(self.places) + 2 * len(self.turns) + sum(task[name] for name in self.others)
        self.own = nn.Sequential(nn.Linear(_OWN + told, 64), nn.ReLU(), nn.Linear(64, half), nn.ReLU())

    def forward(self, observations: dict[str, Tensor]) -> Float[Tensor, "B F"]:
        """Return the features of a batch of B observations."""
        o = observations
        here, heading = o["ego_position"], _heading(o["ego_orientation_xyzw"])
        seen = o["mask"].bool()
        room, used = seen.shape[1], _used(seen)
        seen = seen[:, :used]
        rows = {name: o[name].unflatten(1, (room, -1))[:, :used] for name in _ROW_KEYS}
        relative = _turned(rows["position"] - here.unsqueeze(1), heading.unsqueeze(1))
        facing = _turned(_heading(rows["orientation_xyzw"]), heading.unsqueeze(1))
        detections = torch.cat([relative, rows["extent_m"], facing, rows["appearance"]], dim=-1)
        answers = self.each(detections).masked_fill(~seen.unsqueeze(-1), 0.0)  # 0 is a ReLU's least answer
        told = [_turned(o[name] - here, heading) for name in self.places]
        told += [_turned(_heading(o[name]), heading) for name in self.turns]
        told += [o[name] for name in self.others]
        velocity, yaw_rate = _turned(o["ego_linear_velocity"], heading), o["ego_angular_velocity"][:, 2:]
        own = torch.cat([velocity, yaw_rate, heading, *told], dim=-1)
        return torch.cat([answers.amax(dim=1), self.own(own)], dim=-1)


class FlatExtractor(BaseFeaturesExtractor):
    """Reads all fields of an observation, one after the other, by one layer."""

    def __init__(self, observation_space: spaces.Dict, features_dim: int = 64) -> None:
        """Build a layer of `features_dim` units."""
        super().__init__(observation_space, features_dim)
        self.names = sorted(observation_space.spaces)
        self.layer = nn.Linear(sum(spaces.flatdim(observation_space[name]) for name in self.names), features_dim)

    def forward(self, observations: dict[str, Tensor]) -> Float[Tensor, "B F"]:
        """Return the features of a batch of B observations."""
        flat = torch.cat([observations[name].flatten(1) for name in self.names], dim=-1)
        return torch.tanh(self.layer(flat))


def _used(seen: Bool[Tensor, "B M"]) -> int:
    """Return how many of the M rows reach to the last one that is seen in any of the B observations, at least 1.

    What is behind it is padding throughout. It gives nothing to features and gradients, and would take most of the
    time of a training.
    """
    columns = seen.any(dim=0).nonzero()
    return int(columns[-1]) + 1 if len(columns) else 1


def _heading(orientation_xyzw: Float[Tensor, "*B 4"]) -> Float[Tensor, "*B 2"]:
    """Return (cos, sin) of the yaw, (1, 0) for the zero quaternions of the padding."""
    x, y, z, w = orientation_xyzw.unbind(-1)
    forward = torch.stack([1.0 - 2.0 * (y * y + z * z), 2.0 * (x * y + z * w)], dim=-1)
    return nn.functional.normalize(forward, dim=-1)


def _turned(vector: Float[Tensor, "*B D"], heading: Float[Tensor, "*B 2"]) -> Float[Tensor, "*B D"]:
    """Turn the first two components into the frame that looks along `heading`; leave the others."""
    cos, sin = heading.unbind(-1)
    x, y = vector[..., 0], vector[..., 1]
    turned = torch.stack([cos * x + sin * y, cos * y - sin * x], dim=-1)
    return torch.cat([turned, vector[..., 2:]], dim=-1)
