"""The pose of the target as the source sees it, from noisy poses of both in the world."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from worldsim.dynamics import quaternion
from worldsim.graph.kinematics.freedom import KinematicSettings
from worldsim.graph.kinematics.tracks import SmoothMotion

_MEMORY = 0.95
"""Share of a scale's record that is kept a frame: which scale filters best may change."""


class PoseFrame(NamedTuple):
    """One frame of E poses.

    Attributes:
        position: [E, 3] m; orientation_xyzw: [E, 4].
        noise: [E] variance of the position in one direction, m^2; turn_noise: [E] of the orientation, rad^2.
    """

    position: Float[Tensor, "E 3"]
    orientation_xyzw: Float[Tensor, "E 4"]
    noise: Float[Tensor, " E"]
    turn_noise: Float[Tensor, " E"]


class Body:
    """Filtered poses of E bodies: smoothed as much as their own motion allows, since a joint is seen from them.

    A body that has not moved yet is one fixed frame, whose error is the same in every frame and so no noise: it only
    shifts where the joint is.

    Attributes:
        shift, turn: filters at the scales of the settings.
        left: [E] whether the body was ever seen to move.
        rest_turn_variance: [E] of the fixed frame's orientation in one direction, rad^2; what is seen from it is turned
            by that error, the same in every frame. 0 once the body has moved: then the error is in each frame's noise.
    """

    def __init__(
        self,
        position: Float[Tensor, "E 3"],
        orientation_xyzw: Float[Tensor, "E 4"],
        noise: Float[Tensor, " E"],
        turn_noise: Float[Tensor, " E"],
        settings: KinematicSettings,
    ) -> None:
        """Start at the first detection."""
        turns, shifts = (position.new_tensor(s) for s in (settings.turn_scales_rad_s2, settings.shift_scales_m_s2))
        self.shift = SmoothMotion.start(position, noise, settings.shift_rate_m_s, shifts)
        self.turn = SmoothMotion.start(torch.zeros_like(position), turn_noise, settings.turn_rate_rad_s, turns)
        self._orientations = orientation_xyzw.expand(len(turns), *orientation_xyzw.shape).clone()
        self._shift_record, self._turn_record = torch.zeros_like(self.shift.p00), torch.zeros_like(self.turn.p00)
        self._rest_position, self._rest_orientation, self._rest_frames = position, orientation_xyzw, 1
        self._settings = settings
        self.left = torch.zeros_like(noise, dtype=torch.bool)
        self.rest_turn_variance = turn_noise.clone()

    def observe(
        self,
        position: Float[Tensor, "E 3"],
        orientation_xyzw: Float[Tensor, "E 4"],
        noise: Float[Tensor, " E"],
        turn_noise: Float[Tensor, " E"],
        dt_s: float,
        seen: Bool[Tensor, " E"],
    ) -> None:
        """Take in a detection."""
        self.shift.predict(dt_s)
        innovation = position - self.shift.value
        _, variance, shock = self.shift.correct(innovation, noise, dt_s, seen)
        self._shift_record = _MEMORY * self._shift_record + _score(innovation, variance, shock) * seen
        self.turn.predict(dt_s)
        carried = quaternion.multiply(quaternion.exp(dt_s * self.turn.rate), self._orientations)
        innovation = quaternion.difference(orientation_xyzw.expand_as(carried), carried)
        correction, variance, shock = self.turn.correct(innovation, turn_noise, dt_s, seen)
        self._orientations = quaternion.normalise(quaternion.multiply(quaternion.exp(correction), carried))
        self._turn_record = _MEMORY * self._turn_record + _score(innovation, variance, shock) * seen
        if self._rest_frames <= self._settings.reference_frames:
            self._rest_frames += 1
            share = 1.0 / self._rest_frames
            self._rest_position = self._rest_position + share * (position - self._rest_position)
            self._rest_orientation = turned_towards(self._rest_orientation, orientation_xyzw, share)
            self.rest_turn_variance = share * turn_noise
        self.left = self.left | ((self.moves() > self._settings.moving_nis) & seen)
        self.rest_turn_variance = self.rest_turn_variance * ~self.left

    def pose(self) -> tuple[Float[Tensor, "E 3"], Float[Tensor, "E 4"], Float[Tensor, " E"], Float[Tensor, " E"]]:
        """Return position, orientation and their variances in one direction, by the scale that filters best now."""
        rows = torch.arange(self._shift_record.shape[1], device=self._shift_record.device)
        shift, turn = self._shift_record.argmax(0), self._turn_record.argmax(0)
        left = self.left[:, None]
        return (
            torch.where(left, self.shift.value[shift, rows], self._rest_position),
            torch.where(left, self._orientations[turn, rows], self._rest_orientation),
            self.shift.p00[shift, rows] * self.left,
            self.turn.p00[turn, rows] * self.left,
        )

    def moves(self) -> Float[Tensor, " E"]:
        """Return how surely the body moves: the normalised square of its rates, the larger of the two."""
        return torch.maximum(self.shift.rate_nis(), self.turn.rate_nis())


def in_source_frame(source: Body, target: PoseFrame) -> PoseFrame:
    """Return the target's pose in the source's frame."""
    at, facing, at_variance, facing_variance = source.pose()
    place = quaternion.rotate_inverse(facing, target.position - at)
    turn = quaternion.multiply(quaternion.conjugate(facing), target.orientation_xyzw)
    # an error of the source's orientation sweeps the place across the line between the two
    swept = 2.0 / 3.0 * place.square().sum(-1) * facing_variance
    return PoseFrame(place, turn, target.noise + at_variance + swept, target.turn_noise + facing_variance)


def turned_towards(start: Float[Tensor, "E 4"], goal: Float[Tensor, "E 4"], share: float) -> Float[Tensor, "E 4"]:
    """Return the orientation that lies a share of the way from `start` to `goal`: a running mean of orientations."""
    return quaternion.normalise(quaternion.multiply(quaternion.exp(share * quaternion.difference(goal, start)), start))


def _score(
    innovation: Float[Tensor, "K E 3"], variance: Float[Tensor, "K E"], shock: Float[Tensor, "K E"]
) -> Float[Tensor, "K E"]:
    return -0.5 * (innovation.square().sum(-1) / variance + 3.0 * variance.log()) - 5.0 * shock
