"""Upright oriented boxes seen from above, and signed distances to them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from worldsim.dynamics import quaternion

_TINY_M2 = 1e-8  # keeps the root's derivative finite on an edge


@dataclass(frozen=True, slots=True)
class Boxes:
    """Outlines of N boxes in the floor plane, fixed or moving over T steps.

    Attributes:
        centre: [T, N, 2] m, world frame (T = 1 for what stays).
        direction: [N, 2] unit vector of the box's x axis in the floor plane.
        half_m: [N, 2] half edge lengths along the box's axes.
        std_m: [T, N] standard deviation of the position in the floor plane (root mean square over its axes).
    """

    centre: Float[Tensor, "T N 2"]
    direction: Float[Tensor, "N 2"]
    half_m: Float[Tensor, "N 2"]
    std_m: Float[Tensor, "T N"]

    def __len__(self) -> int:
        """Return the number of boxes N."""
        return self.half_m.shape[0]

    def select(self, index: Tensor) -> Boxes:
        """Return the boxes at `index` ([n] int64 or [N] bool)."""
        return Boxes(self.centre[:, index], self.direction[index], self.half_m[index], self.std_m[:, index])

    def to(self, dtype: torch.dtype) -> Boxes:
        """Return the boxes in numbers of `dtype`."""
        return Boxes(self.centre.to(dtype), self.direction.to(dtype), self.half_m.to(dtype), self.std_m.to(dtype))

    def also(self, other: Boxes) -> Boxes:
        """Return these boxes and the `other` ones, all where they are at the first of their times."""
        one, two = self.at_once(), other.at_once()
        centre, std_m = torch.cat([one.centre, two.centre], dim=1), torch.cat([one.std_m, two.std_m], dim=1)
        return Boxes(centre, torch.cat([one.direction, two.direction]), torch.cat([one.half_m, two.half_m]), std_m)

    def seen_again(self, steps: int) -> Boxes:
        """Return the boxes where they are expected, known as well as they will be by then.

        A plan is made anew at every look, so that who is near by then will have been seen at most so many steps
        before. Counting only what is known now, uncertainty grows until no way through a crowd is left (Trautman &
        Krause 2010, "the freezing robot"); that measurements are still to come is what the partially closed loop of
        du Toit & Burdick (2012) takes into account: the places are those expected now, and the spread is that of the
        looks to come.

        Args:
            steps: at least 1; the spread is at most what it is after so many.
        """
        least = self.std_m[: max(steps, 1)][-1:]
        return Boxes(self.centre, self.direction, self.half_m, torch.minimum(self.std_m, least))

    def at_once(self) -> Boxes:
        """Return the boxes where they are at the first of their times."""
        return Boxes(self.centre[:1].float(), self.direction.float(), self.half_m.float(), self.std_m[:1].float())

    def signed_distance(self, points: Float[Tensor, "S T 2"]) -> Float[Tensor, "S T N"]:
        """Return the distance (m) of each point to each outline at its time, negative inside."""
        normal = torch.stack([-self.direction[:, 1], self.direction[:, 0]], dim=-1)
        along = self._along(points, self.direction).sub_(self.half_m[:, 0])
        across = self._along(points, normal).sub_(self.half_m[:, 1])
        inside = torch.maximum(along, across).clamp_(max=0.0)
        # square roots of sums of squares: torch.hypot is several times slower, and nothing here can overflow
        return along.clamp_(min=0.0).square_().add_(across.clamp_(min=0.0).square_()).sqrt_().add_(inside)

    def differentiable_distance(self, points: Float[Tensor, "S T 2"]) -> Float[Tensor, "S T N"]:
        """Return the same as `signed_distance`, with a gradient everywhere; slower, since nothing is done in place."""
        normal = torch.stack([-self.direction[:, 1], self.direction[:, 0]], dim=-1)
        along = (points @ self.direction.T - (self.centre * self.direction).sum(dim=-1)).abs() - self.half_m[:, 0]
        across = (points @ normal.T - (self.centre * normal).sum(dim=-1)).abs() - self.half_m[:, 1]
        inside = torch.maximum(along, across).clamp(max=0.0)
        outside = along.clamp(min=0.0).square() + across.clamp(min=0.0).square()
        return (outside + _TINY_M2).sqrt() - math.sqrt(_TINY_M2) + inside

    def _along(self, points: Float[Tensor, "S T 2"], axis: Float[Tensor, "N 2"]) -> Float[Tensor, "S T N"]:
        """Return how far each point lies from each centre along an axis of the box."""
        # one matrix product: differences of shape [S, T, N, 2] would not stay in cache
        return (points @ axis.T).sub_((self.centre * axis).sum(dim=-1)).abs_()


def _floor_axis(rotation: Float[Tensor, "N 3 3"]) -> Float[Tensor, "N 2"]:
    """Return the unit direction in the floor plane of each body's x axis, or of its y axis where x stands upright."""
    x_axis, y_axis = rotation[:, :2, 0], rotation[:, :2, 1]
    level = x_axis.square().sum(dim=-1, keepdim=True) > 0.5
    axis = torch.where(level, x_axis, y_axis)
    return axis / axis.norm(dim=-1, keepdim=True).clamp(min=1e-6)


def outlines(
    position: Float[Tensor, "T N 3"],
    position_std: Float[Tensor, "T N 3"],
    orientation_xyzw: Float[Tensor, "N 4"],
    extent_m: Float[Tensor, "N 3"],
) -> Boxes:
    """Return the outlines of tilted boxes: the tightest rectangle along the chosen axis that holds the projection."""
    rotation = quaternion.to_matrix(orientation_xyzw)
    direction = _floor_axis(rotation)
    normal = torch.stack([-direction[:, 1], direction[:, 0]], dim=-1)
    level = rotation[:, :2, :]
    half = extent_m / 2
    along = (torch.einsum("nd,nda->na", direction, level).abs() * half).sum(dim=-1)
    across = (torch.einsum("nd,nda->na", normal, level).abs() * half).sum(dim=-1)
    std = position_std[..., :2].square().mean(dim=-1).sqrt()
    return Boxes(position[..., :2], direction, torch.stack([along, across], dim=-1), std)


def top_and_bottom(
    position: Float[Tensor, "N 3"], orientation_xyzw: Float[Tensor, "N 4"], extent_m: Float[Tensor, "N 3"]
) -> tuple[Float[Tensor, " N"], Float[Tensor, " N"]]:
    """Return the highest and lowest z (m) of each box."""
    rotation = quaternion.to_matrix(orientation_xyzw)
    rise = (rotation[:, 2, :].abs() * extent_m / 2).sum(dim=-1)
    return position[:, 2] + rise, position[:, 2] - rise
