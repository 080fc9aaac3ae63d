"""How a learned policy reads an observation: detections as a set, everything seen from the robot."""

from __future__ import annotations

import torch
from gymnasium import spaces
from jaxtyping import Bool, Float
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from torch import Tensor, nn

__all__ = ["Egocentric", "FlatExtractor", "SetExtractor"]

_ROW_KEYS = ("position", "orientation_xyzw", "extent_m", "appearance")
_PLACE, _TURN = "_position", "_orientation_xyzw"  # how a task's field ends that is a place, or an orientation
_OWN = 3 + 1 + 2  # linear velocity in the body frame, yaw rate, heading as (cos, sin)
_SEEN = 3 + 3 + 2  # place in the body frame, extent, heading relative to the robot's as (cos, sin)


class Egocentric:
    """What an observation says, seen from the robot: geometry alone, with nothing to learn.

    Positions are turned into the robot's frame, so that what is ahead looks the same wherever the robot stands; a
    task's places and orientations too, and what else a task tells is read as it is.
    """

    def __init__(self, observation_space: spaces.Dict) -> None:
        """Sort a task's fields by what they are."""
        self.room = spaces.flatdim(observation_space["mask"])
        self.row_width = _SEEN + spaces.flatdim(observation_space["appearance"]) // self.room
        task = {name: spaces.flatdim(box) for name, box in observation_space.items() if name.startswith("task_")}
        self.places = sorted(name for name, width in task.items() if name.endswith(_PLACE) and width == 3)
        self.turns = sorted(name for name, width in task.items() if name.endswith(_TURN) and width == 4)
        self.others = sorted(set(task) - {*self.places, *self.turns})
        told = 3 * len(self.places) + 2 * len(self.turns) + sum(task[name] for name in self.others)
        self.own_width = _OWN + told

    def __call__(self, observations: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return ``seen`` [B, N], ``rows`` [B, N, row_width] and ``own`` [B, own_width] of B padded observations.

        N is how many rows reach to the last that is seen in any of them.
        """
        o = observations
        seen = o["mask"].bool()
        room, used = seen.shape[1], _rows_used(seen)
        position, orientation, extent, look = (o[name].unflatten(1, (room, -1))[:, :used] for name in _ROW_KEYS)
        # all orientations, all places and all that is turned go through their operations together: a training takes
        # one step at a time, and there the number of operations is what costs
        turns, places = _stacked(orientation, o, self.turns), _stacked(position, o, self.places)
        headings = _heading(torch.cat([o["ego_orientation_xyzw"].unsqueeze(1), turns], dim=1))
        offsets, velocity = places - o["ego_position"].unsqueeze(1), o["ego_linear_velocity"]
        flat = torch.cat([offsets[..., :2], headings[:, 1:], velocity[:, None, :2]], dim=1)
        sizes = [used, len(self.places), used, len(self.turns), 1]
        near, goals, facing, aims, drift = _turned(flat, headings[:, :1]).split(sizes, dim=1)
        heights = offsets[..., 2:]
        told = [torch.cat([goals, heights[:, used:]], dim=-1).flatten(1), aims.flatten(1)]
        told += [o[name] for name in self.others]
        moving = [drift.flatten(1), velocity[:, 2:], o["ego_angular_velocity"][:, 2:]]
        return {
            "seen": seen[:, :used],
            "rows": torch.cat([near, heights[:, :used], extent, facing, look], dim=-1),
            "own": torch.cat([*moving, headings[:, 0], *told], dim=-1),
        }


class SetExtractor(BaseFeaturesExtractor):
    """Reads the flat padded ``Dict`` observation of a worldsim environment, or what `Egocentric` made of it.

    Every detection goes through the same small network, and the largest answer of each unit is kept (Zaheer et al.
    2017, "Deep Sets", with max for sum): the order of detections and the padding make no difference.
    """

    def __init__(self, observation_space: spaces.Dict, features_dim: int = 128) -> None:
        """Build the networks; `features_dim` is the length of what the policy gets."""
        super().__init__(observation_space, features_dim)
        half = features_dim // 2
        self.egocentric = Egocentric(observation_space)
        each, own = self.egocentric.row_width, self.egocentric.own_width
        self.each = nn.Sequential(nn.Linear(each, 64), nn.ReLU(), nn.Linear(64, half), nn.ReLU())
        self.own = nn.Sequential(nn.Linear(own, 64), nn.ReLU(), nn.Linear(64, half), nn.ReLU())

    def forward(self, observations: dict[str, Tensor]) -> Float[Tensor, "B F"]:
        """Return the features of a batch of B observations."""
        o = observations if "rows" in observations else self.egocentric(observations)
        seen = o["seen"].bool()
        used = _rows_used(seen)
        answers = self.each(o["rows"][:, :used]).masked_fill(~seen[:, :used].unsqueeze(-1), 0.0)  # a ReLU's least
        return torch.cat([answers.amax(dim=1), self.own(o["own"])], dim=-1)


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


def _rows_used(seen: Bool[Tensor, "B M"]) -> int:
    """Return how many of the M rows reach to the last one that is seen in any of the B observations, at least 1.

    What is behind it gives nothing to features and gradients, and would take most of the time of a training.
    """
    columns = seen.any(dim=0).nonzero()
    return int(columns[-1]) + 1 if len(columns) else 1


def _heading(orientation_xyzw: Float[Tensor, "*B 4"]) -> Float[Tensor, "*B 2"]:
    """Return (cos, sin) of the yaw, (1, 0) for the zero quaternions of the padding."""
    x, y, z, w = orientation_xyzw.unbind(-1)
    forward = torch.stack([1.0 - 2.0 * (y * y + z * z), 2.0 * (x * y + z * w)], dim=-1)
    return nn.functional.normalize(forward, dim=-1)


def _turned(vectors: Float[Tensor, "B K 2"], heading: Float[Tensor, "B 1 2"]) -> Float[Tensor, "B K 2"]:
    """Turn horizontal vectors into the frame that looks along `heading`."""
    (cos, sin), (x, y) = heading.unbind(-1), vectors.unbind(-1)
    return torch.stack([cos * x + sin * y, cos * y - sin * x], dim=-1)


def _stacked(
    rows: Float[Tensor, "B N D"], observations: dict[str, Tensor], names: list[str]
) -> Float[Tensor, "B N+names D"]:
    """Return the rows, and after them the fields of these names as one row each."""
    return torch.cat([rows, *(observations[name].unsqueeze(1) for name in names)], dim=1)
