"""A Gaussian over the joint of state and parameters, one a row."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from worldsim.dynamics import quaternion
from worldsim.types.belief import TANGENT_DIM
from worldsim.types.states import ObjectStates


@dataclass(frozen=True, slots=True)
class Density:
    """N Gaussians on the manifold position x rotation x twist x parameters.

    Attributes:
        states: means.
        parameters: [N, P] means, transformed coordinates.
        covariance: [N, X, X] on the tangent space (position, world-frame rotation vector, velocities, parameters).
    """

    states: ObjectStates
    parameters: Float[Tensor, "N P"]
    covariance: Float[Tensor, "N X X"]

    def __len__(self) -> int:
        """Return the number of rows N."""
        return len(self.states)

    def select(self, index: Int[Tensor, " n"] | slice) -> Density:
        """Return the rows at `index`: copies of them, or views where it is a slice."""
        if isinstance(index, slice):
            return Density(_part(self.states, index), self.parameters[index], self.covariance[index])
        return Density(
            self.states.select(index), self.parameters.index_select(0, index), self.covariance.index_select(0, index)
        )

    def poses(self, index: Int[Tensor, " n"] | slice) -> Density:
        """Return the rows at `index` with the covariance of the pose alone, [n, 6, 6]; views where it is a slice."""
        pose = Density(self.states, self.parameters, self.covariance[:, :6, :6])
        return pose.select(index)

    def rows(self, start: int, end: int) -> Density:
        """Return the rows from `start` to `end`, as views."""
        return self.select(slice(start, end))

    def copy(self, but: Int[np.ndarray, " n"] | None = None) -> Density:
        """Return the same rows in tensors of their own.

        Args:
            but: rows whose covariance will be written anyway, and may hold anything until then; none where None.
        """
        s = self.states
        states = ObjectStates(
            s.position.clone(),
            s.orientation_xyzw.clone(),
            s.linear_velocity.clone(),
            s.angular_velocity.clone(),
            s.extent_m.clone(),
        )
        return Density(states, self.parameters.clone(), self._covariance_but(but))

    def _covariance_but(self, but: Int[np.ndarray, " n"] | None) -> Float[Tensor, "N X X"]:
        if but is None or 2 * len(but) < len(self):  # row by row costs more than it saves
            return self.covariance.clone()
        copied = np.ones(len(self), dtype=bool)
        copied[but] = False
        rows = torch.as_tensor(np.flatnonzero(copied), device=self.covariance.device)
        return torch.empty_like(self.covariance).index_copy_(0, rows, self.covariance.index_select(0, rows))

    def write(self, index: Int[Tensor, " n"] | slice, rows: Density) -> None:
        """Overwrite the rows at `index` by `rows`: of tensors that are nobody else's, such as a `copy`'s."""
        self.write_mean(index, rows)
        _put(self.covariance, index, rows.covariance)

    def write_mean(self, index: Int[Tensor, " n"] | slice, rows: Density) -> None:
        """Overwrite the means at `index`, where the covariances were worked on in place."""
        s, r = self.states, rows.states
        _put(s.position, index, r.position)
        _put(s.orientation_xyzw, index, r.orientation_xyzw)
        _put(s.linear_velocity, index, r.linear_velocity)
        _put(s.angular_velocity, index, r.angular_velocity)
        _put(s.extent_m, index, r.extent_m)
        _put(self.parameters, index, rows.parameters)

    def put(self, index: Int[Tensor, " n"], rows: Density) -> Density:
        """Return a copy in which the rows at `index` are `rows`."""
        copy = self.copy()
        copy.write(index, rows)
        return copy

    @classmethod
    def cat(cls, parts: list[Density]) -> Density:
        """Stack rows of several densities."""
        if len(parts) == 1:
            return parts[0]
        states = [p.states for p in parts]
        return cls(
            ObjectStates(
                torch.cat([s.position for s in states]),
                torch.cat([s.orientation_xyzw for s in states]),
                torch.cat([s.linear_velocity for s in states]),
                torch.cat([s.angular_velocity for s in states]),
                torch.cat([s.extent_m for s in states]),
            ),
            torch.cat([p.parameters for p in parts]),
            torch.cat([p.covariance for p in parts]),
        )


def as_run(index: Int[np.ndarray, " n"]) -> slice | None:
    """Return the slice that is `index`, None where it is not one row after the other.

    Rows that lie side by side need not be gathered and scattered, which costs as much as half of what is done to them.
    """
    if len(index) == 0 or int(index[-1]) - int(index[0]) != len(index) - 1 or (np.diff(index) != 1).any():
        return None
    return slice(int(index[0]), int(index[-1]) + 1)


def _part(s: ObjectStates, part: slice) -> ObjectStates:
    return ObjectStates(
        s.position[part],
        s.orientation_xyzw[part],
        s.linear_velocity[part],
        s.angular_velocity[part],
        s.extent_m[part],
    )


def rows_of(values: Tensor, index: Int[Tensor, " n"] | slice) -> Tensor:
    """Return the rows at `index`: copies of them, or views where it is a slice."""
    return values[index] if isinstance(index, slice) else values.index_select(0, index)


def _put(target: Tensor, index: Int[Tensor, " n"] | slice, rows: Tensor) -> None:
    if isinstance(index, slice):
        target[index].copy_(rows)
    else:
        target.index_copy_(0, index, rows)


def retract(
    states: ObjectStates, parameters: Float[Tensor, "N P"], step: Float[Tensor, "N X"]
) -> tuple[ObjectStates, Float[Tensor, "N P"]]:
    """Return the point reached from (`states`, `parameters`) along the tangent vector `step`."""
    moved = ObjectStates(
        states.position + step[:, 0:3],
        quaternion.normalise(quaternion.multiply(quaternion.exp(step[:, 3:6]), states.orientation_xyzw)),
        states.linear_velocity + step[:, 6:9],
        states.angular_velocity + step[:, 9:12],
        states.extent_m,
    )
    return moved, parameters + step[:, TANGENT_DIM:]


def local(a: ObjectStates, b: ObjectStates) -> Float[Tensor, "N 12"]:
    """Return the tangent vector at `b` that leads to `a`."""
    return torch.cat(
        [
            a.position - b.position,
            quaternion.difference(a.orientation_xyzw, b.orientation_xyzw),
            a.linear_velocity - b.linear_velocity,
            a.angular_velocity - b.angular_velocity,
        ],
        dim=-1,
    )
