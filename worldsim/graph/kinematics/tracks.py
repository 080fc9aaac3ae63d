"""Predictions of a pair's pose under three freedoms: it stays, it moves along one unknown axis, it moves anyhow.

Each track predicts the next observation before it sees it; the squared innovations, each over its variance, are summed.
Given the axis, a motion along it is smooth (a Kalman filter with white acceleration) and constant across it. Both
filters are linear and the same in every direction, so the innovation along an axis is the axis times the innovation
vector: the log likelihood is a quadratic form of the axis, and the axis integrates out as a Bingham distribution.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from worldsim.dynamics import quaternion
from worldsim.graph.kinematics.bingham import log_mean_over_axes

SHOCK_NIS = 6.0
"""Mean normalised square of an innovation from which it is taken for a shock (an impact, a hand that lets go)."""
SHOCK_COST_NATS = 5.0
"""What a shock costs every hypothesis that needs it."""


@dataclass(slots=True)
class SmoothMotion:
    """Constant-velocity filters of E vectors at K scales of acceleration; the variances are the same in all directions.

    Attributes:
        rate: [K, E, 3] per second; its mean stands in `value` [K, E, 3] (rotations keep it elsewhere).
        p00, p01, p11: [K, E] covariance of value and rate, one direction.
        acceleration: [K, 1] standard deviations, per s^2.
    """

    value: Float[Tensor, "K E 3"]
    rate: Float[Tensor, "K E 3"]
    p00: Float[Tensor, "K E"]
    p01: Float[Tensor, "K E"]
    p11: Float[Tensor, "K E"]
    acceleration: Float[Tensor, "K 1"]

    @classmethod
    def start(
        cls, value: Float[Tensor, "E 3"], variance: Float[Tensor, " E"], rate_std: float, scales: Float[Tensor, " K"]
    ) -> SmoothMotion:
        """Return filters that have seen one value and know nothing of the rate but its size."""
        k, e = len(scales), len(value)
        zero = value.new_zeros(k, e)
        start = value.expand(k, e, 3).clone()
        return cls(start, torch.zeros_like(start), zero + variance, zero, zero + rate_std**2, scales[:, None])

    def predict(self, dt_s: float) -> None:
        """Go on at the present rate under white acceleration, constant over the frame."""
        self.value = self.value + dt_s * self.rate
        noise = self.acceleration.square()
        self.p00 = self.p00 + 2.0 * dt_s * self.p01 + dt_s**2 * self.p11 + 0.25 * dt_s**4 * noise
        self.p01 = self.p01 + dt_s * self.p11 + 0.5 * dt_s**3 * noise
        self.p11 = self.p11 + dt_s**2 * noise

    def correct(
        self, innovation: Float[Tensor, "K E 3"], noise: Float[Tensor, " E"], dt_s: float, seen: Bool[Tensor, " E"]
    ) -> tuple[Float[Tensor, "K E 3"], Float[Tensor, "K E"], Float[Tensor, "K E"]]:
        """Take in the innovation; return the correction of the value, the innovation's variance, and shocks (0 or 1).

        Where the innovation is far too large, the rate may have jumped: its variance grows by what explains it.
        """
        variance = self.p00 + noise
        square = innovation.square().sum(-1) / 3.0
        shock = (square > SHOCK_NIS * variance) & seen
        jump = torch.where(shock, square - variance, 0.0) / dt_s**2
        self.p00 = self.p00 + dt_s**2 * jump
        self.p01 = self.p01 + dt_s * jump
        self.p11 = self.p11 + jump
        variance = self.p00 + noise
        gain0, gain1 = self.p00 / variance * seen, self.p01 / variance * seen
        self.p11 = self.p11 - gain1 * self.p01
        self.p01 = self.p01 * (1.0 - gain0)
        self.p00 = self.p00 * (1.0 - gain0)
        self.rate = self.rate + gain1[..., None] * innovation
        correction = gain0[..., None] * innovation
        self.value = self.value + correction
        return correction, variance, shock.to(variance.dtype)

    def rate_nis(self) -> Float[Tensor, " E"]:
        """Return the largest normalised square of the rate over the scales (chi-square of 3 at rest)."""
        return (self.rate.square().sum(-1) / self.p11).amax(0)


@dataclass(slots=True)
class Sums:
    """Summed innovations of one hypothesis: squares over variance, logs of variances, shocks.

    Attributes:
        form: [..., E, 3, 3]; log_variance: [..., E] of one direction; shocks: [..., E] counted.
    """

    form: Float[Tensor, "... E 3 3"]
    log_variance: Float[Tensor, "... E"]
    shocks: Float[Tensor, "... E"]

    @classmethod
    def empty(cls, like: Float[Tensor, "... E"]) -> Sums:
        """Return sums over no frame."""
        return cls(like.new_zeros(*like.shape, 3, 3), torch.zeros_like(like), torch.zeros_like(like))

    def add(self, form: Tensor, log_variance: Tensor, shocks: Tensor | float, counts: Float[Tensor, " E"]) -> None:
        """Add a frame where it counts."""
        self.form = self.form + form * counts[:, None, None]
        self.log_variance = self.log_variance + log_variance * counts
        self.shocks = self.shocks + shocks * counts


class Track:
    """What is predicted of E sequences of 3-vectors (a displacement, or a turn as a rotation vector).

    Attributes:
        mean: [E, 3] the place, were it to stay; mean_variance: [E].
        smooth: filters of the vector itself.
        turning: filters of the orientation [K, E, 4] where the vectors are turns, else None: a free turn is smooth in
            its own frame, not as a rotation vector.
    """

    def __init__(
        self,
        value: Float[Tensor, "E 3"],
        variance: Float[Tensor, " E"],
        rate_std: float,
        scales: Float[Tensor, " K"],
        orientation_xyzw: Float[Tensor, "E 4"] | None = None,
    ) -> None:
        """Start from one observation, which is no evidence."""
        self.mean, self.mean_variance = value.clone(), variance.clone()
        self.smooth = SmoothMotion.start(value, variance, rate_std, scales)
        k, e = len(scales), len(value)
        self.turning: SmoothMotion | None = None
        if orientation_xyzw is not None:
            self.turning = SmoothMotion.start(torch.zeros_like(value), variance, rate_std, scales)
            self.orientation_xyzw = orientation_xyzw.expand(k, e, 4).clone()
        self.stays = Sums.empty(variance)
        self.along = Sums.empty(self.smooth.p00)
        self.anyhow = Sums.empty(self.smooth.p00)

    def observe(
        self,
        value: Float[Tensor, "E 3"],
        noise: Float[Tensor, " E"],
        dt_s: float,
        seen: Bool[Tensor, " E"],
        orientation_xyzw: Float[Tensor, "E 4"] | None = None,
        across: Float[Tensor, " E"] | None = None,
    ) -> Frame:
        """Predict, take in an observation, and return what has to be summed (`Frame`).

        Args:
            value: seen now; noise: its variance in one direction.
            dt_s: since the last frame.
            seen: where it was detected.
            orientation_xyzw: where the values are turns, the orientation itself.
            across: variance across the axis, where that is another.
        """
        stay_innovation = value - self.mean
        noise_across = noise if across is None else across
        stay_variance = self.mean_variance + noise_across
        gain = self.mean_variance / stay_variance * seen
        self.mean = self.mean + gain[:, None] * stay_innovation
        self.mean_variance = self.mean_variance * (1.0 - gain)
        self.smooth.predict(dt_s)
        innovation = value - self.smooth.value
        _, variance, shock = self.smooth.correct(innovation, noise, dt_s, seen)
        stays = (_outer(stay_innovation, stay_variance), stay_variance.log(), torch.zeros_like(noise))
        along = (_outer(innovation, variance), variance.log(), shock)
        if self.turning is None or orientation_xyzw is None:
            return Frame(stays, along, along)
        self.turning.predict(dt_s)
        carried = quaternion.multiply(quaternion.exp(dt_s * self.turning.rate), self.orientation_xyzw)
        innovation = quaternion.difference(orientation_xyzw.expand_as(carried), carried)
        correction, variance, shock = self.turning.correct(innovation, noise, dt_s, seen)
        self.orientation_xyzw = quaternion.normalise(quaternion.multiply(quaternion.exp(correction), carried))
        return Frame(stays, along, (_outer(innovation, variance), variance.log(), shock))

    def count(self, frame: Frame, counts: Float[Tensor, " E"], moved: Bool[Tensor, " E"]) -> None:
        """Sum a frame where it counts; until something moved, every freedom says what staying says."""
        self.stays.add(*frame.stays, counts)
        for sums, part in ((self.along, frame.along), (self.anyhow, frame.anyhow)):
            form, log_variance, shocks = frame.stays
            sums.add(
                torch.where(moved[:, None, None], part[0], form),
                torch.where(moved, part[1], log_variance),
                torch.where(moved, part[2], shocks),
                counts,
            )

    def moves(self) -> Float[Tensor, " E"]:
        """Return how surely it moves now: the normalised square of its rate."""
        return (self.turning or self.smooth).rate_nis()

    def log_evidence(self) -> Float[Tensor, "3 E"]:
        """Return log p(observations) if it stays, moves along one axis, moves anyhow; up to one common constant."""
        stays = -0.5 * (_trace(self.stays.form) + 3.0 * self.stays.log_variance)
        cost = SHOCK_COST_NATS
        along = (
            -0.5 * (_trace(self.stays.form) + self.along.log_variance + 2.0 * self.stays.log_variance)
            - cost * self.along.shocks
            + log_mean_over_axes(self.stays.form - self.along.form)
        )
        anyhow = -0.5 * (_trace(self.anyhow.form) + 3.0 * self.anyhow.log_variance) - cost * self.anyhow.shocks
        scales = math.log(len(along))
        return torch.stack([stays, torch.logsumexp(along, 0) - scales, torch.logsumexp(anyhow, 0) - scales])

    def axis_form(self) -> tuple[Float[Tensor, "E 3 3"], Float[Tensor, "E 3"]]:
        """Return the quadratic form of the axis and the vector as filtered now, at the likeliest scale."""
        along = -0.5 * self.along.log_variance - SHOCK_COST_NATS * self.along.shocks
        best = (along + log_mean_over_axes(self.stays.form - self.along.form)).argmax(0)
        rows = torch.arange(len(best), device=best.device)
        return self.stays.form - self.along.form[best, rows], self.smooth.value[best, rows]


Part = tuple[Tensor, Tensor, Tensor]


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame of a track: (form, log variance, shocks) of each freedom."""

    stays: Part
    along: Part
    anyhow: Part


def _outer(innovation: Float[Tensor, "... 3"], variance: Float[Tensor, "..."]) -> Float[Tensor, "... 3 3"]:
    return innovation[..., :, None] * innovation[..., None, :] / variance[..., None, None]


def _trace(form: Float[Tensor, "... 3 3"]) -> Float[Tensor, "..."]:
    return form.diagonal(dim1=-2, dim2=-1).sum(-1)
